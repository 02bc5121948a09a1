/* SPDX-License-Identifier: MIT */
/*
 * Who cannot have a return probe. While the body of a probed function runs, its return address is
 * ours and rbx points to our entry, so the function must save rbx, must come back exactly once, and
 * must not ask who called it. Nor must anybody else: a virtual machine finds the frames of its compiled code by the return
 * addresses of its own functions.
 */
#include "patch/x86_64/binary.h"

#include <string.h>

#include "base/bits.h"

/* Sorted. Returns twice or elsewhere: setjmp, contexts, vfork, clone. Looks at its return address:
 * dlopen, dlsym (whose namespace?), dl_iterate_phdr. Not entered by a plain call: resolvers,
 * profiling hooks. Never returns: throw. */
static const char *const exact[] = {
	"___dlmopen", "___dlopen", "___dlsym", "___dlvsym", "__clone", "__clone3",
	"__cxa_call_unexpected",
	"__cxa_rethrow", "__cxa_throw", "__dl_iterate_phdr", "__dlmopen", "__dlopen", "__dlsym",
	"__dlvsym", "__fentry__",
	"__getcontext", "__libc_dlopen_mode", "__libc_dlsym", "__libc_dlvsym", "__libc_vfork",
	"__makecontext", "__mcount",
	"__restore", "__restore_rt", "__return_to_handler", "__setjmp", "__sigsetjmp",
	"__start_context", "__swapcontext",
	"__tls_get_addr", "__tls_get_addr_slow", "__vfork", "_dl_open", "_dl_sym", "_dl_vsym",
	"_mcount", "_setjmp",
	"_start", "clone", "clone3", "dl_iterate_phdr", "dlmopen", "dlmopen_implementation",
	"dlopen",
	"dlopen_implementation", "dlsym", "dlsym_implementation", "dlvsym", "dlvsym_implementation",
	"getcontext",
	"makecontext", "mcount", "savectx", "setjmp", "sigsetjmp", "swapcontext",
	"uw_init_context_1",
	"uw_install_context_1", "vfork",
};
static const char *const prefix[] = {
	"_Unwind_", "_dl_runtime_", "_dl_tlsdesc", "__morestack", "__x86_indirect_thunk",
	"__x86_return_thunk",
	"__llvm_retpoline",
};

/* Symbols of static binaries may carry their version: name@VERSION. */
static int compare_name(const char *name, const char *want)
{
	for (; *name && *name == *want; name++, want++)
		;
	return (*name == '@' ? 0 : (u8)*name) - (u8)*want;
}

static bool name_is_listed(const char *name)
{
	u32 lo = 0, hi = bits_count(exact);

	for (u32 i = 0; i < bits_count(prefix); i++)
		if (!strncmp(name, prefix[i], strlen(prefix[i])))
			return true;
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		int c = compare_name(name, exact[mid]);

		if (!c)
			return true;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

enum patch_reason return_refused(const struct patch_binary *b, s64 f)
{
	const struct patch_func *func = b->desc.func;

	if (b->desc.walks_stacks)
		return PATCH_R_NO_RETURN_PROBE;
	if (b->desc.entry && func[f].vaddr == b->desc.entry) /* _start, also without its name */
		return PATCH_R_NO_RETURN_PROBE;
	for (s64 k = f; k < b->desc.nfunc && func[k].vaddr == func[f].vaddr; k++)
		if (func[k].name && name_is_listed(func[k].name))
			return PATCH_R_NO_RETURN_PROBE;
	return b->info[f].flags & FUNC_RBX_USED ? PATCH_R_RBX : PATCH_OK;
}
