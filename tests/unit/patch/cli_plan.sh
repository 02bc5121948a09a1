#!/bin/sh
# SPDX-License-Identifier: MIT
# `notrap plan` from outside: output, exit statuses, messages. $1 = the notrap binary. TAP.
. "$(dirname "$0")/../../lib/tap.sh"
notrap=$1
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

# check NAME STATUS PATTERN COMMAND...: the command's exit status and a line of its output (either stream)
check() {
	name=$1 want=$2 pattern=$3
	shift 3
	"$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ "$got" = "$want" ] && cat "$dir/out" "$dir/err" | grep -Eq -- "$pattern"
	tap_ok $? "$name" || {
		echo "# status $got, want $want; no line matches: $pattern"
		sed 's/^/# /' "$dir/out" "$dir/err" | head -20
	}
}

# silent NAME out|err: the last command wrote nothing to stdout (errors) or nothing to stderr (success)
silent() {
	tap_check "$1" [ ! -s "$dir/$2" ]
}

printf 'int none(void);' >"$dir/text"
head -c 2000 "$notrap" >"$dir/cut"

check "totals" 0 '^entry +[0-9]+ +[0-9.]+ %' "$notrap" plan "$notrap"
silent "nothing on stderr" err
check "a pattern lists functions" 0 '^0x[0-9a-f]+ +(jmp|jmp-n|nop5|pad|island) .* main$' "$notrap" plan "$notrap" main
check "patterns are globs" 0 'patch_plan_site$' "$notrap" plan "$notrap" 'patch_plan_*'
check "several patterns" 0 ': 2 functions' "$notrap" plan "$notrap" main patch_plan_site
check "json" 0 '"functions": [1-9]' "$notrap" plan --json "$notrap"
check "json has forms" 0 '"jmp-n": [1-9]' "$notrap" plan --json "$notrap"
check "json with sites" 0 '"name": "main"' "$notrap" plan --json "$notrap" main
check "json without sites" 0 '^}' "$notrap" plan --json "$notrap"
! grep -q '"sites"' "$dir/out"
tap_ok $? "totals have no sites"
if command -v python3 >/dev/null; then
	check "json parses and adds up" 0 '^good$' sh -c '"$1" plan --json --sites "$1" | python3 -c "
import json, sys
r = json.load(sys.stdin)
assert sum(r[\"forms\"].values()) + r[\"refused\"] == r[\"functions\"] == len(r[\"sites\"])
assert sum(r[\"reasons\"].values()) == r[\"refused\"]
assert sum(not s[\"return\"] for s in r[\"sites\"]) == r[\"return_refused\"]
assert len(set(s[\"offset\"] for s in r[\"sites\"])) == r[\"functions\"]
print(\"good\")"' sh "$notrap"
fi
check "nothing matches" 1 '^notrap: plan: .*: no function matches no_such_function$' "$notrap" plan "$notrap" no_such_function
silent "errors leave stdout alone" out
check "no such file" 1 '^notrap: plan: /no/such: No such file' "$notrap" plan /no/such
check "a directory" 1 '^notrap: plan: .*: Is a directory$' "$notrap" plan "$dir"
check "a text file" 1 '^notrap: plan: .*: not an ELF file' "$notrap" plan "$dir/text"
check "a cut-off file" 1 '^notrap: plan: .*: not an ELF file, or cut off' "$notrap" plan "$dir/cut"
if command -v strip >/dev/null && strip -o "$dir/stripped" "$notrap" 2>/dev/null; then
	check "stripped: says so and works" 0 'no .symtab' "$notrap" plan "$dir/stripped"
fi
if command -v cc >/dev/null && echo 'int f(void){return 1;}' | cc -m32 -c -x c - -o "$dir/o32" 2>/dev/null; then
	check "32-bit" 1 'not x86-64 code' "$notrap" plan "$dir/o32"
fi
check "no file" 2 '^Usage: notrap plan ' "$notrap" plan
check "unknown option" 2 "^notrap: plan: unknown option '--frob'" "$notrap" plan --frob "$notrap"
check "plan --help" 0 '--sites' "$notrap" plan --help
check "--help" 0 '^  plan ' "$notrap" --help
check "unknown command" 2 "unknown command 'frob'" "$notrap" frob
check "no command" 2 '^Usage' "$notrap"
check "a full disk is an error" 1 'cannot write the output: No space' sh -c '"$1" plan "$1" >/dev/full' sh "$notrap"
tap_done
