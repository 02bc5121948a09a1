/* SPDX-License-Identifier: MIT */
#include "broker/object/twin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "broker/broker.h"
#include "broker/object/btf.h"
#include "broker/object/kernel.h"
#include "broker/object/relay.h"
#include "broker/object/slots.h"
#include "maps/maps.h"
#include "util/fd.h"
#include "util/log.h"

#define TYPE_USER_RINGBUF 31 /* not in every <linux/bpf.h> */
#define TYPE_ARENA 33
#define CREATE_FLAGS_HERE (BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_NUMA_NODE) /* of a descriptor, or nobody's business */

static enum twin_how how_of(const struct object_map *m)
{
	switch (m->view.type) {
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY: return TWIN_RELAY;
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_CGROUP_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS: return TWIN_SLOTS;
	}
	return m->view.flags & BPF_F_RDONLY_PROG ? TWIN_MIRROR : TWIN_OWNER;
}

static int create_by_view(const struct nt_map_view *v, const char *name, u32 more_flags, int inner_fd,
			  const struct object_map *btf_of)
{
	union bpf_attr a = {
	    .map_type = v->type,
	    .key_size = v->key_size,
	    .value_size = v->value_size,
	    .max_entries = v->max_entries,
	    .map_flags = (v->flags & ~CREATE_FLAGS_HERE) | more_flags,
	    .inner_map_fd = inner_fd < 0 ? 0 : (u32)inner_fd,
	    .map_extra = v->extra,
	};
	int btf = btf_of && btf_of->btf ? object_btf_twin(object_to_btf(btf_of->btf)) : -1, fd;

	strncpy(a.map_name, name, sizeof(a.map_name) - 1);
	if (btf >= 0) {
		a.btf_fd = (u32)btf;
		a.btf_key_type_id = btf_of->btf_key_type_id;
		a.btf_value_type_id = btf_of->btf_value_type_id;
	}
	fd = kernel_bpf(BPF_MAP_CREATE, &a, sizeof(a));
	if (fd < 0)
		log_info("map %s: the kernel does not make its twin: %s", name, strerror(-fd));
	return fd;
}

static bool is_shared(const struct nt_map_view *v)
{
	return v->type == BPF_MAP_TYPE_ARRAY && !(v->flags & BPF_F_RDONLY_PROG);
}

static int create(const struct object_map *m, u32 more_flags)
{
	int inner fd_auto = -1;

	if (map_is_of_maps(m->view.type)) {
		inner = create_by_view(&m->inner, "shape", is_shared(&m->inner) ? BPF_F_MMAPABLE : 0, -1, NULL);
		if (inner < 0)
			return inner;
	}
	return create_by_view(&m->view, m->name, more_flags, inner, m);
}

static int twin_new(struct object_map *m, int fd, enum twin_how how)
{
	struct twin_map *t = fd < 0 ? NULL : calloc(1, sizeof(*t));

	if (fd < 0)
		return fd;
	if (!t) {
		close(fd);
		return -ENOMEM;
	}
	t->fd = fd;
	t->how = how;
	m->twin = t;
	return 0;
}

int twin_map_share(struct object_map *m, int *ret_fd)
{
	int r = twin_new(m, create(m, BPF_F_MMAPABLE), TWIN_SHARED);

	if (!r)
		*ret_fd = m->twin->fd;
	return r;
}

void twin_map_free(struct object_map *m)
{
	if (!m->twin)
		return;
	relay_free(m->twin->relay);
	fd_closep(&m->twin->fd);
	if (m->twin->how == TWIN_SHARED)
		m->mem_fd = m->fd;
	free(m->twin);
	m->twin = NULL;
}

static int elem(struct object_map *m, u32 cmd, const void *key, const void *value, u64 flags)
{
	union bpf_attr a = {
	    .map_fd = (u32)m->twin->fd,
	    .key = (u64)key,
	    .value = (u64)value,
	    .flags = flags,
	};

	return kernel_bpf(cmd, &a, sizeof(a));
}

int twin_map_mirror(struct object_map *m, const void *key, const void *value, u64 flags)
{
	if (!m->twin || m->twin->how != TWIN_MIRROR)
		return 0;
	return elem(m, value ? BPF_MAP_UPDATE_ELEM : BPF_MAP_DELETE_ELEM, key, value, flags);
}

void twin_map_frozen(struct object_map *m)
{
	union bpf_attr a = {};

	if (!m->twin || m->twin->how != TWIN_MIRROR)
		return;
	a.map_fd = (u32)m->twin->fd;
	kernel_bpf(BPF_MAP_FREEZE, &a, sizeof(a));
}

/* --- elements that are objects --- */

static int slot_fd(struct object *o)
{
	struct object_prog *p;
	struct object_map *m;
	int r;

	if (o->kind == OBJECT_MAP) {
		m = object_to_map(o);
		r = twin_map_make(m);
		if (!r && m->twin->how == TWIN_OWNER)
			m->twin->wanted = true; /* who gets at the outer map gets at this one */
		return r ? r : m->twin->fd;
	}
	p = object_to_prog(o);
	if (o->kind != OBJECT_PROG || !p->twin)
		return -EOPNOTSUPP;
	r = twin_prog_want(p);
	if (!r)
		r = twin_prog_load(p->twin, NULL);
	return r ? r : p->twin->fd;
}

int twin_map_slot(struct object_map *m, const void *key, struct object *o)
{
	int fd;

	if (!m->twin)
		return 0;
	if (m->twin->how == TWIN_RELAY)
		return m->view.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY ? relay_event(m->twin->relay, *(const u32 *)key, o) : 0;
	if (!o)
		return elem(m, BPF_MAP_DELETE_ELEM, key, NULL, 0);
	fd = slot_fd(o);
	return fd < 0 ? fd : elem(m, BPF_MAP_UPDATE_ELEM, key, &fd, 0);
}

int twin_map_slot_fd(struct object_map *m, const void *key, int fd)
{
	int r = twin_map_make(m);

	return r < 0 ? r : elem(m, BPF_MAP_UPDATE_ELEM, key, &fd, 0);
}

static int slots_copy(struct object_map *m)
{
	for (struct map_slot *s = object_slots_first(m); s; s = object_slots_next(s)) {
		int r = twin_map_slot(m, object_slot_key(s), object_slot_object(s));

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- elements --- */

/* fn for every element of ours, with its value as the system call has it. */
static int elements_each(struct object_map *m, int (*fn)(struct object_map *m, const void *key, const void *value))
{
	const struct nt_map_view *v = &m->view;
	u8 *key free_auto = calloc(2, v->key_size + 8), *next = key + v->key_size + 8;
	u8 *value free_auto = calloc(1, map_syscall_size(v) + 8);
	u64 left = 2ull * v->max_entries; /* memory that others may have spoilt */
	int r = key && value ? 0 : -ENOMEM;

	for (bool first = true; !r && left-- && !map_next_key(v, first ? NULL : key, next); first = false) {
		memcpy(key, next, v->key_size);
		if (map_sys_lookup(v, &m->obj.broker->caller, key, value) == 0)
			r = fn(m, key, value);
	}
	return r;
}

static int put(struct object_map *m, const void *key, const void *value)
{
	return elem(m, BPF_MAP_UPDATE_ELEM, key, value, BPF_ANY);
}

/* From the oldest on; a stack gives the newest first. */
static int queue_move(struct object_map *m)
{
	u32 size = m->view.value_size, n = 0;
	u8 *values free_auto = calloc(m->view.max_entries, size);
	bool stack = m->view.type == BPF_MAP_TYPE_STACK;
	int r = values ? 0 : -ENOMEM;

	while (!r && n < m->view.max_entries && !map_pop(&m->view, &m->obj.broker->caller, values + (size_t)n * size))
		n++;
	for (u32 i = 0; i < n && !r; i++)
		r = put(m, NULL, values + (size_t)(stack ? n - 1 - i : i) * size);
	return r;
}

struct task_move {
	struct object_map *m;
	u64 ns;
	u8 *value;
	int error;
};

#define PIDFD_ANY_THREAD O_EXCL /* PIDFD_THREAD, Linux 6.9 */

/* Called for every thread that has a value; "not dead". */
static bool task_put(u32 tid, void *arg)
{
	struct task_move *t = arg;
	const struct nt_task task = {.ns = t->ns, .tid = tid};
	int fd fd_auto = (int)syscall(SYS_pidfd_open, tid, PIDFD_ANY_THREAD);

	if (fd >= 0 && !map_task_lookup(&t->m->view, &task, t->value) && !t->error)
		t->error = put(t->m, &fd, t->value);
	return false;
}

static int tasks_move(struct object_map *m)
{
	u8 *value free_auto = calloc(1, m->view.value_size + 8);
	struct task_move t = {.m = m, .value = value};
	struct stat st;

	if (!value || stat("/proc/self/ns/pid", &st) < 0)
		return -ENOMEM;
	t.ns = st.st_ino;
	map_task_reap(&m->view, &m->obj.broker->caller, t.ns, task_put, &t);
	return t.error;
}

static bool is_zero(const u8 *at, u64 n)
{
	for (u64 i = 0; i < n; i++)
		if (at[i])
			return false;
	return true;
}

bool twin_map_movable(const struct object_map *m)
{
	const struct nt_map_view *v = &m->view;

	return v->type != BPF_MAP_TYPE_BLOOM_FILTER || is_zero(v->base + v->data_off, v->size - v->data_off);
}

int twin_map_own(struct object_map *m)
{
	const struct nt_map_view *v = &m->view;
	int r = 0;

	if (!m->twin || m->twin->how != TWIN_OWNER || m->twin->owner)
		return 0;
	switch (v->type) {
	case BPF_MAP_TYPE_QUEUE:
	case BPF_MAP_TYPE_STACK: r = queue_move(m); break;
	case BPF_MAP_TYPE_BLOOM_FILTER: r = twin_map_movable(m) ? 0 : -EOPNOTSUPP; break;
	case BPF_MAP_TYPE_STACK_TRACE: break; /* its old ones are still found: cmd/kernel_elem.c */
	case BPF_MAP_TYPE_TASK_STORAGE: r = tasks_move(m); break;
	default: r = elements_each(m, put);
	}
	if (r < 0)
		return r;
	m->twin->owner = true;
	object_map_news_tell(m->obj.broker);
	log_info("map %s: its elements are in the kernel now", m->name);
	return 0;
}

int twin_map_make(struct object_map *m)
{
	int r;

	if (m->twin)
		return 0;
	if (m->view.type == TYPE_USER_RINGBUF || m->view.type == TYPE_ARENA)
		return -EOPNOTSUPP; /* the loader has ours mapped, and would not see the kernel's */
	r = twin_new(m, create(m, 0), how_of(m));
	if (r < 0)
		return r;
	switch (m->twin->how) {
	case TWIN_MIRROR:
		r = elements_each(m, put);
		if (!r && m->frozen)
			twin_map_frozen(m);
		break;
	case TWIN_RELAY:
		r = relay_new(m, &m->twin->relay);
		if (!r && m->view.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
			r = slots_copy(m);
		break;
	case TWIN_SLOTS: r = slots_copy(m); break;
	default: break;
	}
	if (r < 0)
		twin_map_free(m);
	return r;
}
