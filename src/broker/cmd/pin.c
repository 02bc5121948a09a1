/* SPDX-License-Identifier: MIT */
/* BPF_OBJ_PIN and BPF_OBJ_GET: checks in the order of kernel/bpf/syscall.c and kernel/bpf/inode.c. */
#include "broker/object/pin.h"

#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>

#include "broker/cmd/cmd.h"

#define F_PATH_FD (1u << 14)

/* The name; it is read after everything that can be wrong with the object. */
static int pin_path(struct call *k, char path[PATH_MAX])
{
	long n = client_read_str(k->c, k->attr.pin.path, path, PATH_MAX);

	if (n < 0)
		return (int)n;
	return n ? 0 : -ENOENT;
}

s64 cmd_obj_pin(struct call *k)
{
	const struct attr_obj_pin *a = &k->attr.pin;
	char path[PATH_MAX];
	struct object *o;
	int r;

	if (a->flags & ~F_PATH_FD || (!(a->flags & F_PATH_FD) && a->path_fd))
		return -EINVAL;
	r = object_by_fd(k->c, (int)a->fd, OBJECT_NKINDS, &o);
	if (r < 0)
		return -EINVAL; /* no descriptor at all, too */
	if (o->kind != OBJECT_MAP && o->kind != OBJECT_PROG && o->kind != OBJECT_LINK)
		return -EINVAL;
	r = pin_path(k, path);
	return r < 0 ? r : pin_create(k->b, k->c, path, o);
}

s64 cmd_obj_get(struct call *k)
{
	const struct attr_obj_pin *a = &k->attr.pin;
	const u32 both = BPF_F_RDONLY | BPF_F_WRONLY;
	char path[PATH_MAX];
	struct object *o;
	int r;

	if (a->fd || a->flags & ~(both | F_PATH_FD) || (!(a->flags & F_PATH_FD) && a->path_fd))
		return -EINVAL;
	if ((a->flags & both) == both)
		return -EINVAL;
	r = pin_path(k, path);
	if (!r)
		r = pin_find(k->b, k->c, path, &o);
	if (r < 0)
		return r;
	if (o->kind == OBJECT_LINK && a->flags & both)
		return -EINVAL;
	return call_give_map(k, object_ref(o), o->kind == OBJECT_MAP ? a->flags & both : 0);
}
