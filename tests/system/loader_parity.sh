#!/bin/sh
# SPDX-License-Identifier: MIT
#
# loader_parity.sh NOTRAP CALLS EXPECTED [EXCEPT]
#
# CALLS makes several hundred raw bpf(2) and perf_event_open(2) calls and prints one line per answer. Under `notrap
# run` every line must be the one that Linux 6.18 printed (EXPECTED), except those that match EXCEPT. On that kernel, as
# root, it is asked again. Exit status 77 of CALLS: it cannot be asked for here.
set -u
notrap=$1 calls=$2 expected=$3 except=${4:-^$}
NOTRAP_DIR=$(mktemp -d) || exit 99
export NOTRAP_DIR
trap '"$notrap" stop -a >/dev/null; rm -rf "$NOTRAP_DIR"' EXIT
failed=0 count=0
[ -r /sys/kernel/btf/vmlinux ] || except="$except|^kernel btf: "

# Compares line by line, so that one difference is one failure.
compare() {
	paste -d '\n' "$expected" "$1" | awk -v count=$count -v who="$2" -v except="$3" '
		NR % 2 { want = $0; next }
		{ skip = want ~ except; ok = skip || $0 == want; bad += !ok
		  printf "%s %d - %s: %s\n", ok ? "ok" : "not ok", ++count, who, want (skip ? " # SKIP differs on purpose" : "")
		  if (!ok) print "# got " $0 }
		END { exit bad > 0 }' || failed=1
	count=$((count + $(wc -l <"$expected")))
	[ "$(wc -l <"$1")" -eq "$(wc -l <"$expected")" ] || { echo "# $2: another number of lines"; failed=1; }
}

"$notrap" run -- "$calls" >"$NOTRAP_DIR/out" 2>"$NOTRAP_DIR/err"
case $? in
0) ;;
77) echo "1..0 # SKIP this kernel has not what is asked for"; exit 0 ;;
*) echo "# it failed"; failed=1 ;;
esac
sed 's/^/# /' "$NOTRAP_DIR/err"
compare "$NOTRAP_DIR/out" notrap "$except"
case $(id -u):$(uname -r) in
0:6.18.*)
	"$calls" >"$NOTRAP_DIR/out"
	[ -r /sys/kernel/btf/vmlinux ] && except=^$ || except="^kernel btf: "
	compare "$NOTRAP_DIR/out" kernel "$except"
	;;
*)
	count=$((count + 1))
	echo "ok $count - the kernel itself # SKIP needs root and Linux 6.18"
	;;
esac
echo "1..$count"
exit $failed
