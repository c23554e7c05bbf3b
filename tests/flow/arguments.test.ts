/** Invalid flow rules are refused, with an error that names the field. */
import type { FlowRule } from 'ibverbs/ethernet'
import { describe, expect, test } from 'vitest'
import { flowsArgument } from '../../dist/flow/normalize.js'
import { classic, xdp } from './programs.js'

describe('rules are checked', () => {
  const value = Uint8Array.of(1, 2)
  test.each<[unknown, string]>([
    [5, '"options.flows" must be an array of flow rules, not 5'],
    [[], '"options.flows" must be at least one rule (left out, every frame is received), not []'],
    [[{}, null], '"options.flows[1]" must be a flow rule, not null'],
    [
      [{ port: 5 }],
      '"options.flows[0].port" is not known: did you mean "sourcePort"? (there are sourceMac, destinationMac, etherType, vlan, source, destination, protocol, sourcePort, destinationPort, bytes)',
    ],
    [
      [{ sourceMac: 'x' }],
      "\"options.flows[0].sourceMac\" must be an Ethernet address like '02:00:00:00:00:01', not 'x'",
    ],
    [
      [{ destinationMac: value }],
      '"options.flows[0].destinationMac" must be six bytes, not Uint8Array(2) [ 1, 2 ]',
    ],
    [[{ etherType: 0x5ff }], '"options.flows[0].etherType" must be an integer from 1536 to 65535, not 1535'],
    [[{ vlan: 4095 }], '"options.flows[0].vlan" must be an integer from 0 to 4094, not 4095'],
    [[{ vlan: 'any' }], '"options.flows[0].vlan" must be one of none, not \'any\''],
    [[{ vlan: true }], '"options.flows[0].vlan" must be a number or \'none\', not true'],
    [
      [{ source: '10.0.0' }],
      "\"options.flows[0].source\" must be an address or a prefix like '10.0.0.0/8' or 'fe80::/10', not '10.0.0'",
    ],
    [
      [{ source: 'fe80::1%eth0' }],
      "\"options.flows[0].source\" must be an address or a prefix like '10.0.0.0/8' or 'fe80::/10', not 'fe80::1%eth0'",
    ],
    [
      [{ source: '10.0.0.0/33' }],
      '"options.flows[0].source" must be a prefix of at most 32 bits, not \'10.0.0.0/33\'',
    ],
    [
      [{ destination: '10.1.2.3/8' }],
      "\"options.flows[0].destination\" must be a prefix without bits behind its length ('10.0.0.0/8'), not '10.1.2.3/8'",
    ],
    [
      [{ destination: 'fe80::1/64' }],
      "\"options.flows[0].destination\" must be a prefix without bits behind its length ('fe80::/64'), not 'fe80::1/64'",
    ],
    [
      [{ source: '10.0.0.1', destination: '::1' }],
      '"options.flows[0].destination" must be IPv4 like "options.flows[0].source", not \'::1\'',
    ],
    [
      [{ source: '::1', etherType: 0x0800 }],
      '"options.flows[0].etherType" must be left out, or 0x86dd for an IPv6 address, not 2048',
    ],
    [
      [{ protocol: 17, etherType: 0x0806 }],
      '"options.flows[0].etherType" must be left out, or 0x0800 or 0x86dd where a protocol is given, not 2054',
    ],
    [[{ protocol: 256 }], '"options.flows[0].protocol" must be an integer from 0 to 255, not 256'],
    [
      [{ protocol: null }],
      '"options.flows[0].protocol" must be a number or the name of a protocol, not null',
    ],
    [
      [{ sourcePort: 5 }],
      "\"options.flows[0].sourcePort\" must be left out where \"options.flows[0].protocol\" is not 'tcp', 'udp', 'sctp' or 'udpLite', not 5",
    ],
    [
      [{ protocol: 'icmp', destinationPort: 5 }],
      "\"options.flows[0].destinationPort\" must be left out where \"options.flows[0].protocol\" is not 'tcp', 'udp', 'sctp' or 'udpLite', not 5",
    ],
    [
      [{ protocol: 'udp', destinationPort: 65536 }],
      '"options.flows[0].destinationPort" must be an integer from 0 to 65535, not 65536',
    ],
    [
      [{ protocol: 'udp', sourcePort: { from: 5, to: 4 } }],
      '"options.flows[0].sourcePort.to" must be an integer from 5 to 65535, not 4',
    ],
    [
      [{ protocol: 'udp', sourcePort: '5' }],
      '"options.flows[0].sourcePort" must be a port or { from, to }, not \'5\'',
    ],
    [[{ bytes: {} }], '"options.flows[0].bytes" must be an array of { from, offset, value, mask }, not {}'],
    [
      [{ bytes: [{ offset: -1, value }] }],
      '"options.flows[0].bytes[0].offset" must be an integer from 0 to 65535, not -1',
    ],
    [
      [{ bytes: [{ offset: 0, value: [1] }] }],
      '"options.flows[0].bytes[0].value" must be a Uint8Array, not [ 1 ]',
    ],
    [
      [{ bytes: [{ offset: 0, value: new Uint8Array(0) }] }],
      '"options.flows[0].bytes[0].value" must be 1 to 128 bytes, not 0',
    ],
    [
      [{ bytes: [{ offset: 0, value, mask: Uint8Array.of(255) }] }],
      '"options.flows[0].bytes[0].mask" must be as long as "options.flows[0].bytes[0].value", 2 bytes, not 1',
    ],
    [
      [{ bytes: [{ offset: 0, value, mask: Uint8Array.of(255, 1) }] }],
      '"options.flows[0].bytes[0].value" must be 0 where "options.flows[0].bytes[0].mask" is, not Uint8Array(2) [ 1, 2 ]',
    ],
    [
      [{ bytes: [{ from: 'transport', offset: 0, value }] }],
      "\"options.flows[0].bytes[0].from\" must be 'frame' or 'network' where \"options.flows[0].protocol\" is left out, not 'transport'",
    ],
  ])('%j', (flows, message) => {
    let error: unknown
    try {
      flowsArgument('options.flows', flows)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({
      code: expect.stringMatching(/^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/),
      message,
    })
  })

  test('too many for one program', () => {
    const flows = Array.from({ length: 500 }, (_, i): FlowRule => ({ protocol: 'udp', sourcePort: i }))
    expect(() => classic(flows)).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringContaining('at most 4096 BPF instructions'),
      }),
    )
    const more = Array.from({ length: 2000 }, (_, i): FlowRule => ({ protocol: 'udp', sourcePort: i }))
    expect(() => xdp(more)).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringContaining('at most 32767 XDP instructions'),
      }),
    )
  })
})
