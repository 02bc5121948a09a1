/* SPDX-License-Identifier: MIT */
#pragma once

#define EVENT_MAX 8192
#define TALLY_ROWS 8
#define TALLY_THREADS 3

enum parity_what { EV_ENTRY, EV_RETURN, EV_SINGLE_ENTRY, EV_SINGLE_RETURN, EV_SESSION, EV_SESSION_IN, EV_SESSION_OUT };

struct parity_event {
	unsigned long long what, value, cookie, func_ip, pid_tgid;
	unsigned long long r[21]; /* rax rbx rcx rdx rsi rdi rbp rsp r8..r15 rip eflags cs ss orig_rax */
};
