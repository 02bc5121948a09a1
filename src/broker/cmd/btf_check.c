/* SPDX-License-Identifier: MIT */
#include "broker/cmd/btf_check.h"

#include <errno.h>
#include <linux/btf.h>
#include <string.h>

#include "base/bits.h"

#define KIND_LAST 19u /* BTF_KIND_ENUM64 */
#define MAX_TYPES 0x000fffffu

static int btf_refuse(struct verifier_log *log, const char *why)
{
	vlog_printf(log, "%s\n", why);
	return -EINVAL;
}

static int btf_check_header(const u8 *data, u32 size, struct btf_header *ret,
			    struct verifier_log *log)
{
	u32 hdr_len;

	if (size < offsetof(struct btf_header, hdr_len) + sizeof(hdr_len))
		return btf_refuse(log, "hdr_len not found");
	memcpy(&hdr_len, data + offsetof(struct btf_header, hdr_len), sizeof(hdr_len));
	if (size < hdr_len || hdr_len < sizeof(*ret))
		return btf_refuse(log, "btf_header not found");
	for (u32 i = sizeof(*ret); i < hdr_len; i++) {
		if (!data[i])
			continue;
		vlog_printf(log, "Unsupported btf_header\n");
		return -E2BIG;
	}
	memcpy(ret, data, sizeof(*ret));
	if (ret->magic != BTF_MAGIC)
		return btf_refuse(log, "Invalid magic");
	if (ret->version != BTF_VERSION)
		return btf_refuse(log, "Unsupported version");
	if (ret->flags)
		return btf_refuse(log, "Unsupported flags");
	if (size == hdr_len)
		return btf_refuse(log, "No data");
	return 0;
}

/* The two sections fill what follows the header, in this order, without a gap. */
static int btf_check_sections(const struct btf_header *h, u32 size, struct verifier_log *log)
{
	u64 total = size - h->hdr_len;

	if (h->type_off > total || h->str_off > total)
		return btf_refuse(log, "Invalid section offset");
	if (h->type_off)
		return btf_refuse(log, "Unsupported section found");
	if (h->type_len > total || h->str_len > total - h->type_len)
		return btf_refuse(log, "Total section length too long");
	if (h->str_off < h->type_len)
		return btf_refuse(log, "Section overlap found");
	if (h->str_off > h->type_len || h->str_off + (u64)h->str_len != total)
		return btf_refuse(log, "Unsupported section found");
	if (h->type_off & 3)
		return btf_refuse(log, "Unaligned type_off");
	return h->type_len ? 0 : btf_refuse(log, "No type found");
}

/* Bytes that follow struct btf_type; -1: unknown kind. */
static s64 btf_tail_size(u32 kind, u32 vlen)
{
	switch (kind) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG: return 4;
	case BTF_KIND_ARRAY: return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return (s64)vlen * (s64)sizeof(struct btf_member);
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO: return (s64)vlen * 8;
	case BTF_KIND_DATASEC:
	case KIND_LAST: return (s64)vlen * 12;
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG: return 0;
	}
	return -1;
}

static int btf_check_types(const struct btf_header *h, const u8 *types, struct verifier_log *log)
{
	u32 off = 0, n = 0;

	while (off < h->type_len) {
		struct btf_type t;
		s64 tail;

		if (h->type_len - off < sizeof(t))
			return btf_refuse(log, "meta_left is too small");
		memcpy(&t, types + off, sizeof(t));
		tail = btf_tail_size(BTF_INFO_KIND(t.info), BTF_INFO_VLEN(t.info));
		if (tail < 0)
			return btf_refuse(log, "Invalid kind");
		if (t.name_off >= h->str_len)
			return btf_refuse(log, "Invalid name_offset");
		if ((u64)tail > h->type_len - off - sizeof(t))
			return btf_refuse(log, "meta_left is too small");
		off += (u32)sizeof(t) + (u32)tail;
		if (++n > MAX_TYPES)
			return -E2BIG;
	}
	return 0;
}

int btf_check(const u8 *data, u32 size, struct verifier_log *log)
{
	struct btf_header h;
	const u8 *strings;
	int r = btf_check_header(data, size, &h, log);

	if (!r)
		r = btf_check_sections(&h, size, log);
	if (r < 0)
		return r;
	strings = data + h.hdr_len + h.str_off;
	if (!h.str_len || h.str_len - 1 > 0xffffff || strings[0] || strings[h.str_len - 1])
		return btf_refuse(log, "Invalid string section");
	return btf_check_types(&h, data + h.hdr_len, log);
}
