/* SPDX-License-Identifier: MIT */
/* Putting elements into a hash, and replacing values (hash.c has the rules). */
#include "maps/types.h"

#include <linux/bpf.h>
#include <linux/errno.h>

#include "maps/hash_walk.h"
#include "maps/pair.h"

struct hash_put {
	const struct nt_map_view *v;
	const struct nt_caller *c;
	const void *key;
	const void *value; /* NULL: zeroes (BPF_NOEXIST, one value) */
	u32 hash;
	bool sys;
	const void *tail; /* LPM trie: the last tail_size bytes of the value are here, not behind value */
	u32 tail_size, head_size;
	bool entered;	       /* hash_pool_enter() was called, */
	u32 ticket;	       /* and returned this */
	u32 held;	       /* an element taken and not linked yet, 0 = none */
	enum hash_class class; /* of held */
	struct hash_patience patience;
};

static void put_drop(struct hash_put *put)
{
	if (put->held)
		hash_pool_give(put->v, put->c->cpu, put->class, put->held);
	put->held = 0;
	if (put->entered)
		hash_pool_leave(put->v, put->c, put->ticket);
	put->entered = false;
}

static bool put_take(struct hash_put *put, enum hash_class class)
{
	if (put->held && put->class == class)
		return true;
	put_drop(put);
	if (class == HASH_ENTRY) {
		if (!hash_pool_has(put->v, put->c->cpu))
			return false;
		put->ticket = hash_pool_enter(put->v, put->c);
		put->entered = true;
	}
	put->held = hash_pool_take(put->v, put->c->cpu, class);
	put->class = class;
	if (!put->held)
		put_drop(put);
	return put->held;
}

/* Makes the held element one of this key and value that leads to succ. */
static void put_fill(struct hash_put *put, u32 succ)
{
	const struct nt_map_view *v = put->v;
	struct hash_elem *e = hash_elem_known(v, put->held);
	u64 word = 0, copies = (u64)v->value_stride * v->ncpus;

	at_store(&e->uses, at_load(&e->uses) + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	e->hash = put->hash;
	mem_copy(e->key, put->key, v->key_size);
	if (hash_is_small(v)) {
		if (put->value)
			mem_copy(&word, put->value, v->value_size);
		at_store(&e->small, word);
	} else if (!put->value) {
		mem_zero(hash_value(v, e, 0), v->value_size);
	} else if (put->tail_size) {
		mem_copy(hash_value(v, e, 0), put->value, put->head_size);
		mem_copy(hash_value(v, e, 0) + v->value_size - put->tail_size, put->tail, put->tail_size);
	} else if (!hash_is_percpu(v)) {
		mem_copy(hash_value(v, e, 0), put->value, v->value_size);
	} else if (put->sys) {
		mem_copy(hash_value(v, e, 0), put->value, copies);
	} else {
		mem_zero(hash_value(v, e, 0), copies);
		mem_copy(hash_value(v, e, put->c->cpu), put->value, v->value_size);
	}
	at_store_rel(&e->next, link_after(at_load(&e->next), succ, 0));
}

/* The key was not there. 0, -E2BIG, or -EAGAIN: look again. */
static int put_insert(struct hash_put *put, struct hash_pos *pos)
{
	if (!put_take(put, HASH_ENTRY) && hash_is_lru(put->v))
		return hash_lru_evict(put->v, put->c) ? -EAGAIN : -ENOMEM;
	if (!put->held)
		return hash_pool_wait(put->v, put->c, &put->patience) ? -EAGAIN : -E2BIG;
	put_fill(put, link_index(pos->head_was));
	if (hash_is_lru(put->v))
		at_store(hash_used_mark(put->v, put->held), 0);
	if (!at_cas(hash_head(put->v, put->hash), &pos->head_was,
		    link_after(pos->head_was, put->held, 0)))
		return -EAGAIN;
	put->held = 0;
	return 0;
}

/* A full map with no spare element left (each lost by a killed process) cannot replace: -ENOMEM. */
static int put_replace(struct hash_put *put, struct hash_pos *pos)
{
	u32 made;

	if (!put_take(put, HASH_SPARE) && !put_take(put, HASH_ENTRY))
		return -ENOMEM;
	put_fill(put, link_index(pos->next));
	made = put->held;
	if (hash_is_lru(put->v))
		at_store(hash_used_mark(put->v, made), 1);
	if (!at_cas(&pos->elem->next, &pos->next, link_after(pos->next, made, HASH_REMOVED)))
		return -EAGAIN;
	put->held = 0;
	if (hash_bypass(put->v, put->hash, pos, made))
		hash_pool_give(put->v, put->c->cpu, put->class, pos->idx);
	return 0;
}

/* The key is there. 0, -ENOMEM, or -EAGAIN: look again. */
static int put_existing(struct hash_put *put, struct hash_pos *pos)
{
	const struct nt_map_view *v = put->v;
	struct hash_elem *e = pos->elem;
	u64 word = 0;

	if (hash_is_lru(v))
		at_store(hash_used_mark(v, pos->idx), 1);
	if (hash_is_small(v)) {
		mem_copy(&word, put->value, v->value_size);
		return pair_cas(&e->next, pos->next, at_load(&e->small), pos->next, word) ? 0
											  : -EAGAIN;
	}
	if (!hash_is_percpu(v) || put->sys)
		return put_replace(put, pos);
	mem_copy(hash_value(v, e, put->c->cpu), put->value, v->value_size);
	return 0;
}

static int put_run(struct hash_put *put, u64 flags)
{
	struct hash_pos pos;
	int r = -EAGAIN;

	put->hash = hash_of(put->v, put->key);
	for (u32 tries = HASH_TRIES; r == -EAGAIN && tries; tries--) {
		int found = hash_find(put->v, put->key, put->hash, &pos);

		if (found < 0)
			r = -EBUSY;
		else if (found)
			r = flags == BPF_NOEXIST ? -EEXIST : put_existing(put, &pos);
		else
			r = flags == BPF_EXIST ? -ENOENT : put_insert(put, &pos);
	}
	put_drop(put);
	return r == -EAGAIN ? -EBUSY : r;
}

/* htab_map_update_elem(), htab_percpu_map_update_elem() */
int hash_update(const struct nt_map_view *v, const struct nt_caller *c, const void *key,
		const void *value, u64 flags, bool sys)
{
	struct hash_put put = {.v = v, .c = c, .key = key, .value = value, .sys = sys};

	if (flags > BPF_EXIST || (!sys && hash_is_percpu(v) && c->cpu >= v->ncpus))
		return -EINVAL;
	return put_run(&put, flags);
}

int hash_update_tailed(const struct nt_map_view *v, const struct nt_caller *c, const void *key, const void *value,
		       u32 size, const void *tail, u32 tail_size, u64 flags)
{
	struct hash_put put = {
	    .v = v, .c = c, .key = key, .value = value, .head_size = size, .tail = tail, .tail_size = tail_size};

	return put_run(&put, flags);
}
