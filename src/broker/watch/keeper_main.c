/* SPDX-License-Identifier: MIT */
/*
 * Whoever opens a marked file sleeps in the kernel until the answer is written, unkillable but by SIGKILL; so the answer
 * must come, whatever happens to us. The rules:
 *
 *   - The fanotify group belongs to this process alone. When it dies the kernel closes the group and lets everybody in.
 *   - It opens no file that can be marked, takes no lock, allocates nothing, and never waits for the broker: when that has given no sign of
 *     life for WAIT_MS (nt_bell.alive), or has not come to a guest in MOST_MS, the guest is let in, and from then on
 *     everybody is, until the broker speaks to us (`tired`).
 *   - The broker and its hands (link/steady.h) are let in at once: they look at the files of others while those wait.
 *     So are those of another broker, which may wait for a process that waits for us.
 *     So is, once it is let in, a process that the broker is about to stop: its exec may open more than one marked file.
 *   - A broker that dies closes the socket: the keeper leaves. A broker that is stopped is only slow.
 *   - A keeper that is stopped (by SIGSTOP to it alone) is killed by the broker (keeper_check()).
 *   - It runs ahead of all others, so that those who wait here do not wait for its turn, too. That takes no time from
 *     anybody who does not ask: it only ever answers, some microseconds for each question, and who has asked sleeps
 *     until then. Nothing in here goes round without a question.
 *
 * What is left: both are stopped at once, by a debugger or a frozen control group. Then whoever opens a marked file
 * waits for as long as that lasts.
 */
#include "broker/watch/keeper_main.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/link/steady.h"
#include "ipc/ipc.h"
#include "util/fd.h"
#include "util/proc.h"

#define WAIT_MS 200u
#define MOST_MS 1200u /* less than we wait for a thread to stop: it may be the very one that waits here */
#define LOOK_MS 50
#define PASS_MS 1000u /* a forgotten keeper_done() */
#define GUESTS_MAX KEEPER_GUESTS_MAX
#define PASSES_MAX 8u

struct guest {
	struct keeper_guest g;
	int fd; /* of the event; -1: this place is free */
	u64 came_ns;
};

struct door {
	int fan, sock;
	const u32 *gates;
	struct nt_bell *bell;
	u32 alive;     /* as last seen */
	u64 alive_ns; /* when it changed */
	pid_t broker;
	struct guest guest[GUESTS_MAX];
	struct {
		s32 pid; /* 0 = free */
		u64 until_ns;
	} pass[PASSES_MAX];
	u32 next_id;
	bool tired;
};

static void let_in(struct door *d, int fd)
{
	struct fanotify_response r = { .fd = fd, .response = FAN_ALLOW };

	while (write(d->fan, &r, sizeof(r)) < 0 && errno == EINTR)
		;
	close(fd);
}

static void guest_in(struct door *d, struct guest *g)
{
	let_in(d, g->fd);
	g->fd = -1;
}

static bool is_known(struct door *d, s32 pid)
{
	u64 now = engine_now_ns();

	/* 0: in no namespace of ours. The hands' number stands in front of the gates. */
	if (!pid || pid == d->broker || pid == getpid() || pid == (s32)at_load(&d->gates[GATE_OWNER]))
		return true;
	for (u32 i = 0; i < PASSES_MAX; i++)
		if (d->pass[i].pid == pid && d->pass[i].until_ns > now)
			return true;
	return false;
}

/* Another broker, which looks at a process that we may be waiting for, too. Who only calls himself so is found by looking. */
static bool is_broker(s32 pid)
{
	char comm[16];

	return !proc_comm(pid, comm) && (!strcmp(comm, "notrapd") || !strcmp(comm, STEADY_NAME));
}

/* Privileges are gained: nobody looks into that. */
static bool is_privileged(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_mode & (S_ISUID | S_ISGID);
}

static void say_late(struct door *d, s32 pid)
{
	const struct keeper_guest late = { .id = 0, .op = KEEPER_LATE, .pid = pid };

	send(d->sock, &late, sizeof(late), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void announce(struct door *d, int fd, s32 pid, bool executes)
{
	struct guest *g = NULL;

	for (u32 i = 0; i < GUESTS_MAX && !g; i++)
		if (d->guest[i].fd < 0)
			g = &d->guest[i];
	if (is_known(d, pid) || (executes ? is_privileged(fd) : is_broker(pid))) {
		let_in(d, fd);
		return;
	}
	if (!g || d->tired) {
		say_late(d, pid);
		let_in(d, fd);
		return;
	}
	*g = (struct guest){ .g = { .id = ++d->next_id, .pid = pid, .executes = executes }, .fd = fd,
			     .came_ns = engine_now_ns() };
	if (send(d->sock, &g->g, sizeof(g->g), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(g->g))
		guest_in(d, g);
}

static void read_events(struct door *d)
{
	_Alignas(struct fanotify_event_metadata) char buf[4096];
	ssize_t n = read(d->fan, buf, sizeof(buf));
	const struct fanotify_event_metadata *m = (const void *)buf;

	for (; n > 0 && FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n))
		if (m->fd >= 0)
			announce(d, m->fd, m->pid, m->mask & FAN_OPEN_EXEC_PERM);
}

/* A program is announced when it is executed; anything else when it is opened. */
static void mark(struct door *d, int fd, bool on)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	fanotify_mark(d->fan, on ? FAN_MARK_ADD : FAN_MARK_REMOVE, FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM, AT_FDCWD, name);
}

static void pass(struct door *d, s32 pid, bool on)
{
	u64 now = engine_now_ns();

	for (u32 i = 0; i < PASSES_MAX; i++) {
		if (on ? d->pass[i].pid && d->pass[i].until_ns > now : d->pass[i].pid != pid)
			continue;
		d->pass[i].pid = on ? pid : 0;
		d->pass[i].until_ns = now + PASS_MS * 1000000ull;
		if (on)
			return;
	}
}

static void allow(struct door *d, u32 id, s32 pid, bool with_all)
{
	for (u32 i = 0; i < GUESTS_MAX; i++) {
		if (d->guest[i].fd < 0 || d->guest[i].g.id != id)
			continue;
		if (with_all)
			pass(d, pid, true); /* before: the next event may come at once */
		guest_in(d, &d->guest[i]);
	}
}

/* To a ping, and to marks, which shall be in effect when that is heard. */
static void say_done(struct door *d, u32 op)
{
	const struct keeper_guest nobody = { .id = 0, .op = op };

	send(d->sock, &nobody, sizeof(nobody), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void obey(struct door *d)
{
	struct keeper_order o;
	int fd fd_auto = -1;
	long n = ipc_recv(d->sock, &o, sizeof(o), &fd);

	if (n == -EAGAIN)
		return;
	if (n != sizeof(o))
		_exit(0);
	d->tired = false;
	switch (o.op) {
	case KEEPER_MARK:
	case KEEPER_UNMARK:
		mark(d, fd, o.op == KEEPER_MARK);
		say_done(d, o.op);
		break;
	case KEEPER_ALLOW:
	case KEEPER_ALLOW_ALL: allow(d, o.guest.id, o.guest.pid, o.op == KEEPER_ALLOW_ALL); break;
	case KEEPER_DONE: pass(d, o.guest.pid, false); break;
	case KEEPER_PING: say_done(d, o.op); break;
	}
}

/* Milliseconds to the next look, -1: nobody waits. */
static int let_in_late(struct door *d)
{
	u64 now = engine_now_ns();
	u32 alive = at_load(&d->bell->alive);
	bool anybody = false;

	if (alive != d->alive || at_load(&d->gates[GATE_OWNER]) != (u32)d->broker) { /* the hands are at work */
		d->alive = alive;
		d->alive_ns = now;
	}
	for (u32 i = 0; i < GUESTS_MAX; i++) {
		struct guest *g = &d->guest[i];

		if (g->fd < 0)
			continue;
		if (now - bits_max(g->came_ns, d->alive_ns) > WAIT_MS * 1000000ull || now - g->came_ns > MOST_MS * 1000000ull)
			d->tired = true;
		if (d->tired) {
			say_late(d, g->g.pid);
			guest_in(d, g);
		} else {
			anybody = true;
		}
	}
	return anybody ? LOOK_MS : -1;
}

_Noreturn void keeper_main(const struct keeper_door *k)
{
	struct door d = { .fan = k->fan, .sock = k->sock, .gates = k->gates, .bell = k->bell, .broker = k->broker };
	struct inject_urgency u;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "notrap-keeper");
	inject_urgency_begin(&u); /* for good */
	setsid();
	if (dup2(d.sock, 3) != 3 || dup2(d.fan, 4) != 4)
		_exit(1);
	d.sock = 3;
	d.fan = 4;
	syscall(SYS_close_range, 5, ~0u, 0);
	for (int i = 0; i < 3; i++)
		close(i);
	for (u32 i = 0; i < GUESTS_MAX; i++)
		d.guest[i].fd = -1;
	for (;;) {
		struct pollfd p[2] = { { .fd = d.sock, .events = POLLIN }, { .fd = d.fan, .events = POLLIN } };

		if (poll(p, 2, let_in_late(&d)) < 0 && errno != EINTR)
			_exit(1);
		if (p[0].revents)
			obey(&d);
		if (p[1].revents)
			read_events(&d);
	}
}
