/* SPDX-License-Identifier: MIT */
/*
 * Hostile memory, user ring buffer: the loader's positions and headers say anything, and change between operations. A
 * sample lies inside the two copies of the data: each one is read and written as a callback would, and a guard area
 * follows the file. A drain ends: no position makes it go round for ever.
 */
#include <stdint.h>
#include <stdlib.h>

#include "input.h"
#include "mapfile.h"

#define TYPE_USER_RINGBUF 31
#define SAMPLES_MAX 4096u /* bpf_user_ringbuf_drain() gives up at 128 Ki */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sample(struct nt_map_view *v, const struct user_sample *s)
{
	u8 *data = v->base + v->data_off;

	if (s->data < data || s->data + s->size > data + 2 * (u64)v->max_entries)
		abort();
	memset(s->data, 0xee, s->size);
}

static void drain(struct nt_map_view *v, const struct nt_caller *c, bool keep)
{
	struct user_sample s;

	if (!user_ring_begin(v, c))
		return;
	for (u32 n = 0; n < SAMPLES_MAX; n++) {
		int r = user_ring_peek(v, &s);

		if (r == -11 /* EAGAIN: a discarded one is gone */)
			continue;
		if (r)
			break;
		check_sample(v, &s);
		if (keep)
			break;
		user_ring_release(v, &s);
	}
	user_ring_end(v, c);
}

/* What a loader does, with a length that may be a lie. */
static void produce(struct nt_map_view *v, u32 len)
{
	u64 *prod = (u64 *)(void *)(v->base + NT_RING_PROD_OFF);

	*(u32 *)(void *)(v->base + v->data_off + (*prod & ~7ull & (v->max_entries - 1))) = len;
	*prod += 8 + ((u64)(len & 0xffff) + 7) / 8 * 8;
}

static void scribble(struct nt_map_view *v, u64 how, u64 what)
{
	u64 *cons = (u64 *)(void *)(v->base + NT_RING_CONS_OFF), *prod = (u64 *)(void *)(v->base + NT_RING_PROD_OFF);
	struct nt_ring_ctl *ctl = (struct nt_ring_ctl *)(void *)(v->base + v->ctl_off);
	static const u32 owners[] = {0, 77, 0, 0};

	switch (how % 8) {
	case 0: *cons = what; break;
	case 1: *prod = what; break;
	case 2: *cons += (what & 0xffff) - 0x8000; break;
	case 3: *prod += (what & 0xffff) - 0x8000; break;
	case 4: *cons = *prod - (what & 0xff); break;
	case 5: ctl->lock.owner = ctl->lock.stuck = owners[what % 4]; break;
	default: *(u32 *)(void *)(v->base + v->data_off + (how >> 3) * 8 % (2 * (u64)v->max_entries)) = (u32)what;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct nt_map_view v = mapfile_new(TYPE_USER_RINGBUF, 0, 0, 4096u << input_take(&in, 1) % 3, 0, 1);
	struct nt_caller c = {.tid = 77};

	while (in.left) {
		u64 op = input_take(&in, 1), arg = input_take(&in, 4);

		c.flags = op & 0x20 ? NT_CALLER_NO_SYSCALL : 0;
		switch (op % 8) {
		case 0:
		case 1:
		case 2: produce(&v, (u32)arg & (op & 0x40 ? UINT32_MAX : 0xff)); break;
		case 3:
		case 4: drain(&v, &c, op & 0x80); break;
		default: scribble(&v, arg, input_take(&in, 8));
		}
	}
	drain(&v, &c, false);
	mapfile_free(&v);
	return 0;
}
