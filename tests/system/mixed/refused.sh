#!/bin/sh
# SPDX-License-Identifier: MIT
# refused.sh BUILD_FOLDER - `notrap run --kernel` without the privilege says who lacks what, and runs nothing.
build=$1
NOTRAP_DIR=$(mktemp -d /tmp/notrap-test-XXXXXX) || exit 99
export NOTRAP_DIR
n=0 failed=0
check() { # NAME, then a command
	name=$1
	shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $name"; else
		echo "not ok $n - $name"
		failed=1
	fi
}
"$build/notrap" run --kernel sh -c 'echo has run' >"$NOTRAP_DIR/out" 2>&1
status=$?
sed 's/^/# /' "$NOTRAP_DIR/out"
check 'it fails' [ $status -ne 0 ]
check 'it says which privilege' grep -q 'CAP_BPF' "$NOTRAP_DIR/out"
check 'the loader was not run' sh -c "! grep -q 'has run' '$NOTRAP_DIR/out'"
check 'without --kernel it is' sh -c "'$build/notrap' run sh -c 'echo has run' | grep -q 'has run'"
"$build/notrap" stop >/dev/null 2>&1
rm -rf "$NOTRAP_DIR"
echo "1..$n"
exit $failed
