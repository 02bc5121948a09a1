/* SPDX-License-Identifier: MIT */
/*
 * A block is known by the gates that it maps. Only a fork hands it on, so a process that was seen without one will not
 * have one before we put it there; such strangers, and who has another living broker's block alone, are told by their number
 * and the inode of their /proc entry, and not looked at again.
 *
 * Where only a few processes were made since the last look, which the kernel's numbers tell, it is enough to look at these:
 *
 *     [.... all that were there .... ](last look)[ made since ](now)          numbers rise, and begin anew at the end
 *
 * They must not have gone round unseen, so the number is read a few times a second; and a process that was to be looked at
 * again, because it could not be dealt with, has us look at all of them.
 */
#include "broker/watch/heirs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/link/adopt.h"
#include "broker/link/process.h"
#include "broker/link/steady.h"
#include "util/fd.h"
#include "util/proc.h"

#define CLEAN_UP_ROUNDS 8
#define RETRY_NS 1000000000ull
#define FEW 200		       /* processes and threads: more cost as much as looking at all */
#define READ_NS 500000000ull   /* after that a number tells nothing */

struct stranger {
	pid_t pid;
	u64 inode, round;
	UT_hash_handle hh;
};

struct heirs {
	struct engine *engine;
	bool adopted; /* a block was found that needed something to be done */
	bool again;   /* somebody met at the last look is to be looked at again */
	pid_t seen;   /* the newest process then; 0: not known */
	u64 read_ns;  /* when the newest one's number was last compared with that */
	u64 round;
	struct stranger *strangers;
};

/* The blocks in a process: ours, and those of brokers that are no more. */
struct blocks {
	u64 own_ino;
	u32 n, cap;
	struct block {
		u64 addr, ino;
	} *block;
};

static bool gates_visit(const struct proc_map *map, void *arg)
{
	struct blocks *b = arg;

	if (!map->shared || map->off || strncmp(map->path, "/memfd:notrap-gates", 19))
		return false;
	if (b->n == b->cap) { /* one for each broker that was killed in its time */
		u32 cap = b->cap ? 2 * b->cap : 4;
		struct block *more = realloc(b->block, cap * sizeof(*more));

		if (!more)
			return true;
		b->block = more;
		b->cap = cap;
	}
	b->block[b->n++] = (struct block){ .addr = map->start, .ino = map->ino };
	return false;
}

static void blocks_deinit(struct blocks *b)
{
	free(b->block);
}

/* False: it has none. */
static bool find_blocks(const struct heirs *h, pid_t pid, struct blocks *ret)
{
	*ret = (struct blocks){ .own_ino = h->engine->shared.ino };
	return !proc_maps_each(pid, gates_visit, ret) && ret->n;
}

/* Ours last, because it stays in use. True: none of them has anything to do with us. */
static bool look_at_blocks(struct heirs *h, struct process *p, const struct blocks *b, bool all)
{
	bool others = true;

	for (u32 own = 0; own < 2; own++)
		for (u32 i = 0; i < b->n; i++) {
			int r = 0;

			if ((b->block[i].ino == b->own_ino) == own)
				r = attach_adopt(p, b->block[i].addr, b->block[i].ino, all);
			if (r < 0)
				p->retry_ns = engine_now_ns() + RETRY_NS;
			h->adopted |= r != 0;
			others &= r == 0;
		}
	return others;
}

void heirs_look(struct heirs *h, struct process *p, bool all)
{
	struct blocks b util_cleanup(blocks_deinit) = { .n = 0 };

	if (!p->injected && find_blocks(h, p->pid, &b))
		look_at_blocks(h, p, &b, all);
}

static bool is_stranger(struct heirs *h, pid_t pid, u64 inode)
{
	struct stranger *s;

	HASH_FIND_INT(h->strangers, &pid, s);
	if (!s || s->inode != inode)
		return false;
	s->round = h->round;
	return true;
}

static void remember_stranger(struct heirs *h, pid_t pid, u64 inode)
{
	struct stranger *s;

	HASH_FIND_INT(h->strangers, &pid, s);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->pid = pid;
		HASH_ADD_INT(h->strangers, pid, s);
	}
	s->inode = inode;
	s->round = h->round;
}

static void forget_strangers(struct heirs *h, bool all)
{
	struct stranger *s, *tmp;

	HASH_ITER(hh, h->strangers, s, tmp)
		if (all || s->round != h->round) {
			HASH_DEL(h->strangers, s);
			free(s);
		}
}

static bool visit(pid_t pid, u64 inode, void *arg)
{
	struct blocks b util_cleanup(blocks_deinit) = { .n = 0 };
	struct heirs *h = arg;
	struct process *p;
	uid_t owner;

	if (is_stranger(h, pid, inode))
		return false;
	if (steady_is_orphan(h->engine))
		return true;
	p = process_find(h->engine, pid);
	if ((p && p->injected) || proc_owner(pid, &owner) || owner != geteuid() || steady_is_broker(h->engine, pid))
		return false;
	if (find_blocks(h, pid, &b)) {
		if (process_get(h->engine, pid, &p))
			p = NULL;
		if (!p || !look_at_blocks(h, p, &b, false)) {
			h->again |= !p || !p->injected;
			return false;
		}
	}
	remember_stranger(h, pid, inode);
	return false;
}

/* Those that were made since, of which threads are none. */
static void find_new(struct heirs *h, pid_t newest)
{
	for (pid_t pid = h->seen + 1; pid <= newest; pid++) {
		u64 inode;

		if (!proc_inode(pid, &inode) && proc_is_leader(pid) && visit(pid, inode, h))
			return;
	}
}

static bool only_few_are_new(const struct heirs *h, pid_t newest)
{
	return h->seen && !h->again && engine_now_ns() - h->read_ns < READ_NS && newest >= h->seen && newest - h->seen <= FEW;
}

void heirs_find(struct heirs *h)
{
	pid_t newest = 0;

	if (proc_newest(&newest))
		newest = 0;
	if (only_few_are_new(h, newest)) {
		find_new(h, newest);
	} else {
		h->round++;
		h->again = false;
		if (!proc_entries_each(visit, h))
			forget_strangers(h, false);
	}
	h->seen = steady_is_orphan(h->engine) ? 0 : newest;
	h->read_ns = engine_now_ns();
}

void heirs_tick(struct heirs *h)
{
	u64 now = engine_now_ns();
	pid_t newest;

	if (!h->seen || now - h->read_ns >= READ_NS || proc_newest(&newest) || newest < h->seen)
		h->seen = 0;
	h->read_ns = now;
}

void heirs_begin(struct heirs *h)
{
	if (!h->round || h->again || proc_newest(&h->seen))
		h->seen = 0;
	h->read_ns = engine_now_ns();
}

/* Until nothing is found any more: a process may have forked before it was cleaned, or not have stopped in time. */
void heirs_clean_up(struct heirs *h)
{
	for (int i = 0; i < CLEAN_UP_ROUNDS && !steady_is_orphan(h->engine); i++) {
		h->seen = 0;
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		h->adopted = false;
		heirs_find(h);
		if (!h->adopted)
			return;
	}
}

int heirs_new(struct engine *e, struct heirs **ret)
{
	struct heirs *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->engine = e;
	*ret = h;
	return 0;
}

void heirs_free(struct heirs *h)
{
	if (!h)
		return;
	forget_strangers(h, true);
	free(h);
}
