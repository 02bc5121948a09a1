/* SPDX-License-Identifier: MIT */
/* bpf_dynptr_adjust and its kin, bpf_probe_read_*_dynptr. */
#include <asm/errno.h>

#include "base/mem.h"
#include "payload/helper_dynptr.h"
#include "payload/kfunc.h"

static u64 size_of(const struct dynptr *d)
{
	return d->size & DYNPTR_SIZE_MASK;
}

u64 kfunc_dynptr_adjust(u64 dynptr, u64 start, u64 end, u64 r4, u64 r5)
{
	struct dynptr *d = (void *)dynptr;

	if (!d->data || start > end)
		return (u64)-EINVAL;
	if (end > size_of(d))
		return (u64)-ERANGE;
	d->offset += (u32)start;
	d->size = (d->size & ~DYNPTR_SIZE_MASK) | (u32)(end - start);
	return 0;
}

u64 kfunc_dynptr_clone(u64 dynptr, u64 clone, u64 r3, u64 r4, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;
	struct dynptr *c = (void *)clone;

	*c = *d;
	return d->data ? 0 : (u64)-EINVAL;
}

u64 kfunc_dynptr_is_null(u64 dynptr, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return !((struct dynptr *)dynptr)->data;
}

u64 kfunc_dynptr_is_rdonly(u64 dynptr, u64 r2, u64 r3, u64 r4, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;

	return d->data && d->size & DYNPTR_RDONLY;
}

u64 kfunc_dynptr_size(u64 dynptr, u64 r2, u64 r3, u64 r4, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;

	return d->data ? size_of(d) : (u64)-EINVAL;
}

u64 kfunc_dynptr_slice(u64 dynptr, u64 off, u64 buffer, u64 len, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;

	return d->data ? (u64)dynptr_at(d, off, (u32)len) : 0;
}

u64 kfunc_dynptr_slice_rdwr(u64 dynptr, u64 off, u64 buffer, u64 len, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;

	return d->data && !(d->size & DYNPTR_RDONLY) ? (u64)dynptr_at(d, off, (u32)len) : 0;
}

u64 kfunc_dynptr_copy(u64 dst, u64 dst_off, u64 src, u64 src_off, u64 len)
{
	const struct dynptr *to = (void *)dst, *from = (void *)src;
	u8 *d, *s;

	if (!to->data || !from->data || to->size & DYNPTR_RDONLY)
		return (u64)-EINVAL;
	d = dynptr_at(to, dst_off, len);
	s = dynptr_at(from, src_off, len);
	if (!d || !s)
		return (u64)-E2BIG;
	mem_move(d, s, len);
	return 0;
}

u64 kfunc_dynptr_memset(u64 dynptr, u64 off, u64 len, u64 value, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;
	u8 *at;

	if (!d->data || d->size & DYNPTR_RDONLY)
		return (u64)-EINVAL;
	at = dynptr_at(d, off, len);
	if (!at)
		return (u64)-E2BIG;
	for (u64 i = 0; i < len; i++)
		((volatile u8 *)at)[i] = (u8)value;
	return 0;
}

static u8 *room_at(u64 dynptr, u64 off, u64 len)
{
	const struct dynptr *d = (void *)dynptr;

	return d->data && !(d->size & DYNPTR_RDONLY) ? dynptr_at(d, off, len) : NULL;
}

u64 kfunc_probe_read_dynptr(u64 dynptr, u64 off, u64 len, u64 src, u64 r5)
{
	u8 *at = room_at(dynptr, off, len);

	return at ? helper_probe_read((u64)at, len, src, 0, 0) : (u64)-E2BIG;
}

u64 kfunc_probe_read_str_dynptr(u64 dynptr, u64 off, u64 len, u64 src, u64 r5)
{
	u8 *at = room_at(dynptr, off, len);

	return at ? helper_probe_read_str((u64)at, len, src, 0, 0) : (u64)-E2BIG;
}
