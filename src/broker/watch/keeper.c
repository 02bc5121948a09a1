/* SPDX-License-Identifier: MIT */
/* The broker's end of the keeper. It waits for nobody but the answer to a mark, and for that MARK_MS at most. */
#include "broker/watch/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/watch/keeper_main.h"
#include "ipc/ipc.h"
#include "util/fd.h"
#include "util/log.h"

#define SILENT_NS 1000000000ull
#define MARK_MS 500 /* the keeper waits for nothing, but for the processor it may */

struct keeper {
	int sock;
	pid_t pid;
	u64 asked_ns; /* of the ping that has no answer yet; 0: none */
	struct keeper_guest came[KEEPER_GUESTS_MAX]; /* while we waited for something else */
	u32 ncame;
};

static int open_group(void)
{
	/* Descriptors above 4, where keeper_main() puts its own. */
	int fan = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC | O_LARGEFILE), high;

	if (fan < 0)
		return -errno;
	high = fcntl(fan, F_DUPFD_CLOEXEC, 5);
	close(fan);
	return high < 0 ? -errno : high;
}

int keeper_start(const struct engine *e, struct keeper **ret)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int pair[2] = { -1, -1 }, fan fd_auto = -1, theirs fd_auto = -1;

	if (k)
		fan = open_group();
	if (!k || fan < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(k);
		return fan < 0 ? fan : -errno;
	}
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 5);
	close(pair[1]);
	k->sock = pair[0];
	fcntl(k->sock, F_SETFL, O_NONBLOCK);
	k->pid = theirs < 0 ? -1 : fork();
	if (!k->pid)
		keeper_main(&(struct keeper_door){ .fan = fan, .sock = theirs, .gates = e->shared.gates,
						   .bell = e->shared.bell, .broker = e->pid });
	if (k->pid < 0) {
		int err = errno;

		close(k->sock);
		free(k);
		return -err;
	}
	*ret = k;
	return 0;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	close(k->sock);
	kill(k->pid, SIGKILL);
	waitpid(k->pid, NULL, 0);
	free(k);
}

int keeper_fd(const struct keeper *k)
{
	return k->sock;
}

/* A message that is not about a guest who waits. */
static void heard(struct keeper *k, const struct keeper_guest *g)
{
	if (g->op == KEEPER_LATE)
		log_info("pid %d: not caught: we were busy", g->pid);
	k->asked_ns = 0;
}

bool keeper_next(struct keeper *k, struct keeper_guest *ret, bool *ret_dead)
{
	struct keeper_guest g;
	ssize_t n;

	*ret_dead = false;
	if (k->ncame) {
		*ret = k->came[0];
		memmove(k->came, k->came + 1, --k->ncame * sizeof(k->came[0]));
		return true;
	}
	for (;;) {
		n = recv(k->sock, &g, sizeof(g), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(g) || g.id)
			break;
		heard(k, &g);
	}
	*ret_dead = n != sizeof(g) && !(n < 0 && errno == EAGAIN);
	if (n == sizeof(g))
		*ret = g;
	return n == sizeof(g);
}

static int order(struct keeper *k, u32 op, const struct keeper_guest *g, int fd)
{
	struct keeper_order o = { .op = op };

	if (g)
		o.guest = *g;
	return ipc_send(k->sock, &o, sizeof(o), fd);
}

static int await_done(struct keeper *k, u32 op)
{
	u64 end = engine_now_ns() + MARK_MS * 1000000ull;

	for (;;) {
		struct pollfd p = { .fd = k->sock, .events = POLLIN };
		struct keeper_guest g;

		if (poll(&p, 1, MARK_MS) <= 0 || engine_now_ns() > end)
			return -ETIMEDOUT;
		if (recv(k->sock, &g, sizeof(g), MSG_DONTWAIT) != sizeof(g))
			return -EPIPE;
		if (!g.id && g.op == op)
			return 0;
		if (!g.id)
			heard(k, &g);
		else if (k->ncame == KEEPER_GUESTS_MAX)
			keeper_allow(k, &g, false);
		else
			k->came[k->ncame++] = g;
	}
}

int keeper_mark(struct keeper *k, int fd, bool on)
{
	u32 op = on ? KEEPER_MARK : KEEPER_UNMARK;
	int r = order(k, op, NULL, fd);

	return r ? r : await_done(k, op);
}

void keeper_allow(struct keeper *k, const struct keeper_guest *g, bool with_all)
{
	order(k, with_all ? KEEPER_ALLOW_ALL : KEEPER_ALLOW, g, -1);
}

void keeper_done(struct keeper *k, const struct keeper_guest *g)
{
	order(k, KEEPER_DONE, g, -1);
}

bool keeper_check(struct keeper *k)
{
	u64 now = engine_now_ns();

	if (k->asked_ns && now - k->asked_ns > SILENT_NS) {
		log_error("the keeper gives no sign of life and is ended; new processes are noticed late from now on");
		return false;
	}
	if (!k->asked_ns && !order(k, KEEPER_PING, NULL, -1))
		k->asked_ns = now;
	return true;
}
