#!/usr/bin/env bash
# ibqueryerrors that could ask no port for its error counters exits 0, "scan succeeds without errors beyond thresholds".
#
# It finds its paths with the help of the subnet manager. Where none runs it warns on standard error, prints neither a port
# nor its summary, and reports success; the man page promises -1 "if scan fails". A health check that looks at the status
# passes on a fabric of which nothing is known. Seen on ibsim's simulated fabric, whose links are up and whose nodes
# ibnetdiscover lists.
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
root/usr/sbin/ibqueryerrors --version 2>&1 | tail -n 1
nodes=$(root/usr/sbin/ibnetdiscover -l 2>/dev/null | wc -l)
status=0
root/usr/sbin/ibqueryerrors >report.txt 2>warnings.txt || status=$?
warning=$(grep -o 'sa_get_handle: .*' warnings.txt)
echo "ibnetdiscover lists $nodes nodes; ibqueryerrors: $warning; lines of its report: $(wc -l <report.txt), status $status"
[ "$nodes" = 3 ] && [ "$status" = 0 ] && [ ! -s report.txt ] && [[ $warning = *'No SM/SA found'* ]] || { echo changed; exit 1; }
