#!/bin/sh
# SPDX-License-Identifier: MIT
#
# light.sh NOTRAP SOURCES - a light skeleton (bpftool gen skeleton -L) made here and now, on the kernel as root and under
# notrap: the same three lines.
set -u
notrap=$1 sources=$2
bpftool=$(command -v bpftool || echo /usr/sbin/bpftool)
NOTRAP_DIR=$(mktemp -d) || exit 99
export NOTRAP_DIR
trap '"$notrap" stop -a >/dev/null; rm -rf "$NOTRAP_DIR"' EXIT
want='load: 0
run: 0, 7, 1 hits
look-up: 0, 5'

include=/usr/include/$(cc -print-multiarch)
if ! { clang -O2 -g -target bpf -idirafter "$include" -c "$sources/light.bpf.c" -o "$NOTRAP_DIR/light.bpf.o" &&
	"$bpftool" gen skeleton -L "$NOTRAP_DIR/light.bpf.o" name light >"$NOTRAP_DIR/light.lskel.h" &&
	cc -w -I"$NOTRAP_DIR" "$sources/light.c" -o "$NOTRAP_DIR/light" -lbpf; } >"$NOTRAP_DIR/err" 2>&1; then
	sed 's/^/# /' "$NOTRAP_DIR/err"
	echo "1..0 # SKIP no light skeleton can be made here"
	exit 0
fi
check() {
	if [ "$3" = "$want" ]; then echo "ok $1 - $2"; else
		echo "not ok $1 - $2"
		echo "$3" | sed 's/^/# got: /'
	fi
}
check 1 "notrap" "$("$notrap" run -- "$NOTRAP_DIR/light" 2>&1)"
if [ "$(id -u)" = 0 ] && "$NOTRAP_DIR/light" >/dev/null 2>&1; then
	check 2 "the kernel" "$("$NOTRAP_DIR/light" 2>&1)"
else
	echo "ok 2 - the kernel # SKIP not permitted, or too old"
fi
echo 1..2
