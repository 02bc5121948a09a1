/* SPDX-License-Identifier: MIT */
/*
 * Reaching into a target from outside: memory, a borrowed thread for a few system calls, all threads stopped for the
 * moment of patching. Every function leaves the target able to run on, whatever fails. Errors are -errno.
 *
 * One struct inject_target is used by one thread at a time. Between inject_borrow() and inject_give_back(), and between
 * inject_stop() and inject_resume(), a helper thread of this process is the tracer (see tracer.c); the caller must not
 * wait for "any child" in that time. A target that calls execve needs a fresh inject_open(): the memory and the address
 * of its system call instruction belong to the old image.
 */
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include "abi/types.h"

struct inject_tracer;
struct inject_willing; /* willing.h */

/* What a thread was seen in before it was stopped (wait.c). */
struct inject_wait {
	long nr;	/* the call it slept in; -1: none that matters */
	u64 a[6];
	u64 began_ns;	/* CLOCK_MONOTONIC; 0: unknown */
	u64 switches;	/* how often it had slept */
	u64 told_ns;	/* when it was told to stop */
	bool checked;
};

struct inject_thread {
	pid_t tid;
	int sig;	/* signal caught on the way in: given back at detach */
	bool seized, stopped, gone, have_regs, dirty;
	struct user_regs_struct regs; /* as the target shall see them when it goes on */
	bool group_stop; /* it was stopped by SIGSTOP and the like, and will be again */
	bool have_mask;
	u64 sigmask;	 /* its own, while we have replaced it */
	u8 at;		 /* internal: where a borrowed thread stands */
	bool landing;	 /* on its way into its call again (land.c) */
	bool told;	 /* and was told of a signal */
	bool repaired;	 /* its call had said EINTR */
	bool in_haven;	 /* makes its calls in the haven */
	struct inject_wait wait;
	bool unfiltered; /* its seccomp filter is not looked at while it is traced */
};

/* Scheduling of the calling thread as it was before a stop raised it. */
struct inject_urgency {
	bool fifo, niced;
	int policy, priority, nice;
};

/* Raises the calling thread to real-time priority, or the best nice value that is allowed; ends with it. A stop and a
 * loan do so by themselves; who makes several of them does not lose its CPU in between. */
void inject_urgency_begin(struct inject_urgency *ret);
void inject_urgency_end(struct inject_urgency *u);

/* Code in the target that brings calls to the end that they would have had without a stop (piece.c). */
#define INJECT_PIECES 1024u
struct inject_piece {
	u64 pc;	      /* where the program goes on behind it */
	u64 deadline; /* of the call in it, as CLOCK_MONOTONIC; 0: none that we keep */
	u64 call;     /* the program's call, where the piece may make it; 0: never */
	u16 pc_at;    /* where the code has pc, and behind it call */
	bool used;
};
struct inject_pieces {
	u64 page; /* 0 = none yet */
	struct inject_piece *piece; /* [INJECT_PIECES] */
	u32 used;
};

/* The clock of a CPU, as last looked at (wait.c). */
#define INJECT_CLOCKS 16
struct inject_clock {
	int cpu;
	s64 offset;
	u64 at_ns;
};

/* Readable memory, as inject_scan_prepare() saw it. */
struct inject_areas {
	struct inject_area {
		u64 start, end;
	} *area;
	u32 n, cap;
};

/* Bytes of a haven, see inject_target.haven. */
#define INJECT_HAVEN_SIZE (4u * NT_PAGE)
#define INJECT_HAVEN_TEXT 64u /* at its end: an argument of a call */

struct inject_target {
	pid_t pid;
	int mem;	/* /proc/PID/mem, O_RDWR */
	int pidfd;
	int taskfd;
	u64 syscall_insn; /* address of a `syscall` instruction in the target */
	struct inject_thread *thread;
	u32 nthreads, cap;
	u64 stop_begin_ns, stop_end_ns; /* of the last stop: first interrupt to last detach */
	/* Set by the caller as soon as it can: INJECT_HAVEN_SIZE bytes of executable memory in the target, ours alone and
	 * on a page boundary. A borrowed thread then makes its calls there and returns to its own state by itself if we
	 * are killed (haven.c). 0: none. */
	u64 haven;
	int borrowed;	/* index of the thread whose registers we use, -1 none */
	bool seccomp;	 /* found at open: the process runs under a seccomp filter */
	bool seccomp_ok; /* set by the caller: borrow a filtered thread all the same */
	bool no_open;	 /* it cannot open descriptors of ours (fds.c) */
	bool own_child;	 /* we are its parent: its exit status is not ours to eat */
	bool stopped;	 /* between inject_stop() and inject_resume() */
	bool held;	 /* inside inject_hold() */
	u32 rounds;	 /* scans of the thread list the last stop needed */
	u32 repaired;	 /* system calls restarted or completed by the last resume or give back */
	struct inject_pieces pieces;
	struct inject_clock clock[INJECT_CLOCKS];
	struct inject_areas areas;
	struct inject_urgency urgency;
	struct inject_tracer *tracer;
	const struct inject_willing *willing; /* its thread makes our calls itself; NULL: ptrace */
};

/*
 * Opens a target; nothing is stopped. -ESRCH no such process, -EPERM not ours (another user, not dumpable),
 * -EBUSY already traced by a debugger (TracerPid), -ENOEXEC a 32-bit process.
 */
int inject_open(pid_t pid, struct inject_target *ret);
void inject_close(struct inject_target *t);

/* Memory of the target through /proc/PID/mem: ignores page protection (private pages are copied). 0 or -errno;
 * a short transfer is -EFAULT. */
int inject_read(struct inject_target *t, u64 addr, void *buf, size_t n);
int inject_write(struct inject_target *t, u64 addr, const void *buf, size_t n);

/* Borrow one thread (only that one is stopped), make system calls in it, give it back. A thread inside a system call
 * is preferred; its call is restarted invisibly. Works also while all are stopped by inject_stop().
 * -ESRCH the target is gone, -EBUSY somebody else traces it or a thread is borrowed already, -ETIMEDOUT no thread
 * stops, -EACCES the thread is under a seccomp filter that could answer a system call by killing the process: the
 * filter can neither be suspended (that takes CAP_SYS_ADMIN) nor has the caller set seccomp_ok. -ESTALE the target runs
 * another program than when it was opened. */
int inject_borrow(struct inject_target *t);
/* The call's result or its -errno; -ESRCH: the target died (inject_give_back() is still due). Only calls that do not
 * block: a blocking one would overwrite what the thread's own interrupted call needs for its restart. */
s64 inject_syscall(struct inject_target *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5);
void inject_give_back(struct inject_target *t);
/*
 * Calls fn(arg) with one tracer for all that it borrows and stops: threads that are given back or resumed go on, but are
 * let go of only at the end. So the second stop costs no seizing, and no thread of ours is made for it. In between, a
 * signal that comes for such a thread waits, and the thread with it: fn is not to take long. fn must not close the
 * target. Where a tracer cannot be made, fn is called all the same. Returns what fn returns.
 */
int inject_hold(struct inject_target *t, int (*fn)(void *arg), void *arg);

/* With a borrowed thread: calls fn(arg) where its calls of this interface cost no hand-over to another thread each. fn
 * neither borrows nor gives back. Returns what fn returns. */
int inject_session(struct inject_target *t, int (*fn)(void *arg), void *arg);

/* With a borrowed thread: hand over descriptors (SCM_RIGHTS through a socketpair made in the target). remote[i] is
 * the number in the target (close-on-exec); the caller closes them there when mapped. All or none: -EMFILE the target's
 * limit of open files does not allow n more. */
int inject_send_fds(struct inject_target *t, const int *fd, u32 n, int *remote);

/* Stops every thread. -ETIMEDOUT: some thread does not stop (vfork parent, uninterruptible); nothing stays stopped.
 * -ESRCH the target is gone, -EBUSY a debugger has it. timeout in milliseconds. On success the registers of every
 * stopped thread are in thread[i].regs. */
int inject_stop(struct inject_target *t, u32 timeout_ms);
/* Resumes and detaches all; interrupted system calls are made invisible (restart, completion of short counts). */
void inject_resume(struct inject_target *t);

int inject_regs(struct inject_target *t, u32 thread); /* fills thread[i].regs */
/* Changes regs of a stopped thread; written at resume. A thread that stopped inside a system call which will be
 * restarted (inject_restarts()) goes on at pc - 2, so there must be a `syscall` instruction in front of pc. */
bool inject_restarts(const struct inject_target *t, u32 thread);
void inject_set_pc(struct inject_target *t, u32 thread, u64 pc);
/* What inject_set_pc() has changed takes effect now: code may be written after it, and if we are killed meanwhile every
 * thread stands where it must. 0 or -errno. */
int inject_settle_pcs(struct inject_target *t);

/* While stopped: places where threads that are in code of ours (piece.c) go on, or begin a call of theirs. visit() returns
 * where it shall be instead, 0: as it is. */
void inject_homes_each(struct inject_target *t, u64 (*visit)(u64 pc, void *arg), void *arg);

/* For every stopped thread: calls visit(word, address, thread, arg) for each 8-byte stack word with lo <= word < hi,
 * from the stack pointer up to the first page that is not there, at most limit bytes. Returns the number of visits or
 * -errno. Only the stack a thread stands on is seen (stack.c). */
int inject_scan_stacks(struct inject_target *t, u64 lo, u64 hi, size_t limit,
		       void (*visit)(u64 word, u64 addr, u32 thread, void *arg), void *arg);
/* Before the stop: where the scan in it will be of many threads, it takes a fraction of the time with this. */
void inject_scan_prepare(struct inject_target *t);
u64 inject_pause_ns(const struct inject_target *t);
