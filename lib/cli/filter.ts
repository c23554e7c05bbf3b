/** Filters in tcpdump's syntax (pcap-filter(7)), which libpcap compiles for the library. */

/** For the help of the commands that take a filter. */
export const filterHelp = `FILTER says which frames, in tcpdump's words (pcap-filter(7)); libpcap compiles it. It runs in the
kernel, or with af_xdp in the XDP program. Which one it is matters for VLAN tags, as with tcpdump:
af_packet, like tcpdump -i, looks when the kernel has taken the outer tag out, so that 'port 53'
finds tagged frames too, and 'greater 64' does not count the tag. af_xdp, raw_packet_qp and
'dump -r', like tcpdump -r, look at the frame as it was on the wire: say 'vlan and port 53'. Only
af_packet knows 'inbound' and 'outbound'.`

/** The filter that the words form together; undefined without words: every frame. */
export function filterOf(words: readonly string[]): string | undefined {
  const expression = words.join(' ')
  return expression.trim() === '' ? undefined : expression
}
