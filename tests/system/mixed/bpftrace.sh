#!/bin/sh
# SPDX-License-Identifier: MIT
# bpftrace.sh BUILD_FOLDER VICTIM - scripts with uprobes and tracepoints: exact numbers, whatever they share.
build=$1 victim=$2
skip() {
	echo "1..0 # SKIP $1"
	exit 0
}
[ "$(id -u)" -eq 0 ] || skip 'needs root'
command -v bpftrace >/dev/null || skip 'bpftrace is not installed'
[ -r /sys/kernel/tracing/events/syscalls/sys_enter_getpriority/id ] || skip 'no tracepoints of system calls'
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
k=tracepoint:syscalls:sys_enter_getpriority
u=uprobe:$victim
trace() { # SCRIPT: the victim makes 300 calls of each kind meanwhile
	echo 0 300 | "$build/notrap" run --kernel bpftrace -e "$1" -c "$victim" >"$NOTRAP_DIR/out" 2>&1
	sed 's/^/# /' "$NOTRAP_DIR/out" | sort | uniq -c | sort -rn | head -12 | sed 's/^/# /'
}
has() { [ "$(grep -c "$1" "$NOTRAP_DIR/out")" = "${2:-1}" ]; }

trace "$k /pid == cpid/ { @k[comm] = count() } $u:mixed_f /pid == cpid/ { @u = count() }"
check 'two maps: the tracepoint' has '^@k\[mixed_victim\]: 300$'
check 'two maps: the uprobe' has '^@u: 300$'

trace "$u:mixed_f /pid == cpid/ { @start[tid] = nsecs } $k /@start[tid]/ { @ns = hist(nsecs - @start[tid]); @n = count(); delete(@start[tid]) }"
check 'one map: written by the uprobe, read by the tracepoint' has '^@n: 300$'

trace "BEGIN { @begin = 1; printf(\"begin\\n\") } $u:mixed_f /pid == cpid/ { printf(\"user %d\\n\", arg0) }
	$k /pid == cpid && @begin/ { printf(\"kernel %d\\n\", args->who) } END { printf(\"end\\n\") }"
check 'output: of the uprobe' has '^user [0-9]*$' 300
check 'output: of the tracepoint' has '^kernel [0-9]*$' 300
check 'output: of the beginning' has '^begin$'
check 'output: of the end' has '^end$'
"$build/notrap" stop >/dev/null 2>&1
rm -rf "$NOTRAP_DIR"
echo "1..$n"
exit $failed
