#!/bin/sh
# SPDX-License-Identifier: MIT
# bpftrace.sh BUILD_FOLDER VICTIM - scripts with uprobes and tracepoints: exact numbers, whatever they share.
. "$(dirname "$0")/../../lib/tap.sh"
build=$1 victim=$2
[ "$(id -u)" -eq 0 ] || tap_skip_all 'needs root'
command -v bpftrace >/dev/null || tap_skip_all 'bpftrace is not installed'
[ -r /sys/kernel/tracing/events/syscalls/sys_enter_getpriority/id ] || tap_skip_all 'no tracepoints of system calls'
broker_own "$build/notrap"
k=tracepoint:syscalls:sys_enter_getpriority
u=uprobe:$victim
trace() { # SCRIPT: the victim makes 300 calls of each kind meanwhile
	echo 0 300 | "$build/notrap" run --kernel bpftrace -e "$1" -c "$victim" >"$NOTRAP_DIR/out" 2>&1
	sed 's/^/# /' "$NOTRAP_DIR/out" | sort | uniq -c | sort -rn | head -12 | sed 's/^/# /'
}
has() { [ "$(grep -c "$1" "$NOTRAP_DIR/out")" = "${2:-1}" ]; }

trace "$k /pid == cpid/ { @k[comm] = count() } $u:mixed_f /pid == cpid/ { @u = count() }"
tap_check 'two maps: the tracepoint' has '^@k\[mixed_victim\]: 300$'
tap_check 'two maps: the uprobe' has '^@u: 300$'

trace "$u:mixed_f /pid == cpid/ { @start[tid] = nsecs } $k /@start[tid]/ { @ns = hist(nsecs - @start[tid]); @n = count(); delete(@start[tid]) }"
tap_check 'one map: written by the uprobe, read by the tracepoint' has '^@n: 300$'

trace "BEGIN { @begin = 1; printf(\"begin\\n\") } $u:mixed_f /pid == cpid/ { printf(\"user %d\\n\", arg0) }
	$k /pid == cpid && @begin/ { printf(\"kernel %d\\n\", args->who) } END { printf(\"end\\n\") }"
tap_check 'output: of the uprobe' has '^user [0-9]*$' 300
tap_check 'output: of the tracepoint' has '^kernel [0-9]*$' 300
tap_check 'output: of the beginning' has '^begin$'
tap_check 'output: of the end' has '^end$'
tap_done
