/* SPDX-License-Identifier: MIT */
#include "broker/object/link.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/link/link.h"
#include "broker/link/run.h"

static void object_link_free(struct object *o)
{
	struct object_link *l = object_to_link(o);

	if (l->link)
		link_close(o->broker, l->link);
	object_unref(&l->prog->obj);
	if (l->perf) {
		l->perf->linked = false;
		run_close(l->perf->clock.run, false);
		l->perf->clock.run = NULL;
		object_unref(&l->perf->obj);
	}
	free(l);
}

int object_link_new(struct broker *b, u32 type, struct link *link, struct object_prog *prog,
		    struct object_perf *perf, struct object_link **ret)
{
	struct object_link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->type = type;
	l->link = link;
	l->prog = prog;
	l->perf = perf;
	object_ref(&prog->obj);
	if (perf) {
		object_ref(&perf->obj);
		perf->linked = true;
	}
	object_init(&l->obj, b, OBJECT_LINK, object_link_free);
	*ret = l;
	return 0;
}
