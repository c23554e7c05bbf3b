/** Filters in tcpdump's syntax (pcap-filter(7)), which libpcap compiles for the library. */

/** For the help of the commands that take a filter. */
export const filterHelp = `FILTER selects frames, in tcpdump's syntax (pcap-filter(7)); libpcap compiles it. It runs in the
kernel, or with af_xdp in the XDP program, which matters for VLAN tags, as with tcpdump: af_packet,
like tcpdump -i, filters after the kernel has stripped the outer tag, so that 'port 53' finds tagged
frames too, and 'greater 64' does not count the tag. af_xdp, raw_packet_qp and 'dump -r', like
tcpdump -r, filter the frame as it was on the wire: use 'vlan and port 53'. Only af_packet has
'inbound' and 'outbound'.`

/** The filter that the words form together; undefined without words: every frame. */
export function filterOf(words: readonly string[]): string | undefined {
  const expression = words.join(' ')
  return expression.trim() === '' ? undefined : expression
}
