/* SPDX-License-Identifier: MIT */
#include "broker/cmd/kernel.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "broker/cmd/kernel_only.h"
#include "broker/link/mixed.h"
#include "broker/object/btf.h"
#include "broker/object/kernel.h"
#include "broker/object/pin.h"
#include "broker/object/twin.h"
#include "maps/maps.h"
#include "util/fd.h"

#define ATTACH_PERF_EVENT 41u

/* --- attaching --- */

/* The program's twin, loaded, with all that shares data with it in the kernel. */
static int make_ready(struct call *k, struct object_prog *p)
{
	char why[160];
	int r;

	if (!p->twin) {
		snprintf(k->notice, sizeof(k->notice), "program %s was not loaded with `notrap run --kernel`", p->name);
		return -EOPNOTSUPP;
	}
	r = twin_prog_load_why(p->twin, why, sizeof(why));
	if (r < 0) {
		snprintf(k->notice, sizeof(k->notice), "the kernel refuses program %s: %s%s%s", p->name, strerror(-r),
			 *why ? ": " : "", why);
		return r;
	}
	r = twin_prog_want(p);
	return r < 0 ? r : mixed_settle(k->b, NULL, k->notice, sizeof(k->notice));
}

s64 kernel_attach_event(struct call *k, struct object_prog *p, int event, const u64 *cookie)
{
	struct {
		u32 prog_fd, target_fd, attach_type, flags;
		u64 cookie;
	} link = {.attach_type = ATTACH_PERF_EVENT};
	int fd fd_auto = -1;
	int r;

	if (!k->c->kernel)
		return kernel_only_event(k);
	r = make_ready(k, p);
	if (r < 0)
		return r;
	fd = client_get_fd(k->c, event);
	if (fd < 0)
		return fd;
	if (!cookie)
		return ioctl(fd, PERF_EVENT_IOC_SET_BPF, p->twin->fd) < 0 ? -errno : 0;
	link.prog_fd = (u32)p->twin->fd;
	link.target_fd = (u32)fd;
	link.cookie = *cookie;
	r = kernel_bpf(BPF_LINK_CREATE, &link, sizeof(link));
	if (r < 0)
		return r;
	k->ret_fd = r;
	return 0;
}

s64 kernel_attach_raw_tracepoint(struct call *k, struct object_prog *p)
{
	struct attr_raw_tracepoint a = k->attr.raw_tracepoint;
	char name[128];
	long len;
	int r;

	if (!k->c->kernel)
		return kernel_only_prog(k, p->type);
	len = client_read_str(k->c, a.name, name, sizeof(name));
	if (len < 0)
		return len == -ENAMETOOLONG ? -ENOENT : len;
	r = make_ready(k, p);
	if (r < 0)
		return r;
	a.name = (u64)name;
	a.prog_fd = (u32)p->twin->fd;
	r = kernel_bpf(BPF_RAW_TRACEPOINT_OPEN, &a, a.cookie ? sizeof(a) : 16);
	if (r < 0)
		return r;
	k->ret_fd = r;
	return 0;
}

/* --- whose call is it? --- */

/* A map, program, link ... of the kernel's own. */
static bool is_native(struct call *k, u32 fd)
{
	static const char *const kinds[] = {"anon_inode:bpf", "anon_inode:btf"};
	char path[64], what[32] = "";
	struct object *o;

	if (!object_by_fd(k->c, (int)fd, OBJECT_NKINDS, &o))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", k->c->pid, (int)fd);
	if (readlink(path, what, sizeof(what) - 1) < 0)
		return false;
	for (size_t i = 0; i < bits_count(kinds); i++)
		if (!strncmp(what, kinds[i], strlen(kinds[i])))
			return true;
	return false;
}

/* The map's, if the command is about its elements. */
static bool elem_fd(const struct call *k, u32 cmd, u32 *ret)
{
	const union attr *a = &k->attr;

	switch (cmd) {
	case BPF_MAP_LOOKUP_ELEM:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_GET_NEXT_KEY:
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
	case BPF_MAP_FREEZE: *ret = a->elem.map_fd; return true;
	case BPF_MAP_LOOKUP_BATCH:
	case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH: *ret = a->batch.map_fd; return true;
	}
	return false;
}

/* Which descriptor says whose call it is? False: none does. */
static bool main_fd(const struct call *k, u32 cmd, u32 *ret)
{
	const union attr *a = &k->attr;

	switch (cmd) {
	case BPF_PROG_TEST_RUN: *ret = a->test_run.prog_fd; return true;
	case BPF_OBJ_GET_INFO_BY_FD: *ret = a->info.fd; return true;
	case BPF_OBJ_PIN: *ret = a->pin.fd; return true;
	case BPF_LINK_CREATE: *ret = a->link_create.prog_fd; return true;
	case BPF_LINK_UPDATE: *ret = a->link_update.link_fd; return true;
	case BPF_LINK_DETACH: *ret = a->link_detach.link_fd; return true;
	case BPF_ITER_CREATE: *ret = a->link_detach.link_fd; return true;
	case BPF_RAW_TRACEPOINT_OPEN: *ret = a->raw_tracepoint.prog_fd; return true;
	case BPF_PROG_ATTACH: *ret = a->prog_attach.prog_fd; return true;
	case BPF_PROG_BIND_MAP: *ret = a->bind.prog_fd; return true;
	}
	return elem_fd(k, cmd, ret);
}

static bool owned_elem(struct call *k, u32 cmd, s64 *ret)
{
	struct object_map *m;
	struct object *o;
	u32 fd = 0;
	int mode;

	if (!elem_fd(k, cmd, &fd) || object_by_fd_mode(k->c, (int)fd, OBJECT_MAP, &o, &mode) < 0)
		return false;
	m = object_to_map(o);
	if (!twin_map_is_owner(m))
		return false;
	*ret = kernel_elem(k, cmd, m, mode);
	return true;
}

/* A map of a type that only the kernel has. */
static bool kernel_map(struct call *k, s64 *ret)
{
	const struct attr_map_create *a = &k->attr.map_create;
	struct nt_map_view v = {.type = a->type, .key_size = a->key_size, .value_size = a->value_size,
				.max_entries = a->max_entries, .flags = a->flags, .extra = a->map_extra, .ncpus = k->b->ncpus};
	struct attr_map_create to = *a;
	struct object *btf;
	int r;

	if (map_geometry(&v) != -EOPNOTSUPP)
		return false;
	if (a->btf_fd && !object_by_fd(k->c, (int)a->btf_fd, OBJECT_BTF, &btf)) {
		r = object_btf_twin(object_to_btf(btf));
		to.btf_fd = r < 0 ? 0 : (u32)r;
	}
	r = kernel_bpf(BPF_MAP_CREATE, &to, sizeof(to));
	if (r >= 0)
		k->ret_fd = r;
	*ret = r < 0 ? r : 0;
	return true;
}

/* The kernel's program keeps the map alive: its twin. */
static s64 bind_map(struct call *k)
{
	struct attr_prog_bind a = k->attr.bind;
	struct object *o;
	int fd fd_auto = client_get_fd(k->c, (int)a.prog_fd);
	int r = fd < 0 ? fd : object_by_fd(k->c, (int)a.map_fd, OBJECT_MAP, &o);

	if (!r)
		r = twin_map_make(object_to_map(o));
	if (r < 0)
		return r;
	a.prog_fd = (u32)fd;
	a.map_fd = (u32)object_to_map(o)->twin->fd;
	return kernel_bpf(BPF_PROG_BIND_MAP, &a, sizeof(a));
}

/* The loader makes the call itself, on the twin: then "current" is the loader. One whose calls are filtered cannot. */
static bool test_run(struct call *k, s64 *ret)
{
	struct object *o;
	struct object_prog *p;

	if (object_by_fd(k->c, (int)k->attr.test_run.prog_fd, OBJECT_PROG, &o) < 0)
		return false;
	p = object_to_prog(o);
	if (!p->twin || k->c->filtered || !twin_prog_is_kernels(p, NULL))
		return false;
	*ret = make_ready(k, p);
	if (*ret < 0)
		return true;
	k->ret_fd = dup(p->twin->fd);
	k->instead = k->ret_fd >= 0;
	*ret = k->instead ? (s64)offsetof(struct attr_test_run, prog_fd) : -errno;
	return true;
}

static bool find_pin(struct call *k)
{
	char path[PATH_MAX];
	struct object *o;

	return client_read_str(k->c, k->attr.pin.path, path, sizeof(path)) > 0 && !pin_find(k->b, k->c, path, &o);
}

/* Commands of a loader with --kernel that are not about a descriptor of ours. */
static bool others(struct call *k, u32 cmd, s64 *ret)
{
	const struct attr_prog_load *a = &k->attr.prog_load;
	u32 fd;

	switch (cmd) {
	case BPF_PROG_LOAD:
		if (kernel_prog_is_dual(a->type, a->expected_attach_type))
			return false;
		*ret = kernel_prog_load(k);
		return true;
	case BPF_MAP_CREATE: return kernel_map(k, ret);
	case BPF_PROG_DETACH:
	case BPF_PROG_QUERY: k->native = true; return true;
	case BPF_OBJ_GET: k->native = !find_pin(k); return k->native;
	case BPF_PROG_TEST_RUN:
		if (test_run(k, ret))
			return true;
	}
	if (!main_fd(k, cmd, &fd) || !is_native(k, fd))
		return false;
	if (cmd == BPF_PROG_BIND_MAP && !is_native(k, k->attr.bind.map_fd))
		*ret = bind_map(k);
	else
		k->native = true;
	return true;
}

bool kernel_cmd(struct call *k, u32 cmd, s64 *ret)
{
	*ret = 0;
	if (!k->b->kernel)
		return false;
	return owned_elem(k, cmd, ret) || (k->c->kernel && others(k, cmd, ret));
}
