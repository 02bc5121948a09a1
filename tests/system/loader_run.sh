#!/bin/sh
# SPDX-License-Identifier: MIT
#
# loader_run.sh NOTRAP TRACE - the command line from outside: starting, refusing, exit statuses, two at once.
set -u
. "$(dirname "$0")/../lib/tap.sh"
notrap=$1 printer=$2
broker_own "$notrap"
out=$NOTRAP_DIR/out

check() { # NAME [STATUS]: what the last command's must be
	status=$?
	[ $status -eq "${2:-0}" ]
	tap_ok $? "$1" || {
		echo "# status $status, want ${2:-0}"
		sed 's/^/# /' "$out" 2>/dev/null
	}
}

brokers() {
	grep -c listening "$NOTRAP_DIR/log" 2>/dev/null
}

# What it is used for is over at once; it is looked at when it has had the time to find out (the end).
idle=$NOTRAP_DIR/idle
mkdir -m 700 "$idle"
NOTRAP_DIR=$idle "$notrap" run "$printer" >"$out" 2>&1
check 'a broker that is used once'

"$notrap" ps >"$out" 2>&1
check 'ps without a broker is no error'
grep -qx 'no broker is running' "$out"
check 'and says so'
[ "$("$notrap" ps --json | tr -d ' \n')" = '{"processes":[],"links":[]}' ]
check 'as JSON: empty arrays'
"$notrap" stop >"$out" 2>&1
check 'stop without a broker is no error'
"$notrap" run >"$out" 2>&1
check 'run without a loader is a mistake' 2
"$notrap" run --nonsense x >"$out" 2>&1
check 'an unknown option too' 2
"$notrap" run -- /no/such/loader >"$out" 2>&1
check 'a loader that does not exist' 127
"$notrap" run no-such-loader >"$out" 2>&1
check 'nor in PATH' 127
"$notrap" run /etc/passwd >"$out" 2>&1
check 'a file that is no program' 126
[ ! -e "$NOTRAP_DIR/broker" ]
check 'no broker was started for any of these'

"$notrap" run sh -c 'exit 42' >"$out" 2>&1
check 'the exit status is the loader'"'s" 42
"$notrap" run sh -c 'kill -TERM $$' >"$out" 2>&1
check 'a signal too' 143
[ "$(echo in | "$notrap" run -- cat -)" = in ]
check 'standard input and output are the loader'"'s"
"$notrap" run sh -c 'sleep 0.1; wait; echo "$LD_PRELOAD"' >"$out" 2>&1 && grep -q notrap-shim.so "$out"
check 'the shim is preloaded'
LD_PRELOAD=libc.so.6 "$notrap" run sh -c 'echo "$LD_PRELOAD"' >"$out" 2>&1 && grep -q 'notrap-shim.so:libc.so.6$' "$out"
check 'in front of what was there'
"$notrap" ps >"$out" 2>&1 && grep -q 'nothing is attached' "$out"
check 'the broker stays for a while'
[ "$(brokers)" -eq 1 ]
check 'all loaders used the same one'

# Several starters at once, no broker: one is started, all are served.
"$notrap" stop
while [ -n "$("$notrap" ps | grep -v 'no broker')" ]; do sleep 0.02; done
for i in 1 2 3 4 5 6 7 8; do
	"$notrap" run sh -c 'exit 0' >>"$out" 2>&1 || echo "$i" >>"$NOTRAP_DIR/lost" &
done
wait
[ ! -e "$NOTRAP_DIR/lost" ] && [ "$(brokers)" -eq 2 ]
check 'eight loaders at once share one new broker'

chmod 755 "$NOTRAP_DIR"
"$notrap" run sh -c 'exit 0' >"$out" 2>&1
check 'a runtime directory that others may enter is refused' 1
grep -q 0700 "$out"
check 'by name'
chmod 700 "$NOTRAP_DIR"

cat >"$NOTRAP_DIR/static.c" <<'END'
int main(void) { return 0; }
END
if cc -static -o "$NOTRAP_DIR/static" "$NOTRAP_DIR/static.c" 2>/dev/null; then
	"$notrap" run "$NOTRAP_DIR/static" >"$out" 2>&1
	check 'a static loader runs'
	"$notrap" run sh -c 'exec "$1"' sh "$NOTRAP_DIR/static" >"$out" 2>&1
	check 'a static child of a loader, too'
fi
printf '#!/bin/sh\nexit 7\n' >"$NOTRAP_DIR/script"
chmod +x "$NOTRAP_DIR/script"
"$notrap" run "$NOTRAP_DIR/script" >"$out" 2>&1
check 'a script runs by its interpreter' 7
[ -z "$("$notrap" run sh -c 'exec 2>&1; exec true')" ]
check 'a broker does not hold the pipes of its starter'

"$notrap" trace >"$NOTRAP_DIR/trace" &
tracer=$!
sleep 0.2
"$notrap" run "$printer" >"$out" 2>&1
check 'a program that prints'
sleep 0.3
kill $tracer
wait $tracer 2>/dev/null
cp "$NOTRAP_DIR/trace" "$out"
[ "$(grep -c 'loader_trace-[0-9 ]* *\[[0-9]*\] [^ ]* *[0-9]*\.[0-9]*: bpf_trace_printk: hello 4[012]$' "$out")" -eq 3 ]
check 'is seen by notrap trace, in the format of trace_pipe'

"$notrap" stop -a >"$out" 2>&1
check 'stop -a'
sleep 0.5
"$notrap" ps | grep -q 'no broker'
check 'ends the broker'

wait_until 15 grep -q leaving "$idle/log"
cp "$idle/log" "$out"
grep -q leaving "$idle/log"
check 'a broker that nobody uses leaves by itself'
NOTRAP_DIR=$idle "$notrap" stop -a >/dev/null 2>&1
tap_done
