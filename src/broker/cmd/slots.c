/* SPDX-License-Identifier: MIT */
/* Elements that are objects: kernel/bpf/syscall.c (bpf_map_update_value), arraymap.c (bpf_fd_array_map_*). */
#include "broker/cmd/slots.h"

#include <errno.h>
#include <linux/bpf.h>

#include "base/atomic.h"
#include "broker/object/output.h"
#include "broker/object/slots.h"
#include "maps/maps.h"

/* The object behind a descriptor and the word that stands for it in the map's memory. */
static int slot_object(struct call *k, struct object_map *m, u32 fd, struct object **ret, u64 *ret_word)
{
	int r;

	switch (m->view.type) {
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
		r = object_by_fd(k->c, (int)fd, OBJECT_OUTPUT, ret);
		if (r < 0)
			return -EBADF; /* perf_event_get(): also for what is no perf event */
		*ret_word = object_to_output(*ret)->ctl_page;
		return 0;
	}
	return -NT_ENOTSUPP;
}

int slots_update(struct call *k, struct object_map *m, const u32 *key, const u32 *fd, u64 flags)
{
	struct object *o;
	u64 *at, word;
	int r;

	if (flags != BPF_ANY)
		return -EINVAL;
	at = map_slot(&m->view, *key);
	if (!at)
		return -E2BIG;
	r = slot_object(k, m, *fd, &o, &word);
	if (!r)
		r = object_slot_set(m, key, o);
	if (!r)
		at_store_rel(at, word);
	return r;
}

int slots_delete(struct object_map *m, const u32 *key)
{
	u64 *at = map_slot(&m->view, *key);

	if (!at)
		return -E2BIG;
	at_store_rel(at, 0);
	return object_slot_clear(m, key);
}
