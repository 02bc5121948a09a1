/* SPDX-License-Identifier: MIT */
#include "broker/object/twin.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "broker/object/btf.h"
#include "broker/object/kernel.h"
#include "broker/object/slots.h"
#include "util/fd.h"
#include "util/log.h"

#define WHY_LOG_SIZE (1u << 20)

void twin_prog_free(struct twin_prog *t)
{
	if (!t)
		return;
	for (u32 i = 0; i < t->nrefs; i++) {
		if (t->refs[i].map)
			object_unref(&t->refs[i].map->obj);
		fd_closep(&t->refs[i].fd);
	}
	object_unref(t->btf);
	fd_closep(&t->attach_prog_fd);
	fd_closep(&t->fd);
	free(t->refs);
	free(t->insns);
	free(t->func_info);
	free(t->line_info);
	free(t->core_relos);
	free(t);
}

static int ref_fd(const struct twin_ref *ref)
{
	int r = ref->map ? twin_map_make(ref->map) : 0;

	return r < 0 ? r : ref->map ? ref->map->twin->fd : ref->fd;
}

/* The instructions with descriptors of ours in them. */
static int insns_fill(struct twin_prog *t, struct bpf_insn *ret)
{
	memcpy(ret, t->insns, t->n * sizeof(*ret));
	for (u32 i = 0; i + 1 < t->n; i++) {
		int fd;

		if (!ebpf_insn_is_ld64(&ret[i]))
			continue;
		if (ret[i].src_reg == BPF_PSEUDO_MAP_FD || ret[i].src_reg == BPF_PSEUDO_MAP_VALUE) {
			fd = ref_fd(&t->refs[ret[i].imm]);
			if (fd < 0) {
				t->failed = t->refs[ret[i].imm].map ? t->refs[ret[i].imm].map->name : "of the kernel";
				return fd;
			}
			ret[i].imm = fd;
		}
		i++;
	}
	return 0;
}

static void btf_fill(const struct twin_prog *t, union bpf_attr *a)
{
	int btf = t->btf ? object_btf_twin(object_to_btf(t->btf)) : -1;

	if (btf < 0)
		return;
	a->prog_btf_fd = (u32)btf;
	a->func_info = (u64)t->func_info;
	a->func_info_cnt = t->nfunc_info;
	a->func_info_rec_size = t->func_rec;
	a->line_info = (u64)t->line_info;
	a->line_info_cnt = t->nline_info;
	a->line_info_rec_size = t->line_rec;
}

int twin_prog_load(struct twin_prog *t, struct twin_log *log)
{
	struct bpf_insn *insns free_auto = NULL;
	union {
		union bpf_attr a;
		u8 bytes[192]; /* the system's header may be older than log_true_size and core_relos */
	} u = {};
	int r;

	if (t->fd >= 0)
		return 0;
	insns = malloc(t->n * sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	r = insns_fill(t, insns);
	if (r < 0)
		return r;
	u.a.prog_type = t->type;
	u.a.insn_cnt = t->n;
	u.a.insns = (u64)insns;
	u.a.license = (u64)t->license;
	u.a.kern_version = t->kern_version;
	u.a.prog_flags = t->flags;
	u.a.prog_ifindex = t->ifindex;
	u.a.expected_attach_type = t->expected_attach;
	u.a.attach_btf_id = t->attach_btf_id;
	if (t->attach_prog_fd >= 0)
		u.a.attach_prog_fd = (u32)t->attach_prog_fd;
	memcpy(u.a.prog_name, t->name, sizeof(t->name));
	if (t->ncore_relos) {
		u.a.core_relo_cnt = t->ncore_relos;
		u.a.core_relos = (u64)t->core_relos;
		u.a.core_relo_rec_size = t->core_rec;
	}
	btf_fill(t, &u.a);
	if (log) {
		u.a.log_level = log->level;
		u.a.log_size = log->size;
		u.a.log_buf = (u64)log->buf;
	}
	r = kernel_bpf(BPF_PROG_LOAD, &u, TWIN_LOAD_ATTR);
	if (log)
		memcpy(&log->true_size, u.bytes + TWIN_LOG_TRUE_SIZE, sizeof(log->true_size));
	if (r < 0)
		return r;
	t->fd = r;
	return 0;
}

/* The last line but the statistics. */
static void last_word(char *log, char *why, size_t n)
{
	char *line, *save, *last = "";

	for (line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "processed ", 10) && strncmp(line, "verification time", 17))
			last = line;
	snprintf(why, n, "%s", last);
}

int twin_prog_load_why(struct twin_prog *t, char *why, size_t n)
{
	char *buf free_auto = NULL;
	struct twin_log log = {.level = 1, .size = WHY_LOG_SIZE};
	int r = twin_prog_load(t, NULL);

	*why = '\0';
	if (!r)
		return 0;
	buf = calloc(1, WHY_LOG_SIZE);
	log.buf = buf;
	if (t->failed)
		snprintf(why, n, "map %s", t->failed);
	else if (buf && twin_prog_load(t, &log) < 0)
		last_word(buf, why, n);
	log_info("program %s: the kernel refuses it: %s: %s", t->name, strerror(-r), why);
	return t->fd < 0 ? r : 0;
}

/* --- which maps --- */

typedef bool map_fn(struct object_map *m, void *arg);

static bool slots_each(struct object_map *m, map_fn *fn, void *arg)
{
	for (struct map_slot *s = object_slots_first(m); s; s = object_slots_next(s)) {
		struct object *o = object_slot_object(s);

		if (o->kind == OBJECT_PROG && twin_prog_each_map(object_to_prog(o), fn, arg))
			return true;
		if (o->kind == OBJECT_MAP && fn(object_to_map(o), arg))
			return true;
	}
	return false;
}

static bool map_each(struct object_map *m, map_fn *fn, void *arg)
{
	if (fn(m, arg))
		return true;
	return (m->view.type == BPF_MAP_TYPE_PROG_ARRAY || map_is_of_maps(m->view.type)) && slots_each(m, fn, arg);
}

bool twin_prog_each_map(struct object_prog *p, map_fn *fn, void *arg)
{
	bool found = false;

	if (p->visited)
		return false;
	p->visited = true;
	for (u32 i = 0; i < p->nmaps && !found; i++)
		found = map_each(p->maps[i], fn, arg);
	for (u32 i = 0; p->twin && p->twin->only && i < p->twin->nrefs && !found; i++)
		found = p->twin->refs[i].map && map_each(p->twin->refs[i].map, fn, arg);
	p->visited = false;
	return found;
}

static bool is_kernels(struct object_map *m, void *arg)
{
	const struct object_map **ret = arg;

	if (!m->twin || !(m->twin->owner || m->twin->wanted))
		return false;
	*ret = m;
	return true;
}

bool twin_prog_is_kernels(struct object_prog *p, const struct object_map **ret_map)
{
	const struct object_map *m = NULL;
	bool yes = twin_prog_each_map(p, is_kernels, &m) || (p->twin && p->twin->only);

	if (ret_map)
		*ret_map = m;
	return yes;
}

static bool want(struct object_map *m, void *arg)
{
	int *r = arg;

	*r = twin_map_make(m);
	if (!*r && m->twin->how == TWIN_OWNER && !m->twin->owner) {
		*r = twin_map_movable(m) ? 0 : -EOPNOTSUPP;
		m->twin->wanted = !*r;
	}
	return *r < 0;
}

int twin_prog_want(struct object_prog *p)
{
	int r = 0;

	twin_prog_each_map(p, want, &r);
	return r;
}

int twin_refs_want(struct twin_prog *t)
{
	int r = 0;

	for (u32 i = 0; i < t->nrefs; i++)
		if (t->refs[i].map && map_each(t->refs[i].map, want, &r))
			break;
	return r;
}
