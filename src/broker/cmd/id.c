/* SPDX-License-Identifier: MIT */
/* Walking objects by id (*_GET_NEXT_ID, *_GET_FD_BY_ID) and who is attached where
 * (BPF_TASK_FD_QUERY). */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/cmd/cmd.h"
#include "broker/link/link.h"
#include "broker/object/link.h"
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

/* The object behind a descriptor of any process that we may look into. */
static int query_object(struct call *k, pid_t pid, int fd, struct object **ret)
{
	struct client other = *k->c;
	int pidfd fd_auto = -1;

	if (client_pid_here(k->c, pid, &pid))
		return -ENOENT;
	if (pid == k->c->pid)
		return object_by_fd(k->c, fd, OBJECT_NKINDS, ret);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -ENOENT;
	other.pid = pid;
	other.pidfd = pidfd;
	return object_by_fd(&other, fd, OBJECT_NKINDS, ret);
}

/* What runs for this event, set by ioctl or by a link; NULL: nothing. */
static const struct object_prog *query_prog(struct call *k, const struct object_perf *p)
{
	struct link_desc desc;

	if (p->link) {
		link_describe(p->link, &desc);
		return desc.prog;
	}
	for (struct object *o = k->b->objects.by_id[OBJECT_LINK]; o; o = o->hh.next)
		if (object_to_link(o)->perf == p)
			return object_to_link(o)->prog;
	return NULL;
}

s64 cmd_task_fd_query(struct call *k)
{
	enum { FD_TYPE_UPROBE = 4, FD_TYPE_URETPROBE = 5 };
	const struct attr_task_fd_query *a = &k->attr.query;
	struct attr_task_fd_query out = *a;
	struct object_perf *p;
	const struct object_prog *prog;
	struct object *o;
	s64 r, name;

	if (a->flags)
		return -EINVAL;
	r = query_object(k, (pid_t)a->pid, (int)a->fd, &o);
	if (r == -EBADF || r == -ENOENT)
		return r;
	if (r < 0 || o->kind != OBJECT_PERF)
		return -NT_ENOTSUPP;
	p = object_to_perf(o);
	prog = query_prog(k, p);
	if (!prog)
		return -ENOENT;
	name = query_copy_name(k, p->raw_path);
	if (name < 0 && name != -ENOSPC)
		return name;
	out.prog_id = prog->obj.id;
	out.fd_type = p->retprobe ? FD_TYPE_URETPROBE : FD_TYPE_UPROBE;
	out.probe_offset = p->offset;
	out.probe_addr = 0;
	r = client_write(k->c, k->uattr + offsetof(struct attr_task_fd_query, prog_id),
			 &out.prog_id, sizeof(out) - offsetof(struct attr_task_fd_query, prog_id));
	return r < 0 ? r : name;
}
