/* SPDX-License-Identifier: MIT */
/*
 * When the broker is killed nobody can take its jumps out of the targets for a while; they go on working, through
 * slots whose gates decide whether a program runs. The guardian is a child that does nothing but sleep on a pipe: the
 * broker's death closes it, and the guardian closes all gates. It holds no descriptor but that pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "broker/link/engine.h"

static void guardian_main(int pipe_fd, u32 *gates, size_t size)
{
	char c;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "notrap-guard");
	setsid();
	if (pipe_fd != 3) {
		dup2(pipe_fd, 3);
		pipe_fd = 3;
	}
	syscall(SYS_close_range, 4, ~0u, 0);
	for (int i = 0; i < 3; i++)
		close(i);
	while (read(pipe_fd, &c, 1) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < size / sizeof(*gates); i++)
		if (i != GATE_DIR)
			at_store_rel(&gates[i], 0);
	_exit(0);
}

int guardian_start(u32 *gates, size_t size)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int err = errno;

		close(fds[0]);
		close(fds[1]);
		return -err;
	}
	if (pid == 0) {
		close(fds[1]);
		guardian_main(fds[0], gates, size);
	}
	close(fds[0]);
	return fds[1];
}
