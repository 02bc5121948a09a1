/* SPDX-License-Identifier: MIT */
/*
 * A system call made by a thread of the target.
 *
 *     stop --set registers--> PTRACE_SYSCALL -> entry -> PTRACE_SYSCALL -> exit     (next call: from here)
 *                                                                           |
 *     stop <-- interrupt, PTRACE_CONT --------------------------------------+      registers put back here only
 *
 * Rules:
 *  - Registers are saved and put back in a stop of kind INJECT_STOP, never at a call's exit: behind the exit of a call
 *    the kernel looks for calls to restart only if something else makes it, and the call that the thread was in would
 *    return -ERESTARTSYS to the program.
 *  - No single steps. They end in a SIGTRAP that the kernel forces upon the thread: where the program blocks or ignores
 *    SIGTRAP, that would silently reset its handler. Stops at calls are not signals.
 *  - All signals but the synchronous ones are blocked meanwhile, so none is taken from its queue and loses its siginfo.
 *    PTRACE_GETSIGMASK gives the mask that ppoll and friends have put aside, and setting it drops that state; the
 *    restarted call sets it up afresh. Not blocked: what the kernel would force through a block.
 *  - A thread that stands in a restartable sequence (rseq(2)) is treated as if the kernel had preempted it there:
 *    its program counter goes to the abort handler. Moving it away and back would leave it inside unprotected.
 *  - If our process is killed in the midst of a call, the thread goes on behind the `syscall` instruction. There, in a
 *    haven, it finds its way back (haven.c).
 */
#include "inject/internal.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include "inject/x86_64/regs.h"
#include "util/proc.h"

#define CALL_LIMIT (10000 * INJECT_MS) /* a call that does not block takes longer only in a machine in trouble */
#define GET_RSEQ_CONFIGURATION 0x420f
#define SUSPEND_SECCOMP (1u << 21) /* PTRACE_O_SUSPEND_SECCOMP */

/* struct ptrace_rseq_configuration and struct rseq_cs of the kernel, for libc headers that are too old. */
struct rseq_conf {
	u64 abi;
	u32 size, signature, flags, pad;
};
struct rseq_section {
	u32 version, flags;
	u64 start, len, abort;
};
#define RSEQ_CS_FIELD 8u /* offset of the pointer to the current section */

static long ptrace_call(long req, const struct inject_thread *th, u64 addr, u64 data)
{
	return ptrace((enum __ptrace_request)req, th->tid, (void *)addr, (void *)data);
}

static u64 sig_bit(int sig)
{
	return 1ull << (sig - 1);
}

static u64 blocked_set(void)
{
	return ~(sig_bit(SIGSEGV) | sig_bit(SIGBUS) | sig_bit(SIGILL) | sig_bit(SIGFPE) |
		 sig_bit(SIGTRAP) | sig_bit(SIGSYS));
}

static int seccomp_allows(struct inject_target *t, struct inject_thread *th)
{
	u32 mode = 0;
	int r = proc_seccomp(th->tid, &mode);

	if (r)
		return r;
	/* seccomp_ok: what we do is allowed. The thread's own call, which begins again, belongs to its filter. */
	if (!mode || t->seccomp_ok)
		return ptrace_call(PTRACE_SETOPTIONS, th, 0, PTRACE_O_TRACESYSGOOD) ? -errno : 0;
	/* A privileged tracer may have filters not looked at while it is attached. */
	if (!ptrace_call(PTRACE_SETOPTIONS, th, 0, PTRACE_O_TRACESYSGOOD | SUSPEND_SECCOMP)) {
		th->unfiltered = true;
		return 0;
	}
	return -EACCES;
}

static void leave_rseq(struct inject_target *t, struct inject_thread *th)
{
	struct rseq_conf conf = {0};
	struct rseq_section cs;
	u64 at = 0, none = 0;

	if (ptrace_call(GET_RSEQ_CONFIGURATION, th, sizeof(conf), (u64)&conf) <= 0 || !conf.abi)
		return;
	if (inject_read(t, conf.abi + RSEQ_CS_FIELD, &at, 8) || !at || inject_read(t, at, &cs, sizeof(cs)))
		return;
	if (th->regs.rip - cs.start >= cs.len)
		return;
	if (!inject_write(t, conf.abi + RSEQ_CS_FIELD, &none, 8)) {
		th->regs.rip = cs.abort;
		th->dirty = true;
	}
}

int inject_remote_begin(struct inject_target *t, struct inject_thread *th)
{
	u64 mask, block = blocked_set();
	u8 insn[INJECT_SYSCALL_LEN];
	int r;

	r = inject_thread_settle(t, th, inject_now_ns() + 200 * INJECT_MS);
	if (!r)
		r = inject_thread_regs(th);
	if (r)
		return r;
	inject_wait_check(t, th);
	if (th->regs.cs != INJECT_CS_64)
		return -ENOEXEC; /* a thread that runs 32-bit code for the moment */
	r = seccomp_allows(t, th);
	if (r)
		return r;
	if (ptrace_call(PTRACE_GETSIGMASK, th, sizeof(mask), (u64)&mask))
		return -errno;
	/* Unmapped, another program by now, or the thread was killed: then its memory is gone, too. */
	if (inject_read(t, t->syscall_insn, insn, sizeof(insn)) || !regs_is_syscall_insn(insn))
		return ptrace_call(PTRACE_GETSIGMASK, th, sizeof(mask), (u64)&mask) ? -ESRCH : -ESTALE;
	leave_rseq(t, th);
	inject_haven_enter(t, th, mask);
	if (ptrace_call(PTRACE_SETSIGMASK, th, sizeof(block), (u64)&block))
		return -errno;
	th->sigmask = mask;
	th->have_mask = true;
	return 0;
}

/* Lets the thread go on to its next stop at a call. 0, -ESRCH, -ETIMEDOUT, -EFAULT. */
static int next_call_stop(struct inject_target *t, struct inject_thread *th, u64 deadline)
{
	u64 pass = 0;

	for (;;) {
		int sig;

		if (ptrace_call(PTRACE_SYSCALL, th, 0, pass)) {
			inject_thread_poll(t, th, &sig);
			return -ESRCH;
		}
		th->stopped = false;
		pass = 0;
		switch (inject_thread_wait(t, th, deadline, &sig)) {
		case INJECT_NOTHING: return -ETIMEDOUT;
		case INJECT_GONE: return -ESRCH;
		case INJECT_SYSCALL: return 0;
		case INJECT_STOP: break; /* group stop or its end: the thread is ours and goes on all the same */
		case INJECT_SIGNAL:
			if (sig == SIGSTOP) {
				pass = SIGSTOP; /* stops the others; this one comes back as INJECT_STOP */
				break;
			}
			/* A fault at the `syscall` instruction: not for the program to see. A signal of this kind
			 * that somebody sent is delivered after the call. */
			th->sig = sig;
			th->at = INJECT_AT_SIGNAL;
			return -EFAULT;
		}
	}
}

s64 inject_remote_call(struct inject_target *t, struct inject_thread *th, long nr, const u64 arg[6])
{
	struct user_regs_struct r;
	u64 deadline = inject_now_ns() + CALL_LIMIT;
	int err;

	if (th->gone || !th->stopped)
		return -ESRCH;
	if (t->haven && !th->in_haven) /* made since the thread was borrowed */
		inject_haven_enter(t, th, th->sigmask);
	inject_haven_regs(t, th, nr, arg, &r);
	if (ptrace_call(PTRACE_SETREGS, th, 0, (u64)&r))
		return -errno;
	th->dirty = true; /* the thread's own registers are due */
	err = next_call_stop(t, th, deadline); /* entry */
	if (!err)
		err = next_call_stop(t, th, deadline); /* exit */
	if (err)
		return err;
	th->at = INJECT_AT_SYSCALL_EXIT;
	errno = 0;
	r.rax = (u64)ptrace(PTRACE_PEEKUSER, th->tid, offsetof(struct user, regs.rax), NULL);
	return errno ? -errno : (s64)r.rax;
}

/* From a call's exit to a stop in which registers may be put back. */
static int reach_stop(struct inject_target *t, struct inject_thread *th)
{
	u64 deadline = inject_now_ns() + CALL_LIMIT, pass = 0;
	int sig;

	while (th->at != INJECT_AT_STOP) {
		if (th->stopped && (ptrace_call(PTRACE_INTERRUPT, th, 0, 0) ||
				    ptrace_call(PTRACE_CONT, th, 0, pass))) {
			inject_thread_poll(t, th, &sig);
			return -ESRCH;
		}
		th->stopped = false;
		pass = 0;
		switch (inject_thread_wait(t, th, deadline, &sig)) {
		case INJECT_NOTHING: return -ETIMEDOUT;
		case INJECT_GONE: return -ESRCH;
		case INJECT_STOP: th->at = INJECT_AT_STOP; break;
		case INJECT_SYSCALL: break;
		case INJECT_SIGNAL:
			if (sig == SIGSTOP)
				pass = SIGSTOP;
			else
				th->sig = sig;
			break;
		}
	}
	return 0;
}

void inject_remote_end(struct inject_target *t, struct inject_thread *th)
{
	if (th->gone || reach_stop(t, th)) {
		t->haven = 0; /* it may be on its way home: its frame is not to be touched any more */
		return;
	}
	if (th->have_mask)
		ptrace_call(PTRACE_SETSIGMASK, th, sizeof(th->sigmask), (u64)&th->sigmask);
	th->have_mask = false;
	if (th->dirty && !ptrace_call(PTRACE_SETREGS, th, 0, (u64)&th->regs))
		th->dirty = th->in_haven = false;
	/* A signal cannot be handed in at this kind of stop, so it is sent anew. */
	if (th->sig)
		syscall(SYS_tgkill, t->pid, th->tid, th->sig);
	th->sig = 0;
}
