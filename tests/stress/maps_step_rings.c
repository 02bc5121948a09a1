/* SPDX-License-Identifier: MIT */
/* Ring buffer and user ring buffer. */
#include "maps_step.h"

#include "ringread.h"

#define RECORDS 3u

static void output(struct nt_map_view *v, const struct nt_caller *c, u64 n)
{
	bool wake;

	ring_output(v, c, value_of(n), 32, 0, &wake);
}

static void fill_ring(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u64 i = 0; i < RECORDS; i++)
		output(v, c, i);
}

static void op_ring_output(struct nt_map_view *v, const struct nt_caller *c)
{
	output(v, c, 50);
}

static void op_ring_reserve(struct nt_map_view *v, const struct nt_caller *c)
{
	void *kept = ring_reserve(v, c, 32), *dropped = ring_reserve(v, c, 32);

	if (kept)
		memcpy(kept, value_of(50), 32);
	ring_submit(v, kept, 0, false);
	ring_submit(v, dropped, 0, true);
}

struct seen {
	u32 n, old, made, bad;
};

static void see(void *arg, u8 *data, u32 len)
{
	struct seen *s = arg;
	const u64 *p = (const u64 *)(void *)data;
	u64 n = p[0] / 1000;

	s->bad += len != 32 || !is_value_of(p, n) || (n < RECORDS ? n != s->n || n != s->old : n != 50 && n != 70);
	s->old += n < RECORDS;
	s->made += n == 70;
	s->n++;
}

/* All but the one who looks are dead. */
static bool is_dead(u32 tid, void *arg)
{
	return tid != *(u32 *)arg;
}

/* What was in it, in order, whole; perhaps the dead one's record; and what is written now. */
static u32 bad_ring(struct nt_map_view *v, const struct nt_caller *c)
{
	struct seen s = {0};
	u32 me = c->tid;

	output(v, c, 70);
	ring_reap(v, is_dead, &me);
	s.bad += ringread(v, see, &s) < 0;
	return s.bad + (s.old != RECORDS) + (s.made != 1);
}

static void fill_user_ring(struct nt_map_view *v, const struct nt_caller *c)
{
	for (u64 i = 0; i < RECORDS; i++) {
		u64 *at = (u64 *)(void *)(v->base + v->data_off + 40 * i);

		at[0] = 32;
		memcpy(at + 1, value_of(i), 32);
	}
	*(u64 *)(void *)(v->base + NT_RING_PROD_OFF) = 40 * (u64)RECORDS;
}

static void op_drain(struct nt_map_view *v, const struct nt_caller *c)
{
	struct user_sample s;

	if (!user_ring_begin(v, c))
		return;
	if (!user_ring_peek(v, &s))
		user_ring_release(v, &s);
	user_ring_end(v, c);
}

/* The next one drains what is left: all, or all but the first. */
static u32 bad_user_ring(struct nt_map_view *v, const struct nt_caller *c)
{
	struct user_sample s;
	u32 bad = 0, n = 0;

	if (!user_ring_begin(v, c))
		return 1;
	for (; n < 10 && !user_ring_peek(v, &s); n++) {
		const u64 *p = (const u64 *)(void *)s.data;

		bad += s.size != 32 || !is_value_of(p, p[0] / 1000);
		user_ring_release(v, &s);
	}
	user_ring_end(v, c);
	return bad + (n != RECORDS && n != RECORDS - 1);
}

const struct scene scenes_rings[] = {
    {"ring buffer: output", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, fill_ring, op_ring_output, bad_ring},
    {"ring buffer: reserve, submit, discard", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, fill_ring, op_ring_reserve, bad_ring},
    {"user ring buffer: drain", 31 /* BPF_MAP_TYPE_USER_RINGBUF */, 0, 0, 4096, 0, fill_user_ring, op_drain, bad_user_ring},
    {0},
};
