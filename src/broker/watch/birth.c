/* SPDX-License-Identifier: MIT */
/*
 * From the first sight of a process to its first call.
 *
 *     execve(PROGRAM) -----------+                                open(LIBRARY) by the dynamic linker ---+
 *       waits for permission     |                                  waits for permission                |
 *                                v                                                                      v
 *     seize, interrupt, permit; it stops in front of its first instruction                    ... behind the call
 *     payload put in; its thread sent to fn_hold, let go                                      (HELD)
 *     fn_hold rings, waits: probe put into the dynamic linker, answered                       (LOADING)
 *       ... the linker maps, relocates ...
 *     the linker's probe rings, waits: all is there; attached, answered                       (NONE)
 *       ... constructors, main ...
 *
 * Attaching has to wait for the last step because only then the thread has its thread block, and the unwinder's hook its
 * place (link/unwind.h). A program without a dynamic linker is attached at once.
 *
 * Without permission events the first step is a race: openings are told as they happen (inotify), and we look for a young
 * process that executes or maps a probed file, for a few milliseconds. execve(2) takes some tenths of one from the opening to
 * the first instruction, the linker as long again to the last step; if we stop the process before that, all goes on as above.
 *
 * Whatever fails on the way, the process runs on and is found later by looking. It never waits longer than the keeper and
 * fn_hold let it: some tenths of a second, without us.
 */
#include "broker/watch/birth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/link/linker.h"
#include "broker/link/payload_blob.h"
#include "broker/link/sandbox.h"
#include "broker/link/steady.h"
#include "broker/watch/door.h"
#include "broker/watch/keeper.h"
#include "broker/watch/opened.h"
#include "broker/watch/starting.h"
#include "broker/watch/watch.h"
#include "inject/catch.h"
#include "util/log.h"
#include "util/proc.h"

#define HWCAP2_FSGSBASE 2u /* asm/hwcap2.h */
#define CATCH_MS 500u
#define PENDING_NS 2000000000ull /* the linker's bell should have rung long ago */
#define REOPEN_NS 3000000000ull	 /* somebody ended the keeper: not again and again */
#define SEARCH_MS 10u		 /* from the opening of a file to the first sight of who has it */

struct birth {
	struct engine *engine;
	struct keeper *keeper;
	struct loop_source *source;
	u64 opened_ns; /* when the keeper was started last */
	struct opened *opened; /* instead of the keeper */
	struct loop_source *again; /* its search goes on then ... */
	u64 search_until_ns;	   /* ... up to here */
};

/* From now on processes are found by looking. */
static void birth_close(struct birth *b)
{
	struct binary *bin, *tmp;

	loop_source_free(b->source);
	keeper_free(b->keeper);
	b->source = NULL;
	b->keeper = NULL;
	HASH_ITER(hh, b->engine->binaries, bin, tmp)
		bin->marked = false;
}

/* --- who is at the door --- */

static bool is_our_users(pid_t pid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return !stat(path, &st) && st.st_uid == geteuid();
}

static bool is_wanted(struct birth *b, const struct keeper_guest *g, struct door_waiter *ret)
{
	struct process *p = process_find(b->engine, g->pid);
	pid_t tracer;

	if (!watch_wants(b->engine->watch, g->pid) || steady_is_broker(b->engine, g->pid) || !is_our_users(g->pid))
		return false;
	if (!g->executes && p && p->injected && process_alive(p))
		return false; /* its linker rings */
	if (proc_tracer(g->pid, &tracer) || tracer || !door_find_waiter(b->engine, g, ret))
		return false;
	return g->executes || door_is_linker_at(g->pid, ret->pc);
}

/* --- caught --- */

struct catching {
	struct birth *birth;
	const struct keeper_guest *guest;
	struct door_waiter waiter;
	bool released;
};

static void release(void *arg)
{
	struct catching *c = arg;

	c->released = true;
	keeper_allow(c->birth->keeper, c->guest, true);
}

/* Sends the borrowed thread to fn_hold. */
static int hold(struct process *p)
{
	u64 entry = p->image + ((const struct nt_payload_hdr *)nt_payload_blob)->fn_hold, pc;
	int r = inject_divert(&p->target, entry, &pc);

	if (!r) {
		r = inject_write(&p->target, p->state + offsetof(struct nt_state, hold_pc), &pc, sizeof(pc));
		if (r)
			inject_divert(&p->target, pc, &pc);
	}
	if (r)
		return r;
	p->birth = BIRTH_HELD;
	p->birth_until_ns = engine_now_ns() + PENDING_NS;
	return 0;
}

static int enter(void *arg)
{
	struct process *p = arg;

	return process_prepare(p);
}

static int take_over(struct engine *e, struct inject_target *t, struct process **ret)
{
	struct process *p = process_find(e, t->pid);
	int r;

	r = p && p->injected && process_alive(p) ? -EALREADY : 0; /* its exec has failed */
	if (p && !r) /* that memory is no more, or nothing of ours was in it */
		process_forget(p);
	if (!r)
		r = process_get(e, t->pid, &p);
	if (r) {
		inject_close(t);
		return r;
	}
	p->target = *t;
	p->opened = true;
	p->borrows = 1;
	*ret = p;
	return 0;
}

/* Caught and borrowed: from here on it is a process of ours that is held. r: what came of the catch. */
static void keep(struct engine *e, struct inject_target *t, int r)
{
	struct process *p;

	if (!r)
		r = take_over(e, t, &p);
	if (r) {
		log_info("pid %d: not caught: %s", t->pid, strerror(-r));
		return;
	}
	r = inject_session(&p->target, enter, p);
	if (!r)
		r = hold(p);
	process_give_back(p);
	if (r)
		log_info("pid %d (%s): not held: %s", p->pid, p->comm, strerror(-r));
}

static void catch_steadily(void *arg)
{
	struct catching *c = arg;
	struct inject_catch how = { .pid = c->waiter.pid, .tid = c->waiter.tid, .release = release, .arg = c,
				    .timeout_ms = CATCH_MS,
				    .seccomp_ok = sandbox_allows(c->birth->engine->broker, c->waiter.pid) };
	struct inject_target t = { .pid = how.pid };
	int r = inject_catch(&how, &t);

	keeper_done(c->birth->keeper, c->guest);
	keep(c->birth->engine, &t, r);
}

static void receive_guests(struct birth *b)
{
	struct keeper_guest g;
	bool dead = false;

	while (b->keeper && keeper_next(b->keeper, &g, &dead)) {
		struct catching c = { .birth = b, .guest = &g };

		if (is_wanted(b, &g, &c.waiter))
			steady_run(b->engine, catch_steadily, &c);
		if (!c.released)
			keeper_allow(b->keeper, &g, false);
	}
	if (dead)
		birth_close(b);
}

static void guest_came(struct loop_source *s, u32 events, void *arg)
{
	receive_guests(arg);
}

/* --- where nobody waits for a permission --- */

struct hunting {
	struct birth *birth;
	struct starting starting;
	pid_t pid; /* found, and already seen by the caller: none */
	bool late;
};

static pid_t hunt_next(void *arg)
{
	struct hunting *h = arg;

	h->pid = starting_next(&h->starting);
	return h->pid;
}

static bool hunt_is_it(pid_t pid, void *arg)
{
	struct hunting *h = arg;

	return starting_is_early(&h->starting, pid);
}

static bool hunt_seccomp_ok(pid_t pid, void *arg)
{
	struct hunting *h = arg;

	return sandbox_allows(h->birth->engine->broker, pid);
}

static void hunt_steadily(void *arg)
{
	struct hunting *h = arg;
	struct inject_hunt how = { .next = hunt_next, .is_it = hunt_is_it, .seccomp_ok = hunt_seccomp_ok, .arg = h,
				   .until_ns = h->birth->search_until_ns };
	struct inject_target t = { .pid = 0 };
	int r = inject_hunt(&how, &t);

	h->late = r == -EAGAIN;
	if (h->pid && !h->late) {
		t.pid = h->pid;
		keep(h->birth->engine, &t, r);
	}
}

/* Who has been caught waits for us, so the search for more goes on a moment later. */
static void search(struct birth *b)
{
	struct hunting h = { .birth = b };

	if (!b->engine->links)
		return;
	starting_begin(&h.starting, b->engine);
	steady_run(b->engine, hunt_steadily, &h);
	if (h.late)
		watch_look_at(b->engine->watch, h.pid); /* too late, but the sooner the better */
	if (h.pid && engine_now_ns() < b->search_until_ns)
		loop_timer_set(b->again, 1);
}

static void search_again(struct loop_source *s, u32 events, void *arg)
{
	struct birth *b = arg;

	loop_timer_set(b->again, 0);
	search(b);
}

static void somebody_opens(void *arg)
{
	struct birth *b = arg;

	b->search_until_ns = engine_now_ns() + SEARCH_MS * 1000000ull;
	search(b);
}

/* --- growing up --- */

bool birth_pending(const struct process *p)
{
	return p->birth != BIRTH_NONE && p->birth_until_ns > engine_now_ns();
}

/* Has it waited in vain for us? */
static bool process_gave_up(struct process *p)
{
	u32 gave_up = 0;

	return !inject_read(&p->target, p->local + offsetof(struct nt_local, rbrk_gave_up), &gave_up, sizeof(gave_up)) &&
	       gave_up;
}

bool birth_rang(struct process *p)
{
	if (p->birth == BIRTH_HELD) {
		linker_watch_process(p);
		p->birth = BIRTH_LOADING;
	}
	if (p->birth == BIRTH_LOADING) {
		if (birth_pending(p) && linker_is_busy(p))
			return false;
		if (process_gave_up(p))
			log_info("pid %d (%s): attached late: we were busy", p->pid, p->comm);
		p->birth = BIRTH_NONE;
		process_learn_thread_block(p);
	}
	return true;
}

/* --- marks --- */

static bool is_used(const struct engine *e, const struct binary *b)
{
	const struct link *l;

	DL_FOREACH(e->links, l)
		if (l->binary == b && !l->closing)
			return true;
	return false;
}

void birth_update(struct birth *b)
{
	struct binary *bin, *tmp;

	HASH_ITER(hh, b->engine->binaries, bin, tmp) {
		bool on = is_used(b->engine, bin);

		if (on != bin->marked && bin->fd >= 0 && b->keeper && !keeper_mark(b->keeper, bin->fd, on))
			bin->marked = on;
		if (b->opened && on && !bin->opened && bin->fd >= 0)
			bin->opened = bits_max(opened_mark(b->opened, bin->fd), 0);
		if (b->opened && !on && bin->opened) {
			opened_unmark(b->opened, bin->opened);
			bin->opened = 0;
		}
	}
	receive_guests(b); /* who came while we waited for the keeper */
}

bool birth_catches(const struct birth *b)
{
	return b->keeper;
}

static int birth_open(struct birth *b)
{
	int r = keeper_start(b->engine, &b->keeper);

	b->opened_ns = engine_now_ns();
	if (!r)
		r = loop_add(b->engine->broker->loop, keeper_fd(b->keeper), EPOLLIN, guest_came, b, &b->source);
	return r;
}

void birth_check(struct birth *b)
{
	if (b->keeper && !keeper_check(b->keeper))
		birth_close(b);
	if (b->keeper || b->opened || engine_now_ns() - b->opened_ns < REOPEN_NS)
		return;
	if (!birth_open(b))
		birth_update(b);
}

int birth_new(struct engine *e, struct birth **ret)
{
	struct birth *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->engine = e;
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
		free(b); /* what begins without a thread block asks for it by RDFSBASE */
		return -ENOTSUP;
	}
	r = birth_open(b);
	if (r) {
		log_info("no permission events (%s): new processes are noticed a little late", strerror(-r));
		birth_close(b);
		r = opened_new(e->broker->loop, somebody_opens, b, &b->opened);
		if (!r)
			r = loop_add_timer(e->broker->loop, 0, search_again, b, &b->again);
	}
	if (r) {
		birth_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

void birth_free(struct birth *b)
{
	if (!b)
		return;
	loop_source_free(b->source);
	loop_source_free(b->again);
	keeper_free(b->keeper);
	opened_free(b->opened);
	free(b);
}
