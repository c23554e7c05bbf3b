#!/usr/bin/env bash
# 'ip broadcast' does not know the interface's broadcast address.
#
# pcap-filter(7): "True if the packet is an IPv4 broadcast packet. It checks for both the all-zeroes and all-ones broadcast
# conventions, and looks up the subnet mask on the interface on which the capture is being done." tcpdump does not look it
# up: on an interface with 10.1.2.9/24 the filter is 0.0.0.0 and 255.255.255.255 alone, and 10.1.2.255 is missed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do apt-get download "$package" >/dev/null 2>&1; done
for package in ./*.deb; do dpkg -x "$package" root; done
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/tcpdump --version 2>&1 | head -n 2
seen=$(LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) unshare -n sh -c '
  ip link add v0 type veth peer name v1 && ip addr add 10.1.2.9/24 dev v0 && ip link set v0 up && ip link set v1 up
  exec root/usr/bin/tcpdump -i v0 -d "ip broadcast"' 2>/dev/null)
echo "$seen"
expected='(000) ldh      [12]
(001) jeq      #0x800           jt 2	jf 6
(002) ld       [30]
(003) jeq      #0x0             jt 5	jf 4
(004) jeq      #0xffffffff      jt 5	jf 6
(005) ret      #262144
(006) ret      #0'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
echo '10.1.2.255, the broadcast address of 10.1.2.9/24, does not match'
