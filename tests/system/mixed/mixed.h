/* SPDX-License-Identifier: MIT */
#pragma once

struct mixed_record {
	unsigned int from; /* RECORD_* */
	unsigned int n;	   /* the how-manieth of its kind */
};
enum { RECORD_USER = 1, RECORD_KERNEL = 2 };
