#!/bin/sh
# SPDX-License-Identifier: MIT
# lint.sh ELF BIN - what the linker script cannot check: reports as TAP.
set -u
. "$(dirname "$0")/../../lib/tap.sh"
elf=$1 bin=$2

check() { # NAME OUTPUT: passes if OUTPUT is empty
	[ -z "$2" ]
	tap_ok $? "$1" || echo "$2" | head -5 | sed 's/^/# /'
}

# Behind the code lie constants, which may look like any instruction.
end=$(nm "$elf" | awk '$3 == "nt_text_end" { print $1 }')
code=$(objdump -d --stop-address="0x$end" "$elf") && [ -n "$code" ] || { echo "Bail out! objdump"; exit 99; }
check "no undefined symbol" "$(nm -u "$elf")"
check "only the image is loaded" "$(readelf -SW "$elf" | sed 's/^ *\[ *[0-9]*\] *//' |
	awk '$1 ~ /^\./ && $7 ~ /A/ && $1 != ".image"')"
# The linker keeps the relocations that it has resolved; only differences of two addresses in the image may be there.
check "nothing depends on the address" "$(readelf -rW "$elf" |
	awk '/^Relocation section/ { image = /\.rela\.image/ } image && /R_X86_64_/ && $3 !~ /_(PC32|PLT32|PC64)$/')"
check "no vector or x87 register" "$(echo "$code" | grep -E '%([xyz]mm[0-9]|mm[0-7]|st\b|k[0-7]\b)')"
check "no x87 or state instruction" "$(echo "$code" | grep -wE 'f(ld|st|stp|ild|xch|nsave|ninit|xsave|xrstor)[a-z0-9]*|xsave[a-z0-9]*|xrstor[a-z0-9]*|emms')"
check "no stack protector or thread-local variable" "$(echo "$code" | grep -E '%fs:' | grep -vE '%fs:(0x0,|(0x0)?\()' )"
check "no time stamp counter: a process can forbid it" "$(echo "$code" | grep -wE 'rdtscp?')"
check "begins with the magic" "$(head -c 8 "$bin" | grep -qx notrappl || echo 'no magic')"
size=$(wc -c < "$bin")
check "a whole number of pages" "$([ $((size % 4096)) -eq 0 ] || echo "$size bytes")"
state=$(nm "$elf" | awk '$3 == "nt_state" { print $1 }')
check "the state lies right behind the bytes" "$([ $((0x$state)) -eq "$size" ] || echo "$state, $size bytes")"
tap_done
