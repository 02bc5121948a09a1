/* SPDX-License-Identifier: MIT */
#include "jit/jit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "jit/build.h"

static const struct jit_backend *const backends[] = {
	[JIT_X86_64] = &jit_x86_64,
	[JIT_AARCH64] = &jit_aarch64,
};

int jit_compile(const struct jit_input *in, struct jit_image *ret)
{
	const struct jit_backend *arch;
	struct jit_prog p;
	int r;

	if (in->arch >= bits_count(backends))
		return -EINVAL;
	arch = backends[in->arch];
	r = jit_prog_init(&p, in, arch->tells_cpu);
	if (!r)
		r = jit_flow(&p);
	if (!r) {
		jit_fuse(&p);
		r = jit_build(&p, arch, ret);
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
