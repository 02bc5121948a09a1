/* SPDX-License-Identifier: MIT */
/*
 * A program that was started under `notrap run` reports before any of its code has run (shim/born.c), and waits. What
 * is to be done in it takes system calls, which its thread makes for us: no ptrace, so it does not matter whether the
 * loader traces it, and no other thread is there to be stopped.
 */
#include "broker/watch/watch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/client.h"
#include "broker/link/engine.h"
#include "broker/link/process.h"
#include "broker/link/steady.h"
#include "inject/willing.h"
#include "ipc/ipc.h"
#include "util/log.h"
#include "util/proc.h"

#define DONE_MS 1000 /* a call that does not block takes longer where the process is stopped, or hardly ever runs */
#define DONE_ROUNDS 10

struct talk {
	struct client *c;
	u32 seq;   /* of its last request: the next reply answers that */
	bool lost; /* it did not answer, or nonsense */
};

static bool is_stopped(pid_t pid)
{
	char state;

	return proc_thread_state(pid, pid, &state) || state == 'T' || state == 't';
}

static int await_done(struct talk *t, s64 *ret)
{
	struct pollfd p = { .fd = t->c->sock, .events = POLLIN };
	struct nt_request q;
	int fd = -1;
	long n;

	for (int i = 0; poll(&p, 1, DONE_MS) <= 0; i++)
		if (i == DONE_ROUNDS || is_stopped(t->c->pid))
			return -ETIMEDOUT;
	n = ipc_recv(t->c->sock, &q, sizeof(q), &fd);
	if (fd >= 0)
		close(fd);
	if (n != sizeof(q) || q.op != NT_OP_DONE)
		return n < 0 ? (int)n : -EPROTO;
	t->seq = q.seq;
	*ret = (s64)q.arg[0];
	return 0;
}

static s64 ask(struct talk *t, s64 nr, const u64 a[6], int fd)
{
	struct nt_do d = { .nr = nr };
	struct nt_reply reply = { .seq = t->seq, .flags = NT_REPLY_DO | (fd >= 0 ? NT_REPLY_FD : 0), .text_len = sizeof(d) };
	s64 result = 0;
	int r;

	if (t->lost)
		return -ESRCH;
	if (a)
		memcpy(d.arg, a, sizeof(d.arg));
	memcpy(reply.text, &d, sizeof(d));
	r = ipc_send(t->c->sock, &reply, offsetof(struct nt_reply, text) + sizeof(d), fd);
	if (!r)
		r = await_done(t, &result);
	t->lost = r < 0;
	return r ? r : result;
}

static s64 talk_call(void *arg, long nr, const u64 a[6])
{
	return ask(arg, nr, a, -1);
}

static int talk_take(void *arg, int fd)
{
	return (int)ask(arg, NT_DO_TAKE_FD, NULL, fd);
}

struct birth {
	struct watch *w;
	struct engine *engine;
	const struct inject_willing *willing;
	pid_t pid;
};

/* The memory that was known of this process, if any, went with the exec. */
static void forget_former(struct engine *e, pid_t pid)
{
	struct process *p = process_find(e, pid);

	if (p && !process_alive(p))
		process_forget(p);
}

static void birth_steadily(void *arg)
{
	const struct birth *b = arg;
	struct process *p;
	int r;

	forget_former(b->engine, b->pid);
	r = process_get(b->engine, b->pid, &p);
	if (!r && !p->opened) {
		r = inject_open_willing(b->pid, b->willing, &p->target);
		p->opened = !r;
	} else if (!r) {
		inject_willing_begin(&p->target, b->willing);
	}
	if (r) {
		log_info("pid %d: not attached at its start: %s", b->pid, strerror(-r));
		return;
	}
	watch_attach_newborn(b->w, p);
	inject_willing_end(&p->target);
}

static bool is_single(pid_t pid)
{
	struct proc_status st;

	return !proc_status_read(pid, &st) && st.threads == 1;
}

s64 engine_born(struct broker *b, struct client *c, const struct nt_request *q, u32 *ret_seq)
{
	struct talk t = { .c = c, .seq = q->seq };
	struct inject_willing w = { .call = talk_call, .take = talk_take, .arg = &t, .thread_pointer = q->arg[0] };
	struct birth birth = { .w = b->engine->watch, .engine = b->engine, .willing = &w, .pid = c->pid };

	if (!watch_wants(b->engine->watch, c->pid) || !is_single(c->pid))
		return 0;
	if (!ask(&t, NT_DO_NOTHING, NULL, -1))
		steady_run(b->engine, birth_steadily, &birth);
	*ret_seq = t.seq;
	return t.lost ? -EPROTO : 0;
}
