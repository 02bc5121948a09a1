/* SPDX-License-Identifier: MIT */
#include "broker/cmd/prog_maps.h"

#include <errno.h>
#include <stdlib.h>

#include "abi/bpf.h"
#include "broker/object/map.h"

#define PROG_MAX_MAPS 64u	 /* MAX_USED_MAPS */
#define MAX_VALUE_OFF (1u << 29) /* BPF_MAX_VAR_OFF */

/* src_reg of an LD_IMM64 */
enum { SRC_PLAIN, SRC_MAP_FD, SRC_MAP_VALUE, SRC_BTF_ID, SRC_FUNC, SRC_MAP_IDX, SRC_MAP_IDX_VALUE };

static int prog_maps_check_arena(const struct object_prog *p, const struct object_map *m, struct verifier_log *log)
{
	if (m->view.type != NT_BPF_MAP_TYPE_ARENA)
		return 0;
	for (u32 i = 0; i < p->nmaps; i++)
		if (p->maps[i]->view.type == NT_BPF_MAP_TYPE_ARENA) {
			vlog_printf(log, "Only one arena per program\n");
			return -EBUSY;
		}
	if (m->view.extra)
		return 0;
	vlog_printf(log, "arena's user address must be set via map_extra or mmap()\n");
	return -EINVAL;
}

static int prog_maps_add(struct object_prog *p, struct object_map *m, struct verifier_log *log,
			 u32 *ret_index)
{
	struct object_map **grown;
	int r;

	for (u32 i = 0; i < p->nmaps; i++) {
		if (p->maps[i] == m) {
			*ret_index = i;
			return 0;
		}
	}
	if (p->nmaps >= PROG_MAX_MAPS) {
		vlog_printf(log,
			    "The total number of maps per program has reached the limit of %u\n",
			    PROG_MAX_MAPS);
		return -E2BIG;
	}
	r = prog_maps_check_arena(p, m, log);
	if (r < 0)
		return r;
	grown = realloc(p->maps, (p->nmaps + 1) * sizeof(struct object_map *));
	if (!grown)
		return -ENOMEM;
	p->maps = grown;
	object_ref(&m->obj);
	p->maps[p->nmaps] = m;
	*ret_index = p->nmaps++;
	return 0;
}

static int prog_maps_fd(struct call *k, const struct bpf_insn *in, u64 fd_array,
			struct verifier_log *log, s32 *ret)
{
	if (in->src_reg == SRC_MAP_FD || in->src_reg == SRC_MAP_VALUE) {
		*ret = in->imm;
		return 0;
	}
	if (!fd_array) {
		vlog_printf(log, "fd_idx without fd_array is invalid\n");
		return -EPROTO;
	}
	return client_read(k->c, fd_array + (u64)(s64)in->imm * sizeof(*ret), ret, sizeof(*ret));
}

/* A pointer straight to a value: only into arrays of one element. */
static int prog_maps_check_value(const struct object_map *m, u32 off, struct verifier_log *log)
{
	if (off >= MAX_VALUE_OFF) {
		vlog_printf(log, "direct value offset of %u is not allowed\n", off);
		return -EINVAL;
	}
	if (m->view.type == NT_BPF_MAP_TYPE_ARENA && off <= m->arena_len)
		return 0;
	if (m->view.type == NT_BPF_MAP_TYPE_ARENA) {
		vlog_printf(log, "invalid access to map value pointer, value_size=0 off=%u\n", off);
		return -ERANGE;
	}
	if (m->view.type != BPF_MAP_TYPE_ARRAY) {
		vlog_printf(log, "no direct value access support for this map type\n");
		return -EINVAL;
	}
	if (m->view.max_entries == 1 && off < m->view.value_size)
		return 0;
	vlog_printf(log, "invalid access to map value pointer, value_size=%u off=%u\n",
		    m->view.value_size, off);
	return m->view.max_entries == 1 ? -EINVAL : -NT_ENOTSUPP;
}

static int prog_maps_one(struct call *k, u64 fd_array, struct object_prog *p, u32 i,
			 struct verifier_log *log)
{
	struct bpf_insn *in = &p->insns[i];
	bool value = in->src_reg == SRC_MAP_VALUE || in->src_reg == SRC_MAP_IDX_VALUE;
	struct object *o;
	u32 index = 0;
	s32 fd;
	int r;

	if (!value && in[1].imm) {
		vlog_printf(log, "unrecognized bpf_ld_imm64 insn\n");
		return -EINVAL;
	}
	r = prog_maps_fd(k, in, fd_array, log, &fd);
	if (r < 0)
		return r;
	r = object_by_fd(k->c, fd, OBJECT_MAP, &o);
	if (r < 0) {
		vlog_printf(log, "fd %d is not pointing to valid bpf_map\n", fd);
		return r;
	}
	if (value)
		r = prog_maps_check_value(object_to_map(o), (u32)in[1].imm, log);
	if (!r)
		r = prog_maps_add(p, object_to_map(o), log, &index);
	if (r < 0)
		return r;
	if (value && object_to_map(o)->view.type == NT_BPF_MAP_TYPE_ARENA) { /* an address of the loader's, which is a number */
		u64 at = object_to_map(o)->view.extra + (u32)in[1].imm;

		in->src_reg = SRC_PLAIN;
		in[0].imm = (s32)at;
		in[1].imm = (s32)(at >> 32);
		return 0;
	}
	in->imm = (s32)index;
	in->src_reg = value ? SRC_MAP_VALUE : SRC_MAP_FD;
	return 0;
}

int prog_maps_resolve(struct call *k, u64 fd_array, struct object_prog *p, struct verifier_log *log)
{
	for (u32 i = 0; i < p->n; i++) {
		struct bpf_insn *in = &p->insns[i];
		int r = 0;

		if (in->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (i + 1 == p->n || in[1].code || in[1].dst_reg || in[1].src_reg || in[1].off) {
			vlog_printf(log, "invalid bpf_ld_imm64 insn\n");
			return -EINVAL;
		}
		if (in->src_reg == SRC_MAP_FD || in->src_reg == SRC_MAP_VALUE ||
		    in->src_reg == SRC_MAP_IDX || in->src_reg == SRC_MAP_IDX_VALUE)
			r = prog_maps_one(k, fd_array, p, i, log);
		if (r < 0)
			return r;
		i++;
	}
	return 0;
}
