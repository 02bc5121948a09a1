/* SPDX-License-Identifier: MIT */
/* Cleanup attributes of hosted code, and descriptors that close themselves. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include "abi/types.h"

/* struct x *p util_cleanup(x_freep) = NULL; */
#define util_cleanup(fn) __attribute__((cleanup(fn)))

static inline void fd_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void util_freep(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

/* int fd fd_auto = -1;   char *text free_auto = NULL; */
#define fd_auto util_cleanup(fd_closep)
#define free_auto util_cleanup(util_freep)

/* Gives up ownership: the caller of the caller closes it. */
static inline int fd_steal(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}

/* Whole files and buffers; EINTR and short counts are handled. 0 or -errno, a short file is -EIO.
 */
int fd_write_all(int fd, const void *buf, size_t n);
int fd_pread_all(int fd, void *buf, size_t n, u64 off);
/* A small text file (procfs, sysfs): NUL-terminated, trailing newline removed. Bytes or -errno. */
long fd_read_text(const char *path, char *buf, size_t n);
