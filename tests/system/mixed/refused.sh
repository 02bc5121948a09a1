#!/bin/sh
# SPDX-License-Identifier: MIT
# refused.sh BUILD_FOLDER - `notrap run --kernel` without the privilege says who lacks what, and runs nothing.
. "$(dirname "$0")/../../lib/tap.sh"
build=$1
broker_own "$build/notrap"
"$build/notrap" run --kernel sh -c 'echo has run' >"$NOTRAP_DIR/out" 2>&1
status=$?
sed 's/^/# /' "$NOTRAP_DIR/out"
tap_check 'it fails' [ $status -ne 0 ]
tap_check 'it says which privilege' grep -q 'CAP_BPF' "$NOTRAP_DIR/out"
tap_check 'the loader was not run' sh -c "! grep -q 'has run' '$NOTRAP_DIR/out'"
tap_check 'without --kernel it is' sh -c "'$build/notrap' run sh -c 'echo has run' | grep -q 'has run'"
tap_done
