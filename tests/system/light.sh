#!/bin/sh
# SPDX-License-Identifier: MIT
#
# light.sh NOTRAP SOURCES - a light skeleton (bpftool gen skeleton -L) made here and now, on the kernel as root and under
# notrap: the same three lines.
set -u
. "$(dirname "$0")/../lib/tap.sh"
notrap=$1 sources=$2
bpftool=$(command -v bpftool || echo /usr/sbin/bpftool)
broker_own "$notrap"
want='load: 0
run: 0, 7, 1 hits
look-up: 0, 5'

include=/usr/include/$(cc -print-multiarch)
if ! { clang -O2 -g -target bpf -idirafter "$include" -c "$sources/light.bpf.c" -o "$NOTRAP_DIR/light.bpf.o" &&
	"$bpftool" gen skeleton -L "$NOTRAP_DIR/light.bpf.o" name light >"$NOTRAP_DIR/light.lskel.h" &&
	cc -w -I"$NOTRAP_DIR" "$sources/light.c" -o "$NOTRAP_DIR/light" -lbpf; } >"$NOTRAP_DIR/err" 2>&1; then
	sed 's/^/# /' "$NOTRAP_DIR/err"
	tap_skip_all 'no light skeleton can be made here'
fi
check() { # NAME OUTPUT
	[ "$2" = "$want" ]
	tap_ok $? "$1" || echo "$2" | sed 's/^/# got: /'
}
check "notrap" "$("$notrap" run -- "$NOTRAP_DIR/light" 2>&1)"
if [ "$(id -u)" = 0 ] && "$NOTRAP_DIR/light" >/dev/null 2>&1; then
	check "the kernel" "$("$NOTRAP_DIR/light" 2>&1)"
else
	tap_skip 'not permitted, or too old' 'the kernel'
fi
tap_done
