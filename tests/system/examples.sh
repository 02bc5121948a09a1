#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples.sh FUNCCOUNT FUNCLATENCY VICTIM [LAUNCHER...]
#
# The examples against a victim that knows how often it called what. Without a launcher they run on the
# kernel, which is the oracle; with `notrap run --` the same must come out.
set -u
. "$(dirname "$0")/../lib/tap.sh"
funccount=$1 funclatency=$2 victim=$3
shift 3
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT

check() { # STATUS NAME
	tap_ok "$1" "$2" || cat "$tmp/tool" "$tmp/errors" 2>/dev/null | sed 's/^/# /; 40q'
}

start_victim() {
	rm -f "$tmp/in" "$tmp/victim"
	mkfifo "$tmp/in" || exit 99
	"$victim" <"$tmp/in" >"$tmp/victim" &
	victim_pid=$!
	exec 8>"$tmp/in"
	wait_for '^ready' "$tmp/victim"
}

stop_victim() {
	exec 8>&-
	wait $victim_pid
}

# Starts a tool in the background; returns when it has attached.
start_tool() {
	rm -f "$tmp/tool"
	"$@" 8>&- >"$tmp/tool" 2>"$tmp/errors" &
	tool_pid=$!
	wait_for '^[CT].*ing .* function' "$tmp/tool"
}

stop_tool() {
	kill -TERM $tool_pid
	wait $tool_pid
}

# Two threads of the victim call every function 3,000 times.
run_victim() {
	echo "run 2 3000" >&8 && wait_for '^done' "$tmp/victim"
}

# Does "name calls" on stdin say 6,000 for every function of the victim?
all_called() {
	awk -v want=6000 '
		$1 ~ /^v_/ { n++ }
		$1 ~ /^v_/ && $2 != want { print "# " $1 ": " $2 " of " want " calls"; bad = 1 }
		END { if (n != 19) print "# " n " of 19 functions"; exit bad || n != 19 }'
}

# A tool must fail, with exit code 1 and a message that matches $1.
refuses() {
	want=$1
	shift
	"$@" >"$tmp/tool" 2>"$tmp/errors"
	[ $? -eq 1 ] && grep -q -- "$want" "$tmp/errors"
}

if [ $# -eq 0 ] && ! "$funccount" -d 0.01 "$victim:v_push" >/dev/null 2>"$tmp/errors"; then
	tap_skip_all "$(head -n 1 "$tmp/errors")"
fi

start_victim
start_tool "$@" "$funccount" -p $victim_pid 'counter:v_*'
check $? "funccount -p finds the file by its name and attaches"
run_victim && stop_tool
check $? "funccount and its victim go on undisturbed"
awk 'NF == 4 && $1 ~ /^[0-9]+$/ { print $4, $1 }' "$tmp/tool" | all_called
check $? "funccount saw every call of every function, from two threads"
stop_victim
check $? "the victim computed the right things and ends well"

start_victim
start_tool "$@" "$funclatency" -t 100 -p $victim_pid -r 'counter:^v_'
check $? "funclatency attaches entries and returns"
run_victim && stop_tool
check $? "funclatency and its victim go on undisturbed"
sed -n 's/^\([a-z0-9_]*\): \([0-9]*\) calls, .*/\1 \2/p' "$tmp/tool" | all_called
check $? "funclatency timed every call of every function"
stop_victim
check $? "the victim computed the right things and ends well"

start_tool "$@" "$funccount" "$victim:v_*"
check $? "funccount attaches to a file that nobody runs yet"
start_victim
sleep 1
run_victim && stop_tool
awk 'NF == 4 && $1 ~ /^[0-9]+$/ { print $4, $1 }' "$tmp/tool" | all_called
check $? "funccount sees a process that begins later"

start_tool "$@" "$funccount" -p $victim_pid v_push
stop_victim
wait $tool_pid
check $? "funccount ends when the process does"
"$@" "$funccount" -d 0.1 -j "$victim:v_push" >"$tmp/tool" 2>"$tmp/errors" &&
	python3 -m json.tool "$tmp/tool" >/dev/null
check $? "funccount -j prints JSON"

refuses 'no process 99999999' "$@" "$funccount" -p 99999999 c:malloc
check $? "no such process"
refuses 'not an ELF file' "$@" "$funccount" "$0:*"
check $? "not an ELF file"
refuses 'No such file' "$@" "$funccount" /nonexistent:f
check $? "no such file"
refuses "matches 'nosuchfunction'" "$@" "$funccount" "$victim:nosuchfunction"
check $? "no such function"
refuses 'no library or program' "$@" "$funclatency" nosuchlibrary:f
check $? "no such library"

tap_done
