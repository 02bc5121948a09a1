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
	/* Everything else: map a & 15 of enum which, key a >> 8, value or flags b. */
	OP_LOOKUP,
	OP_UPDATE,
	OP_DELETE,
	OP_PUSH,
	OP_POP,
	OP_PEEK,
	OP_INNER_ARRAY, /* update key a of inner map b of the array of maps */
	OP_INNER_HASH,
	OP_STACKID,
	OP_INNER_RING, /* 8 bytes into ring b of the array of rings */
};

enum which {
	IN_LRU,
	IN_LPM,
	IN_QUEUE,
	IN_STACK,
	IN_BLOOM,
};
