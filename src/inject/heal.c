/* SPDX-License-Identifier: MIT */
/* Detours for the threads whose calls need one to end as they would have without us: finish.c and limit.c say which. */
#include "inject/internal.h"

#include <string.h>

struct cure {
	struct piece_code code;
	struct inject_detour detour;
};

static bool plan(struct inject_target *t, struct inject_thread *th, struct cure *c)
{
	if (th->gone || !th->have_regs || th->group_stop)
		return false;
	*c = (struct cure){.detour.data_len = 0};
	if (inject_finish_plan(t, th, &c->code, &c->detour))
		return true;
	*c = (struct cure){.detour.data_len = 0};
	return inject_limit_plan(t, th, &c->code, &c->detour);
}

/* What is meant relative to the piece's data. */
static void place(struct cure *c, u64 data)
{
	struct inject_detour *d = &c->detour;
	u64 word;

	for (u32 i = 0; i < 6; i++) {
		d->a[i] += d->data_arg >> i & 1 ? data : 0;
		c->code.arg2[i] += d->data_arg2 >> i & 1 ? data : 0;
	}
	if (!d->data_word)
		return;
	memcpy(&word, d->data + d->data_word, sizeof(word));
	word += data;
	memcpy(d->data + d->data_word, &word, sizeof(word));
}

/* False: no piece is to be had. */
static bool treat(struct inject_target *t, struct inject_thread *th, struct inject_thread *caller, struct cure *c)
{
	int i = inject_piece_new(t, caller);

	if (i < 0)
		return false;
	place(c, inject_piece_data(t, i));
	inject_piece_enter(t, th, i, &c->code, &c->detour);
	return true;
}

void inject_heal_one(struct inject_target *t, struct inject_thread *th, bool may_call)
{
	struct cure c;

	if (plan(t, th, &c))
		treat(t, th, may_call ? th : NULL, &c);
}

void inject_heal_all(struct inject_target *t)
{
	struct inject_thread *caller = NULL;
	struct cure c;

	inject_pieces_collect(t);
	for (u32 i = 0; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];

		if (!th->stopped || !plan(t, th, &c))
			continue;
		/* The first page takes system calls, and the thread it is for can make them. */
		if (!t->pieces.page && !caller) {
			if (inject_remote_begin(t, th))
				return;
			caller = th;
			if (!plan(t, th, &c)) /* a signal was delivered on the way */
				continue;
		}
		if (!treat(t, th, caller, &c))
			break;
	}
	if (caller)
		inject_remote_end(t, caller);
}
