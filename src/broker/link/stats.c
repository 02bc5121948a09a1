/* SPDX-License-Identifier: MIT */
/*
 * Run statistics. Programs count nothing by themselves. While somebody wants to know, all sites have slots that call
 * their programs through a function that counts; so turning the statistics on is like attaching one more link
 * everywhere, and disturbs nobody.
 */
#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "broker/link/attach.h"
#include "broker/link/site.h"
#include "broker/link/steady.h"

#define QUIESCE_MS 500u

static bool find(const struct engine *e, u32 id, u32 *ret)
{
	for (u32 i = 0; i < NT_STATS_MAX; i++)
		if (e->stats_owner[(id + i) % NT_STATS_MAX] == id) {
			*ret = (id + i) % NT_STATS_MAX;
			return true;
		}
	return false;
}

int stats_index(struct engine *e, const struct object_prog *p, u32 *ret)
{
	if (find(e, p->obj.id, ret))
		return 0;
	for (u32 i = 0; i < NT_STATS_MAX; i++) {
		u32 at = (p->obj.id + i) % NT_STATS_MAX, owner = e->stats_owner[at];

		if (owner && object_by_id(e->broker, OBJECT_PROG, owner))
			continue;
		memset(&e->shared.stats[at], 0, sizeof(e->shared.stats[at]));
		e->stats_owner[at] = p->obj.id;
		*ret = at;
		return 0;
	}
	return -ENOSPC;
}

static void rebuild(void *arg)
{
	struct engine *e = arg;

	for (struct process *p = e->processes; p; p = p->hh.next) {
		if (!p->injected || !process_alive(p) || steady_is_orphan(e))
			continue;
		for (struct module *m = p->modules; m; m = m->next)
			if (m->patched)
				attach_module(p, m, m->binary->site, m->binary->nsites);
		attach_quiesce(p, QUIESCE_MS);
	}
}

void link_stats_enable(struct broker *b, bool on)
{
	struct engine *e = b->engine;

	e->stats_on += on ? 1 : -1u;
	if (e->stats_on != on)
		return;
	e->seq++;
	steady_run(e, rebuild, e);
}

void link_prog_stats(struct broker *b, const struct object_prog *p, struct link_stats *ret)
{
	const struct engine *e = b->engine;
	u32 at;

	*ret = (struct link_stats){ 0 };
	if (!find(e, p->obj.id, &at))
		return;
	ret->run_cnt = at_load(&e->shared.stats[at].run_cnt);
	ret->run_time_ns = at_load(&e->shared.stats[at].run_time_ns);
}
