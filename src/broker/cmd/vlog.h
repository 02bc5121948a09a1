/* SPDX-License-Identifier: MIT */
/*
 * The log buffer of BPF_PROG_LOAD and BPF_BTF_LOAD (kernel/bpf/log.c): checks of its three fields,
 * and the copy out. Text that does not fit keeps its end (or, with BPF_LOG_FIXED, its beginning),
 * and the command fails with ENOSPC.
 */
#pragma once

#include "broker/cmd/cmd.h"
#include "verifier/verifier.h"

struct vlog_user { /* as the client gave it */
	u32 level, size;
	u64 buf;
};

/* 0 or -EINVAL. */
int vlog_check(const struct vlog_user *u);
/* Adds a line of ours, formatted; nothing when level is 0. */
__attribute__((format(printf, 2, 3))) void vlog_printf(struct verifier_log *log, const char *fmt,
						       ...);
/* Copies text out. *ret_true_size: bytes it needs with its NUL, 0 = no text. 0, -ENOSPC, -EFAULT.
 */
int vlog_copy_out(struct client *c, const struct vlog_user *u, const struct verifier_log *log,
		  u32 *ret_true_size);
