/* SPDX-License-Identifier: MIT */
#include "shim/bpffs.h"

#include "abi/wire.h"
#include "ipc/ipc.h"

static u32 str_put(char *to, u32 at, u32 size, const char *from)
{
	for (; *from && at + 1 < size; from++)
		to[at++] = *from;
	to[at] = '\0';
	return at;
}

const char *bpffs_path(const char *path, char buf[BPFFS_PATH_MAX])
{
	const char *prefix = NT_BPFFS_PATH, *tail = path;
	u32 n;

	if (!path)
		return path;
	while (*prefix && *tail == *prefix) {
		tail++;
		prefix++;
	}
	if (*prefix || (*tail && *tail != '/') || ipc_runtime_dir(buf, 108))
		return path;
	for (n = 0; buf[n]; n++)
		;
	n = str_put(buf, n, BPFFS_PATH_MAX, "/" NT_BPFFS_DIR);
	str_put(buf, n, BPFFS_PATH_MAX, tail);
	return buf;
}
