#!/bin/sh
# SPDX-License-Identifier: MIT
# ps.sh BUILD_FOLDER - what `notrap ps` says of a process whose calls are known.
build=$1
counter=$build/tests/victims/counter
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
json() { # EXPRESSION over p, the document of `notrap ps --json`
	"$build/notrap" ps --json | python3 -c "import json,sys; p = json.load(sys.stdin); print($1)"
}
says() { [ "$(json "$1")" = "$2" ] || { echo "# $1: $(json "$1"), want $2"; false; }; }

check 'without a broker: says so' sh -c "'$build/notrap' ps | grep -q 'no broker is running'"
check 'and gives empty lists' says '(p["processes"], p["links"])' '([], [])'

mkfifo "$NOTRAP_DIR/in"
"$counter" <"$NOTRAP_DIR/in" >"$NOTRAP_DIR/out" &
victim=$!
exec 9>"$NOTRAP_DIR/in"
"$build/notrap" run "$build/examples/funccount" -p $victim -d 30 "$counter:v_*" >/dev/null 2>&1 &
loader=$!
i=0
while [ "$(json 'len(p["links"])')" != 1 ] && [ $i -lt 100 ]; do
	i=$((i + 1))
	sleep 0.1
done
check 'one process' says '[x["pid"] for x in p["processes"]]' "[$victim]"
check 'one link, of 19 functions, all attached' \
	says '[(l["targets"], l["attached"], l["refused"], l["pid"]) for l in p["links"]]' "[(19, 19, 0, $victim)]"
before=$(json 'p["processes"][0]["hits"]')
echo 'run 2 1000' >&9
while ! grep -q done "$NOTRAP_DIR/out"; do sleep 0.1; done
# v_flags is called through v_call_with_carry: 19 functions in all
check 'hits are the calls' says "p['processes'][0]['hits'] - $before" $((2 * 1000 * 19))
check 'the pause is known' says 'p["processes"][0]["pause_ns"] > 0' True
check 'the table has the process' sh -c "'$build/notrap' ps | grep -q '^ *$victim  *counter'"
check 'and nothing is in the kernel' sh -c "! '$build/notrap' ps -v | grep 'in the kernel'"
kill $loader
wait $loader 2>/dev/null
i=0
while [ "$(json 'len(p["links"])')" != 0 ] && [ $i -lt 50 ]; do
	i=$((i + 1))
	sleep 0.1
done
check 'the loader is gone: no link' says 'p["links"]' '[]'
check 'and no site' says 'sum(x["sites"] for x in p["processes"])' 0
exec 9>&-
wait $victim
check 'the victim found every result right' test $? -eq 0
"$build/notrap" stop >/dev/null 2>&1

# One that says EPROTO to every greeting.
all=$NOTRAP_DIR
NOTRAP_DIR=$all/other
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
	check "another version's broker: $command says so" sh -c "'$build/notrap' $command 2>&1 | grep -q 'another version; .notrap stop -a. ends it'"
done
check 'it does' sh -c "'$build/notrap' stop -a"
wait $other
check 'by a signal' test $? -eq 143
rm -rf "$all"
echo "1..$n"
exit $failed
