#!/usr/bin/env bash
# Perl's NetPacket gets every checksum over IPv6 wrong: the three zero bytes of its pseudo-header begin with an ASCII "0".
#
# A message that is decoded and encoded again, unchanged, is refused by every receiver: UDP and TCP are off by 0x3000. ICMPv6 is
# off by 28 more: the pseudo-header's length is the data's and 32 there, where RFC 4443 has the message's, the data's and 4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in libnetpacket-perl=1.7.2-2 tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do apt-get download "$package" >/dev/null 2>&1; done
for package in ./*.deb; do dpkg -x "$package" root; done
cat >again.pl <<'PERL'
use strict; use warnings;
use NetPacket; use NetPacket::IPv6; use NetPacket::ICMPv6; use NetPacket::TCP; use NetPacket::UDP;
my $addresses = 'fe80000000000000' . '0000000000000001' . 'fe80000000000000' . '0000000000000002';
my %messages = (
  ICMPv6 => '3a40' . $addresses . '8000729400070001' . '0102030405060708',
  UDP    => '1140' . $addresses . '03e813880010db45' . '0102030405060708',
  TCP    => '0640' . $addresses . '03e813880000000100000002501010007b41' . '0000' . '0102030405060708',
);
# A capture of each message as it came and as it was encoded again, link type raw IP.
print pack('VvvVVVV', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101);
for my $name (sort keys %messages) {
  my $packet = pack('H*', '60000000') . pack('n', length(pack 'H*', $messages{$name}) - 34) . pack('H*', $messages{$name});
  my $ip = NetPacket::IPv6->decode($packet);
  $ip->{data} = "NetPacket::$name"->decode($ip->{data})->encode($ip);
  print pack('VVVV', 1, 0, length, length), $_ for $packet, $ip->encode;
}
PERL
perl -I root/usr/share/perl5 again.pl >capture.pcap
seen=$(LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/tcpdump -n -t -vv -r capture.pcap 2>/dev/null |
  grep -oE '\[[a-z0-9 ]*(icmp6|udp) [^]]*\]|cksum 0x[^,]*')
echo "NetPacket $(perl -I root/usr/share/perl5 -MNetPacket -e 'print $NetPacket::VERSION')"
echo "$seen"
expected='[icmp6 sum ok]
[bad icmp6 cksum 0x4278 -> 0x7294!]
cksum 0x7b41 (correct)
cksum 0x4b41 (incorrect -> 0x7b41)
[udp sum ok]
[bad udp cksum 0xab45 -> 0xdb45!]'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
