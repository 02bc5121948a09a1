#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh BLOB SYMBOL OUT.S - write an assembler file that holds the bytes of BLOB between SYMBOL and SYMBOL_end.
# The bytes are spelled out: .incbin would be a dependency that no build tool sees.
set -eu
{
	printf '\t.section .rodata\n\t.global %s, %s_end\n\t.hidden %s, %s_end\n\t.balign 4096\n%s:\n' "$2" "$2" "$2" "$2" "$2"
	od -An -v -tx1 -w32 "$1" | sed 's/^ *//; s/  */, 0x/g; s/^/\t.byte 0x/'
	printf '%s_end:\n\t.section .note.GNU-stack,"",@progbits\n' "$2"
} > "$3.tmp"
mv "$3.tmp" "$3"
