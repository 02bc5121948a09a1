/* SPDX-License-Identifier: MIT */
/* What the programs, the victim and the test share. */
#pragma once

struct order { /* what one hit of the victim's function is to do */
	__u64 op, a, b;
};

struct event {
	__u64 n, a;
	char text[200]; /* as many as the event has */
};

enum op {
	OP_PERF, /* perf buffer: event n = a with b bytes of text, to the current CPU */
	OP_PERF_FLAGS, /* with b as flags */
};
