/* SPDX-License-Identifier: MIT */
#include "broker/link/signal_frame.h"

#include <stddef.h>
#include <string.h>
#include <ucontext.h>

static bool is_restorer(struct process *p, u64 at)
{
	static const u8 long_form[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	static const u8 short_form[] = { 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	u8 code[sizeof(long_form)];

	for (const struct code_region *r = p->regions; r; r = r->next)
		if (at - r->base < r->size)
			return true;
	if (inject_read(&p->target, at, code, sizeof(code)))
		return false;
	return !memcmp(code, long_form, sizeof(long_form)) || !memcmp(code, short_form, sizeof(short_form));
}

#define USER_SEGMENTS 0x002b000000000033ull /* ss, fs, gs, cs of 64-bit code */

bool signal_frame_at(struct process *p, u64 addr)
{
	const u64 back = offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]) + 8;
	struct {
		u64 rip, flags, segments;
	} regs;
	u64 restorer;

	_Static_assert(REG_EFL == REG_RIP + 1 && REG_CSGSFS == REG_RIP + 2, "as in the frame");
	if (inject_read(&p->target, addr, &regs, sizeof(regs)) || regs.segments != USER_SEGMENTS ||
	    inject_read(&p->target, addr - back, &restorer, sizeof(restorer)))
		return false;
	return is_restorer(p, restorer);
}
