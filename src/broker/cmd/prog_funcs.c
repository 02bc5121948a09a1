/* SPDX-License-Identifier: MIT */
#include "broker/cmd/prog_funcs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/cmd/vlog.h"
#include "broker/object/btf.h"
#include "ebpf/btf.h"
#include "util/fd.h"

#define FUNC_INFO_MIN 8u
#define FUNC_INFO_MAX 252u
#define FUNCS_MAX 256u /* BPF_MAX_SUBPROGS */

struct func_info {
	u32 insn_off, type_id;
};

static int func_refuse(struct verifier_log *log, const char *what, u32 value)
{
	vlog_printf(log, "%s %u\n", what, value);
	return -EINVAL;
}

static int func_one(const struct ebpf_btf *btf, const struct func_info *info, struct verifier_log *log,
		    struct verifier_func *ret)
{
	const struct btf_type *t = ebpf_btf_type(btf, info->type_id);

	if (!t || BTF_INFO_KIND(t->info) != BTF_KIND_FUNC)
		return func_refuse(log, "invalid type id in func info", info->type_id);
	*ret = (struct verifier_func){
	    .start = info->insn_off,
	    .is_static = BTF_INFO_VLEN(t->info) == BTF_FUNC_STATIC,
	    .name = ebpf_btf_name(btf, t->name_off),
	};
	return 0;
}

static int funcs_fill(struct call *k, const struct attr_prog_load *a, const struct ebpf_btf *btf,
		      struct verifier_log *log, struct verifier_func *funcs)
{
	for (u32 i = 0; i < a->func_info_cnt; i++) {
		struct func_info info;
		int r = client_read(k->c, a->func_info + (u64)i * a->func_info_rec_size, &info, sizeof(info));

		if (r < 0)
			return r;
		if (!i && info.insn_off)
			return func_refuse(log, "nonzero insn_off for the first func info record:", info.insn_off);
		if (i && info.insn_off <= funcs[i - 1].start)
			return func_refuse(log, "same or smaller insn offset than previous func info record:",
					   info.insn_off);
		r = func_one(btf, &info, log, &funcs[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int prog_funcs_read(struct call *k, const struct attr_prog_load *a, const struct object_prog *p,
		    struct verifier_log *log, struct verifier_func **ret)
{
	struct verifier_func *funcs free_auto = NULL;
	const struct object_btf *o = p->btf ? object_to_btf(p->btf) : NULL;
	struct ebpf_btf btf;
	int r;

	*ret = NULL;
	if (!a->func_info_cnt || !o)
		return 0;
	if (a->func_info_rec_size < FUNC_INFO_MIN || a->func_info_rec_size > FUNC_INFO_MAX ||
	    a->func_info_rec_size % 4)
		return func_refuse(log, "invalid func info rec size", a->func_info_rec_size);
	if (a->func_info_cnt > FUNCS_MAX)
		return -E2BIG;
	funcs = calloc(a->func_info_cnt, sizeof(*funcs));
	if (!funcs)
		return -ENOMEM;
	r = ebpf_btf_open(o->data, o->size, &btf);
	if (r < 0)
		return r;
	r = funcs_fill(k, a, &btf, log, funcs);
	ebpf_btf_close(&btf);
	if (r < 0)
		return r;
	*ret = funcs;
	funcs = NULL;
	return 0;
}
