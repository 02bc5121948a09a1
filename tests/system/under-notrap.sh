#!/bin/sh
# SPDX-License-Identifier: MIT
# under-notrap.sh BUILD_FOLDER PROGRAM ARGS... - runs a loader with a broker of its own and takes that away again.
# $NOTRAP_RUN_OPTIONS: of `notrap run`.
build=$1
shift
NOTRAP_DIR=$(mktemp -d /tmp/notrap-test-XXXXXX) || exit 99
export NOTRAP_DIR
# shellcheck disable=SC2086 # several words
"$build/notrap" run -v ${NOTRAP_RUN_OPTIONS-} -- "$@"
status=$?
"$build/notrap" stop >/dev/null 2>&1
[ $status -eq 0 ] || sed 's/^/# broker: /' "$NOTRAP_DIR/log" 2>/dev/null | tail -40
rm -rf "$NOTRAP_DIR"
exit $status
