#!/bin/sh
# SPDX-License-Identifier: MIT
#
# loader_parity.sh NOTRAP CALLS EXPECTED [EXCEPT]
#
# CALLS makes several hundred raw bpf(2) and perf_event_open(2) calls and prints one line per answer. Under `notrap
# run` every line must be the one that Linux 6.18 printed (EXPECTED), except those that match EXCEPT. On that kernel, as
# root, it is asked again. Exit status 77 of CALLS: it cannot be asked for here.
set -u
. "$(dirname "$0")/../lib/tap.sh"
notrap=$1 calls=$2 expected=$3 except=${4:-^$}
broker_own "$notrap"
[ -r /sys/kernel/btf/vmlinux ] || except="$except|^kernel btf: "

# Compares line by line, so that one difference is one failure.
compare() {
	paste -d '\n' "$expected" "$1" | awk -v count=$tap_count -v who="$2" -v except="$3" '
		NR % 2 { want = $0; next }
		{ skip = want ~ except; ok = skip || $0 == want; bad += !ok
		  printf "%s %d - %s: %s\n", ok ? "ok" : "not ok", ++count, who, want (skip ? " # SKIP differs on purpose" : "")
		  if (!ok) print "# got " $0 }
		END { exit bad > 0 }' || tap_failed=1
	tap_count=$((tap_count + $(wc -l <"$expected")))
	[ "$(wc -l <"$1")" -eq "$(wc -l <"$expected")" ] || { echo "# $2: another number of lines"; tap_failed=1; }
}

"$notrap" run -- "$calls" >"$NOTRAP_DIR/out" 2>"$NOTRAP_DIR/err"
case $? in
0) ;;
77) tap_skip_all 'this kernel has not what is asked for' ;;
*) echo "# it failed"; tap_failed=1 ;;
esac
sed 's/^/# /' "$NOTRAP_DIR/err"
compare "$NOTRAP_DIR/out" notrap "$except"
if kernel_is_oracle; then
	"$calls" >"$NOTRAP_DIR/out"
	[ -r /sys/kernel/btf/vmlinux ] && except=^$ || except="^kernel btf: "
	compare "$NOTRAP_DIR/out" kernel "$except"
else
	tap_skip 'needs root and Linux 6.18' 'the kernel itself'
fi
tap_done
