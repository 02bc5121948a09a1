/* SPDX-License-Identifier: MIT */
#include "broker/cmd/prog_records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define RECORDS_MAX (1u << 20)

/* A loader's records may be longer than those that we know; they are cut. */
static int keep(struct call *k, u64 addr, u32 n, u32 theirs, u32 ours, struct prog_records *ret)
{
	int r = 0;

	if (!n || theirs < ours)
		return 0;
	if (n > RECORDS_MAX)
		return -E2BIG;
	ret->data = calloc(n, ours);
	if (!ret->data)
		return -ENOMEM;
	if (theirs == ours)
		r = client_read(k->c, addr, ret->data, (size_t)n * ours);
	else
		for (u32 i = 0; i < n && !r; i++)
			r = client_read(k->c, addr + (u64)i * theirs, ret->data + (size_t)i * ours, ours);
	ret->n = r ? 0 : n;
	return r;
}

int prog_records_keep(struct call *k, const struct attr_prog_load *a, struct object_prog *p)
{
	int r;

	if (!p->btf)
		return 0;
	r = keep(k, a->func_info, a->func_info_cnt, a->func_info_rec_size, FUNC_RECORD_SIZE, &p->func_info);
	return r ? r : keep(k, a->line_info, a->line_info_cnt, a->line_info_rec_size, LINE_RECORD_SIZE, &p->line_info);
}

int prog_records_tell(struct call *k, const struct prog_records *r, u32 size, u64 addr, u32 *count)
{
	u32 n = bits_min(*count, r->n);

	*count = r->n;
	return n ? client_write(k->c, addr, r->data, (size_t)n * size) : 0;
}
