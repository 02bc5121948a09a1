/* SPDX-License-Identifier: MIT */
#include "broker/release.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define ERESTARTNOINTR 513

static pid_t wait_for(pid_t tid, int *ret_status)
{
	pid_t r;

	do {
		r = waitpid(tid, ret_status, __WALL);
	} while (r < 0 && errno == EINTR);
	return r;
}

int release_caller(int listener, u64 id, pid_t tid)
{
	struct seccomp_notif_resp again = {.id = id, .error = -ERESTARTNOINTR};
	int status;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return errno == ESRCH ? -ESRCH : -EPERM;
	/* Both fail only if it was killed meanwhile: then it is its death that we hear of. */
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &again);
	for (;;) {
		if (wait_for(tid, &status) < 0 || WIFEXITED(status) || WIFSIGNALED(status))
			return -ESRCH;
		if (status >> 16 == PTRACE_EVENT_STOP)
			break;
		/* A signal came first: it gets it, and stops then. */
		ptrace(PTRACE_CONT, tid, NULL, (void *)(long)WSTOPSIG(status));
	}
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return 0;
}
