#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh BUILD_FOLDER SUITE
#
# Every section type of the libbpf in Debian SUITE (bookworm: 1.1, bookworm-backports: 1.4, trixie: 1.5, sid: 1.7 or newer),
# on the kernel (root, Linux 6.18) and under notrap; both must say the same. The packages are fetched and unpacked, not
# installed, and kept for the next time; the loader runs with their C library. Without them and without a mirror that
# answers it is skipped.
set -u
. "$(dirname "$0")/../../lib/tap.sh"
build=$(cd "$1" && pwd) suite=$2
here=$(cd "$(dirname "$0")" && pwd)
cache=${NOTRAP_TOOLS_CACHE:-/var/tmp/notrap-tools}
root=$cache/libbpf-$suite
lib=$root/usr/lib/x86_64-linux-gnu

skip() {
	tap_skip_all "libbpf of Debian $suite: $1"
}

# Into $root/apt/archives, by the system's apt if it knows this suite, or by one with a configuration of its own.
download() {
	(cd "$root/apt/archives" && timeout 100 apt-get -qq download "libbpf1/$suite" "libbpf-dev/$suite" "$elf/$release" libc6/"$release" \
		zlib1g/"$release" libzstd1/"$release") >/dev/null 2>&1
}

own_apt() {
	for s in "$release" $([ "$release" = "$suite" ] || echo "$suite"); do
		echo "deb http://deb.debian.org/debian $s main"
	done >"$root/apt/sources.list"
	cat >"$root/apt/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$root/apt/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State::lists "$root/apt/lists";
		Dir::Cache "$root/apt";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "1";
		Acquire::http::Timeout "20";
	EOF
	APT_CONFIG=$root/apt/apt.conf
	export APT_CONFIG
	timeout 100 apt-get -qq update >/dev/null 2>&1
}

fetch() {
	release=${suite%-backports} elf=libelf1t64
	[ "$release" = bookworm ] && elf=libelf1
	mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial" || return 1
	download || { own_apt && download; } || return 1
	unset APT_CONFIG
	for deb in "$root"/apt/archives/*.deb; do
		dpkg-deb -x "$deb" "$root" || return 1
	done
	rm -rf "$root/apt"
	touch "$root/complete"
}

# One that is silent is not asked again for ten minutes.
mirror_answers() {
	[ -z "$(find "$cache/silent-mirror" -mmin -10 2>/dev/null)" ] || return 1
	python3 -c 'import sys; sys.path.append(sys.argv[1]); import headers; sys.exit(not headers.reachable())' "$here/.." && return 0
	mkdir -p "$cache" && touch "$cache/silent-mirror"
	return 1
}

command -v clang >/dev/null && command -v apt-get >/dev/null || skip "needs clang and apt-get"
if ! [ -e "$root/complete" ]; then
	mirror_answers || skip "not here, and the mirror does not answer"
	fetch || { rm -rf "$root"; skip "cannot be fetched"; }
fi

broker_own "$build/notrap"
work=$NOTRAP_DIR/work
mkdir "$work"
minor=$(sed -n 's/#define LIBBPF_MINOR_VERSION //p' "$root/usr/include/bpf/libbpf_version.h")
kinds=
[ "$minor" -ge 3 ] && kinds=-DMULTI
[ "$minor" -ge 6 ] && kinds="$kinds -DSESSIONS"
linker=$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
[ -e "$linker" ] || linker=$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
cc -O1 -g -o "$work/sections" "$here/sections.c" -I "$root/usr/include" -L "$lib" -lbpf -Wl,--allow-shlib-undefined \
	-Wl,-rpath,"$lib:$root/lib/x86_64-linux-gnu" -Wl,--dynamic-linker="$linker" || exit 99

# On the kernel and under notrap with a target each: probes of both must not meet on one file.
for how in kernel notrap; do
	cc -O1 -o "$work/victim-$how" "$here/victim.c" "$here/../../system/kernel_parity/funcs.S" || exit 99
	# shellcheck disable=SC2086 # a list of words
	clang -target bpf -mcpu=v3 -g -O2 -Wall -D__TARGET_ARCH_x86 "-DVICTIM=\"$work/victim-$how\"" $kinds \
		-I "$root/usr/include" -idirafter /usr/include/x86_64-linux-gnu \
		-c "$here/sections.bpf.c" -o "$work/$how.o" || exit 99
done
"$build/notrap" run -- "$work/sections" "$work/notrap.o" "$work/victim-notrap" >"$work/out" || tap_failed=1
grep -v '^1\.\.' "$work/out"
tap_count=$(grep -c -e '^ok ' -e '^not ok ' "$work/out")
if kernel_is_oracle; then
	"$work/sections" "$work/kernel.o" "$work/victim-kernel" >"$work/want"
	diff "$work/want" "$work/out" >"$work/diff"
	tap_ok $? 'the kernel says the same' || sed 's/^/# /' "$work/diff"
fi
tap_done
