/** What binding/ethernet/ exports. */
export type EthernetNative = Record<string, never>
