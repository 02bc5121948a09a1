/* SPDX-License-Identifier: MIT */
/* Inside BPF_PROG_TEST_RUN: what its files tell each other. */
#pragma once

#include <linux/bpf.h>

#include "abi/payload.h"
#include "abi/wire.h"

struct test_run {
	const struct nt_run_order *order;
	u64 attr_at, attr_size;
	union bpf_attr attr; /* a copy, zero behind what the caller passed */
	u8 *memory;	     /* below 4 GiB, zero: struct nt_run, the context, ... */
	u64 memory_size;
	u32 retval, duration;
};

/* The caller's memory: 0 or -EFAULT. */
s64 test_run_read(u64 from, void *to, u64 n);
s64 test_run_write(u64 to, const void *from, u64 n);
/* A field of the attr, if the caller has passed so much. */
s64 test_run_write_attr(const struct test_run *t, u32 off, const void *from, u32 n);

/* Room for a context of so many bytes and for more behind it. 0, -ENOMEM. */
s64 test_run_make(struct test_run *t, u64 ctx_size, u64 more);
u8 *test_run_ctx(const struct test_run *t);
/* Runs the program attr.test.repeat times: retval, duration. */
void test_run_call(struct test_run *t);

/* test_run_net.c */
s64 test_run_skb(struct test_run *t);
s64 test_run_xdp(struct test_run *t);
