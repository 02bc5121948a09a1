#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fuzz.sh [-t SECONDS] [-c] [TARGET...]
#
# Fuzzes every parser of what others wrote (tests/fuzz), SECONDS each (default 60): instructions, BTF, the verifier,
# system call attributes, ELF files, patch plans, maps in hostile memory, JIT against interpreter. With libFuzzer and
# sanitizers if clang has them, else with the driver of our own (mutations of the corpus) in build-asan. What is found
# is written to fuzz-findings/; replay it with
#     build-fuzz/tests/fuzz/fuzz_TARGET fuzz-findings/TARGET-crash-...
#
# -c   afterwards adds to tests/fuzz/corpus what reaches new code (small inputs only): to be committed
set -u
cd "$(dirname "$0")/.." || exit 99
seconds=60 collect=
while getopts t:c o; do
	case $o in
	t) seconds=$OPTARG ;;
	c) collect=yes ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

probe=$(mktemp -d) || exit 99
trap 'rm -rf "$probe"' EXIT
echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }' >"$probe/f.c"
build=build-fuzz
if clang -fsanitize=fuzzer,address "$probe/f.c" -o "$probe/f" 2>/dev/null; then
	engine=libfuzzer
	[ -f $build/build.ninja ] || CC=clang meson setup $build -Dlibfuzzer=true -Db_sanitize=address,undefined \
		-Db_lundef=false -Dwerror=false -Dc_args=-fsanitize=fuzzer-no-link >/dev/null || exit 1
else
	engine=driver build=build-asan
	[ -f $build/build.ninja ] || meson setup $build -Db_sanitize=address,undefined -Db_lundef=false >/dev/null || exit 1
fi
names=$(meson introspect --targets $build | python3 -c '
import json, sys
print(" ".join(sorted(t["name"][5:] for t in json.load(sys.stdin) if t["name"].startswith("fuzz_") and t["name"] != "fuzz_seeds")))')
[ $# -gt 0 ] || set -- $names
ninja -C $build $(for n; do echo "tests/fuzz/fuzz_$n"; done) tests/fuzz/fuzz_seeds >"$probe/log" 2>&1 || { cat "$probe/log"; exit 1; }
$build/tests/fuzz/fuzz_seeds $build/seeds $(find build -name '*.bpf.o' 2>/dev/null)
mkdir -p fuzz-findings
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=abort_on_error=1:detect_leaks=0

failed=
for name; do
	exe=$build/tests/fuzz/fuzz_$name corpus=tests/fuzz/corpus/$name.corpus
	work=$build/corpus/$name
	mkdir -p "$work" "$build/kept/$name"
	[ ! -f "$corpus" ] || tools/corpus.py unpack "$corpus" "$build/kept/$name"
	from=
	for d in "$build/kept/$name" "$build/seeds/$name"; do [ -d "$d" ] && from="$from $d"; done
	printf '== %s (%s, %s s)\n' "$name" $engine "$seconds"
	if [ $engine = libfuzzer ]; then
		"$exe" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -close_fd_mask=0 \
			-artifact_prefix="fuzz-findings/$name-" "$work" $from >"$probe/log" 2>&1
	else
		end=$(($(date +%s) + seconds)) seed=$(date +%s)
		echo "seed $seed" >"$probe/log"
		while [ "$(date +%s)" -lt $end ]; do
			"$exe" -r 2000 $seed >>"$probe/log" 2>&1 && { [ -z "$from" ] || "$exe" -m 5000 $seed $from >>"$probe/log" 2>&1; } || break
			seed=$((seed + 10000))
		done
		[ "$(date +%s)" -ge $end ]
	fi
	if [ $? -ne 0 ]; then
		failed="$failed $name"
		tail -n 40 "$probe/log"
	else
		grep -E 'DONE|stat::number_of_executed|stat::new_units|mutants, seed|random inputs' "$probe/log" | tail -n 3
	fi
	if [ -n "$collect" ] && [ $engine = libfuzzer ]; then
		mkdir "$probe/in" "$probe/kept"
		find "$work" -size -2k -type f -exec cp -t "$probe/in" {} +
		"$exe" -merge=1 "$probe/kept" "$build/kept/$name" "$probe/in" >"$probe/log" 2>&1 &&
			tools/corpus.py pack "$corpus" "$probe/kept"
		rm -rf "$probe/in" "$probe/kept"
	fi
done
[ -z "$failed" ] && echo "fuzzing found nothing" || { echo "fuzzing found something in:$failed (see fuzz-findings)"; exit 1; }
