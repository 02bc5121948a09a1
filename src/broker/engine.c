/* SPDX-License-Identifier: MIT */
/* Links (broker/link) and who looks for processes for them (broker/watch), as one thing: the engine. */
#include "broker/link/engine.h"

#include "broker/watch/watch.h"

int engine_new(struct broker *b, struct engine **ret)
{
	struct engine *e;
	int r = engine_init(b, &e);

	if (r)
		return r;
	r = watch_new(e, &e->watch); /* before there is a thread */
	if (!r)
		r = doorbell_new(e, &e->doorbell);
	if (r) {
		engine_free(e);
		b->engine = NULL;
		return r;
	}
	watch_clean_up(e->watch);
	*ret = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	doorbell_free(e->doorbell);
	watch_free(e->watch);
	engine_deinit(e);
}
