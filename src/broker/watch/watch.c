/* SPDX-License-Identifier: MIT */
#include "broker/watch/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/client.h"
#include "broker/link/attach.h"
#include "broker/link/ids.h"
#include "broker/link/linker.h"
#include "broker/link/steady.h"
#include "broker/link/tables.h"
#include "broker/link/unfinished.h"
#include "broker/watch/birth.h"
#include "broker/watch/heirs.h"
#include "broker/watch/join.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define LOOK_MS 50u
#define LOOK_CAUGHT_MS 200u /* where those that begin to use a file are caught (birth.h) */
#define RETRY_NS 1000000000ull /* a process that could not be attached is tried again */

struct watch {
	struct engine *engine;
	struct loop_source *timer;
	u64 round;
	struct birth *birth; /* NULL: processes are found by looking */
	struct heirs *heirs;
};

/* Total memory of a process in pages: changes with every exec and dlopen, and costs one short read. 0: gone. */
static u64 memory_size(pid_t pid)
{
	char path[32], text[64];

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	if (fd_read_text(path, text, sizeof(text)) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}

/* --- finding what is new --- */

static void look_at(struct watch *w, struct process *p)
{
	struct link *l;

	heirs_look(w->heirs, p, false);
	DL_FOREACH(w->engine->links, l) {
		int r;

		if (!join_wants(l, p) || !join_is_missing(p, l))
			continue;
		heirs_look(w->heirs, p, true);
		r = join_attach(p, l);
		if (r < 0) {
			p->last_error = r;
			p->retry_ns = engine_now_ns() + RETRY_NS;
			return;
		}
	}
}

bool watch_wants(const struct watch *w, pid_t pid)
{
	struct link *l;

	DL_FOREACH(w->engine->links, l)
		if (!l->closing && (!l->pid || l->pid == pid))
			return true;
	return false;
}

void watch_attach_newborn(struct watch *w, struct process *p)
{
	struct link *l;

	p->round = w->round;
	p->retry_ns = 0;
	DL_FOREACH(w->engine->links, l) {
		int r = join_wants(l, p) ? join_attach(p, l) : 0;

		if (!r && join_wants(l, p) && !p->injected) { /* be ready for when it loads the file */
			r = process_prepare(p);
			linker_watch_process(p);
		}
		if (r < 0) {
			p->last_error = r;
			p->retry_ns = engine_now_ns() + RETRY_NS;
			break;
		}
	}
	p->statm = memory_size(p->pid);
}

struct look {
	struct watch *w;
	struct process *p;
};

static void look_steadily(void *arg)
{
	const struct look *l = arg;

	look_at(l->w, l->p);
	tables_update(l->p);
}

/* One process in one round. */
static void look_pid(struct watch *w, pid_t pid, bool anyway)
{
	struct process *p = process_find(w->engine, pid);
	u64 size = memory_size(pid);

	engine_show_life(w->engine);
	if (!size || (!p && steady_is_broker(w->engine, pid)))
		return; /* gone, a kernel thread or a zombie */
	if (p && !process_alive(p)) { /* exec: the memory we knew is no more */
		process_forget(p);
		p = NULL;
	}
	if (p && birth_pending(p)) {
		p->round = w->round;
		return;
	}
	if (p && p->statm == size && !anyway && !(p->retry_ns && p->retry_ns < engine_now_ns())) {
		p->round = w->round;
		return;
	}
	if (process_get(w->engine, pid, &p))
		return;
	p->round = w->round;
	p->retry_ns = 0;
	steady_run(w->engine, look_steadily, &(struct look){ w, p });
	p->statm = memory_size(pid);
}

void watch_look_at(struct watch *w, pid_t pid)
{
	look_pid(w, pid, true);
}

static bool visit_pid(pid_t pid, void *arg)
{
	look_pid(arg, pid, false);
	return false;
}

static void forget_gone(struct watch *w)
{
	struct process *p, *tmp;
	u64 start;

	HASH_ITER(hh, w->engine->processes, p, tmp)
		if (p->round != w->round && (proc_start_time(p->pid, &start) || start != p->start_time))
			process_gone(p);
}

static bool watches_all(const struct watch *w)
{
	struct link *l;

	DL_FOREACH(w->engine->links, l)
		if (!l->pid)
			return true;
	return false;
}

static void look_everywhere(struct watch *w)
{
	struct link *l;

	w->round++;
	if (watches_all(w))
		proc_pids_each(geteuid(), visit_pid, w);
	DL_FOREACH(w->engine->links, l)
		if (l->pid)
			look_pid(w, l->pid, false);
	forget_gone(w);
}

static void retry_steadily(void *arg)
{
	unfinished_retry(arg);
}

static void timer_fired(struct loop_source *s, u32 events, void *arg)
{
	struct watch *w = arg;

	if (unfinished_any(w->engine)) {
		steady_run(w->engine, retry_steadily, w->engine);
		watch_update(w);
	}
	look_everywhere(w);
	heirs_tick(w->heirs);
	if (w->birth)
		birth_check(w->birth);
}

static void forget_steadily(void *arg)
{
	linker_forget_all(arg);
}

void watch_update(struct watch *w)
{
	if (!w->engine->links && w->engine->linkers && linker_is_anywhere(w->engine))
		steady_run(w->engine, forget_steadily, w->engine);
	else if (!w->engine->links)
		linker_forget_all(w->engine); /* no process to touch: the records */
	if (w->birth)
		birth_update(w->birth);
	if (!w->engine->links && !unfinished_any(w->engine))
		loop_timer_set(w->timer, 0);
	else
		loop_timer_set(w->timer, w->birth && birth_catches(w->birth) ? LOOK_CAUGHT_MS : LOOK_MS);
}

/* --- a new link --- */

struct opening {
	struct watch *w;
	struct link *link;
	u32 attached;
};

static bool open_in_pid(pid_t pid, void *arg)
{
	struct opening *o = arg;
	struct process *p;
	int r;

	if (steady_is_orphan(o->w->engine))
		return true;
	if (steady_is_broker(o->w->engine, pid) || !memory_size(pid))
		return false;
	p = process_find(o->w->engine, pid);
	if (p && !process_alive(p)) {
		process_forget(p);
		p = NULL;
	}
	if (process_get(o->w->engine, pid, &p))
		return false;
	p->round = o->w->round;
	p->last_error = 0;
	heirs_look(o->w->heirs, p, process_scan_modules(p, o->link->binary) > 0);
	r = join_attach(p, o->link);
	if (r < 0) {
		p->last_error = r;
		p->retry_ns = engine_now_ns() + RETRY_NS;
	}
	p->statm = memory_size(pid);
	o->attached += r > 0;
	return false;
}

static void open_steadily(void *arg)
{
	struct opening *o = arg;

	if (o->link->pid)
		open_in_pid(o->link->pid, o);
	else
		proc_pids_each(geteuid(), open_in_pid, o);
}

/* A loader that starts its target itself may hold it back by tracing it (bpftrace -c with USDT): what it then attaches to
 * takes effect when the target starts its program, which reports (born.c), or when it is let go. */
static bool traced_by_client(struct watch *w, pid_t pid)
{
	struct client *c;
	pid_t tracer = 0;

	if (proc_tracer(pid, &tracer) || !tracer)
		return false;
	DL_FOREACH(w->engine->broker->clients, c)
		if (c->pid == tracer)
			return true;
	return false;
}

int watch_link_opened(struct watch *w, struct link *l)
{
	struct opening o = { .w = w, .link = l };
	struct process *p;

	if (w->engine->links == l && !l->next && !unfinished_any(w->engine))
		heirs_begin(w->heirs);
	watch_update(w);
	steady_run(w->engine, open_steadily, &o);
	if (!l->pid)
		return 0;
	p = process_find(w->engine, l->pid);
	if (!p || !memory_size(l->pid))
		return 0; /* a zombie or a kernel thread: the kernel accepts it, and nothing is ever hit */
	if (p->last_error == -EBUSY && traced_by_client(w, l->pid))
		return 0;
	return p->injected && !p->last_error ? 0 : p->last_error;
}

void watch_find_children(struct watch *w)
{
	heirs_find(w->heirs);
}

static void clean_up_steadily(void *arg)
{
	heirs_clean_up(arg);
}

void watch_clean_up(struct watch *w)
{
	struct process *p, *tmp;

	steady_run(w->engine, clean_up_steadily, w->heirs);
	HASH_ITER(hh, w->engine->processes, p, tmp)
		process_forget(p);
}

/* --- the dynamic linker --- */

struct rung {
	struct process *p;
	bool look;
};

static void find_children_steadily(void *arg)
{
	heirs_find(arg);
}

static void rang_steadily(void *arg)
{
	struct rung *r = arg;

	r->look = birth_rang(r->p);
}

void watch_linker_rang(struct watch *w)
{
	struct nt_bell *bell = w->engine->shared.bell;
	u32 asked = at_load_acq(&bell->rbrk);
	struct process *p, *tmp;
	bool known = false;

	if (asked == at_load(&bell->rbrk_done))
		return;
	HASH_ITER(hh, w->engine->processes, p, tmp) {
		struct rung rung = { .p = p };
		u32 seq;

		known |= p->injected && ids_answer(p);
		if (!p->injected ||
		    inject_read(&p->target, p->state + offsetof(struct nt_state, rbrk_seq), &seq, sizeof(seq)) ||
		    seq == p->rbrk_seq)
			continue;
		p->rbrk_seq = seq;
		known = true;
		steady_run(w->engine, rang_steadily, &rung);
		if (rung.look)
			look_pid(w, p->pid, true);
	}
	if (!known) /* a child of whose birth we have not heard yet */
		steady_run(w->engine, find_children_steadily, w->heirs);
	at_store_rel(&bell->rbrk_done, asked);
	syscall(SYS_futex, &bell->rbrk_done, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static const struct engine_watch for_links = {
	.link_opened = watch_link_opened,
	.links_changed = watch_update,
	.find_children = watch_find_children,
	.linker_rang = watch_linker_rang,
};

int watch_new(struct engine *e, struct watch **ret)
{
	struct watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->engine = e;
	r = birth_new(e, &w->birth);
	if (r)
		log_info("new processes are noticed late: %s", strerror(-r));
	r = heirs_new(e, &w->heirs);
	if (!r)
		r = loop_add_timer(e->broker->loop, 0, timer_fired, w, &w->timer);
	if (r) {
		watch_free(w);
		return r;
	}
	e->watching = &for_links;
	*ret = w;
	return 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	loop_source_free(w->timer);
	birth_free(w->birth);
	heirs_free(w->heirs);
	free(w);
}
