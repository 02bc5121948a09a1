#!/bin/sh
# SPDX-License-Identifier: MIT
# gate.sh BUILD_FOLDER - who opens a probed file waits for the broker (watch/keeper.h). Nobody may wait for long or come to
# harm, whatever happens to the broker and its keeper meanwhile.
. "$(dirname "$0")/../../lib/tap.sh"
build=$1
[ "$(id -u)" -eq 0 ] || tap_skip_all 'fanotify permission events take root'
broker_own "$build/notrap"
cp "$build/tests/system/birth/newborn" "$build/tests/system/birth/libnewborn.so" "$NOTRAP_DIR" # marks on files of our own
newborn=$NOTRAP_DIR/newborn
LD_LIBRARY_PATH=$NOTRAP_DIR
export LD_LIBRARY_PATH
links() { "$build/notrap" ps --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["links"]))'; }
one_link() { [ "$(links)" = 1 ]; }
pids() { # of this test's processes named so; a zombie has no environment
	for p in $(pgrep -x "$1"); do
		tr '\0' '\n' 2>/dev/null <"/proc/$p/environ" | grep -qx "NOTRAP_DIR=$NOTRAP_DIR" && echo "$p"
	done 2>/dev/null
}
loader_start() {
	"$build/notrap" run "$build/examples/funccount" -j -d 300 "$newborn:main_fn" >"$NOTRAP_DIR/out" 2>"$NOTRAP_DIR/err" &
	loader=$!
	wait_until 10 one_link
	broker=$(pids notrapd)
	keeper=$(pids notrap-keeper)
}
loader_end() {
	kill -INT $loader
	wait $loader
}
counted() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["calls"])' "$NOTRAP_DIR/out"; }
# COUNT processes one after the other in each of 4 loops; each ends well and within 4 seconds (5: on a crowded machine a
# process takes long by itself). All of them: in the file.
storm() {
	: >"$NOTRAP_DIR/bad"
	loops=
	for loop in 1 2 3 4; do
		(
			i=0
			while [ $i -lt "$1" ]; do
				timeout -s KILL 5 "$newborn" main:3 lib:1 || echo "$?" >>"$NOTRAP_DIR/bad"
				i=$((i + 1))
			done
		) &
		loops="$loops $!"
	done
}
storm_ends() {
	wait $loops
	[ ! -s "$NOTRAP_DIR/bad" ] || { echo "# statuses: $(sort "$NOTRAP_DIR/bad" | uniq -c | tr '\n' ' ')"; false; }
}
ms_of() {
	begin=$(date +%s%N)
	timeout -s KILL 10 "$newborn" main:3 || { echo 99999; return; }
	echo $((($(date +%s%N) - begin) / 1000000))
}
under() { [ "$1" -lt "$2" ] || { echo "# took $1 ms, allowed $2"; false; }; }

loader_start
tap_check 'a link for all processes, a broker with one keeper' \
	test "$(echo "$broker" | wc -w),$(echo "$keeper" | wc -w)" = 1,1
storm 40
tap_check '160 processes, four at a time, all end well' storm_ends
loader_end
# On a machine that is far too busy a wait may end in vain; then the log says so.
all_counted() {
	unseen=$(grep -c 'we were busy' "$NOTRAP_DIR/log")
	[ $(($(counted) + 3 * unseen)) -ge 480 ] && [ "$unseen" -lt 10 ] || { echo "# counted $(counted), $unseen late"; false; }
}
tap_check 'every one was counted from the beginning' all_counted

loader_start
kill -STOP $keeper
tap_check 'the keeper is stopped: it is ended, and who waits is let in' under "$(ms_of)" 4000
tap_check 'the next does not wait' under "$(ms_of)" 1000
kill -KILL $keeper 2>/dev/null
sleep 3.5
tap_check 'there is a new keeper' test "$(pids notrap-keeper | wc -w)" = 1
kill -KILL "$(pids notrap-keeper)"
tap_check 'it is killed: nobody waits' under "$(ms_of)" 1000

sleep 3.5
kill -STOP $broker
tap_check 'the broker is stopped: a process starts all the same' under "$(ms_of)" 1500
tap_check 'the next does not wait' under "$(ms_of)" 500
storm 20
tap_check 'nor do 80' storm_ends
kill -CONT $broker
sleep 0.5
tap_check 'the broker is back' one_link
storm 20
sleep 0.3
kill -KILL $broker
tap_check 'the broker is killed while 80 processes start: all end well' storm_ends
tap_check 'the keeper is gone with it' sh -c "sleep 0.2; ! kill -0 $(pids notrap-keeper | head -1) 2>/dev/null"
kill -KILL $loader 2>/dev/null
wait $loader 2>/dev/null
tap_check 'and a process starts as ever' under "$(ms_of)" 500
tap_done
