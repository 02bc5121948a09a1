/* SPDX-License-Identifier: MIT */
/* struct bpf_link_info for our two link types. */
#pragma once

#include "broker/client.h"
#include "broker/object/link.h"

struct link_info { /* bpf_link_info of 6.18 */
	u32 type, id, prog_id, pad;
	union {
		struct {
			u64 path, offsets, ref_ctr_offsets, cookies;
			u32 path_size, count, flags, pid;
		} multi;
		struct {
			u32 type, pad;
			u64 file_name;
			u32 name_len, offset;
			u64 cookie, ref_ctr_offset;
		} perf;
	};
};
_Static_assert(sizeof(struct link_info) == 64, "");

/* i comes with the client's buffers. 0, -EINVAL, -EFAULT, -ENOSPC, -ENAMETOOLONG as the kernel's
 * fill_link_info(). */
int link_info_fill(struct client *c, const struct object_link *l, struct link_info *i);
