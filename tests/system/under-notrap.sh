#!/bin/sh
# SPDX-License-Identifier: MIT
# under-notrap.sh BUILD_FOLDER PROGRAM ARGS... - runs a loader with a broker of its own and takes that away again.
# $NOTRAP_RUN_OPTIONS: of `notrap run`.
. "$(dirname "$0")/../lib/tap.sh"
build=$1
shift
broker_own "$build/notrap"
# shellcheck disable=SC2086 # several words
"$build/notrap" run -v ${NOTRAP_RUN_OPTIONS-} -- "$@"
