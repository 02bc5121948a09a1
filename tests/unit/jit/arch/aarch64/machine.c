/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <sched.h>

const enum jit_arch machine_arch = JIT_AARCH64;

bool machine_has_bmi2(void)
{
	return false;
}

u32 machine_cpu(void)
{
	return (u32)sched_getcpu();
}

/* x23 is the program's ctx. */
__asm__(".text\n.globl machine_loop_stub\n.hidden machine_loop_stub\nmachine_loop_stub:\n"
	"mov x3, x23\nb jt_loop\n"
	".globl machine_call_back\n.hidden machine_call_back\nmachine_call_back:\n"
	"stp x23, x30, [sp, #-16]!\nmov x23, x3\nmov x9, x0\nmov x0, x1\nmov x1, x2\nblr x9\n"
	"ldp x23, x30, [sp], #16\nret\n");

/* Loads x0 - x29 from regs[0..29], calls fn, stores them to regs[32..61] and how far sp has moved to regs[62]. */
void machine_enter(u64 fn, u64 regs[64]);
__asm__(".text\n.globl machine_enter\n.hidden machine_enter\n.type machine_enter,%function\nmachine_enter:\n"
	"stp x29, x30, [sp, #-112]!\n"
	"stp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\nstp x23, x24, [sp, #48]\nstp x25, x26, [sp, #64]\n"
	"stp x27, x28, [sp, #80]\nstr x1, [sp, #96]\n"
	"mov x30, sp\nstr x30, [x1, #496]\n"
	"mov x30, x0\n"
	"ldp x2, x3, [x1, #16]\nldp x4, x5, [x1, #32]\nldp x6, x7, [x1, #48]\nldp x8, x9, [x1, #64]\n"
	"ldp x10, x11, [x1, #80]\nldp x12, x13, [x1, #96]\nldp x14, x15, [x1, #112]\nldp x16, x17, [x1, #128]\n"
	"ldp x18, x19, [x1, #144]\nldp x20, x21, [x1, #160]\nldp x22, x23, [x1, #176]\nldp x24, x25, [x1, #192]\n"
	"ldp x26, x27, [x1, #208]\nldp x28, x29, [x1, #224]\nldp x0, x1, [x1]\n"
	"blr x30\n"
	"ldr x30, [sp, #96]\nadd x30, x30, #256\n"
	"stp x0, x1, [x30]\nstp x2, x3, [x30, #16]\nstp x4, x5, [x30, #32]\nstp x6, x7, [x30, #48]\n"
	"stp x8, x9, [x30, #64]\nstp x10, x11, [x30, #80]\nstp x12, x13, [x30, #96]\nstp x14, x15, [x30, #112]\n"
	"stp x16, x17, [x30, #128]\nstp x18, x19, [x30, #144]\nstp x20, x21, [x30, #160]\nstp x22, x23, [x30, #176]\n"
	"stp x24, x25, [x30, #192]\nstp x26, x27, [x30, #208]\nstp x28, x29, [x30, #224]\n"
	"mov x0, sp\nldr x1, [x30, #240]\nsub x0, x0, x1\nstr x0, [x30, #240]\n"
	"ldp x19, x20, [sp, #16]\nldp x21, x22, [sp, #32]\nldp x23, x24, [sp, #48]\nldp x25, x26, [sp, #64]\n"
	"ldp x27, x28, [sp, #80]\nldp x29, x30, [sp], #112\n"
	"ret\n.size machine_enter,.-machine_enter\n");

u64 machine_run(u64 fn, u64 ctx, u32 clobbers, u32 *ret_bad)
{
	u64 regs[64] = {0};
	u32 bad = 0;

	for (u32 r = 0; r < 30; r++)
		regs[r] = 0x0101010101010101ull * r + 0x0f1e2d3c4b5a6978ull;
	regs[0] = ctx;
	machine_enter(fn, regs);
	for (u32 r = 1; r < 30; r++)
		if (regs[r] != regs[32 + r] && !(clobbers >> r & 1))
			bad |= 1u << r;
	if (regs[62])
		bad |= 1u << 31;
	*ret_bad = bad;
	return regs[32];
}
