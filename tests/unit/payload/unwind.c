/* SPDX-License-Identifier: MIT */
/* _dl_find_object: our addresses, everybody else's, and regions that change while we look. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

static u32 original_calls;

static int original(void *pc, struct unwind_object *ret)
{
	original_calls++;
	ret->eh_frame = ~(u64)pc;
	return 42;
}

static struct nt_region region_at(u64 lo)
{
	return (struct nt_region){.base = lo,
				  .size = 0x10000,
				  .frames_lo = lo + 0x100,
				  .frames_hi = lo + 0x200,
				  .eh_frame_hdr = lo + 0x5000,
				  .state = NT_REGION_LIVE};
}

static int ask(const struct subject *s, u64 pc, struct unwind_object *ret)
{
	memset(ret, 0xee, sizeof(*ret));
	return s->dl_find_object((void *)pc, ret);
}

static void test_answers(const struct subject *s)
{
	struct unwind_object o;

	_Static_assert(sizeof(struct unwind_object) == 96, "as glibc's");
	s->state->region[0] = region_at(0x100000);
	s->state->region[3] = region_at(0x200000);
	s->state->region[1] = region_at(0x300000);
	s->state->region[1].state = NT_REGION_FREE;
	s->state->region[2] = region_at(0x400000);
	s->state->region[2].frames_hi = s->state->region[2].frames_lo;
	s->state->nregions = 4;
	s->state->orig_dl_find_object = (u64)original;
	tap_ok(ask(s, 0x200100, &o) == 0 && o.map_start == 0x200100 && o.map_end == 0x200200 &&
		   o.eh_frame == 0x205000 && !o.link_map && !o.flags,
	       "an address of ours");
	tap_ok(ask(s, 0x1001ff, &o) == 0 && o.eh_frame == 0x105000, "the last address");
	tap_eq(original_calls, 0, "nobody else was asked");
	tap_ok(ask(s, 0x100200, &o) == 42 && o.eh_frame == ~0x100200ull &&
		   o.flags == 0xeeeeeeeeeeeeeeeeull,
	       "the address behind: the original answers");
	tap_eq(ask(s, 0x1000ff, &o), 42, "the address before");
	tap_eq(ask(s, 0x300100, &o), 42, "a region that is not live");
	tap_eq(ask(s, 0x400100, &o), 42, "a region without frames");
	s->state->region[2].frames_hi = 0;
	tap_eq(ask(s, 0x400180, &o), 42, "a region that is half written");
	s->state->region[2] = region_at(0x400000);
	s->state->region[2].eh_frame_hdr = 0;
	tap_eq(ask(s, 0x400180, &o), 42, "a region without a table");
	s->state->nregions = 0xffffffff;
	tap_eq(ask(s, 0x500000, &o), 42, "a wrong number of regions");
	s->state->nregions = 2;
	tap_eq(ask(s, 0x200100, &o), 42, "regions beyond the number do not count");
	s->state->orig_dl_find_object = 0;
	tap_eq(ask(s, 0x500000, &o), -1, "no original: not found");
	s->state->orig_dl_find_object = (u64)original;
}

static u32 stop;

/* As the broker: state last, and first. */
static void *changer(void *arg)
{
	const struct subject *s = arg;
	struct nt_region *r = &s->state->region[0];

	for (u64 i = 0; !at_load(&stop); i++) {
		struct nt_region n = region_at(i & 1 ? 0x100000 : 0x100080);

		at_store_rel(&r->state, NT_REGION_FREE);
		at_store_rel(&r->frames_lo, n.frames_lo);
		at_store_rel(&r->frames_hi, n.frames_hi);
		at_store_rel(&r->eh_frame_hdr, n.eh_frame_hdr);
		for (u64 k = 0; k < i % 64; k++)
			at_pause();
		at_store_rel(&r->seq, i + 1);
		at_store_rel(&r->state, NT_REGION_LIVE);
	}
	return NULL;
}

static void test_changes(const struct subject *s)
{
	u32 wrong = 0, found = 0;
	pthread_t t;

	s->state->nregions = 1;
	pthread_create(&t, NULL, changer, (void *)s);
	/* On a crowded machine the other thread may not get to run for as long as that. */
	for (u64 i = 0; i < 2000000 || (found < 100 && i < 1000000000); i++) {
		struct unwind_object o;
		int r = s->dl_find_object((void *)0x1001c0, &o);

		if (r == 42)
			continue;
		found++;
		wrong +=
		    r || o.map_end - o.map_start != 0x100 || o.eh_frame - o.map_start != 0x4f00;
	}
	at_store(&stop, 1);
	pthread_join(t, NULL);
	tap_ok(!wrong && found, "answers are whole while a region changes (%u, wrong %u)", found,
	       wrong);
}

int main(void)
{
	const struct subject *s = subject_new();

	test_answers(s);
	test_changes(s);
	return tap_done();
}
