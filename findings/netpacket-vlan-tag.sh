#!/usr/bin/env bash
# Perl's NetPacket takes a VLAN tag's priority from the VLAN ID, and re-encodes any frame as untagged IPv4.
#
# `$tci & MASK >> 13` shifts the mask: `pcp` is the ID's lowest three bits, `cfi` its lowest one. Ethernet's encode() leaves the
# tag out and writes EtherType 0x0800, whatever `type` and `vid` say: ARP and IPv6 go out as broken IPv4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download libnetpacket-perl=1.7.2-2 >/dev/null 2>&1
dpkg -x ./*.deb root
cat >tag.pl <<'PERL'
use strict; use warnings;
use NetPacket; use NetPacket::Ethernet;
# Priority 5, drop eligible, VLAN 8; then priority 0, VLAN 15; an IPv6 header's first bytes in both.
for my $tci ('b008', '000f') {
  my $frame = NetPacket::Ethernet->decode(pack 'H*', '020000000002' . '020000000001' . '8100' . $tci . '86dd' . '60000000');
  printf "tci %s: pcp %d, cfi %d, vid %d, type %04x\n", $tci, @$frame{qw(pcp cfi vid type)};
  print unpack('H*', $frame->encode), "\n";
}
PERL
echo "NetPacket $(perl -I root/usr/share/perl5 -MNetPacket -e 'print $NetPacket::VERSION')"
seen=$(perl -I root/usr/share/perl5 tag.pl)
echo "$seen"
expected='tci b008: pcp 0, cfi 0, vid 8, type 86dd
020000000002020000000001080060000000
tci 000f: pcp 7, cfi 1, vid 15, type 86dd
020000000002020000000001080060000000'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
