/* SPDX-License-Identifier: MIT */
/*
 * Which functions of Go programs can be probed. How a slot gets along without the goroutine's stack is in go_stack.c.
 * Refused is what runs before a thread has its thread pointer, and what the runtime enters otherwise than by a call:
 *
 *     runtime.goexit            is returned to, one byte behind its start
 *     runtime.asyncPreempt      is entered between any two instructions, with the flags alive
 *     runtime.systemstack_switch  is looked for by its addresses
 *
 * The first two are known by their bytes as well, for stripped programs.
 */
#include "patch/x86_64/binary.h"

#include <string.h>

#include "base/bits.h"

static const char *const names[] = {
	"_rt0_", "runtime.asyncPreempt", "runtime.goexit", "runtime.rt0_go", "runtime.settls", "runtime.sigreturn",
	"runtime.systemstack_switch",
};

/* "runtime.goexit.abi0" as well, but not "runtime.goexit0" and "runtime.goexit1". */
static bool is_listed(const char *name)
{
	for (u32 i = 0; i < bits_count(names); i++) {
		size_t n = strlen(names[i]);

		if (!strncmp(name, names[i], n) && (names[i][n - 1] == '_' || !name[n] || name[n] == '.'))
			return true;
	}
	return false;
}

enum patch_reason go_refused(const struct patch_binary *b, s64 f, const u8 *at, u64 n)
{
	static const u8 preempt[] = { 0x55, 0x48, 0x89, 0xe5, 0x9c }; /* push rbp; mov rbp, rsp; pushfq */
	const struct patch_func *func = b->desc.func;

	if (n < 7 || (at[0] == 0x90 && at[1] == 0xe8 && at[6] == 0x90) || at[0] == 0x9c ||
	    !memcmp(at, preempt, sizeof(preempt)))
		return PATCH_R_GO;
	for (s64 k = f; k < b->desc.nfunc && func[k].vaddr == func[f].vaddr; k++)
		if (func[k].fragment || (func[k].name && is_listed(func[k].name)))
			return PATCH_R_GO;
	return PATCH_OK;
}
