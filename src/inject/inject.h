/* SPDX-License-Identifier: MIT */
/*
 * Reaching into a target from outside: memory, a borrowed thread for a few system calls, all threads stopped for the
 * moment of patching. Every function leaves the target able to run on, whatever fails. Errors are -errno.
 */
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include "abi/types.h"

struct inject_thread {
	pid_t tid;
	int sig;	/* signal caught on the way in: given back at detach */
	bool seized, stopped, gone, have_regs, dirty;
	struct user_regs_struct regs;
};

struct inject_target {
	pid_t pid;
	int mem;	/* /proc/PID/mem, O_RDWR */
	int pidfd;
	int taskfd;
	u64 syscall_insn; /* address of a `syscall` instruction in the target */
	struct inject_thread *thread;
	u32 nthreads, cap;
	u64 stop_begin_ns, stop_end_ns; /* of the last stop: first interrupt to last detach */
	int borrowed;	/* index of the thread whose registers we use, -1 none */
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
 * is preferred; its call is restarted invisibly. Works also while all are stopped by inject_stop(). */
int inject_borrow(struct inject_target *t);
s64 inject_syscall(struct inject_target *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5);
void inject_give_back(struct inject_target *t);

/* With a borrowed thread: hand over descriptors (SCM_RIGHTS through a socketpair made in the target). remote[i] is
 * the number in the target; the caller closes them there when mapped. */
int inject_send_fds(struct inject_target *t, const int *fd, u32 n, int *remote);

/* Stops every thread. -ETIMEDOUT: some thread does not stop (vfork parent, uninterruptible); nothing stays stopped.
 * timeout in milliseconds. */
int inject_stop(struct inject_target *t, u32 timeout_ms);
/* Resumes and detaches all; interrupted system calls are made invisible (restart, completion of short counts). */
void inject_resume(struct inject_target *t);

int inject_regs(struct inject_target *t, u32 thread); /* fills thread[i].regs */
/* Changes regs of a stopped thread; written at resume. */
void inject_set_pc(struct inject_target *t, u32 thread, u64 pc);

/* For every stopped thread: calls visit(word, address, arg) for each 8-byte stack word with lo <= word < hi, from the
 * stack pointer up to the end of its mapping, at most limit bytes. Returns the number of visits or -errno. */
int inject_scan_stacks(struct inject_target *t, u64 lo, u64 hi, size_t limit,
		       void (*visit)(u64 word, u64 addr, u32 thread, void *arg), void *arg);
u64 inject_pause_ns(const struct inject_target *t);
