#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test-tools.sh [--limit SECONDS] BUILD_FOLDER [options of tests/tools/run.py]
#
# Runs real tools (bpftrace, libbpf-tools, BCC, bpftool, Go and Rust loaders) on a target whose numbers are known: on the
# kernel as root, and under notrap as root, as a user and in a sandbox. Installs them first where that is possible; what
# cannot be had, or not in time, is skipped by name. The last line is "N passed, N failed". Newer releases, headers and
# what is built for them are kept in NOTRAP_TOOLS_CACHE (/var/tmp/notrap-tools, 4 GB) for the next time.
#
# A full run also puts the table of results into README.md. One with a limit (CI) does not: it may have left something out,
# as the limit is for everything, downloads included.
set -u
cd "$(dirname "$0")/.." || exit 99
limit=
if [ "${1:-}" = --limit ]; then
	limit=$2
	NOTRAP_TOOLS_END=$(($(date +%s) + limit))
	export NOTRAP_TOOLS_END
	shift 2
fi
build=${1:-build}
[ $# -gt 0 ] && shift
packages='bpftrace debootstrap libbpf-tools bpftool python3-bpfcc bpfcc-tools openssl golang-go golang-github-cilium-ebpf-dev
	default-jdk-headless'

# Seconds for something that may take $1 at most.
at_most() {
	[ -z "$limit" ] && { echo "$1"; return; }
	left=$((NOTRAP_TOOLS_END - $(date +%s)))
	[ $left -lt 1 ] && left=1
	[ $left -lt "$1" ] && echo $left || echo "$1"
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=
for p in $packages; do
	installed "$p" || missing="$missing $p"
done
if [ -n "$missing" ] && [ "$(id -u)" -ne 0 ]; then
	echo "test-tools: missing, and only root can install it:$missing"
elif [ -n "$missing" ] && ! python3 -c 'import sys; sys.path.append("tests/tools"); import headers; sys.exit(not headers.reachable())'; then
	echo "test-tools: missing, and the mirror does not answer:$missing"
else
	echo "test-tools: apt-get update"
	timeout -k 60 "$(at_most 120)" apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 update >/dev/null 2>&1 </dev/null
	for p in $missing; do
		echo "test-tools: installing $p"
		DEBIAN_FRONTEND=noninteractive timeout -k 60 "$(at_most 180)" apt-get -qq -o DPkg::Lock::Timeout=60 \
			-o Acquire::Retries=1 -o Acquire::http::Timeout=20 install --no-install-recommends "$p" \
			>/dev/null 2>&1 </dev/null || echo "test-tools: $p cannot be had"
	done
fi

out=$(mktemp) && table=$(mktemp) && part=$(mktemp) || exit 99
trap 'rm -f "$out" "$table" "$part"' EXIT

# Runs one that speaks TAP; whatever happens to it, it is counted.
tap() {
	name=$1
	shift
	{ "$@" </dev/null || echo "status $?"; } 2>&1 | tee "$part" | grep --line-buffered -v '^status '
	grep -v '^status ' "$part" >>"$out"
	if grep -q '^status 124$' "$part" && [ -n "$limit" ]; then
		echo "ok - $name # SKIP the time limit of this run is over" >>"$out"
	elif grep -q '^status ' "$part" && ! grep -q '^not ok' "$part"; then
		echo "not ok 0 - $name: $(grep '^status ' "$part")" | tee -a "$out"
	fi
}

# Newer versions of libbpf than the system's.
[ $# -eq 0 ] && for suite in bookworm bookworm-backports trixie sid; do
	tap "libbpf of Debian $suite" timeout -k 60 "$(at_most 300)" tests/tools/libbpf/run.sh "$build" $suite
done
[ $# -eq 0 ] && tap "several loaders" timeout -k 60 "$(at_most 180)" tests/tools/loaders.py "$build"
tap "tools" tests/tools/run.py --jobs 2 --table "$table" "$@" "$build"
if [ $# -eq 0 ] && [ -z "$limit" ] && [ -s "$table" ]; then
	tools/update-readme.py tools <"$table"
fi
awk '/^ok .*# SKIP/ { skipped++; sub(/.*# SKIP /, ""); why[$0]++; next }
	/^1\.\.0 # SKIP/ { skipped++; sub(/.*# SKIP /, ""); why[$0]++; next }
	/^ok / { passed++ }
	/^not ok/ { failed++; sub(/^not ok [0-9]* - /, ""); bad[failed] = $0 }
	END { if (skipped) {
		printf "\n== skipped\n"
		for (w in why) printf "%5d  %s\n", why[w], w | "sort -k 2"
		close("sort -k 2")
	      }
	      if (failed) printf "\n== failed\n"
	      for (i = 1; i <= failed; i++) print "  " bad[i]
	      printf "\n%d passed, %d failed\n", passed, failed
	      exit failed || !(passed + skipped) }' "$out"
