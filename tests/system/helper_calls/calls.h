/* SPDX-License-Identifier: MIT */
/* What calls.bpf.c and calls.c share. */
#pragma once

enum call_what { WHAT_TEXT, WHAT_LOOP, WHAT_RANGE, WHAT_FOREVER, WHAT_SIGNAL, WHAT_STACK, WHAT_PLACES, WHAT_N };

#define CALLS_STACK 32

struct each_seen {
	long keys, values, n, stop_at;
};

struct call_result {
	unsigned long long what, runs;
	long long value[8];
	char text[64];
	long long stack_len, stack_skipped;
	unsigned long long stack[CALLS_STACK];
};
