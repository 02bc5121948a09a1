/* SPDX-License-Identifier: MIT */
/* Elements that are objects: kernel/bpf/syscall.c (bpf_map_update_value), arraymap.c (bpf_fd_array_map_*). */
#include "broker/cmd/slots.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/atomic.h"
#include "broker/link/link.h"
#include "broker/link/mixed.h"
#include "broker/object/output.h"
#include "broker/object/prog.h"
#include "broker/object/slots.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"

/* bpf_prog_map_compatible(): all programs of an array are of the first one's kind. */
static bool prog_array_fits(struct object_map *m, const struct object_prog *p)
{
	if (object_prog_overrides(p))
		return false;
	if (!m->owner_type) {
		m->owner_type = p->type;
		m->owner_sleepable = p->sleepable;
	}
	return m->owner_type == p->type && m->owner_sleepable == p->sleepable;
}

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
	case BPF_MAP_TYPE_PROG_ARRAY:
		r = object_by_fd(k->c, (int)fd, OBJECT_PROG, ret);
		if (r < 0)
			return r;
		*ret_word = (*ret)->id;
		return prog_array_fits(m, object_to_prog(*ret)) ? 0 : -EINVAL;
	}
	return -NT_ENOTSUPP;
}

/* The same in the map's twin, if it has one; what shares data with the object may have to go to the kernel. */
static int slot_twin(struct call *k, struct object_map *m, const void *key, struct object *o)
{
	int r = twin_map_slot(m, key, o);

	return r < 0 || !m->twin ? r : mixed_settle(k->b, NULL, k->notice, sizeof(k->notice));
}

/* A program or a counter that is the kernel's own goes into the twin alone. */
static int slot_native(struct call *k, struct object_map *m, const void *key, u32 fd)
{
	int native fd_auto = client_get_fd(k->c, (int)fd);

	return native < 0 ? -EBADF : twin_map_slot_fd(m, key, native);
}

/* cgroup_fd_array_get_ptr(): the word is the cgroup's id, which is its directory's inode number. */
static int slot_cgroup(struct call *k, struct object_map *m, const void *key, u32 fd, u64 *ret_word)
{
	int dir fd_auto = client_get_fd(k->c, (int)fd);
	struct statfs fs;
	struct stat st;

	if (dir < 0)
		return -EBADF;
	if (fstatfs(dir, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC || fstat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return -EBADF;
	*ret_word = st.st_ino;
	return m->kernel ? twin_map_slot_fd(m, key, dir) : 0;
}

/* bpf_map_meta_equal(), array_map_meta_equal() */
static bool inner_fits(const struct nt_map_view *shape, const struct nt_map_view *v)
{
	bool array = v->type == BPF_MAP_TYPE_ARRAY || v->type == BPF_MAP_TYPE_PERCPU_ARRAY;

	if (shape->type != v->type || shape->key_size != v->key_size || shape->value_size != v->value_size ||
	    shape->flags != v->flags)
		return false;
	return !array || v->flags & BPF_F_INNER_MAP || shape->max_entries == v->max_entries;
}

/* bpf_map_fd_get_ptr(), then bpf_fd_array_map_update_elem() or bpf_fd_htab_map_update_elem() */
static int slots_update_map(struct call *k, struct object_map *m, const void *key, u32 fd, u64 flags)
{
	bool hash = m->view.type == BPF_MAP_TYPE_HASH_OF_MAPS;
	u64 *at = NULL;
	struct object *o;
	u32 id;
	int r;

	if (!hash) {
		if (flags != BPF_ANY)
			return -EINVAL;
		at = map_slot(&m->view, *(const u32 *)key);
		if (!at)
			return -E2BIG;
	}
	r = object_by_fd(k->c, (int)fd, OBJECT_MAP, &o);
	if (r < 0)
		return r;
	if (!inner_fits(&m->inner, &object_to_map(o)->view))
		return -EINVAL;
	r = slot_twin(k, m, key, o);
	if (r < 0)
		return r;
	id = o->id;
	/* First the map, then its id; and the old map goes only when its id is not there any more. */
	link_inner_map_add(k->b, m, object_to_map(o));
	if (hash)
		r = map_sys_update(&m->view, &k->b->caller, key, &id, flags);
	else
		at_store_rel(at, id);
	return r < 0 ? r : object_slot_set(m, key, o);
}

/* What maps of programs and of maps show are ids (map_fd_sys_lookup_elem). */
int slots_get_id(struct object_map *m, const void *key, u32 *ret_id)
{
	struct object *o = object_slot_get(m, key);

	if (m->view.type != BPF_MAP_TYPE_PROG_ARRAY && !map_is_of_maps(m->view.type))
		return -NT_ENOTSUPP;
	if (!o)
		return -ENOENT;
	*ret_id = o->id;
	return 0;
}

int slots_lookup(struct call *k, struct object_map *m, const void *key)
{
	u32 id;
	int r = slots_get_id(m, key, &id);

	return r < 0 ? r : client_write(k->c, k->attr.elem.value, &id, sizeof(id));
}

int slots_update(struct call *k, struct object_map *m, const void *key, const u32 *fd, u64 flags)
{
	struct object *o;
	u64 *at, word;
	int r;

	if (map_is_of_maps(m->view.type))
		return slots_update_map(k, m, key, *fd, flags);
	if (flags != BPF_ANY)
		return -EINVAL;
	at = map_slot(&m->view, *(const u32 *)key);
	if (!at)
		return -E2BIG;
	if (m->view.type == BPF_MAP_TYPE_CGROUP_ARRAY) {
		r = slot_cgroup(k, m, key, *fd, &word);
	} else {
		r = slot_object(k, m, *fd, &o, &word);
		if (r < 0 && m->kernel && !slot_native(k, m, key, *fd))
			return 0;
		if (!r)
			r = slot_twin(k, m, key, o);
		if (!r)
			r = object_slot_set(m, key, o);
		if (!r && m->view.type == BPF_MAP_TYPE_PROG_ARRAY)
			link_prog_array_add(k->c->broker, m, object_to_prog(o));
	}
	if (!r)
		at_store_rel(at, word);
	return r;
}

int slots_delete(struct call *k, struct object_map *m, const void *key)
{
	bool in_twin = m->twin && !twin_map_slot(m, key, NULL) && m->twin->how == TWIN_SLOTS;
	u64 *at, was;
	int r;

	if (m->view.type == BPF_MAP_TYPE_HASH_OF_MAPS) {
		r = map_sys_delete(&m->view, &k->b->caller, key);
		return r < 0 ? r : object_slot_clear(m, key);
	}
	at = map_slot(&m->view, *(const u32 *)key);
	if (!at)
		return -E2BIG;
	was = at_xchg(at, 0ull);
	if (m->view.type == BPF_MAP_TYPE_CGROUP_ARRAY)
		return was ? 0 : -ENOENT;
	r = object_slot_clear(m, key);
	return in_twin ? 0 : r;
}
