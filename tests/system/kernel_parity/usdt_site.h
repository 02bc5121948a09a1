/* SPDX-License-Identifier: MIT */
/* For the assembler: USDT name semaphore arguments - a nop, and the note that tells of it. */
	.macro USDT name sem args
9990:	nop
	.pushsection .note.stapsdt, "", "note"
	.balign 4
	.4byte 9992f - 9991f, 9994f - 9993f, 3
9991:	.asciz "stapsdt"
9992:	.balign 4
9993:	.8byte 9990b
	.8byte _.stapsdt.base
	.8byte \sem
	.asciz "parity"
	.asciz "\name"
	.asciz "\args"
9994:	.balign 4
	.popsection
	.endm

	.pushsection .stapsdt.base, "aG", "progbits", .stapsdt.base, comdat
	.weak _.stapsdt.base
	.hidden _.stapsdt.base
_.stapsdt.base:
	.space 1
	.size _.stapsdt.base, 1
	.popsection
