/* SPDX-License-Identifier: MIT */
#include "broker/cmd/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>

int call_check_attr(const struct call *k, size_t known)
{
	for (size_t i = known; i < ATTR_SIZE; i++)
		if (k->attr.bytes[i])
			return -EINVAL;
	return 0;
}

int call_name(const char from[ATTR_NAME_LEN], char ret[ATTR_NAME_LEN])
{
	size_t n = strnlen(from, ATTR_NAME_LEN);

	if (n == ATTR_NAME_LEN)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)from[i]) && from[i] != '_' && from[i] != '.')
			return -EINVAL;
	memset(ret, 0, ATTR_NAME_LEN);
	memcpy(ret, from, n);
	return 0;
}

static s64 call_give_mode(struct call *k, struct object *o, int mode)
{
	int fd = object_give(o, mode);

	object_unref(o);
	if (fd < 0)
		return fd;
	k->ret_fd = fd;
	return 0;
}

s64 call_give(struct call *k, struct object *o)
{
	return call_give_mode(k, o, O_RDWR);
}

s64 call_give_map(struct call *k, struct object *o, u32 flags)
{
	return call_give_mode(k, o, flags & BPF_F_RDONLY ? O_RDONLY : flags & BPF_F_WRONLY ? O_WRONLY : O_RDWR);
}
