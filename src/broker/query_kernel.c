/* SPDX-License-Identifier: MIT */
#include "broker/query_kernel.h"

#include <jansson.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "broker/cmd/kernel_only.h"
#include "broker/object/kernel.h"
#include "util/fd.h"

static bool is_there(const struct kernel_prog *p)
{
	union bpf_attr a = {.prog_id = p->id};
	int fd fd_auto = p->id ? kernel_bpf(BPF_PROG_GET_FD_BY_ID, &a, sizeof(a)) : -1;

	return fd >= 0;
}

static struct kernel_prog *prog_of_link(struct broker *b, u32 id)
{
	union bpf_attr a = {.link_id = id};
	struct bpf_link_info info = {};
	int fd fd_auto = kernel_bpf(BPF_LINK_GET_FD_BY_ID, &a, sizeof(a));
	struct kernel_prog *p;

	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (u32)fd;
	a.info.info_len = sizeof(info);
	a.info.info = (u64)&info;
	if (fd < 0 || kernel_bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)) < 0)
		return NULL;
	DL_FOREACH(b->kernel_progs, p)
		if (p->id == info.prog_id)
			return p;
	return NULL;
}

void kernel_progs_forget(struct broker *b, bool all)
{
	struct kernel_prog *p, *tmp;

	DL_FOREACH_SAFE(b->kernel_progs, p, tmp) {
		p->links = 0;
		if (!all && is_there(p))
			continue;
		DL_DELETE(b->kernel_progs, p);
		free(p);
	}
}

json_t *query_kernel(struct broker *b)
{
	json_t *all = json_array();
	union bpf_attr a = {};
	struct kernel_prog *p;

	kernel_progs_forget(b, false);
	while (b->kernel_progs && !kernel_bpf(BPF_LINK_GET_NEXT_ID, &a, sizeof(a))) {
		p = prog_of_link(b, a.next_id);
		if (p)
			p->links++;
		a.start_id = a.next_id;
	}
	DL_FOREACH(b->kernel_progs, p)
		json_array_append_new(all, json_pack("{s:s,s:s,s:i,s:i}", "prog", p->name, "type", kernel_only_name(p->type), "pid",
						     p->pid, "links", (int)p->links));
	return all;
}
