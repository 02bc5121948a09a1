#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test-tools.sh BUILD_FOLDER [options of tests/tools/run.py]
#
# Runs real tools (bpftrace, libbpf-tools, BCC, bpftool, a Go loader) on a target whose numbers are known: on the kernel
# as root, and under notrap as root, as a user and in a sandbox. Installs them first where that is possible; what cannot be
# had is skipped by name. The last line is "N passed, N failed"; the table is put into README.md.
set -u
cd "$(dirname "$0")/.." || exit 99
build=${1:-build}
shift
packages='bpftrace libbpf-tools bpftool python3-bpfcc bpfcc-tools golang-go golang-github-cilium-ebpf-dev'

for p in $packages; do
	dpkg -s "$p" >/dev/null 2>&1 && continue
	[ "$(id -u)" -eq 0 ] || { echo "test-tools: $p is missing, and only root can install it"; continue; }
	echo "test-tools: installing $p"
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends "$p" \
		>/dev/null </dev/null || echo "test-tools: $p cannot be had"
done

out=$(mktemp) && table=$(mktemp) || exit 99
trap 'rm -f "$out" "$table"' EXIT
tests/tools/run.py --table "$table" "$@" "$build" | tee "$out"
# Newer versions of libbpf than the system's.
for suite in trixie sid; do
	tests/tools/libbpf/run.sh "$build" $suite | tee -a "$out"
done
if [ $# -eq 0 ] && [ -s "$table" ]; then
	tools/update-readme.py tools <"$table"
fi
awk '/^ok .*# SKIP/ { skipped++; next } /^ok / { passed++ } /^not ok/ { failed++ }
	END { if (skipped) printf "\n%d skipped", skipped; printf "\n%d passed, %d failed\n", passed, failed
	      exit failed || !passed }' "$out"
