#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs what building and testing notrap needs, on Debian and its relatives. It says what it
# does before it does it, asks for root (or sudo) only when something is missing, and does nothing at
# all when nothing is. `setup.sh soak`: also the programs that `make soak` probes at work (tests/soak); what this release does
# not have of them is left out.
#
#   1. the packages below, from whatever apt sources the machine has;
#   2. libbpf >= 1.4. Debian 12 itself has 1.1, so there it comes from bookworm-backports, and that
#      suite is added to the apt sources (one file, $backports_list) unless it is there already;
#   3. what only some tests need, if apt offers it; without it they are skipped.
set -eu

packages='gcc g++ make meson ninja-build pkg-config clang llvm bpftool bpftrace
	libc6-dev libzydis-dev libelf-dev zlib1g-dev uthash-dev libjansson-dev libunicorn-dev golang-go sqlite3'
soak_packages='default-jdk-headless redis-server redis-tools nginx-light wrk postgresql ripgrep nodejs libpython3-testsuite'
optional='gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static procps strace gdb'
libbpf_min=1.4
backports_list=/etc/apt/sources.list.d/notrap-backports.sources

say() { echo "setup: $*"; }
die() { say "$*" >&2; exit 1; }

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

libbpf_version() { dpkg-query -W -f '${Version}' libbpf-dev 2>/dev/null | sed 's/^[0-9]*://'; }

libbpf_is_new_enough() {
	installed libbpf-dev && dpkg --compare-versions "$(libbpf_version)" ge "$libbpf_min"
}

# Runs a command as root.
as_root() {
	say "running: $*"
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "that needs root and there is no sudo; please run it as root, then start again"
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 "$@" \
		</dev/null
}

apt_lists_are_fresh=
apt_update() {
	[ -n "$apt_lists_are_fresh" ] || apt update
	apt_lists_are_fresh=yes
}

# The best version of libbpf-dev that the configured suites offer, without its epoch.
libbpf_offered() {
	apt-cache madison libbpf-dev 2>/dev/null |
		awk '{ sub(/^[0-9]+:/, "", $3); print $3 }' | sort -V | tail -n 1
}

libbpf_is_offered() { dpkg --compare-versions "$(libbpf_offered)" ge "$libbpf_min"; }

# apt-get's -t option: the suite where libbpf is new enough, when that is not the default one.
libbpf_suite() {
	case $(apt-cache policy libbpf-dev | sed -n 's/^ *Candidate: *//p' | sed 's/^[0-9]*://') in
	'' | 0.* | 1.[0-3].*) echo "-t$codename-backports" ;;
	esac
}

add_backports() {
	say "libbpf here is $(libbpf_offered), notrap needs $libbpf_min"
	say "adding $codename-backports to the apt sources, in $backports_list"
	as_root tee "$backports_list" <<-END
		Types: deb
		URIs: http://deb.debian.org/debian
		Suites: $codename-backports
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	END
	apt_lists_are_fresh=
	apt_update
}

# Those of the optional packages that are missing and that apt offers.
optional_missing() {
	for p in $optional; do
		installed "$p" || [ -z "$(apt-cache madison "$p" 2>/dev/null)" ] || echo "$p"
	done
}

missing=
for p in $packages; do
	installed "$p" || missing="$missing $p"
done
if [ "${1:-}" = soak ]; then
	for p in $soak_packages; do
		installed "$p" || [ -z "$(apt-cache search -n "^$p\$" 2>/dev/null)" ] || missing="$missing $p"
	done
fi
if [ -z "$missing" ] && libbpf_is_new_enough && [ -z "$(optional_missing)" ]; then
	exit 0
fi

command -v apt-get >/dev/null ||
	die "this is no Debian; please install:" $packages "libbpf-dev (>= $libbpf_min)"
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

if [ -n "$missing" ]; then
	say "installing$missing"
	apt_update
	# shellcheck disable=SC2086 # a list of words
	apt install --no-install-recommends $missing
fi
if ! libbpf_is_new_enough; then
	say "installing libbpf-dev >= $libbpf_min"
	libbpf_is_offered || apt_update
	libbpf_is_offered || [ "$codename" != bookworm ] || add_backports
	libbpf_is_offered || die "no suite of this release has libbpf-dev >= $libbpf_min"
	# shellcheck disable=SC2046 # one word or none
	apt install --no-install-recommends $(libbpf_suite) libbpf-dev
	libbpf_is_new_enough || die "libbpf-dev is still $(libbpf_version)"
fi
wanted=$(optional_missing)
if [ -n "$wanted" ]; then
	say "installing" $wanted
	# shellcheck disable=SC2086 # a list of words
	apt install --no-install-recommends $wanted ||
		say "that failed; tests that need it will be skipped"
fi
say "everything is in place"
