#!/usr/bin/env bash
# tcpdump reads the granularity of TCP's User Timeout option from the wrong end of the word.
#
# RFC 5482: the highest bit says that the other fifteen count minutes, not seconds. 0x8005 is five minutes. tcpdump takes
# the lowest bit for it and the upper fifteen for the count: 983160 seconds, eleven days; and five seconds (0x0005) become
# two minutes. Even numbers of seconds are halved. tshark reads the same bytes right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do apt-get download "$package" >/dev/null 2>&1; done
for package in ./*.deb; do dpkg -x "$package" root; done
tcpdump() { LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/tcpdump "$@" 2>/dev/null; }
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/tcpdump --version 2>&1 | head -n 2

# A SYN over Ethernet and IPv4 with the option as its only one, once for each value.
frame() {
  local header=0200000000020200000000010800 ip=4500002c12340000400600000a0000010a000002
  printf '%s%s03e8138800000001000000006002ffff000000001c04%s' "$header" "$ip" "$1"
}
bytes() { printf '%b' "$(sed 's/../\\x&/g')"; }
{
  printf 'd4c3b2a1020004000000000000000000ffff000001000000' | bytes
  for value in 8005 0005 003c; do
    printf '01000000000000003a0000003a000000%s' "$(frame "$value")" | bytes
  done
} >capture.pcap

seen=$(tcpdump -n -t -r capture.pcap | grep -o 'uto [^]]*')
echo "$seen"
expected='uto 0x8005 983160
uto 0x5 120
uto 0x3c 30'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
echo 'RFC 5482 says 300, 5 and 60 seconds'
