#!/bin/sh
# SPDX-License-Identifier: MIT
# as-user.sh PROGRAM ARGS... - runs a test as user 1000, whom /etc/passwd need not know.
. "$(dirname "$0")/../../lib/tap.sh"
[ "$(id -u)" -eq 0 ] || tap_skip_all 'only root can become another user'
command -v setpriv >/dev/null || tap_skip_all 'no setpriv'
become='setpriv --reuid 1000 --regid 1000 --clear-groups'
for path in "$@"; do
	[ ! -e "$path" ] || $become test -r "$path" || tap_skip_all "user 1000 cannot read $path"
done
unset XDG_RUNTIME_DIR
exec $become "$@"
