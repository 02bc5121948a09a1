/* SPDX-License-Identifier: MIT */
#include "broker/object/btf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "broker/cmd/btf_check.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/vlog.h"
#include "util/fd.h"

#define BTF_MAX_SIZE (16u * 1024 * 1024)

static int btf_check_logged(struct call *k, const u8 *data)
{
	const struct attr_btf_load *a = &k->attr.btf_load;
	const struct vlog_user user = {a->log_level, a->log_size, a->log_buf};
	struct verifier_log log = {.level = a->log_level};
	u32 true_size;
	int r, w;

	r = vlog_check(&user);
	if (r < 0)
		return r;
	r = btf_check(data, a->size, &log);
	w = vlog_copy_out(k->c, &user, &log, &true_size);
	free(log.buf);
	if (w < 0)
		r = w;
	if (k->size >= offsetof(struct attr_btf_load, log_true_size) + sizeof(true_size)) {
		w = client_write(k->c, k->uattr + offsetof(struct attr_btf_load, log_true_size),
				 &true_size, sizeof(true_size));
		if (w < 0)
			r = w;
	}
	return r;
}

s64 cmd_btf_load(struct call *k)
{
	const struct attr_btf_load *a = &k->attr.btf_load;
	u8 *data free_auto = NULL;
	struct object_btf *t;
	int r;

	if (a->flags)
		return -EINVAL;
	if (a->size > BTF_MAX_SIZE)
		return -E2BIG;
	data = malloc(bits_max(a->size, 1u));
	if (!data)
		return -ENOMEM;
	r = client_read(k->c, a->btf, data, a->size);
	if (!r)
		r = btf_check_logged(k, data);
	if (!r)
		r = object_btf_new(k->b, data, a->size, &t);
	if (r < 0)
		return r;
	data = NULL;
	return call_give(k, &t->obj);
}
