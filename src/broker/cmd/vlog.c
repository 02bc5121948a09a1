/* SPDX-License-Identifier: MIT */
#include "broker/cmd/vlog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define LOG_LEVEL_MASK 0xfu /* BPF_LOG_LEVEL1 | 2 | STATS | FIXED */
#define LOG_FIXED 8u

int vlog_check(const struct vlog_user *u)
{
	if (!u->buf != !u->size)
		return -EINVAL;
	if (u->buf && !u->level)
		return -EINVAL;
	if (u->level & ~LOG_LEVEL_MASK || u->size > UINT32_MAX >> 2)
		return -EINVAL;
	return 0;
}

void vlog_printf(struct verifier_log *log, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	size_t n;
	int k;

	if (!log->level)
		return;
	va_start(ap, fmt);
	k = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (k <= 0)
		return;
	n = bits_min((size_t)k, sizeof(line) - 1);
	if (log->len + n + 1 > log->cap) {
		size_t cap = (log->len + n + 1) * 2;
		char *grown = realloc(log->buf, cap);

		if (!grown)
			return; /* a log without this line is still a log */
		log->buf = grown;
		log->cap = cap;
	}
	memcpy(log->buf + log->len, line, n);
	log->len += n;
	log->buf[log->len] = 0;
}

int vlog_copy_out(struct client *c, const struct vlog_user *u, const struct verifier_log *log,
		  u32 *ret_true_size)
{
	size_t room = u->size, n = log->len;
	const char *from = log->buf;
	int r;

	*ret_true_size = 0;
	if (!u->level || !n)
		return 0;
	*ret_true_size = (u32)n + 1;
	if (!u->buf)
		return 0;
	if (n >= room) {
		n = room - 1;
		if (!(u->level & LOG_FIXED))
			from += log->len - n;
	}
	r = client_write(c, u->buf, from, n);
	if (!r)
		r = client_write(c, u->buf + n, "", 1);
	if (r < 0)
		return -EFAULT;
	return n < log->len ? -ENOSPC : 0;
}
