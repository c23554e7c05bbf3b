#!/usr/bin/env bash
# An alternative before 'vlan' changes what a live filter behind it matches.
#
# On an interface Linux takes the outer VLAN tag out of a frame before a filter sees it, so that 'vlan and port 53' must look
# for the port where it is without the tag. libpcap does so by a variable offset. In 'ether proto 0x9999 or (vlan and port
# 53)', which should match all of that and 0x9999 too, it looks only four bytes later, as if the tag were in the frame: the
# frames that the first filter is for are missed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do apt-get download "$package" >/dev/null 2>&1; done
for package in ./*.deb; do dpkg -x "$package" root; done
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/tcpdump --version 2>&1 | head -n 2
# The handle must be that of an interface: the loopback of a network namespace of our own.
program() {
  LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) unshare -n sh -c 'ip link set lo up; exec "$@"' - \
    root/usr/bin/tcpdump -i lo -d "$1" 2>/dev/null
}
# 'ld [vlanp]' asks for the tag that was taken out; loads by the index register are those of a variable offset.
count() { grep -c "$1" || true; }
plain=$(program 'vlan and port 53')
behind=$(program 'ether proto 0x9999 or (vlan and port 53)')
seen="vlan and port 53: asks for the tag $(count vlanp <<<"$plain"), variable offsets $(grep -c '\[x + 12\]' <<<"$plain" || true)
0x9999 or (vlan and port 53): asks for the tag $(count vlanp <<<"$behind"), variable offsets $(grep -c '\[x + 12\]' <<<"$behind" || true), EtherType at $(grep -o 'ldh      \[16\]' <<<"$behind" | head -n 1 | grep -o '[0-9]*')"
echo "$seen"
expected='vlan and port 53: asks for the tag 1, variable offsets 1
0x9999 or (vlan and port 53): asks for the tag 1, variable offsets 0, EtherType at 16'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
echo "the second misses a frame whose tag was taken out: its EtherType is at 12"
