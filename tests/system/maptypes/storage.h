/* SPDX-License-Identifier: MIT */
/* What storage.bpf.c and its test share. */
#pragma once

enum storage_op {
	OP_COUNT, /* add a to this thread's value, flags b: value * 10000 + calls, or -1 */
	OP_FORGET,
	OP_DRAIN, /* flags b */
	OP_REGS,
	OP_TASK_STACK,
	OP_ON_CPU, /* element a of CPU b */
};
