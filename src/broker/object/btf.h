/* SPDX-License-Identifier: MIT */
/* BTF as a loader gave it: checked for shape, kept to be given back. */
#pragma once

#include "broker/object/object.h"

struct object_btf {
	struct object obj;
	u8 *data;
	u32 size;
};

/* Takes over data; one reference, the caller's. -ENOMEM: data is untouched. */
int object_btf_new(struct broker *b, u8 *data, u32 size, struct object_btf **ret);

static inline struct object_btf *object_to_btf(struct object *o)
{
	return (struct object_btf *)o; /* obj is the first member */
}
