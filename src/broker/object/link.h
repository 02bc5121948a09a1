/* SPDX-License-Identifier: MIT */
/* What a loader sees of a link: an id and a descriptor. The attachment itself is struct link
 * (broker/link/link.h). */
#pragma once

#include "broker/object/object.h"
#include "broker/object/perf.h"
#include "broker/object/prog.h"

struct link;

struct object_link {
	struct object obj;
	u32 type;	   /* BPF_LINK_TYPE_* */
	struct link *link; /* NULL for a clock; owned: the last close of the descriptor detaches before it returns */
	struct object_prog *prog; /* owned reference */
	struct object_perf *perf; /* perf link: owned reference, else NULL */
};

/* Takes over link; takes references on prog and perf (may be NULL). */
int object_link_new(struct broker *b, u32 type, struct link *link, struct object_prog *prog,
		    struct object_perf *perf, struct object_link **ret);

static inline struct object_link *object_to_link(struct object *o)
{
	return (struct object_link *)o; /* obj is the first member */
}
