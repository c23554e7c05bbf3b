#!/usr/bin/env bash
# ibping that gets no answer reports the fastest round trip there is, 0.000 ms, and succeeds.
#
# ping exits 1 when no answer came and leaves the line of times out. ibping exits 0 after 100 % loss and prints a minimum, an
# average and a maximum of zero, so that a script which reads either takes a dead port for the best one. Seen on ibsim's
# simulated fabric, where no node runs an ibping server.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
simulator=
finish() {
  if [ -n "$simulator" ]; then kill "$simulator"; fi
  rm -rf "$folder"
}
trap finish EXIT
for package in infiniband-diags=44.0-2 libibmad5=44.0-2 libibumad3=44.0-2 libibnetdisc5=44.0-2 ibsim-utils=0.10-2 libumad2sim0=0.10-2; do
  apt-get download "$package" >/dev/null 2>&1
done
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(echo "$PWD"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH=$libraries IBSIM_SERVER_PORT=$((20000 + RANDOM % 10000))
# Two hosts and the switch between them.
cat >fabric <<'FABRIC'
Switch 8 "Switch1"
[1] "Host1"[1]
[2] "Host2"[1]

Hca 1 "Host1"
[1] "Switch1"[1]

Hca 1 "Host2"
[1] "Switch1"[2]
FABRIC
mkfifo console
exec 3<>console
root/usr/bin/ibsim -s fabric <console >simulator.txt 2>&1 &
simulator=$!
export LD_PRELOAD=$libraries/umad2sim/libumad2sim.so SIM_HOST=Host1
for _ in {1..100}; do root/usr/sbin/ibstat -p >/dev/null 2>&1 && break; sleep 0.1; done
root/usr/sbin/ibping --version 2>&1 | tail -n 1
status=0
root/usr/sbin/ibping -c 2 -t 200 2 >seen.txt 2>/dev/null || status=$?
seen=$(sed -E 's/, time [0-9]+ ms//' seen.txt | sed '/^$/d')
echo "$seen"
echo "exit status $status"
expected='---  (Lid 2) ibping statistics ---
2 packets transmitted, 0 received, 100% packet loss
rtt min/avg/max = 0.000/0.000/0.000 ms'
[ "$status" = 0 ] && [ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
