/* SPDX-License-Identifier: MIT */
/* A cursor over DWARF's encodings that cannot leave its bytes: a read beyond the end sets bad and gives 0. */
#pragma once

#include "abi/types.h"

struct dwarf_cur {
	const u8 *p, *end;
	u64 vaddr; /* of p */
	bool bad;
};

static inline const u8 *dwarf_take(struct dwarf_cur *c, u64 n)
{
	const u8 *p = c->p;

	if (n > (u64)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->vaddr += n;
	return p;
}

static inline u64 dwarf_uint(struct dwarf_cur *c, u32 n)
{
	const u8 *p = dwarf_take(c, n);
	u64 v = 0;

	for (u32 i = 0; p && i < n; i++)
		v |= (u64)p[i] << (8 * i);
	return v;
}

static inline u64 dwarf_uleb(struct dwarf_cur *c)
{
	u64 v = 0;
	u8 b = 0x80;

	for (u32 shift = 0; b & 0x80 && !c->bad; shift += 7) {
		b = (u8)dwarf_uint(c, 1);
		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
	}
	return v;
}

static inline s64 dwarf_sleb(struct dwarf_cur *c)
{
	u64 v = 0;
	u32 shift = 0;
	u8 b = 0x80;

	for (; b & 0x80 && !c->bad; shift += 7) {
		b = (u8)dwarf_uint(c, 1);
		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
	}
	if (b & 0x40 && shift < 64)
		v |= ~0ull << shift;
	return (s64)v;
}

enum {
	DW_PE_OMIT = 0xff,
	DW_PE_INDIRECT = 0x80,
	DW_PE_PCREL = 0x10,
	DW_PE_DATAREL = 0x30,
	DW_PE_APPLICATION = 0x70,
	DW_PE_FORMAT = 0x0f
};

/* A pointer in DW_EH_PE encoding; 0 stays 0 whatever it is relative to. */
static inline u64 dwarf_pointer(struct dwarf_cur *c, u8 enc)
{
	u64 at = c->vaddr, v;

	switch (enc & DW_PE_FORMAT) {
	case 0x00: case 0x04: case 0x0c: v = dwarf_uint(c, 8); break;
	case 0x01: v = dwarf_uleb(c); break;
	case 0x02: v = dwarf_uint(c, 2); break;
	case 0x03: v = dwarf_uint(c, 4); break;
	case 0x09: v = (u64)dwarf_sleb(c); break;
	case 0x0a: v = (u64)(s64)(s16)dwarf_uint(c, 2); break;
	case 0x0b: v = (u64)(s64)(s32)dwarf_uint(c, 4); break;
	default: c->bad = true; return 0;
	}
	if (!v)
		return 0;
	switch (enc & DW_PE_APPLICATION) {
	case 0: return v;
	case DW_PE_PCREL: return at + v;
	default:
		c->bad = true;
		return 0; /* relative to text, data, function: not used on this machine */
	}
}
