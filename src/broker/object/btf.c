/* SPDX-License-Identifier: MIT */
#include "broker/object/btf.h"

#include <errno.h>
#include <stdlib.h>

static void btf_free(struct object *o)
{
	free(object_to_btf(o)->data);
	free(object_to_btf(o));
}

int object_btf_new(struct broker *b, u8 *data, u32 size, struct object_btf **ret)
{
	struct object_btf *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->data = data;
	t->size = size;
	object_init(&t->obj, b, OBJECT_BTF, btf_free);
	*ret = t;
	return 0;
}
