#!/bin/sh
# PID 1 of the test VM (busybox ash in the initramfs; vm.mjs is the host's side).
#
# It loads the modules, puts a throw-away writable layer over the host's root,
# lays one wire (veth v0-v1) with an rxe device on each end, runs one command
# there and hands its output and exit code to the host. It never shuts down:
# the host ends QEMU when it has read the exit code.
#
# Protocol on the two virtio-serial ports named stdout and stderr: token and a line
# (on stdout: the rate of the clock), then the bytes of the command, then token and
# on stdout the exit code in three digits. The token is random for each run, so no
# output can look like it.

busybox=/bin/busybox
$busybox --install -s /bin
PATH=/bin

# Runs one of the host's commands: through env, because busybox prefers its own ip.
host() { PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /usr/bin/env "$@"; }

fail() { echo "vm: $*"; poweroff -f; } # the host prints the console's last lines

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

# No gre0, gretap0, erspan0, … in every network namespace.
echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net
while read -r module; do
	insmod "/modules/$module.ko" # a missing module fails below, with a message of its own
done </modules/order

# The host's root, read-only; its files do not change during a run (cache=loose).
nine=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "ro,cache=loose,$nine" root /host || fail 'mount root'
mount -t tmpfs -o mode=755,size=60% upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/files,workdir=/upper/work overlay /root || fail 'mount overlay'

# The files that vm.mjs wrote for this run: token, command (a script), keep (paths).
for word in $(cat /proc/cmdline); do
	case $word in ibverbs.job=*) job=/host${word#*=} ;; esac
done
read -r token <"$job/token" || fail "no job in $job"

# /tmp is empty, except for the project (or Node) if it lives there.
mkdir /upper/tmp
mount -t tmpfs -o mode=1777 tmp /upper/tmp
while read -r path; do
	mkdir -p "/upper$path" && mount --bind "/root$path" "/upper$path"
done <"$job/keep"
mount --rbind /upper/tmp /root/tmp

mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts -o mode=620,ptmxmode=666 pts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
mount -t tmpfs -o mode=755 run /root/run
mkdir -p /root/run/ibverbs/results /root/run/lock
ln -sf /proc/self/fd /root/dev/fd
ln -sf /proc/self/fd/0 /root/dev/stdin
ln -sf /proc/self/fd/1 /root/dev/stdout
ln -sf /proc/self/fd/2 /root/dev/stderr
mount -t 9p -o "cache=mmap,$nine" results /root/run/ibverbs/results || fail 'mount results'
cp "$job/command" /root/run/ibverbs/command

# Mounts the new root over the old one. This shell stays in the old one and reaches the new one as its working directory.
# chroot alone does not suffice: the kernel refuses to create user namespaces in it.
cd /root
mount --move . /

hostname ibverbs-vm
ulimit -l unlimited
ulimit -c 0

# Link-local addresses derive from the MAC and are valid at once: without duplicate address detection and router solicitation
# the fe80 GIDs exist as soon as the link is up.
for key in default/accept_dad default/router_solicitations all/accept_dad; do
	echo 0 >"/proc/sys/net/ipv6/conf/$key"
done
host ip -batch - <<END || fail 'ip (package iproute2)'
link set lo up
link add v0 address 02:00:00:00:00:a0 type veth peer name v1 address 02:00:00:00:00:b0
link set v0 up
link set v1 up
END
# An address appears some milliseconds after the carrier, and the rxe device takes the addresses that exist when it is added.
tries=0
until [ "$(grep -c ' 20 .* v[01]$' /proc/net/if_inet6)" = 2 ]; do
	tries=$((tries + 1))
	[ $tries -lt 500 ] || fail 'v0 and v1 got no link-local address'
	usleep 10000
done
host rdma link add rxe0 type rxe netdev v0 || fail 'rdma link add (package iproute2)'
host rdma link add rxe1 type rxe netdev v1 || fail 'rdma link add (package iproute2)'

for directory in /sys/class/virtio-ports/*; do
	read -r name <"$directory/name"
	case $name in
	stdout) exec 3<>"/dev/${directory##*/}" ;;
	stderr) exec 4<>"/dev/${directory##*/}" ;;
	esac
done

# The guest counts the host's TSC, but on a busy host the kernel may misjudge its rate at boot (twice too fast was seen), and
# then every measurement in the guest is wrong. One second later it measures again and reports whether the two agree: only
# then is the rate good. The host stores it and gives it to the next VM (tsc_early_khz).
khz=$(sed -n 's/.*tsc_early_khz=\([0-9]*\).*/\1/p' /proc/cmdline)
tries=0
while [ -z "$khz" ] && [ $tries -lt 160 ]; do
	grep -q kvm-clock /sys/devices/system/clocksource/clocksource0/current_clocksource && break
	khz=$(dmesg | sed -n 's/.*Refined TSC clocksource calibration: \([0-9]*\)[.]\([0-9]*\) MHz.*/\1\2/p')
	[ -n "$khz" ] || usleep 50000
	tries=$((tries + 1))
done
printf '%s\n' "$token" >&4
printf '%s%s\n' "$token" "${khz:-0}" >&3
read -r now <&3 # the reply: the host's time
host date -s "@$now" >/dev/null
dmesg -c >/dev/null # from here on, kernel messages belong to the command

# On a line from stderr's port (before the host gives up on a hung command), prints to the console the running processes and
# those stuck in the kernel.
(
	read -r line <&4
	busybox ps | grep -v ' \[.*\]$'
	echo w >/proc/sysrq-trigger
	dmesg | tail -n 25
) >/dev/console 2>&1 &

# The command writes to pipes, as under any parent. It cannot have the ports themselves: they open only once, so `echo
# >/dev/stderr` would fail.
mkfifo /stdout /stderr
cat </stdout >&3 3>&- 4>&- &
out=$!
cat </stderr >&4 3>&- 4>&- &
err=$!
chroot . /bin/sh /run/ibverbs/command </dev/null >/stdout 2>/stderr 3>&- 4>&-
code=$?

# The pipes end with the last process that holds them. Background processes of the command get one second; then they are
# killed, and the pipes are drained.
(
	sleep 1
	for process in /proc/[0-9]*; do
		[ -e "$process/root/modules/order" ] || kill -9 "${process#/proc/}"
	done
) 2>/dev/null &
wait $out $err
umount run/ibverbs/results 2>/dev/null || sync
printf %s "$token" >&4
printf '%s%03d' "$token" $code >&3
while :; do sleep 1000; done
