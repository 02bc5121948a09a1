/* SPDX-License-Identifier: MIT */
/*
 * BTF as a loader gave it: checked for shape, kept to be given back. And the kernel's own, as loaders look for it by
 * number (bpftrace knows the structs of /sys/kernel/btf/vmlinux from there): it has the first number, as in the kernel.
 */
#pragma once

#include "broker/object/object.h"

struct object_btf {
	struct object obj;
	u8 *data; /* NULL: the kernel's, which is read when somebody asks for it */
	u32 size;
	int kernel_fd; /* the same, loaded into the kernel (object_btf_twin()), -1 = not yet */
};

#define BTF_KERNEL_FILE "/sys/kernel/btf/vmlinux"
#define BTF_KERNEL_NAME "vmlinux"

/* Takes over data; one reference, the caller's. -ENOMEM: data is untouched. */
int object_btf_new(struct broker *b, u8 *data, u32 size, struct object_btf **ret);

/* The kernel's, if it has any: one reference, the broker's. 0, -ENOENT, -ENOMEM. */
int object_btf_kernel(struct broker *b);
/* Its first n bytes (malloc, the caller's), n at most its size. 0 or -errno. */
int object_btf_kernel_read(const struct object_btf *t, u32 n, u8 **ret);

/* The same BTF in the real kernel: a descriptor (owned by the object), or -errno. */
int object_btf_twin(struct object_btf *t);

static inline bool object_btf_is_kernel(const struct object_btf *t)
{
	return !t->data;
}

static inline struct object_btf *object_to_btf(struct object *o)
{
	return (struct object_btf *)o; /* obj is the first member */
}
