/* SPDX-License-Identifier: MIT */
/*
 * Elements of a map that the kernel owns: the same command on the twin. Keys and values are copied, so the loader's own
 * errors (EFAULT) are found here, at the same point as in the kernel; all others are the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/cmd/elem.h"
#include "broker/cmd/kernel.h"
#include "broker/object/kernel.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"

static bool is_write(u32 cmd)
{
	return cmd != BPF_MAP_LOOKUP_ELEM && cmd != BPF_MAP_GET_NEXT_KEY && cmd != BPF_MAP_LOOKUP_BATCH;
}

static bool is_read(u32 cmd)
{
	return cmd != BPF_MAP_UPDATE_ELEM && cmd != BPF_MAP_DELETE_ELEM && cmd != BPF_MAP_UPDATE_BATCH &&
	       cmd != BPF_MAP_DELETE_BATCH && cmd != BPF_MAP_FREEZE;
}

static int mode_check(u32 cmd, const struct object_map *m, int mode)
{
	if (is_read(cmd) && mode == O_WRONLY)
		return -EPERM;
	return is_write(cmd) && (m->frozen || mode == O_RDONLY) ? -EPERM : 0;
}

/* Task storage: the key is a descriptor. */
static int key_translate(struct call *k, const struct object_map *m, void *key, int *ret_fd)
{
	int fd;

	if (m->view.type != BPF_MAP_TYPE_TASK_STORAGE)
		return 0;
	memcpy(&fd, key, sizeof(fd));
	*ret_fd = client_get_fd(k->c, fd);
	memcpy(key, ret_fd, sizeof(*ret_fd));
	return *ret_fd < 0 ? -EBADF : 0;
}

/* Stacks that programs of ours have left before the map moved. */
static int old_stack(struct call *k, const struct object_map *m, const void *key, void *value)
{
	return m->view.type == BPF_MAP_TYPE_STACK_TRACE ? map_sys_lookup(&m->view, &k->b->caller, key, value) : -ENOENT;
}

static s64 one(struct call *k, u32 cmd, struct object_map *m)
{
	const struct attr_map_elem *a = &k->attr.elem;
	bool in = cmd == BPF_MAP_UPDATE_ELEM || m->view.type == BPF_MAP_TYPE_BLOOM_FILTER, next = cmd == BPF_MAP_GET_NEXT_KEY;
	u32 size = next ? m->view.key_size : map_syscall_size(&m->view);
	bool out = next || (!in && cmd != BPF_MAP_DELETE_ELEM);
	u8 *value free_auto = calloc(1, bits_max(size, 8u));
	struct attr_map_elem to = {.map_fd = (u32)m->twin->fd, .flags = a->flags};
	int fd fd_auto = -1;
	void *key free_auto = NULL;
	int r = value ? 0 : -ENOMEM;

	if (!r && (a->key || !next))
		r = elem_read_key(k, m, a->key, &key);
	if (!r && key)
		r = key_translate(k, m, key, &fd);
	if (!r && in)
		r = client_read(k->c, a->value, value, size);
	if (r < 0)
		return r;
	to.key = m->view.key_size ? (u64)key : 0;
	to.value = cmd == BPF_MAP_DELETE_ELEM ? 0 : (u64)value;
	r = kernel_bpf(cmd, &to, sizeof(to));
	if (r == -ENOENT && cmd == BPF_MAP_LOOKUP_ELEM)
		r = old_stack(k, m, key, value);
	return r < 0 || !out ? r : client_write(k->c, a->value, value, size);
}

struct copies {
	u8 *keys, *values, *token;
};

static void copies_deinit(struct copies *c)
{
	free(c->keys);
	free(c->values);
	free(c->token);
}

static s64 batch_out(struct call *k, const struct object_map *m, const struct copies *c, const struct attr_batch *to, bool token)
{
	const struct attr_batch *a = &k->attr.batch;
	u32 token_size = m->view.type == BPF_MAP_TYPE_LPM_TRIE || m->view.type == BPF_MAP_TYPE_ARRAY ||
				 m->view.type == BPF_MAP_TYPE_PERCPU_ARRAY ? m->view.key_size : sizeof(u32);
	u32 n = to->count;
	int r = client_write(k->c, a->keys, c->keys, (size_t)n * m->view.key_size);

	if (!r)
		r = client_write(k->c, a->values, c->values, (size_t)n * map_syscall_size(&m->view));
	if (!r && token)
		r = client_write(k->c, a->out_batch, c->token, token_size);
	return r;
}

static s64 batch(struct call *k, u32 cmd, struct object_map *m)
{
	const struct attr_batch *a = &k->attr.batch;
	u32 key_size = m->view.key_size, value_size = map_syscall_size(&m->view);
	bool lookup = cmd == BPF_MAP_LOOKUP_BATCH || cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH;
	struct copies c util_cleanup(copies_deinit) = {
	    .keys = calloc((size_t)a->count + 1, bits_max(key_size, 1u)),
	    .values = calloc((size_t)a->count + 1, bits_max(value_size, 1u)),
	    .token = calloc(2, bits_max(key_size, 8u)),
	};
	struct attr_batch to = *a;
	int r = c.keys && c.values && c.token ? 0 : -ENOMEM, w;

	to.map_fd = (u32)m->twin->fd;
	to.keys = (u64)c.keys;
	to.values = (u64)c.values;
	if (!r && !lookup)
		r = client_read(k->c, a->keys, c.keys, (size_t)a->count * key_size);
	if (!r && cmd == BPF_MAP_UPDATE_BATCH)
		r = client_read(k->c, a->values, c.values, (size_t)a->count * value_size);
	if (lookup) {
		to.out_batch = (u64)c.token;
		to.in_batch = a->in_batch ? (u64)(c.token + bits_max(key_size, 8u)) : 0;
	}
	if (!r && to.in_batch)
		r = client_read(k->c, a->in_batch, (void *)to.in_batch, m->view.type == BPF_MAP_TYPE_LPM_TRIE ? key_size : 4);
	if (r < 0)
		return r;
	r = kernel_bpf(cmd, &to, sizeof(to));
	if (lookup && (!r || r == -ENOENT)) {
		w = (int)batch_out(k, m, &c, &to, !r || to.count);
		if (w < 0)
			return w;
	}
	if (r == -EFAULT)
		return r;
	w = a->count ? client_write(k->c, k->uattr + offsetof(struct attr_batch, count), &to.count, sizeof(to.count)) : 0;
	return w < 0 ? w : r;
}

s64 kernel_elem(struct call *k, u32 cmd, struct object_map *m, int mode)
{
	int r = mode_check(cmd, m, mode);

	if (r < 0)
		return r;
	switch (cmd) {
	case BPF_MAP_FREEZE: return object_map_freeze(m); /* who may write is for us to say */
	case BPF_MAP_LOOKUP_BATCH:
	case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH: return batch(k, cmd, m);
	}
	return one(k, cmd, m);
}
