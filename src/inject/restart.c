/* SPDX-License-Identifier: MIT */
/*
 * Making an interrupted system call invisible.
 *
 * A stop wakes a thread out of its system call. Most calls answer -ERESTART* inside the kernel, which then restarts
 * them by itself when no handler runs. Some answer -EINTR at once (signal(7), "Interruption of system calls ...";
 * measured on 6.18): epoll_wait and its kin, semop, sigtimedwait, io_getevents, io_uring_enter, and socket calls with a
 * time limit. The program would see an EINTR for which there was no signal.
 *
 * The repair: while the thread is stopped its result register still says -EINTR and orig_rax still holds the call's
 * number, so we change the result to -ERESTARTNOHAND, which the kernel reads when the thread goes on: no handler about
 * to run: restart; handler: EINTR. So a true signal that came at the same time still counts.
 *
 * Calls that come back with part of their work done are the subject of finish.c, time limits that of limit.c.
 *
 * Not repaired: close(), which has done its work when it says EINTR; and a thread that was in a group stop before us, whose
 * EINTR is SIGSTOP's.
 */
#include "inject/internal.h"

#include <errno.h>
#include <sys/syscall.h>

#include "inject/x86_64/regs.h"

#define ERESTARTNOHAND 514
#define ERESTART_FIRST 512
#define ERESTART_LAST 516

static bool says_eintr(long nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	/* Where the time that is left cannot be written to the program's memory. */
	case SYS_select:
	case SYS_pselect6:
	case SYS_ppoll:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
	/* Sockets with SO_RCVTIMEO or SO_SNDTIMEO. */
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
		return true;
	}
	return false;
}

bool inject_call_is_vfork(long nr)
{
	return nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3;
}

int inject_call_rank(long nr)
{
	switch (nr) {
	/* Resumed by the kernel with the time that is left. */
	case SYS_futex:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_poll:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_pause:
	case SYS_rt_sigsuspend:
		return 0;
	/* May come back with part of the work done. */
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_tee:
	case SYS_vmsplice:
	case SYS_copy_file_range:
	case SYS_recvmmsg:
	case SYS_execve:
	case SYS_execveat:
	case SYS_exit:
	case SYS_exit_group:
		return 40;
	}
	return says_eintr(nr) && nr != SYS_ppoll && nr != SYS_select && nr != SYS_pselect6 ? 20 : 10;
}

bool inject_repair(struct inject_thread *th)
{
	long nr = regs_call(&th->regs);

	if (nr < 0 || regs_result(&th->regs) != -EINTR || th->group_stop || !says_eintr(nr))
		return false;
	th->regs.rax = (u64)-ERESTARTNOHAND;
	th->dirty = th->repaired = true;
	return true;
}

bool inject_thread_restarts(const struct inject_thread *th)
{
	long res;

	if (!th->have_regs || regs_call(&th->regs) < 0)
		return false;
	res = regs_result(&th->regs);
	return (res <= -ERESTART_FIRST && res >= -ERESTART_LAST) ||
	       (res == -EINTR && says_eintr(regs_call(&th->regs)));
}

bool inject_restarts(const struct inject_target *t, u32 thread)
{
	return thread < t->nthreads && inject_thread_restarts(&t->thread[thread]);
}
