/* SPDX-License-Identifier: MIT */
/*
 * While the body of a return-probed function runs, its caller is a thunk: no frame of the program, but the unwinder
 * must step over it. One FDE covers all thunks of a region, since all have the same rule (abi/payload.h):
 *
 *     CFA = rsp + 8        the unwinder asserts that no two frames have the same CFA, and the body's own is rsp
 *     rsp = rsp            the thunk has no frame of its own
 *     RA  = *[rbx]         rbx points to the call's struct nt_ret_entry
 *     rbx = *[rbx + 8]
 */
#include "patch/x86_64/frames.h"

#include <errno.h>
#include <string.h>

enum { DW_RBX = 3, DW_RSP = 7, DW_RA = 16, DW_BREG3 = 0x73, DW_BREG7 = 0x77 };
enum { CFA_DEF_CFA = 0x0c, CFA_EXPRESSION = 0x10, CFA_VAL_EXPRESSION = 0x16 };
enum { PE_UDATA4 = 0x03, PE_PCREL_SDATA4 = 0x1b, PE_DATAREL_SDATA4 = 0x3b };

#define HDR_SIZE 20u
#define CIE_OFF HDR_SIZE
#define CIE_SIZE 40u
#define FDE_OFF (CIE_OFF + CIE_SIZE)
#define FDE_SIZE 24u

static void put32(u8 *p, u64 v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (u8)(v >> (8 * i));
}

static const u8 cie[] = {
	0, 0, 0, 0,		     /* id: this is a CIE */
	1, 'z', 'R', 0, 1, 0x78, DW_RA, /* version, augmentation, code and data alignment (1, -8), RA column */
	1, PE_PCREL_SDATA4,	     /* augmentation data: encoding of FDE addresses */
	CFA_DEF_CFA, DW_RSP, 8,
	CFA_VAL_EXPRESSION, DW_RSP, 2, DW_BREG7, 0,
	CFA_EXPRESSION, DW_RA, 2, DW_BREG3, 0,
	CFA_EXPRESSION, DW_RBX, 2, DW_BREG3, 8,
};
_Static_assert(sizeof(cie) <= CIE_SIZE - 4, "fits");

int frames_write(u64 lo, u64 hi, u64 at, u8 out[FRAMES_SIZE])
{
	s64 d = (s64)(lo - at);

	if (d != (s32)d || hi - lo > INT32_MAX)
		return -ERANGE;
	memset(out, 0, FRAMES_SIZE);
	out[0] = 1;
	out[1] = PE_PCREL_SDATA4;
	out[2] = PE_UDATA4;
	out[3] = PE_DATAREL_SDATA4;
	put32(out + 4, CIE_OFF - 4);
	put32(out + 8, 1);
	put32(out + 12, (u64)d);
	put32(out + 16, FDE_OFF);

	put32(out + CIE_OFF, CIE_SIZE - 4);
	memcpy(out + CIE_OFF + 4, cie, sizeof(cie)); /* padded with DW_CFA_nop = 0 */

	put32(out + FDE_OFF, FDE_SIZE - 4);
	put32(out + FDE_OFF + 4, FDE_OFF + 4 - CIE_OFF);
	put32(out + FDE_OFF + 8, lo - (at + FDE_OFF + 8));
	put32(out + FDE_OFF + 12, hi - lo);
	return 0; /* augmentation length 0, no instructions; a zero length word ends the section */
}
