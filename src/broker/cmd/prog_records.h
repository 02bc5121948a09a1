/* SPDX-License-Identifier: MIT */
/* func_info and line_info as they came with BPF_PROG_LOAD, for those who ask a program for them (bpftool, perf). */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/object/prog.h"

#define FUNC_RECORD_SIZE 8u  /* struct bpf_func_info */
#define LINE_RECORD_SIZE 16u /* struct bpf_line_info */

/* Keeps both in p, which owns them. 0, -EFAULT, -ENOMEM, -E2BIG. */
int prog_records_keep(struct call *k, const struct attr_prog_load *a, struct object_prog *p);
/* One of the two, of `size` bytes each, for a client with room for *count at addr. *count becomes how many there are. */
int prog_records_tell(struct call *k, const struct prog_records *r, u32 size, u64 addr, u32 *count);
