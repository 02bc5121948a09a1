/* SPDX-License-Identifier: MIT */
/* Map commands: checks in the order of kernel/bpf/syscall.c, elements by the maps library. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/elem.h"
#include "broker/cmd/slots.h"
#include "broker/cmd/tasks.h"
#include "broker/object/btf.h"
#include "broker/object/slots.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"

#define F_TOKEN_FD (1u << 16)
#define MAP_TYPE_ARENA 33

static bool map_type_is_percpu(u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* What MAP_CREATE checks before it looks at the type. */
static int map_create_check(const struct attr_map_create *a)
{
	if (a->btf_vmlinux_value_type_id || (a->btf_key_type_id && !a->btf_value_type_id))
		return -EINVAL;
	if (a->type != BPF_MAP_TYPE_BLOOM_FILTER && a->type != MAP_TYPE_ARENA && a->map_extra)
		return -EINVAL;
	if ((a->flags & (BPF_F_RDONLY | BPF_F_WRONLY)) == (BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	/* One memory node is all we promise to have. */
	if (a->flags & BPF_F_NUMA_NODE && a->numa_node)
		return -EINVAL;
	return a->ifindex ? -EINVAL : 0;
}

static int map_create_btf(struct call *k, const struct attr_map_create *a, struct object **ret)
{
	struct object *o;
	int r;

	if (!a->btf_key_type_id && !a->btf_value_type_id)
		return 0;
	r = object_by_fd(k->c, (int)a->btf_fd, OBJECT_BTF, &o);
	if (!r && object_btf_is_kernel(object_to_btf(o)))
		r = -EACCES;
	if (!r)
		*ret = o;
	return r;
}

/* bpf_map_meta_alloc(): what the elements of a map of maps will look like. */
static int map_create_inner(struct call *k, const struct attr_map_create *a, struct nt_map_view *ret)
{
	struct object *o;
	int r = object_by_fd(k->c, (int)a->inner_map_fd, OBJECT_MAP, &o);

	if (r < 0)
		return r;
	*ret = object_to_map(o)->view;
	if (map_is_of_maps(ret->type))
		return -EINVAL;
	return map_has_slots(ret->type) && ret->type != BPF_MAP_TYPE_PERF_EVENT_ARRAY ? -NT_ENOTSUPP : 0;
}

s64 cmd_map_create(struct call *k)
{
	const struct attr_map_create *a = &k->attr.map_create;
	struct nt_map_view v = {
	    .type = a->type,
	    .key_size = a->key_size,
	    .value_size = a->value_size,
	    .max_entries = a->max_entries,
	    .flags = a->flags,
	    .extra = a->map_extra,
	    .ncpus = map_type_is_percpu(a->type) ? k->b->ncpus : 1,
	};
	struct object_map from = {.kernel = k->c->kernel}, *m;
	int r;

	if (a->flags & F_TOKEN_FD)
		return -EINVAL;
	r = map_create_check(a);
	if (r < 0)
		return r;
	r = map_geometry(&v);
	if (r < 0)
		return r == -EOPNOTSUPP ? -EINVAL : r;
	/* elements of task storage are told from each other by BTF, as in the kernel */
	if (a->type == BPF_MAP_TYPE_TASK_STORAGE && (!a->btf_key_type_id || !a->btf_value_type_id))
		return -EINVAL;
	if (map_is_of_maps(a->type))
		r = map_create_inner(k, a, &from.inner);
	if (!r)
		r = call_name(a->name, from.name);
	if (!r)
		r = map_create_btf(k, a, &from.btf);
	from.view = v;
	from.map_extra = a->map_extra;
	if (a->type == MAP_TYPE_ARENA && a->map_extra)
		from.arena_len = v.ctl_off;
	from.created_by_uid = k->c->uid;
	from.btf_key_type_id = a->btf_key_type_id;
	from.btf_value_type_id = a->btf_value_type_id;
	if (!r)
		r = object_map_new(k->b, &from, &m);
	if (r < 0)
		return r;
	return call_give_map(k, &m->obj, a->flags);
}

int elem_map(struct call *k, u32 fd, u32 may, struct object_map **ret)
{
	struct object *o;
	struct object_map *m;
	int mode, r = object_by_fd_mode(k->c, (int)fd, OBJECT_MAP, &o, &mode);

	if (r < 0)
		return r;
	m = object_to_map(o);
	if (may & ELEM_READ && mode == O_WRONLY)
		return -EPERM;
	if (may & ELEM_WRITE && (m->frozen || mode == O_RDONLY))
		return -EPERM;
	*ret = m;
	return 0;
}

int elem_read_key(struct call *k, const struct object_map *m, u64 addr, void **ret)
{
	void *key free_auto = malloc(bits_max(m->view.key_size, 8u));
	int r;

	if (!key)
		return -ENOMEM;
	if (!m->view.key_size && addr)
		return -EINVAL;
	r = client_read(k->c, addr, key, m->view.key_size);
	if (r < 0)
		return r;
	*ret = key;
	key = NULL;
	return 0;
}

static s64 map_lookup_common(struct call *k, bool and_delete)
{
	const struct attr_map_elem *a = &k->attr.elem;
	void *key free_auto = NULL;
	void *value free_auto = NULL;
	struct object_map *m;
	int r;

	if (a->flags & ~(u64)BPF_F_LOCK)
		return -EINVAL;
	r = elem_map(k, a->map_fd, and_delete ? ELEM_READ | ELEM_WRITE : ELEM_READ, &m);
	if (r < 0)
		return r;
	if (a->flags)
		return -EINVAL; /* no map of ours has a bpf_spin_lock */
	r = elem_read_key(k, m, a->key, &key);
	if (r < 0)
		return r;
	value = calloc(1, bits_max(map_syscall_size(&m->view), 8u));
	if (!value)
		return -ENOMEM;
	if (m->view.type == BPF_MAP_TYPE_TASK_STORAGE) {
		r = and_delete ? -NT_ENOTSUPP : tasks_lookup(k, m, key, value);
		return r < 0 ? r : client_write(k->c, a->value, value, m->view.value_size);
	}
	if (!and_delete && map_has_slots(m->view.type))
		return slots_lookup(k, m, key);
	if (m->view.type == BPF_MAP_TYPE_BLOOM_FILTER) { /* is this value there? */
		r = client_read(k->c, a->value, value, m->view.value_size);
		return r < 0 || and_delete ? (r < 0 ? r : -NT_ENOTSUPP) : map_peek(&m->view, &k->b->caller, value);
	}
	r = and_delete ? map_sys_lookup_and_delete(&m->view, &k->b->caller, key, value)
		       : map_sys_lookup(&m->view, &k->b->caller, key, value);
	return r < 0 ? r : client_write(k->c, a->value, value, map_syscall_size(&m->view));
}

s64 cmd_map_lookup(struct call *k)
{
	return map_lookup_common(k, false);
}

s64 cmd_map_lookup_and_delete(struct call *k)
{
	return map_lookup_common(k, true);
}

s64 cmd_map_update(struct call *k)
{
	const struct attr_map_elem *a = &k->attr.elem;
	void *key free_auto = NULL;
	void *value free_auto = NULL;
	struct object_map *m;
	int r;

	r = elem_map(k, a->map_fd, ELEM_WRITE, &m);
	if (r < 0)
		return r;
	if (a->flags & BPF_F_LOCK)
		return -EINVAL;
	r = elem_read_key(k, m, a->key, &key);
	if (r < 0)
		return r;
	value = malloc(bits_max(map_syscall_size(&m->view), 8u));
	if (!value)
		return -ENOMEM;
	r = client_read(k->c, a->value, value, map_syscall_size(&m->view));
	if (r < 0)
		return r;
	if (m->view.type == BPF_MAP_TYPE_TASK_STORAGE)
		return tasks_update(k, m, key, value, a->flags);
	if (map_has_slots(m->view.type))
		return slots_update(k, m, key, value, a->flags);
	r = map_sys_update(&m->view, &k->b->caller, key, value, a->flags);
	return r < 0 ? r : twin_map_mirror(m, key, value, a->flags);
}

s64 cmd_map_delete(struct call *k)
{
	void *key free_auto = NULL;
	struct object_map *m;
	int r;

	r = elem_map(k, k->attr.elem.map_fd, ELEM_WRITE, &m);
	if (!r)
		r = elem_read_key(k, m, k->attr.elem.key, &key);
	if (r < 0)
		return r;
	if (m->view.type == BPF_MAP_TYPE_TASK_STORAGE)
		return tasks_delete(k, m, key);
	if (map_has_slots(m->view.type))
		return slots_delete(k, m, key);
	r = map_sys_delete(&m->view, &k->b->caller, key);
	return r < 0 ? r : twin_map_mirror(m, key, NULL, 0);
}

s64 cmd_map_next_key(struct call *k)
{
	const struct attr_map_elem *a = &k->attr.elem;
	void *key free_auto = NULL;
	void *next free_auto = NULL;
	struct object_map *m;
	int r;

	r = elem_map(k, a->map_fd, ELEM_READ, &m);
	if (!r && a->key)
		r = elem_read_key(k, m, a->key, &key);
	if (r < 0)
		return r;
	next = malloc(bits_max(m->view.key_size, 8u));
	if (!next)
		return -ENOMEM;
	r = map_next_key(&m->view, key, next);
	return r < 0 ? r : client_write(k->c, a->value, next, m->view.key_size);
}

s64 cmd_map_freeze(struct call *k)
{
	struct object_map *m;
	int r = elem_map(k, k->attr.elem.map_fd, ELEM_WRITE, &m);

	return r < 0 ? r : object_map_freeze(m);
}
