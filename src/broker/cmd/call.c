/* SPDX-License-Identifier: MIT */
#include "broker/cmd/cmd.h"

#include <ctype.h>
#include <errno.h>
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

s64 call_give(struct call *k, struct object *o)
{
	int fd = object_give(o);

	object_unref(o);
	if (fd < 0)
		return fd;
	k->ret_fd = fd;
	return 0;
}
