/* SPDX-License-Identifier: MIT */
#include "broker/object/prog.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/object/map.h"
#include "broker/object/twin.h"

static void prog_unref_maps(struct object_map **maps, u32 n)
{
	for (u32 i = 0; i < n; i++)
		object_unref(&maps[i]->obj);
	free(maps);
}

void object_prog_deinit(struct object_prog *p)
{
	if (p->compiled)
		jit_image_deinit(&p->image);
	verifier_result_deinit(&p->facts);
	prog_unref_maps(p->maps, p->nmaps);
	prog_unref_maps(p->bound, p->nbound);
	object_unref(p->btf);
	twin_prog_free(p->twin);
	free(p->func_info.data);
	free(p->line_info.data);
	free(p->insns);
}

static void prog_free(struct object *o)
{
	object_prog_deinit(object_to_prog(o));
	free(object_to_prog(o));
}

int object_prog_new(struct broker *b, const struct object_prog *from, struct object_prog **ret)
{
	struct object_prog *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = *from;
	object_init(&p->obj, b, OBJECT_PROG, prog_free);
	*ret = p;
	return 0;
}

int object_prog_bind(struct object_prog *p, struct object_map *m)
{
	struct object_map **grown;

	for (u32 i = 0; i < p->nmaps; i++)
		if (p->maps[i] == m)
			return 0;
	for (u32 i = 0; i < p->nbound; i++)
		if (p->bound[i] == m)
			return 0;
	grown = realloc(p->bound, (p->nbound + 1) * sizeof(struct object_map *));
	if (!grown)
		return -ENOMEM;
	p->bound = grown;
	object_ref(&m->obj);
	p->bound[p->nbound++] = m;
	return 0;
}
