#!/bin/sh
# SPDX-License-Identifier: MIT
# skip.sh REASON: in the place of a test that could not be built here, so that it is listed at the end of a test run.
. "$(dirname "$0")/lib/tap.sh"
tap_skip_all "$@"
