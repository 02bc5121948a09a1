/* SPDX-License-Identifier: MIT */
/* BPF_ENABLE_STATS: while one of these descriptors is open, programs count their runs and the time they take. */
#include <errno.h>
#include <stdlib.h>

#include "broker/cmd/cmd.h"
#include "broker/link/link.h"

static void stats_free(struct object *o)
{
	link_stats_enable(o->broker, false);
	free(o);
}

s64 cmd_enable_stats(struct call *k)
{
	struct object *o;

	if (k->attr.stats.type)
		return -EINVAL;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	object_init(o, k->b, OBJECT_STATS, stats_free);
	link_stats_enable(k->b, true);
	return call_give(k, o);
}
