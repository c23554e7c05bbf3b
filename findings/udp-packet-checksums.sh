#!/usr/bin/env bash
# The npm package udp-packet writes "no checksum" where there is one, and a checksum where there is none.
#
# RFC 768: a sum that comes out as zero is sent as 0xffff, because zero says that the sender made none. udp-packet sends the
# zero (one datagram in 65535), and the receiver no longer checks it. Without addresses, of which the sum needs the pseudo-header,
# it writes 0xffff instead of zero: that claims a checksum, and receivers drop the datagram.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent udp-packet@2.0.0 >/dev/null
for package in tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do apt-get download "$package" >/dev/null 2>&1; done
for package in ./*.deb; do dpkg -x "$package" root; done
cat >sums.cjs <<'JS'
const { writeFileSync } = require('node:fs')
const udp = require('udp-packet')

const ports = { sourcePort: 1000, destinationPort: 5000 }
const addresses = { sourceIp: '10.0.0.1', destinationIp: '10.0.0.2' }
// The last two bytes make the sum 0xffff, whose complement is zero.
const sum = udp.encode({ ...ports, ...addresses, data: Buffer.from([1, 2, 0, 0]) }).readUInt16BE(6)
const data = Buffer.from([1, 2, sum >> 8, sum & 255])
const packets = [
  udp.encode({ ...ports, ...addresses, data }),
  udp.encode({ ...ports, data: Buffer.from([1, 2, 3, 4]) }),
]
const header = Buffer.from('4500002000000000401166cb0a0000010a000002', 'hex')
const file = Buffer.from('d4c3b2a1020004000000000000000000ffff000065000000', 'hex')
const record = Buffer.from('01000000000000002000000020000000', 'hex')
writeFileSync('capture.pcap', Buffer.concat([file, ...packets.flatMap((packet) => [record, header, packet])]))
JS
node sums.cjs
seen=$(LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/tcpdump -n -t -vv -r capture.pcap 2>/dev/null |
  grep -o '\[.*udp.*\]\|\[no cksum\]')
echo 'udp-packet 2.0.0: a sum of zero; no addresses'
echo "$seen"
expected='[no cksum]
[bad udp cksum 0xffff -> 0xd05d!]'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
