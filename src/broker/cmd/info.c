/* SPDX-License-Identifier: MIT */
/*
 * BPF_OBJ_GET_INFO_BY_FD. The info struct goes both ways: what the client put there are buffers and
 * their sizes, what comes back is the whole struct, cut to the client's length. On an error nothing
 * of it comes back.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/link_info.h"
#include "broker/cmd/prog_records.h"
#include "broker/link/link.h"
#include "broker/object/btf.h"
#include "broker/object/map.h"
#include "broker/object/prog.h"
#include "util/fd.h"

struct map_info { /* bpf_map_info of 6.18: the system header's may be older */
	struct bpf_map_info old;
	u64 hash;
	u32 hash_size, pad;
};
_Static_assert(sizeof(struct map_info) == 104, "");

/* Reads the client's struct: checks its tail, zero-fills ours. */
static int info_begin(struct call *k, void *info, u32 size)
{
	struct attr_obj_info *a = &k->attr.info;
	int r = call_check_tail(k, a->info, size, a->info_len);

	if (r < 0)
		return r;
	a->info_len = bits_min(a->info_len, size);
	memset(info, 0, size);
	return client_read(k->c, a->info, info, a->info_len);
}

static s64 info_end(struct call *k, const void *info)
{
	const struct attr_obj_info *a = &k->attr.info;
	int r = client_write(k->c, a->info, info, a->info_len);

	return r < 0 ? r
		     : client_write(k->c, k->uattr + offsetof(struct attr_obj_info, info_len),
				    &a->info_len, sizeof(a->info_len));
}

static s64 info_map(struct call *k, const struct object_map *m)
{
	struct map_info info;
	struct bpf_map_info *i = &info.old;
	int r = info_begin(k, &info, sizeof(info));

	if (r < 0)
		return r;
	memset(&info, 0, sizeof(info));
	i->type = m->view.type;
	i->id = m->obj.id;
	i->key_size = m->view.key_size;
	i->value_size = m->view.value_size;
	i->max_entries = m->view.max_entries;
	i->map_flags = m->view.flags;
	i->map_extra = m->map_extra;
	memcpy(i->name, m->name, sizeof(i->name));
	if (m->btf) {
		i->btf_id = m->btf->id;
		i->btf_key_type_id = m->btf_key_type_id;
		i->btf_value_type_id = m->btf_value_type_id;
	}
	return info_end(k, &info);
}

static const struct object_map *prog_used_map(const struct object_prog *p, u32 i)
{
	return i < p->nmaps ? p->maps[i] : p->bound[i - p->nmaps];
}

static int info_prog_maps(struct call *k, const struct object_prog *p, struct bpf_prog_info *i)
{
	u32 room = i->nr_map_ids;

	i->nr_map_ids = p->nmaps + p->nbound;
	for (u32 n = 0; n < bits_min(room, i->nr_map_ids); n++) {
		const u32 id = prog_used_map(p, n)->obj.id;
		int r = client_write(k->c, i->map_ids + n * sizeof(id), &id, sizeof(id));

		if (r < 0)
			return r;
	}
	return 0;
}

/* Instructions as bpftool shows them: map references carry map ids. */
static int info_prog_xlated(struct call *k, const struct object_prog *p, struct bpf_prog_info *i)
{
	struct bpf_insn *copy free_auto = NULL;
	u32 room = i->xlated_prog_len;

	i->xlated_prog_len = p->n * (u32)sizeof(*copy);
	if (!room)
		return 0;
	copy = malloc(i->xlated_prog_len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, p->insns, i->xlated_prog_len);
	for (u32 n = 0; n + 1 < p->n; n++) {
		if (copy[n].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if ((copy[n].src_reg == BPF_PSEUDO_MAP_FD ||
		     copy[n].src_reg == BPF_PSEUDO_MAP_VALUE) &&
		    (u32)copy[n].imm < p->nmaps)
			copy[n].imm = (s32)p->maps[copy[n].imm]->obj.id;
		n++;
	}
	return client_write(k->c, i->xlated_prog_insns, copy, bits_min(room, i->xlated_prog_len));
}

static int info_prog_jited(struct call *k, const struct object_prog *p, struct bpf_prog_info *i)
{
	u32 room = i->jited_prog_len, size = p->compiled ? p->image.size : 0;
	u32 ksyms = i->nr_jited_ksyms, lens = i->nr_jited_func_lens, tags = i->nr_prog_tags;
	const u64 nowhere = 0; /* it has an address in every target, none here */
	int r = 0;

	i->jited_prog_len = size;
	i->nr_jited_ksyms = i->nr_jited_func_lens = i->nr_prog_tags = 1;
	if (room && size)
		r = client_write(k->c, i->jited_prog_insns, p->image.code, bits_min(room, size));
	if (!r && ksyms)
		r = client_write(k->c, i->jited_ksyms, &nowhere, sizeof(nowhere));
	if (!r && lens)
		r = client_write(k->c, i->jited_func_lens, &size, sizeof(size));
	if (!r && tags)
		r = client_write(k->c, i->prog_tags, p->tag, sizeof(p->tag));
	return r;
}

static s64 info_prog(struct call *k, const struct object_prog *p)
{
	struct link_stats stats;
	struct bpf_prog_info i;
	int r = info_begin(k, &i, sizeof(i));

	if (r < 0)
		return r;
	i.type = p->type;
	i.id = p->obj.id;
	memcpy(i.tag, p->tag, sizeof(i.tag));
	memcpy(i.name, p->name, sizeof(i.name));
	i.load_time = p->load_time_ns;
	i.created_by_uid = p->created_by_uid;
	i.gpl_compatible = p->gpl;
	i.ifindex = 0;
	i.netns_dev = i.netns_ino = 0;
	i.btf_id = p->btf ? p->btf->id : 0;
	i.func_info_rec_size = 8;
	i.line_info_rec_size = 16;
	i.jited_line_info_rec_size = 8;
	i.nr_jited_line_info = 0;
	link_prog_stats(k->b, p, &stats);
	i.run_time_ns = stats.run_time_ns;
	i.run_cnt = stats.run_cnt;
	i.recursion_misses = 0;
	i.verified_insns = p->n;
	i.attach_btf_obj_id = i.attach_btf_id = 0;
	r = info_prog_maps(k, p, &i);
	if (!r)
		r = info_prog_xlated(k, p, &i);
	if (!r)
		r = info_prog_jited(k, p, &i);
	if (!r)
		r = prog_records_tell(k, &p->func_info, FUNC_RECORD_SIZE, i.func_info, &i.nr_func_info);
	if (!r)
		r = prog_records_tell(k, &p->line_info, LINE_RECORD_SIZE, i.line_info, &i.nr_line_info);
	return r < 0 ? r : info_end(k, &i);
}

static s64 info_btf_data(struct call *k, const struct object_btf *t, u64 addr, u32 room)
{
	u32 n = bits_min(room, t->size);
	u8 *data free_auto = NULL;
	int r;

	if (!object_btf_is_kernel(t))
		return client_write(k->c, addr, t->data, n);
	if (!n)
		return 0;
	r = object_btf_kernel_read(t, n, &data);
	return r ? r : client_write(k->c, addr, data, n);
}

/* btf_get_info_by_fd() */
static s64 info_btf_name(struct call *k, struct bpf_btf_info *i, const char *name)
{
	u32 room = i->name_len, len = (u32)strlen(name);
	s64 r;

	if (!i->name != !room)
		return -EINVAL;
	i->name_len = len;
	if (!i->name)
		return 0;
	r = client_write(k->c, i->name, name, bits_min(room - 1, len));
	if (!r)
		r = client_write(k->c, i->name + bits_min(room - 1, len), "", 1);
	return r ? r : room > len ? 0 : -ENOSPC;
}

static s64 info_btf(struct call *k, const struct object_btf *t)
{
	struct bpf_btf_info i;
	s64 r = info_begin(k, &i, sizeof(i)), cut = 0;
	u32 room;

	if (r < 0)
		return r;
	room = i.btf_size;
	i.id = t->obj.id;
	i.btf_size = t->size;
	i.kernel_btf = object_btf_is_kernel(t);
	r = info_btf_data(k, t, i.btf, room);
	if (!r)
		cut = info_btf_name(k, &i, object_btf_is_kernel(t) ? BTF_KERNEL_NAME : "");
	if (!r && cut != -ENOSPC)
		r = cut;
	r = r < 0 ? r : info_end(k, &i);
	return r < 0 ? r : cut;
}

static s64 info_link(struct call *k, const struct object_link *l)
{
	struct link_info i;
	int r = info_begin(k, &i, sizeof(i));

	if (!r)
		r = link_info_fill(k->c, l, &i);
	return r < 0 ? r : info_end(k, &i);
}

s64 cmd_obj_info(struct call *k)
{
	struct object *o;
	int r = object_by_fd(k->c, (int)k->attr.info.fd, OBJECT_NKINDS, &o);

	if (r < 0)
		return r == -EBADF ? -EBADFD : r; /* not a typo: this command alone answers so */
	switch (o->kind) {
	case OBJECT_MAP: return info_map(k, object_to_map(o));
	case OBJECT_PROG: return info_prog(k, object_to_prog(o));
	case OBJECT_BTF: return info_btf(k, object_to_btf(o));
	case OBJECT_LINK: return info_link(k, object_to_link(o));
	}
	return -EINVAL;
}
