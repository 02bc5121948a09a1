/* SPDX-License-Identifier: MIT */
/*
 * bpf_dynptr_from_mem, bpf_dynptr_read, bpf_dynptr_write, bpf_dynptr_data and the ring buffer's
 * dynptrs. A dynptr is 16 bytes of the program's stack that the verifier lets only helpers touch, so
 * what stands there is what we wrote.
 */
#include <asm/errno.h>

#include "base/mem.h"
#include "payload/helper_dynptr.h"

#define SIZE_MAX_BYTES 0xffffffu

static void dynptr_clear(struct dynptr *d)
{
	*d = (struct dynptr){0, 0, 0};
}

void dynptr_set(struct dynptr *d, void *data, u32 size)
{
	*d = (struct dynptr){(u64)data, size, 0};
}

u8 *dynptr_at(const struct dynptr *d, u64 off, u64 len)
{
	u32 size = d->size & DYNPTR_SIZE_MASK;

	if (len > size || off > size - len)
		return NULL;
	return (u8 *)d->data + d->offset + off;
}

u64 helper_dynptr_from_mem(u64 data, u64 size, u64 flags, u64 dynptr, u64 r5)
{
	struct dynptr *d = (void *)dynptr;

	dynptr_clear(d);
	if ((u32)size > SIZE_MAX_BYTES)
		return (u64)-E2BIG;
	if (flags)
		return (u64)-EINVAL;
	dynptr_set(d, (void *)data, (u32)size);
	return 0;
}

u64 helper_dynptr_read(u64 dst, u64 len, u64 dynptr, u64 off, u64 flags)
{
	const struct dynptr *d = (void *)dynptr;
	const u8 *at;

	if (!d->data || flags)
		return (u64)-EINVAL;
	at = dynptr_at(d, (u32)off, (u32)len);
	if (!at)
		return (u64)-E2BIG;
	mem_move((void *)dst, at, (u32)len);
	return 0;
}

u64 helper_dynptr_write(u64 dynptr, u64 off, u64 src, u64 len, u64 flags)
{
	const struct dynptr *d = (void *)dynptr;
	u8 *at;

	if (!d->data || flags || d->size & DYNPTR_RDONLY)
		return (u64)-EINVAL;
	at = dynptr_at(d, (u32)off, (u32)len);
	if (!at)
		return (u64)-E2BIG;
	mem_move(at, (void *)src, (u32)len);
	return 0;
}

u64 helper_dynptr_data(u64 dynptr, u64 off, u64 len, u64 r4, u64 r5)
{
	const struct dynptr *d = (void *)dynptr;

	if (!d->data || d->size & DYNPTR_RDONLY)
		return 0;
	return (u64)dynptr_at(d, (u32)off, (u32)len);
}

u64 helper_ringbuf_reserve_dynptr(u64 ring, u64 size, u64 flags, u64 dynptr, u64 r5)
{
	struct dynptr *d = (void *)dynptr;
	u64 record;

	dynptr_clear(d);
	if (flags)
		return (u64)-EINVAL;
	if ((u32)size > SIZE_MAX_BYTES)
		return (u64)-E2BIG;
	record = helper_ringbuf_reserve(ring, (u32)size, 0, 0, 0);
	if (!record)
		return (u64)-EINVAL;
	dynptr_set(d, (void *)record, (u32)size);
	return 0;
}

u64 helper_ringbuf_submit_dynptr(u64 dynptr, u64 flags, u64 r3, u64 r4, u64 r5)
{
	struct dynptr *d = (void *)dynptr;

	if (d->data)
		helper_ringbuf_submit(d->data, flags, 0, 0, 0);
	dynptr_clear(d);
	return 0;
}

u64 helper_ringbuf_discard_dynptr(u64 dynptr, u64 flags, u64 r3, u64 r4, u64 r5)
{
	struct dynptr *d = (void *)dynptr;

	if (d->data)
		helper_ringbuf_discard(d->data, flags, 0, 0, 0);
	dynptr_clear(d);
	return 0;
}
