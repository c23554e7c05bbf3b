#!/usr/bin/env bash
# Ruby's packetfu knows the length of IPv4's header and ignores it: options are taken for the UDP header, and recalc() spoils both.
#
# A datagram with a router alert (RFC 2113) has port 37892, which is the option. recalc() counts the options twice in the
# total length, leaves them out of the header's checksum, and writes UDP's length and checksum over the real ports; it also replaces the
# identification of every packet, options or not, with a random one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in ruby-packetfu=1.1.11-2.1 ruby-pcaprub=0.12.4-1+b9 ruby3.1=3.1.7+really3.1.2-0+deb12u1 libruby3.1=3.1.7+really3.1.2-0+deb12u1 tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do
  apt-get download "$package" >/dev/null 2>&1
done
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(echo root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH=$libraries
export RUBYLIB=root/usr/lib/ruby/vendor_ruby:root/usr/lib/ruby/3.1.0:$libraries/ruby/3.1.0:$libraries/ruby/vendor_ruby/3.1.0
cat >options.rb <<'RUBY'
require 'packetfu'
# 10.0.0.1 port 1000 to 10.0.0.2 port 5000, eight bytes.
received = ['020000000002' + '020000000001' + '0800' + '46000028000100004011d1bd0a0000010a000002' + '94040000' +
            '03e813880010' + 'c447' + '0102030405060708'].pack('H*')
packet = PacketFu::Packet.parse(received)
warn "packetfu #{PacketFu.version}: header of #{packet.ip_hl} words, from port #{packet.udp_src} to port #{packet.udp_dst}"
packet.recalc
warn "recalculated: total length #{packet.ip_len}, bytes in the packet #{packet.to_s.size - 14}"
frames = [received, packet.to_s]
File.binwrite('capture.pcap', [0xa1b2c3d4, 2, 4, 0, 0, 65535, 1].pack('VvvVVVV') +
  frames.map { |frame| [1, 0, frame.size, frame.size].pack('VVVV') + frame }.join)
RUBY
# The random identification, and the checksum that depends on it, are left out.
root/usr/bin/ruby3.1 --disable-gems options.rb 2>seen.txt
root/usr/bin/tcpdump -n -t -vv -r capture.pcap 2>/dev/null |
  sed -E 's/, id [0-9]+//; s/bad cksum [^)]*\)/bad cksum/' >>seen.txt
cat seen.txt
expected='packetfu 1.1.11: header of 6 words, from port 37892 to port 0
recalculated: total length 44, bytes in the packet 40
IP (tos 0x0, ttl 64, offset 0, flags [none], proto UDP (17), length 40, options (RA))
    10.0.0.1.1000 > 10.0.0.2.5000: [udp sum ok] UDP, length 8
IP truncated-ip - 4 bytes missing! (tos 0x0, ttl 64, offset 0, flags [none], proto UDP (17), length 44, options (RA), bad cksum!)
    10.0.0.1.20 > 10.0.0.2.33619: [bad udp cksum 0xc447 -> 0x5850!] UDP, length 8'
[ "$(cat seen.txt)" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
