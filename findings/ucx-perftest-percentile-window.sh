#!/usr/bin/env bash
# The percentile that ucx_perftest prints is not the run's: it forgets all but the last few thousand messages.
#
# `-R 100` asks for the worst latency and `-R 99.9` for a tail; the column stands beside "average" and "overall", in the last
# line too. But the percentile is taken over a ring of the newest samples. Here the server stops for three seconds: half of
# that is the maximum at first, and ten thousand messages later it has vanished, while "overall" still bears it.
set -euo pipefail
folder=$(mktemp -d)
cd "$folder"
started=()
finish() {
  for process in "${started[@]}"; do kill -CONT "$process" && kill -KILL "$process"; done 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT
for package in ucx-utils=1.13.1-1 libucx0=1.13.1-1; do apt-get download "$package" >/dev/null 2>&1; done
for package in ./*.deb; do dpkg -x "$package" root; done
libraries=$(echo "$PWD"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH=$libraries:$libraries/ucx UCX_TLS=tcp UCX_NET_DEVICES=lo UCX_WARN_UNUSED_ENV_VARS=n
root/usr/bin/ucx_info -v | head -n 1

# Until a command succeeds, for a minute at most.
wait_for() {
  for _ in {1..600}; do "$@" && return; sleep 0.1; done
  echo "not seen: $*"; exit 1
}
port=$((20000 + RANDOM % 10000))
stdbuf -o L root/usr/bin/ucx_perftest -p "$port" >server.txt 2>&1 &
server=$!
started+=("$server")
listening() { grep -q 'Waiting for connection' server.txt; }
wait_for listening
stdbuf -o L root/usr/bin/ucx_perftest 127.0.0.1 -p "$port" -t tag_lat -s 8 -w 0 -n 100000000 -R 100 >client.txt 2>&1 &
started+=($!)

# A line a second: "[thread 0] iterations percentile average overall …", times in microseconds.
column() { grep '^\[thread' client.txt | tail -n 1 | awk -v column="$1" '{ printf "%d\n", $column }'; }
above() { [ "$(column "$1")" -gt "$2" ]; }
reported() { [ "$(grep -c '^\[thread' client.txt)" -gt "$1" ]; }
wait_for reported 0
kill -STOP "$server"
sleep 3
kill -CONT "$server"
lines=$(grep -c '^\[thread' client.txt)
wait_for reported "$lines"
wait_for above 4 1000000
at=$(column 3)
echo "message $at: 100 % of the latencies are within $(column 4) microseconds"
wait_for above 3 $((at + 10000))
echo "message $(column 3): 100 % of the latencies are within $(column 4) microseconds"
[ "$(column 4)" -lt 1000000 ] || { echo 'changed: the maximum of the run is kept'; exit 1; }
