/* SPDX-License-Identifier: MIT */
/* What the programs and the test share. */
#pragma once

#define SLOTS 64

struct hash_key {
	__u32 cookie, tid;
};

struct event {
	__u64 cookie, func_ip, ip, sp, arg, ret, at_return, pid_tgid, ts, stack;
	char comm[16];
};
