/* SPDX-License-Identifier: MIT */
#include "broker/object/btf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/object/kernel.h"
#include "util/fd.h"

static void btf_free(struct object *o)
{
	fd_closep(&object_to_btf(o)->kernel_fd);
	free(object_to_btf(o)->data);
	free(object_to_btf(o));
}

int object_btf_new(struct broker *b, u8 *data, u32 size, struct object_btf **ret)
{
	struct object_btf *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->data = data;
	t->size = size;
	t->kernel_fd = -1;
	object_init(&t->obj, b, OBJECT_BTF, btf_free);
	*ret = t;
	return 0;
}

int object_btf_kernel(struct broker *b)
{
	struct object_btf *t;
	struct stat st;

	if (access(BTF_KERNEL_FILE, R_OK) || stat(BTF_KERNEL_FILE, &st) || st.st_size <= 0 || st.st_size > INT32_MAX)
		return -ENOENT;
	return object_btf_new(b, NULL, (u32)st.st_size, &t);
}

int object_btf_kernel_read(const struct object_btf *t, u32 n, u8 **ret)
{
	int fd fd_auto = open(BTF_KERNEL_FILE, O_RDONLY | O_CLOEXEC);
	u8 *data free_auto = NULL;
	u32 done = 0;

	if (fd < 0)
		return -errno;
	data = malloc(n ? n : 1);
	if (!data)
		return -ENOMEM;
	while (done < n) {
		ssize_t r = read(fd, data + done, n - done);

		if (r <= 0)
			return -EIO;
		done += (u32)r;
	}
	*ret = data;
	data = NULL;
	return 0;
}

int object_btf_twin(struct object_btf *t)
{
	union bpf_attr a = {};
	int r;

	if (t->kernel_fd >= 0)
		return t->kernel_fd;
	a.btf = (u64)t->data;
	a.btf_size = t->size;
	r = object_btf_is_kernel(t) ? -EINVAL : kernel_bpf(BPF_BTF_LOAD, &a, sizeof(a));
	if (r >= 0)
		t->kernel_fd = r;
	return r;
}
