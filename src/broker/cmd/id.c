/* SPDX-License-Identifier: MIT */
/* Walking objects by id (*_GET_NEXT_ID, *_GET_FD_BY_ID) and who is attached where
 * (BPF_TASK_FD_QUERY). */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "broker/cmd/cmd.h"
#include "broker/link/link.h"
#include "broker/object/map.h"
#include "broker/object/perf.h"
#include "broker/object/prog.h"
#include "util/fd.h"

s64 cmd_next_id(struct call *k, u32 kind)
{
	const struct attr_get_id *a = &k->attr.get_id;
	struct object *o;

	if (a->start_id >= INT32_MAX)
		return -EINVAL;
	o = object_next(k->b, kind, a->start_id);
	if (!o)
		return -ENOENT;
	return client_write(k->c, k->uattr + offsetof(struct attr_get_id, next_id), &o->id,
			    sizeof(o->id));
}

s64 cmd_fd_by_id(struct call *k, u32 kind)
{
	const struct attr_get_id *a = &k->attr.get_id;
	u32 flags = a->open_flags;
	struct object *o;

	if (kind != OBJECT_MAP)
		flags = 0;
	if (flags & ~(u32)(BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	o = object_by_id(k->b, kind, a->start_id);
	if (!o)
		return -ENOENT;
	if (flags == (BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL; /* bpf_get_file_flag(), after the id was found */
	return call_give_map(k, object_ref(o), flags);
}

/* As the kernel: always the length, as much of the text as fits, -ENOSPC when that is not all. */
static s64 query_copy_name(struct call *k, const char *name)
{
	const struct attr_task_fd_query *a = &k->attr.query;
	u32 len = (u32)strlen(name);
	char *cut free_auto = NULL;
	u32 room = a->buf_len;
	int r = client_write(k->c, k->uattr + offsetof(struct attr_task_fd_query, buf_len), &len,
			     sizeof(len));

	if (r < 0 || !room || !a->buf)
		return r;
	if (room > len)
		return client_write(k->c, a->buf, name, len + 1);
	cut = strndup(name, room - 1);
	if (!cut)
		return -ENOMEM;
	r = client_write(k->c, a->buf, cut, room);
	return r < 0 ? r : -ENOSPC;
}

s64 cmd_task_fd_query(struct call *k)
{
	enum { FD_TYPE_UPROBE = 4, FD_TYPE_URETPROBE = 5 };
	const struct attr_task_fd_query *a = &k->attr.query;
	struct attr_task_fd_query out = *a;
	struct object_perf *p;
	struct link_desc desc;
	struct object *o;
	s64 r, name;

	if (a->flags)
		return -EINVAL;
	if ((pid_t)a->pid != k->c->pid)
		return -ENOENT; /* nobody looks into the descriptors of others */
	r = object_by_fd(k->c, (int)a->fd, OBJECT_NKINDS, &o);
	if (r == -EBADF)
		return r;
	if (r < 0 || o->kind != OBJECT_PERF || !object_to_perf(o)->link)
		return -NT_ENOTSUPP;
	p = object_to_perf(o);
	link_describe(p->link, &desc);
	name = query_copy_name(k, p->raw_path);
	if (name < 0 && name != -ENOSPC)
		return name;
	out.prog_id = desc.prog->obj.id;
	out.fd_type = p->retprobe ? FD_TYPE_URETPROBE : FD_TYPE_UPROBE;
	out.probe_offset = p->offset;
	out.probe_addr = 0;
	r = client_write(k->c, k->uattr + offsetof(struct attr_task_fd_query, prog_id),
			 &out.prog_id, sizeof(out) - offsetof(struct attr_task_fd_query, prog_id));
	return r < 0 ? r : name;
}
