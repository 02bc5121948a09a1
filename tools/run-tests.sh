#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run-tests.sh [--soak | --asan-only | --aarch64-only] [BUILD_FOLDER]
#
# Runs everything that can fail, and ends in one line: "N passed, N failed". What is counted is the
# single check (a TAP line), not the test program. Checks that could not run here are listed with
# their reason before that line.
#
#   1. the layer check (src/LAYERS);
#   2. every suite of the build, quick tests side by side, those that stop and time processes singly;
#   3. the hosted parts again under AddressSanitizer and UndefinedBehaviorSanitizer, fuzz corpora
#      included, in build-asan;
#   4. the parts that exist for aarch64, cross-compiled and run by qemu, in build-aarch64; skipped
#      where the compiler or qemu is missing.
#
# --soak       only the torture tests and those that also have a long form, with NT_SOAK=1 in their environment
# --asan-only, --aarch64-only  only step 3, 4
set -u
cd "$(dirname "$0")/.." || exit 99

mode=all
case ${1:-} in
--soak) mode=soak; shift ;;
--asan-only) mode=asan; shift ;;
--aarch64-only) mode=aarch64; shift ;;
esac
build=${1:-build}
results=$(mktemp) || exit 99
# Brokers of this run's own.
NOTRAP_DIR=$(mktemp -d /tmp/notrap-tests.XXXXXX) || exit 99
export NOTRAP_DIR
trap 'rm -rf "$results" "$results.log" "$NOTRAP_DIR"' EXIT

say() { printf '\n== %s\n' "$*"; }

# Does the build folder $1 have tests in suite $2?
has_suite() {
	meson test -C "$1" --list --suite "notrap:$2" 2>/dev/null | grep -q "^notrap:$2 / "
}

# Runs suite $2 of build folder $1 and keeps what it said under the heading $3; the rest are options
# for meson test.
run_suite() {
	folder=$1 suite=$2 heading=$3
	shift 3
	has_suite "$folder" "$suite" || return 0
	say "$heading"
	rm -f "$folder/meson-logs/testlog.json"
	meson test -C "$folder" --suite "notrap:$suite" "$@" </dev/null |
		grep -v -e '^ninja: ' -e '^\[[0-9]*/[0-9]*\] ' -e '^[A-Z][A-Za-z ]*: *[0-9]* *$' \
			-e '^Full log ' -e '^Summary of Failures' -e '^$'
	if [ -s "$folder/meson-logs/testlog.json" ]; then
		tools/count-tests.py "$heading" <"$folder/meson-logs/testlog.json" 2>&1 >>"$results"
	else
		echo "fail	$heading: did not build or run" >>"$results"
	fi
}

check_layers() {
	say layers
	out=$(tools/check-layers.sh)
	echo "$out"
	echo "$out" | sed -n 's/^ok.*/pass	&/p; s/^not ok/fail	layers/p' >>"$results"
}

run_build() {
	run_suite "$build" unit 'unit tests'
	run_suite "$build" golden 'golden tests'
	run_suite "$build" fuzz 'fuzz corpora'
	run_suite "$build" stress 'torture, short' --num-processes 1
	run_suite "$build" system 'whole system' --num-processes 1
}

run_asan() {
	if ! [ -f build-asan/build.ninja ] &&
		! meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	then
		echo "fail	sanitizers: cannot configure" >>"$results"
		return
	fi
	# Tests of the command line take the program by its path, which does not make meson build it.
	if ! ninja -C build-asan notrap >"$results.log"; then
		cat "$results.log"
		echo "fail	sanitizers: notrap does not build" >>"$results"
	fi
	export ASAN_OPTIONS=abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	run_suite build-asan unit 'unit tests, sanitized' --timeout-multiplier 4
	run_suite build-asan golden 'golden tests, sanitized' --timeout-multiplier 4
	run_suite build-asan fuzz 'fuzz corpora, sanitized' --timeout-multiplier 4
	unset ASAN_OPTIONS UBSAN_OPTIONS
}

run_aarch64() {
	missing=
	for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
		command -v "$tool" >/dev/null || missing="$missing $tool"
	done
	if [ "$missing" ]; then
		echo "skip	aarch64: not installed:$missing" >>"$results"
		return
	fi
	# Compilers behind ccache, where Debian puts them.
	PATH=/usr/lib/ccache:$PATH
	if ! [ -f build-aarch64/build.ninja ] &&
		! meson setup build-aarch64 --cross-file tools/cross/aarch64.ini >/dev/null
	then
		echo "fail	aarch64: cannot configure" >>"$results"
		return
	fi
	if ! ninja -C build-aarch64 >"$results.log"; then
		cat "$results.log"
		echo "fail	aarch64: does not build" >>"$results"
		return
	fi
	run_suite build-aarch64 unit 'unit tests, aarch64' --timeout-multiplier 4
	run_suite build-aarch64 fuzz 'random programs, aarch64' --timeout-multiplier 4
	run_suite build-aarch64 stress 'torture, aarch64' --num-processes 1 --timeout-multiplier 4
}

case $mode in
all)
	check_layers
	run_build
	run_asan
	run_aarch64
	;;
soak)
	tools/setup.sh soak || say 'some programs of the soak are not there and will be left out'
	export NT_SOAK=1
	run_suite "$build" stress 'torture, long' --num-processes 1 --timeout-multiplier 100
	run_suite "$build" soak 'others, in their long form' --num-processes 1 --timeout-multiplier 100
	;;
asan) run_asan ;;
aarch64) run_aarch64 ;;
esac

awk -F '\t' '
	$1 == "pass" { passed += $3 ? $3 : 1 }
	$1 == "skip" { skipped++; reasons[$2]++ }
	$1 == "fail" { failed++; failures[failed] = $2 }
	END {
		if (skipped) {
			printf "\n== skipped\n"
			for (r in reasons) printf "%5d  %s\n", reasons[r], r | "sort -k 2"
			close("sort -k 2")
		}
		if (failed) {
			printf "\n== failed\n"
			for (i = 1; i <= failed; i++) print "  " failures[i]
		}
		printf "\n%d passed, %d failed\n", passed, failed
		exit failed || !passed
	}' "$results"
