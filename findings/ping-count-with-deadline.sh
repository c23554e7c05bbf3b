#!/usr/bin/env bash
# With a deadline, ping's count (-c) bounds neither what is sent nor what is received.
#
# Without -w, ping of iputils sends `count` requests, also when a preload (-l) asks for more at once. With -w it sends
# the whole preload whatever the count, waits until `count` are answered, and reports all answers that it has by then:
# two requests asked for, three sent, three answered, 0 % lost. ping(8) says that with -w ping does not stop after
# `count` packets are sent; that more than `count` are also received and counted it does not say. A script that compares
# the number received with the count fails, and one that divides by the count finds more than 100 %.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download iputils-ping=3:20221126-1+deb12u1 >/dev/null 2>&1
dpkg -x ./*.deb root
ping() { root/bin/ping -n -q "$@" 127.0.0.1 | grep -o '^[0-9]* packets transmitted, [0-9]* received, [0-9]*% packet loss'; }
root/bin/ping -V | head -n 1

seen=$(
  ping -c 2 -l 3
  ping -c 2 -l 3 -w 5
  ping -c 4 -l 16 -w 5
)
echo "$seen"
expected='2 packets transmitted, 2 received, 0% packet loss
3 packets transmitted, 3 received, 0% packet loss
16 packets transmitted, 16 received, 0% packet loss'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
