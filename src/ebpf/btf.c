/* SPDX-License-Identifier: MIT */
#include "ebpf/btf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KIND_ENUM64 19u /* not in every <linux/btf.h> */

s64 ebpf_btf_tail(u32 info)
{
	s64 vlen = BTF_INFO_VLEN(info);

	switch (BTF_INFO_KIND(info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG: return 4;
	case BTF_KIND_ARRAY: return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return vlen * (s64)sizeof(struct btf_member);
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO: return vlen * 8;
	case BTF_KIND_DATASEC:
	case KIND_ENUM64: return vlen * 12;
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG: return 0;
	default: return -1;
	}
}

/* Walks all types; off: where to note their places, NULL: only count. */
static int walk_types(const struct ebpf_btf *b, u32 *off, u32 *ret_n)
{
	u32 at = 0, n = 1;

	while (at < b->types_len) {
		const struct btf_type *t = (const struct btf_type *)(b->types + at);
		s64 tail;

		if (b->types_len - at < sizeof(*t))
			return -EINVAL;
		tail = ebpf_btf_tail(t->info);
		if (tail < 0 || tail > (s64)(b->types_len - at - sizeof(*t)))
			return -EINVAL;
		if (off)
			off[n] = at;
		n++;
		at += (u32)sizeof(*t) + (u32)tail;
	}
	*ret_n = n;
	return 0;
}

int ebpf_btf_open(const u8 *data, size_t size, struct ebpf_btf *ret)
{
	struct ebpf_btf b = {0};
	struct btf_header h;
	u64 body;
	int r;

	if (size < sizeof(h))
		return -EINVAL;
	memcpy(&h, data, sizeof(h));
	if (h.magic != BTF_MAGIC || h.hdr_len < sizeof(h) || h.hdr_len > size || h.hdr_len % 4)
		return -EINVAL;
	body = size - h.hdr_len;
	if ((u64)h.type_off + h.type_len > body || (u64)h.str_off + h.str_len > body || h.type_off % 4 || !h.str_len)
		return -EINVAL;
	b.types = data + h.hdr_len + h.type_off;
	b.types_len = h.type_len;
	b.strings = (const char *)data + h.hdr_len + h.str_off;
	b.strings_len = h.str_len;
	if (b.strings[h.str_len - 1])
		return -EINVAL;
	r = walk_types(&b, NULL, &b.n);
	if (r)
		return r;
	b.off = calloc(b.n, sizeof(*b.off));
	if (!b.off)
		return -ENOMEM;
	walk_types(&b, b.off, &b.n);
	*ret = b;
	return 0;
}

void ebpf_btf_close(struct ebpf_btf *b)
{
	free(b->off);
	*b = (struct ebpf_btf){0};
}

const struct btf_type *ebpf_btf_type(const struct ebpf_btf *b, u32 id)
{
	return id && id < b->n ? (const struct btf_type *)(b->types + b->off[id]) : NULL;
}

const char *ebpf_btf_name(const struct ebpf_btf *b, u32 name_off)
{
	return name_off < b->strings_len ? b->strings + name_off : "";
}
