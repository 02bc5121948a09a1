#!/bin/sh
# SPDX-License-Identifier: MIT
# ps.sh BUILD_FOLDER - what `notrap ps` says of a process whose calls are known.
. "$(dirname "$0")/../lib/tap.sh"
build=$1
counter=$build/tests/victims/counter
broker_own "$build/notrap"
json() { # EXPRESSION over p, the document of `notrap ps --json`
	"$build/notrap" ps --json | python3 -c "import json,sys; p = json.load(sys.stdin); print($1)"
}
is() { [ "$(json "$1")" = "$2" ]; }
says() { is "$1" "$2" || { echo "# $1: $(json "$1"), want $2"; false; }; }

tap_check 'without a broker: says so' sh -c "'$build/notrap' ps | grep -q 'no broker is running'"
tap_check 'and gives empty lists' says '(p["processes"], p["links"])' '([], [])'

mkfifo "$NOTRAP_DIR/in"
"$counter" <"$NOTRAP_DIR/in" >"$NOTRAP_DIR/out" &
victim=$!
exec 9>"$NOTRAP_DIR/in"
"$build/notrap" run "$build/examples/funccount" -p $victim -d 30 "$counter:v_*" >/dev/null 2>&1 &
loader=$!
wait_until 10 is 'len(p["links"])' 1
tap_check 'one process' says '[x["pid"] for x in p["processes"]]' "[$victim]"
tap_check 'one link, of 19 functions, all attached' \
	says '[(l["targets"], l["attached"], l["refused"], l["pid"]) for l in p["links"]]' "[(19, 19, 0, $victim)]"
before=$(json 'p["processes"][0]["hits"]')
echo 'run 2 1000' >&9
wait_for "^done" "$NOTRAP_DIR/out"
# v_flags is called through v_call_with_carry: 19 functions in all
tap_check 'hits are the calls' says "p['processes'][0]['hits'] - $before" $((2 * 1000 * 19))
tap_check 'the pause is known' says 'p["processes"][0]["pause_ns"] > 0' True
tap_check 'the table has the process' sh -c "'$build/notrap' ps | grep -q '^ *$victim  *counter'"
tap_check 'and nothing is in the kernel' sh -c "! '$build/notrap' ps -v | grep 'in the kernel'"
kill $loader
wait $loader 2>/dev/null
wait_until 5 is 'len(p["links"])' 0
tap_check 'the loader is gone: no link' says 'p["links"]' '[]'
tap_check 'and no site' says 'sum(x["sites"] for x in p["processes"])' 0
exec 9>&-
wait $victim
tap_check 'the victim found every result right' test $? -eq 0
"$build/notrap" stop >/dev/null 2>&1

# One that says EPROTO to every greeting.
NOTRAP_DIR=$NOTRAP_DIR/other
mkdir -m 700 "$NOTRAP_DIR"
python3 -c '
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1] + "/broker")
s.listen()
open(sys.argv[1] + "/ready", "w")
while True:
    c = s.accept()[0]
    if c.recv(4096):
        c.send(struct.pack("<qI", -71, 1).ljust(2048, b"\0"))
' "$NOTRAP_DIR" &
other=$!
while ! [ -e "$NOTRAP_DIR/ready" ] && kill -0 $other; do sleep 0.05; done
for command in ps stop trace 'run true'; do
	tap_check "another version's broker: $command says so" sh -c "'$build/notrap' $command 2>&1 | grep -q 'another version; .notrap stop -a. ends it'"
done
tap_check 'it does' sh -c "'$build/notrap' stop -a"
wait $other
tap_check 'by a signal' test $? -eq 143
tap_done
