/** Names of the bits in a device's attributes, from infiniband/verbs.h without their prefix. */

const deviceCapabilities: Readonly<Record<number, string>> = {
  0: 'RESIZE_MAX_WR',
  1: 'BAD_PKEY_CNTR',
  2: 'BAD_QKEY_CNTR',
  3: 'RAW_MULTI',
  4: 'AUTO_PATH_MIG',
  5: 'CHANGE_PHY_PORT',
  6: 'UD_AV_PORT_ENFORCE',
  7: 'CURR_QP_STATE_MOD',
  8: 'SHUTDOWN_PORT',
  9: 'INIT_TYPE',
  10: 'PORT_ACTIVE_EVENT',
  11: 'SYS_IMAGE_GUID',
  12: 'RC_RNR_NAK_GEN',
  13: 'SRQ_RESIZE',
  14: 'N_NOTIFY_CQ',
  17: 'MEM_WINDOW',
  18: 'UD_IP_CSUM',
  20: 'XRC',
  21: 'MEM_MGT_EXTENSIONS',
  23: 'MEM_WINDOW_TYPE_2A',
  24: 'MEM_WINDOW_TYPE_2B',
  25: 'RC_IP_CSUM',
  26: 'RAW_IP_CSUM',
  29: 'MANAGED_FLOW_STEERING',
  34: 'RAW_SCATTER_FCS',
  36: 'PCI_WRITE_END_PADDING',
}
const generalOdp: Readonly<Record<number, string>> = { 0: 'SUPPORT', 1: 'SUPPORT_IMPLICIT' }
const transportOdp: Readonly<Record<number, string>> = {
  0: 'SEND',
  1: 'RECV',
  2: 'WRITE',
  3: 'READ',
  4: 'ATOMIC',
  5: 'SRQ_RECV',
}
const queuePairTypes: Readonly<Record<number, string>> = { 2: 'RC', 3: 'UC', 4: 'UD', 8: 'RAW_PACKET' }
const rawPacket: Readonly<Record<number, string>> = {
  0: 'CVLAN_STRIPPING',
  1: 'SCATTER_FCS',
  2: 'IP_CSUM',
  3: 'DELAY_DROP',
}

const names: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  deviceCapFlags: deviceCapabilities,
  deviceCapFlagsEx: deviceCapabilities,
  odpGeneralCaps: generalOdp,
  rcOdpCaps: transportOdp,
  ucOdpCaps: transportOdp,
  udOdpCaps: transportOdp,
  xrcOdpCaps: transportOdp,
  tsoSupportedQpts: queuePairTypes,
  rssSupportedQpts: queuePairTypes,
  rawPacketCaps: rawPacket,
}

/** Names of the bits set in an attribute; unnamed bits and other attributes are left out. */
export function flagNames(attribute: string, value: bigint): string[] {
  return Object.entries(names[attribute] ?? {})
    .filter(([bit]) => (value >> BigInt(bit)) & 1n)
    .map(([, name]) => name)
}
