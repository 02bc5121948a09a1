/* SPDX-License-Identifier: MIT */
#include "broker/object/perf.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/link/link.h"
#include "broker/link/run.h"
#include "util/fd.h"

static void perf_free(struct object *o)
{
	struct object_perf *p = object_to_perf(o);

	if (p->link)
		link_close(o->broker, p->link);
	run_close(p->clock.run, false);
	fd_closep(&p->path_fd);
	free(p->raw_path);
	free(p);
}

int object_perf_new(struct broker *b, const struct object_perf *from, struct object_perf **ret)
{
	struct object_perf *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = *from;
	object_init(&p->obj, b, OBJECT_PERF, perf_free);
	*ret = p;
	return 0;
}
