#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh BUILD_FOLDER SUITE
#
# Every section type of the libbpf in Debian SUITE (trixie: 1.5, sid: 1.7 or newer), on the kernel (root) and under notrap.
# The packages are fetched and unpacked, not installed, and kept for the next time; the loader runs with their C library.
set -u
build=$(cd "$1" && pwd) suite=$2
here=$(cd "$(dirname "$0")" && pwd)
root=${NOTRAP_TOOLS_CACHE:-/var/tmp/notrap-tools}/libbpf-$suite
lib=$root/usr/lib/x86_64-linux-gnu

skip() {
	echo "1..0 # SKIP libbpf of Debian $suite: $1"
	exit 0
}

# apt with a configuration of its own: nothing of the system's is changed.
fetch() {
	mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial" || return 1
	echo "deb http://deb.debian.org/debian $suite main" >"$root/apt/sources.list"
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
	apt-get -qq update >/dev/null 2>&1 || return 1
	(cd "$root/apt/archives" && apt-get -qq download libbpf1 libbpf-dev libelf1t64 libc6 zlib1g libzstd1) >/dev/null 2>&1 || return 1
	for deb in "$root"/apt/archives/*.deb; do
		dpkg-deb -x "$deb" "$root" || return 1
	done
	rm -rf "$root/apt"
	unset APT_CONFIG
	touch "$root/complete"
}

command -v clang >/dev/null && command -v apt-get >/dev/null || skip "needs clang and apt-get"
[ -e "$root/complete" ] || fetch || { rm -rf "$root"; skip "cannot be fetched"; }

work=$(mktemp -d /tmp/notrap-libbpf-XXXXXX) || exit 99
NOTRAP_DIR=$work/notrap
export NOTRAP_DIR
mkdir -m 700 "$NOTRAP_DIR"
trap '"$build/notrap" stop -a >/dev/null 2>&1; rm -rf "$work"' EXIT
sessions=
[ "$(sed -n 's/#define LIBBPF_MINOR_VERSION //p' "$root/usr/include/bpf/libbpf_version.h")" -ge 6 ] && sessions=-DSESSIONS
cc -O1 -g -o "$work/sections" "$here/sections.c" -I "$root/usr/include" -L "$lib" -lbpf -Wl,--allow-shlib-undefined \
	-Wl,-rpath,"$lib" -Wl,--dynamic-linker="$(echo "$root"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2)" || exit 99

# On the kernel and under notrap with a target each: probes of both must not meet on one file.
for how in kernel notrap; do
	cc -O1 -o "$work/victim-$how" "$here/victim.c" "$here/../../system/kernel_parity/funcs.S" || exit 99
	clang -target bpf -mcpu=v3 -g -O2 -Wall -D__TARGET_ARCH_x86 "-DVICTIM=\"$work/victim-$how\"" $sessions \
		-I "$root/usr/include" -idirafter /usr/include/x86_64-linux-gnu \
		-c "$here/sections.bpf.c" -o "$work/$how.o" || exit 99
done
failed=0
case $(id -u):$(uname -r) in
0:6.18.*) "$work/sections" "$work/kernel.o" "$work/victim-kernel" | sed 's/^/# kernel: /' ;;
esac
"$build/notrap" run -- "$work/sections" "$work/notrap.o" "$work/victim-notrap" || failed=1
[ $failed = 0 ] || tail -20 "$NOTRAP_DIR/log" | sed 's/^/# broker: /'
exit $failed
