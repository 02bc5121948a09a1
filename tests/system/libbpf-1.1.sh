#!/bin/sh
# SPDX-License-Identifier: MIT
# libbpf-1.1.sh BUILD_FOLDER LOADER ARGS... - runs the loader under notrap with Debian 12's own libbpf 1.1.2, which is
# fetched as a package and unpacked, not installed.
. "$(dirname "$0")/../lib/tap.sh"
build=$1
shift
version=1:1.1.2-0+deb12u1
dir=$(mktemp -d /tmp/notrap-libbpf-XXXXXX) || exit 99
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
if ! command -v apt-get >/dev/null || ! (cd "$dir" && apt-get -q download "libbpf1=$version" >/dev/null 2>&1); then
	tap_skip_all "libbpf1 $version cannot be had from this system's packages"
fi
dpkg -x "$dir"/libbpf1_*.deb "$dir" || exit 99
LD_LIBRARY_PATH=$(dirname "$(find "$dir" -name libbpf.so.1)")
export LD_LIBRARY_PATH
"$(dirname "$0")"/under-notrap.sh "$build" "$@"
