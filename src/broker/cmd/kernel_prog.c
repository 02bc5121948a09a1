/* SPDX-License-Identifier: MIT */
#include "broker/cmd/kernel.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/cmd/vlog.h"
#include "broker/link/mixed.h"
#include "broker/object/btf.h"
#include "broker/object/kernel.h"
#include "broker/object/twin.h"
#include "util/fd.h"
#include "util/log.h"

#define RECORDS_BYTES_MAX (64u << 20)
#define SRC_MAP_IDX 5
#define SRC_MAP_IDX_VALUE 6

static bool is_map_ref(const struct bpf_insn *in)
{
	return ebpf_insn_is_ld64(in) && (in->src_reg == BPF_PSEUDO_MAP_FD || in->src_reg == BPF_PSEUDO_MAP_VALUE ||
					 in->src_reg == SRC_MAP_IDX || in->src_reg == SRC_MAP_IDX_VALUE);
}

/* A map of ours by its object; the kernel's own by a descriptor of it, which makes each mention one more. */
static int ref_add(struct call *k, struct twin_prog *t, s32 fd, s32 *ret_index)
{
	struct twin_ref ref = {.fd = -1}, *grown;
	struct object *o;
	int r = object_by_fd(k->c, fd, OBJECT_MAP, &o);

	if (!r)
		ref.map = object_to_map(o);
	for (u32 i = 0; i < t->nrefs && ref.map; i++)
		if (t->refs[i].map == ref.map) {
			*ret_index = (s32)i;
			return 0;
		}
	if (r < 0) {
		ref.fd = client_get_fd(k->c, fd);
		if (ref.fd < 0)
			return ref.fd;
	}
	grown = realloc(t->refs, (t->nrefs + 1) * sizeof(*grown));
	if (!grown) {
		fd_closep(&ref.fd);
		return -ENOMEM;
	}
	if (ref.map)
		object_ref(&ref.map->obj);
	t->refs = grown;
	t->refs[t->nrefs] = ref;
	*ret_index = (s32)t->nrefs++;
	return 0;
}

static int insns_read(struct call *k, struct twin_prog *t)
{
	const struct attr_prog_load *a = &k->attr.prog_load;
	int r;

	t->n = a->insn_cnt;
	t->insns = malloc(t->n * sizeof(*t->insns));
	if (!t->insns)
		return -ENOMEM;
	r = client_read(k->c, a->insns, t->insns, t->n * sizeof(*t->insns));
	for (u32 i = 0; i + 1 < t->n && !r; i++) {
		struct bpf_insn *in = &t->insns[i];
		s32 fd = in->imm;

		if (!ebpf_insn_is_ld64(in))
			continue;
		i++;
		if (!is_map_ref(in))
			continue;
		if (in->src_reg == SRC_MAP_IDX || in->src_reg == SRC_MAP_IDX_VALUE) {
			r = a->fd_array ? client_read(k->c, a->fd_array + 4ull * (u32)in->imm, &fd, sizeof(fd)) : -EPROTO;
			in->src_reg = in->src_reg == SRC_MAP_IDX ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE;
		}
		if (!r)
			r = ref_add(k, t, fd, &in->imm);
	}
	return r;
}

static int records_read(struct call *k, u64 addr, u32 n, u32 size, u8 **ret)
{
	u64 bytes = (u64)n * size;

	if (!n)
		return 0;
	if (bytes > RECORDS_BYTES_MAX)
		return -E2BIG;
	*ret = malloc(bytes + 1);
	return *ret ? client_read(k->c, addr, *ret, bytes) : -ENOMEM;
}

static int btf_read(struct call *k, struct twin_prog *t)
{
	const struct attr_prog_load *a = &k->attr.prog_load;
	int r = 0;

	if (a->prog_btf_fd && (a->func_info_cnt || a->line_info_cnt || a->core_relo_cnt)) {
		struct object *btf;

		r = object_by_fd(k->c, (int)a->prog_btf_fd, OBJECT_BTF, &btf);
		if (r < 0)
			return r;
		t->btf = object_ref(btf);
	}
	t->nfunc_info = a->func_info_cnt;
	t->func_rec = a->func_info_rec_size;
	t->nline_info = a->line_info_cnt;
	t->line_rec = a->line_info_rec_size;
	t->ncore_relos = a->core_relo_cnt;
	t->core_rec = a->core_relo_rec_size;
	r = records_read(k, a->func_info, t->nfunc_info, t->func_rec, &t->func_info);
	if (!r)
		r = records_read(k, a->line_info, t->nline_info, t->line_rec, &t->line_info);
	return r ? r : records_read(k, a->core_relos, t->ncore_relos, t->core_rec, &t->core_relos);
}

/* The program or the BTF that it is attached to. vmlinux's is what the kernel takes when there is none. */
static int attach_to_read(struct call *k, struct twin_prog *t)
{
	int fd = (int)k->attr.prog_load.attach_prog_fd;
	struct object *o;

	if (!fd)
		return 0;
	if (!object_by_fd(k->c, fd, OBJECT_NKINDS, &o))
		return o->kind == OBJECT_BTF && object_btf_is_kernel(object_to_btf(o)) ? 0 : -EINVAL;
	t->attach_prog_fd = client_get_fd(k->c, fd);
	return t->attach_prog_fd < 0 ? t->attach_prog_fd : 0;
}

int kernel_twin_new(struct call *k, struct twin_prog **ret)
{
	const struct attr_prog_load *a = &k->attr.prog_load;
	struct twin_prog *t = calloc(1, sizeof(*t));
	long len;
	int r;

	if (!t)
		return -ENOMEM;
	t->fd = t->attach_prog_fd = -1;
	t->type = a->type;
	t->expected_attach = a->expected_attach_type;
	t->flags = a->flags;
	t->kern_version = a->kern_version;
	t->ifindex = a->ifindex;
	t->attach_btf_id = a->attach_btf_id;
	memcpy(t->name, a->name, sizeof(t->name));
	r = !a->insn_cnt || a->insn_cnt > EBPF_MAX_INSNS ? -E2BIG : 0;
	if (!r)
		r = insns_read(k, t);
	if (!r) {
		len = client_read_str(k->c, a->license, t->license, sizeof(t->license));
		r = len < 0 && len != -ENAMETOOLONG ? (int)len : 0;
		t->license[sizeof(t->license) - 1] = 0;
	}
	if (!r)
		r = btf_read(k, t);
	if (!r)
		r = attach_to_read(k, t);
	if (r < 0) {
		twin_prog_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

int kernel_twin_load(struct call *k, struct twin_prog *t)
{
	const struct attr_prog_load *a = &k->attr.prog_load;
	const struct vlog_user user = {a->log_level, a->log_size, a->log_buf};
	struct twin_log log = {.level = a->log_level, .size = a->log_size};
	char *buf free_auto = NULL;
	int r = vlog_check(&user), w = 0;

	if (r < 0)
		return r;
	if (a->log_buf) {
		buf = calloc(1, a->log_size);
		log.buf = buf;
		if (!buf)
			return -ENOMEM;
	}
	r = twin_prog_load(t, &log);
	if (buf && *buf)
		w = client_write(k->c, a->log_buf, buf, strnlen(buf, a->log_size - 1) + 1);
	if (!w && k->size >= offsetof(struct attr_prog_load, log_true_size) + sizeof(log.true_size))
		w = client_write(k->c, k->uattr + offsetof(struct attr_prog_load, log_true_size), &log.true_size,
				 sizeof(log.true_size));
	return w < 0 ? w : r;
}

static void remember(struct call *k, const struct twin_prog *t)
{
	struct kernel_prog *p = calloc(1, sizeof(*p));

	if (!p)
		return; /* only `notrap ps` would miss it */
	p->id = kernel_prog_id(t->fd);
	p->type = t->type;
	p->pid = k->c->pid;
	memcpy(p->name, t->name, sizeof(p->name) - 1);
	DL_APPEND(k->b->kernel_progs, p);
}

s64 kernel_prog_load(struct call *k)
{
	struct twin_prog *t;
	int r = kernel_twin_new(k, &t);

	if (r < 0)
		return r;
	r = kernel_twin_load(k, t);
	if (t->failed)
		snprintf(k->notice, sizeof(k->notice), "program %.16s cannot go to the kernel: map %s cannot be shared with it: %s",
			 t->name, t->failed, strerror(-r));
	if (!r)
		r = twin_refs_want(t);
	if (!r)
		r = mixed_settle(k->b, NULL, k->notice, sizeof(k->notice));
	if (!r) {
		remember(k, t);
		k->ret_fd = fd_steal(&t->fd);
	}
	twin_prog_free(t);
	return r;
}

/* What `notrap run` refuses without --allow-write is not let in by another door. */
static bool writes(const struct twin_prog *t)
{
	for (u32 i = 0; i < t->n; i++)
		if (t->insns[i].code == (BPF_JMP | BPF_CALL) && !t->insns[i].src_reg &&
		    (t->insns[i].imm == BPF_FUNC_probe_write_user || t->insns[i].imm == BPF_FUNC_override_return))
			return true;
	return false;
}

int kernel_prog_rescue(struct call *k, struct object_prog *p, int refused)
{
	int r;

	if (!p->twin || (!k->c->allow_write && writes(p->twin)))
		return refused;
	r = kernel_twin_load(k, p->twin);
	if (!r)
		r = twin_refs_want(p->twin);
	if (!r)
		r = mixed_settle(k->b, NULL, k->notice, sizeof(k->notice));
	p->twin->only = !r;
	return r;
}
