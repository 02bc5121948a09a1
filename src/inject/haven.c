/* SPDX-License-Identifier: MIT */
/*
 * A thread whose registers are borrowed comes home by itself.
 *
 * When a tracer dies, the kernel lets its tracees run with the registers they happen to have. A thread that makes a system
 * call for us would go on behind our `syscall` instruction with our arguments in its registers and nearly all its
 * signals blocked. So it makes its calls in a haven, a few pages of ours in its process:
 *
 *     syscall                 what we want; the tracer stops it here, at the call's exit, and takes the result
 *     mov $15, %eax
 *     syscall                 rt_sigreturn: registers, vector registers and signal mask from the frame that rsp points to
 *     [frame]
 *
 * In the ordinary course the tracer puts everything back itself and the second call is never made. If the tracer is no
 * more, the thread runs on, and the kernel gives it back what was its own. It is as if a signal handler had run.
 *
 * Rules:
 *  - The frame is complete before the first register changes; the mask is changed after the registers and
 *    given back before them: at no moment does the thread run outside of the haven with a mask that is not its own.
 *  - rt_sigreturn makes no restarts. A frame for a thread that was in a call stands in front of the call; so a sleep that
 *    the kernel would have resumed begins anew.
 *  - A haven is for one thread at a time, and for one tracer: who comes after a tracer that was killed needs another one,
 *    because a thread may still be on its way out of the old one.
 *  - Shadow stacks would have to be unwound, too: such a thread gets no haven. Neither does the very first call,
 *    which makes the room.
 */
#include "inject/internal.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "inject/x86_64/haven.h"
#include "inject/x86_64/regs.h"

#define XSTATE 0x202 /* NT_X86_XSTATE */
#define SHADOW_STACK 0x204 /* NT_X86_SHSTK */

static s64 get_regset(const struct inject_thread *th, long set, void *buf, size_t n)
{
	struct iovec v = {.iov_base = buf, .iov_len = n};

	return ptrace(PTRACE_GETREGSET, th->tid, (void *)set, &v) ? -errno : (s64)v.iov_len;
}

/* A sleep that the kernel has resumed before is in restart_syscall(2), for which rt_sigreturn leaves nothing to be
 * resumed. Its arguments are still those of the call that it was; its number is in the code in front. */
static u64 call_begun(struct inject_target *t, const struct user_regs_struct *r, u64 insn)
{
	u64 nr = r->orig_rax;

	if (nr == SYS_restart_syscall)
		regs_call_at(t, insn, &nr);
	return nr;
}

/* The registers with which the thread does what the kernel would have it do now. */
static struct user_regs_struct regs_at_home(struct inject_target *t, const struct inject_thread *th)
{
	struct inject_thread home = *th;
	struct user_regs_struct *r = &home.regs;

	inject_repair(&home);
	if (inject_thread_restarts(&home)) {
		r->rip -= INJECT_SYSCALL_LEN;
		r->rax = call_begun(t, r, r->rip);
	} else if (regs_call(r) >= 0 && r->rax == SYS_restart_syscall) { /* just about to */
		r->rax = call_begun(t, r, r->rip);
	}
	return home.regs;
}

bool inject_haven_enter(struct inject_target *t, struct inject_thread *th, u64 sigmask)
{
	_Alignas(64) u8 page[INJECT_HAVEN_SIZE] = {0};
	const size_t room = sizeof(page) - HAVEN_FP - INJECT_HAVEN_TEXT;
	struct user_regs_struct regs;
	u64 shadow;
	s64 n;
	u32 fp;

	th->in_haven = false;
	if (!t->haven || get_regset(th, SHADOW_STACK, &shadow, sizeof(shadow)) >= 0)
		return false;
	n = get_regset(th, XSTATE, page + HAVEN_FP, room);
	fp = n > 0 ? haven_fill_fp(page + HAVEN_FP, (size_t)n, room) : 0;
	if (!fp)
		return false;
	memcpy(page, haven_code, sizeof(haven_code));
	regs = regs_at_home(t, th);
	haven_fill_context(&regs, sigmask, t->haven + HAVEN_FP, (struct haven_context *)(page + HAVEN_CONTEXT));
	if (inject_write(t, t->haven, page, HAVEN_FP + fp))
		return false;
	th->in_haven = true;
	inject_haven_regs(t, th, SYS_getpid, (const u64[6]){0}, &regs);
	th->dirty = true;
	if (!ptrace(PTRACE_SETREGS, th->tid, NULL, &regs))
		return true;
	th->in_haven = false;
	return false;
}

void inject_haven_regs(const struct inject_target *t, const struct inject_thread *th, long nr, const u64 arg[6],
		       struct user_regs_struct *ret)
{
	bool inside = th->in_haven && t->haven;

	*ret = th->regs;
	regs_set_call(ret, inside ? t->haven : t->syscall_insn, nr, arg);
	if (inside)
		ret->rsp = t->haven + HAVEN_CONTEXT;
}
