/* SPDX-License-Identifier: MIT */
/*
 * When the broker is killed nobody can take its jumps out of the targets for a while; they go on working, through
 * slots whose gates decide whether a program runs. The guardian is a child that does nothing but sleep on a pipe: the
 * broker's death closes it, and the guardian closes all gates. It holds no descriptor but that pipe. If it is the guardian
 * that is killed, the broker makes another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "broker/link/engine.h"
#include "util/fd.h"
#include "util/log.h"

struct guardian {
	struct loop *loop;
	struct loop_source *source;
	u32 *gates;
	size_t size;
	pid_t pid;
	int pidfd, pipe; /* -1: none */
};

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

static int fork_guardian(struct guardian *g)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	g->pid = fork();
	if (g->pid < 0) {
		int err = errno;

		close(fds[0]);
		close(fds[1]);
		return -err;
	}
	if (g->pid == 0) {
		close(fds[1]);
		guardian_main(fds[0], g->gates, g->size);
	}
	close(fds[0]);
	g->pipe = fds[1];
	return 0;
}

static void guardian_died(struct loop_source *source, u32 events, void *arg);

static int guardian_start(struct guardian *g)
{
	int r = fork_guardian(g);

	if (r)
		return r;
	g->pidfd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	if (g->pidfd < 0)
		return -errno;
	return loop_add(g->loop, g->pidfd, EPOLLIN, guardian_died, g, &g->source);
}

static void guardian_stop(struct guardian *g)
{
	loop_source_free(g->source);
	g->source = NULL;
	fd_closep(&g->pidfd);
	fd_closep(&g->pipe);
	g->pidfd = g->pipe = -1;
}

static void guardian_died(struct loop_source *source, u32 events, void *arg)
{
	struct guardian *g = arg;
	int r;

	waitpid(g->pid, NULL, WNOHANG);
	guardian_stop(g);
	r = guardian_start(g);
	log_error("the guardian was killed%s%s", r ? ", and there is no other one: " : "", r ? strerror(-r) : "");
}

int guardian_new(struct loop *loop, u32 *gates, size_t size, struct guardian **ret)
{
	struct guardian *g = malloc(sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	*g = (struct guardian){ .loop = loop, .gates = gates, .size = size, .pidfd = -1, .pipe = -1 };
	r = guardian_start(g);
	if (r) {
		guardian_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void guardian_free(struct guardian *g)
{
	if (!g)
		return;
	guardian_stop(g);
	free(g);
}
