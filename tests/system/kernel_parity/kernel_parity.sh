#!/bin/sh
# SPDX-License-Identifier: MIT
#
# kernel_parity.sh BUILD_FOLDER PARITY GROUP [EXPECTED]
#
# PARITY prints what it sees of the cases of GROUP, one line each: on the kernel and under `notrap run`. Every line must
# be the same. With EXPECTED, a file, the lines under notrap must be those: what docs/differences.md tells of.
set -u
. "$(dirname "$0")/../../lib/tap.sh"
build=$1 parity=$2 group=$3 expected=${4-}
kernel_is_oracle || tap_skip_all 'needs root and Linux 6.18, to compare with'
broker_own "$build/notrap"
# Copies: a kernel uprobe and our jump must never meet, nor what one run leaves in the file's name.
mkdir "$NOTRAP_DIR/kernel" "$NOTRAP_DIR/notrap"
cp "$parity" "$NOTRAP_DIR/kernel/parity"
cp "$parity" "$NOTRAP_DIR/notrap/parity"
cp "$(dirname "$parity")/libparity.so" "$NOTRAP_DIR/kernel"
cp "$(dirname "$parity")/libparity.so" "$NOTRAP_DIR/notrap"
PARITY_MANY=15 PARITY_LIB=$NOTRAP_DIR/kernel/libparity.so "$NOTRAP_DIR/kernel/parity" "$group" >"$NOTRAP_DIR/want" 2>"$NOTRAP_DIR/err" || echo "on the kernel: exit status $?" >>"$NOTRAP_DIR/want"
sed 's/^/# kernel: /' "$NOTRAP_DIR/err"
PARITY_LIB=$NOTRAP_DIR/notrap/libparity.so "$build/notrap" run -- "$NOTRAP_DIR/notrap/parity" "$group" >"$NOTRAP_DIR/out" 2>"$NOTRAP_DIR/err" ||
	echo "under notrap: exit status $?" >>"$NOTRAP_DIR/out"
sed 's/^/# notrap: /' "$NOTRAP_DIR/err"
if [ -n "$expected" ]; then
	sed 's/^/# the kernel: /' "$NOTRAP_DIR/want"
	cp "$expected" "$NOTRAP_DIR/want"
fi
paste -d '\n' "$NOTRAP_DIR/want" "$NOTRAP_DIR/out" | awk '
	NR % 2 { want = $0; next }
	{ ok = $0 == want && want != ""; bad += !ok
	  printf "%s %d - %s\n", ok ? "ok" : "not ok", ++count, want
	  if (!ok) print "# got " $0 }
	END { print "1.." count; exit bad > 0 || !count }'
