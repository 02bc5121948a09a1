/* SPDX-License-Identifier: MIT */
/*
 * bpf_trace_printk. Targets write records into a ring buffer that they share with the broker; here
 * they become lines. The ring is in memory that any target can scribble over: a record is taken
 * only after its length was checked, and a ring that makes no sense is skipped to its end.
 */
#include "broker/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/broker.h"
#include "broker/link/link.h"
#include "util/fd.h"

#define TRACE_BACKLOG 65536u
#define TRACE_TEXT_MAX 1024u

struct reader {
	struct trace *trace;
	int sock;
	struct loop_source *source;
	struct reader *prev, *next;
};

struct trace {
	struct broker *broker;
	struct reader *readers;
	char *backlog; /* whole lines, oldest first */
	size_t len;
};

static void reader_free(struct reader *r)
{
	DL_DELETE(r->trace->readers, r);
	loop_source_free(r->source);
	close(r->sock);
	free(r);
}

static void reader_event(struct loop_source *s, u32 events, void *arg)
{
	if (events & (EPOLLHUP | EPOLLERR))
		reader_free(arg);
}

/* Makes room by dropping the oldest lines. */
static void backlog_append(struct trace *t, const char *line, size_t n)
{
	while (t->len + n > TRACE_BACKLOG) {
		char *end = memchr(t->backlog, '\n', t->len);
		size_t first = end ? (size_t)(end - t->backlog) + 1 : t->len;

		memmove(t->backlog, t->backlog + first, t->len - first);
		t->len -= first;
	}
	memcpy(t->backlog + t->len, line, n);
	t->len += n;
}

static void trace_line(struct trace *t, const char *line, size_t n)
{
	struct reader *r, *tmp;

	if (!t->readers) {
		backlog_append(t, line, n);
		return;
	}
	/* A reader that does not read loses lines, it must not stop the broker. */
	DL_FOREACH_SAFE(t->readers, r, tmp)
	if (send(r->sock, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		reader_free(r);
}

void trace_emit(struct trace *t, const struct nt_trace_rec *rec, const char *text, u32 len)
{
	char line[TRACE_TEXT_MAX + 128];
	u64 us = rec->ts / 1000;
	int n;

	n = snprintf(line, sizeof(line),
		     "%16.*s-%-7u [%03u] ...11 %5llu.%06llu: bpf_trace_printk: %.*s\n",
		     (int)strnlen(rec->comm, NT_COMM_LEN), rec->comm, rec->tid, rec->cpu,
		     (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000),
		     (int)bits_min(len, TRACE_TEXT_MAX), text);
	if (n > 0)
		trace_line(t, line, bits_min((size_t)n, sizeof(line) - 1));
}

/* One record of len bytes at data, copied out first: its writer may still be changing it. */
static void trace_record(struct trace *t, const u8 *data, u32 len)
{
	struct nt_trace_rec rec;
	char text[TRACE_TEXT_MAX];
	u32 n;

	if (len < sizeof(rec))
		return;
	memcpy(&rec, data, sizeof(rec));
	n = bits_min(bits_min(rec.len, len - (u32)sizeof(rec)), TRACE_TEXT_MAX);
	memcpy(text, data + sizeof(rec), n);
	trace_emit(t, &rec, text, n);
}

/* Takes what is complete in [cons, prod); returns the position of what is not. */
static u64 drain_to(struct trace *t, const struct nt_map_view *v, u64 cons, u64 prod)
{
	const u64 mask = v->max_entries - 1;

	if (prod - cons > v->max_entries)
		return prod;
	while (cons != prod) {
		const u8 *at = v->base + v->data_off + (cons & mask);
		u32 head = at_load_acq((u32 *)at);
		u32 len = head & ~(NT_RING_BUSY | NT_RING_DISCARD);
		u64 step = bits_round_up((u64)len + NT_RING_HDR, 8);

		if (head & NT_RING_BUSY)
			break;
		if (step > prod - cons)
			return prod;
		if (!(head & NT_RING_DISCARD))
			trace_record(t, at + NT_RING_HDR, len);
		cons += step;
	}
	return cons;
}

void trace_drain(struct trace *t, const struct nt_map_view *v)
{
	u64 *cons_at = (u64 *)(v->base + NT_RING_CONS_OFF),
	    *prod_at = (u64 *)(v->base + NT_RING_PROD_OFF);
	struct nt_ring_ctl *ctl = (struct nt_ring_ctl *)(v->base + v->ctl_off);
	u64 cons = at_load_acq(cons_at), before;

	/* A producer rings only when it sees that we have caught up, so after saying how far we are we look again: a
	 * record that came in between did not ring. One that is not complete yet will. Bounded: others wait for us too. */
	for (u32 round = 0; round < 1000; round++) {
		before = cons;
		at_xchg(&ctl->armed, 1u);
		cons = drain_to(t, v, cons, at_load_acq(prod_at));
		at_store_rel(cons_at, cons);
		at_fence();
		if (cons == at_load_acq(prod_at) || cons == before)
			return;
	}
}

int trace_subscribe(struct trace *t)
{
	struct reader *r = calloc(1, sizeof(*r));
	int pair[2], err;

	if (!r)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
		free(r);
		return err;
	}
	r->trace = t;
	r->sock = pair[0];
	err = loop_add(t->broker->loop, r->sock, 0, reader_event, r, &r->source);
	if (err < 0) {
		close(pair[0]);
		close(pair[1]);
		free(r);
		return err;
	}
	DL_APPEND(t->readers, r);
	/* An empty socket takes the backlog: it is smaller than the default send buffer. */
	if (t->len && send(r->sock, t->backlog, t->len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		t->len = 0;
	return pair[1];
}

int trace_new(struct broker *b, struct trace **ret)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->broker = b;
	t->backlog = malloc(TRACE_BACKLOG);
	if (!t->backlog) {
		free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	while (t->readers)
		reader_free(t->readers);
	free(t->backlog);
	free(t);
}
