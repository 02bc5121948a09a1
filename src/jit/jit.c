/* SPDX-License-Identifier: MIT */
#include "jit/jit.h"

#include <stdlib.h>

#include "jit/prog.h"
#include "jit/x86_64/lower.h"

int jit_compile(const struct jit_input *in, struct jit_image *ret)
{
	struct jit_prog p;
	int r = jit_prog_init(&p, in);

	if (!r)
		r = jit_flow(&p);
	if (!r) {
		jit_fuse(&p);
		r = lower_prog(&p, ret);
	}
	jit_prog_deinit(&p);
	return r;
}

void jit_image_deinit(struct jit_image *img)
{
	free(img->code);
	free(img->got);
	free(img->insn_off);
	free(img->rip_at);
	*img = (struct jit_image){0};
}
