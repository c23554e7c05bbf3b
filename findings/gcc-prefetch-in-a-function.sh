#!/usr/bin/env bash
# gcc drops every call of a function that does nothing but prefetch: to it such a function has no effect.
#
# __builtin_prefetch in a helper of its own (a packet's first lines, a ring's next descriptors) works as long as gcc inlines the
# helper. Where it does not, because the helper is large, has noinline or is called from a cold place, the function is found
# to be pure and its calls are removed without a warning: the program is right, and slow. In the caller itself, or as an asm
# statement, the prefetches stay.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in cpp-12=12.2.0-14+deb12u1 libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 libgmp10=2:6.2.1+dfsg1-1.1; do
  apt-get download "$package" >/dev/null 2>&1
done
for package in ./*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$(echo "$PWD"/root/usr/lib/*-linux-gnu)
compiler=$(echo root/usr/lib/gcc/*/12/cc1)
cat >sum.c <<'C'
static KIND void ahead(const char *frame) {
  for (int i = 0; i < 256; i += 64) PREFETCH(frame + i);
}
long sum(const char *const *frames, int count) {
  long result = 0;
  for (int i = 0; i < count; i++) {
    ahead(frames[i + 1]);
    result += *frames[i];
  }
  return result;
}
C
# Prefetches in the whole program, and calls.
count() { "$compiler" -quiet -O2 "-DKIND=$1" "-DPREFETCH(p)=$2" sum.c -o - | grep -cwE 'prefetch[a-z0-9]*|prfm|call|bl' || true; }
builtin='__builtin_prefetch(p)'
case $(dpkg --print-architecture) in
  amd64) own='__asm__ volatile("prefetcht0 %0" : : "m"(*(p)))' ;;
  *) own='__asm__ volatile("prfm pldl1keep, %0" : : "Q"(*(p)))' ;;
esac
echo 'gcc 12.2.0'
seen="inlined: $([ "$(count inline "$builtin")" -gt 0 ] && echo there || echo gone)
noinline: $([ "$(count '__attribute__((noinline))' "$builtin")" -gt 0 ] && echo there || echo gone)
noinline, asm: $([ "$(count '__attribute__((noinline))' "$own")" -gt 0 ] && echo there || echo gone)"
echo "$seen"
expected='inlined: there
noinline: gone
noinline, asm: there'
[ "$seen" = "$expected" ] || { echo "changed: expected $expected"; exit 1; }
