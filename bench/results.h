/* SPDX-License-Identifier: MIT */
/* Samples of every case and contender: collected in rounds, shown as a table, written as JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum contender { BARE, NOTRAP, KERNEL, LLVM, CONTENDERS }; /* LLVM: engine/llvm/... only */

extern const char *const contender_name[CONTENDERS];

#define MAX_SAMPLES 64

struct series {
	char name[64]; /* of the case */
	enum contender contender;
	const char *unit;
	double value[MAX_SAMPLES];
	int n;
	char error[128]; /* first thing that went wrong */
};

struct results {
	struct series **series;
	size_t n;
	size_t shown; /* series that are in the table already */
	int errors;
};

/* The series of a case and contender, made when it is new. Never NULL. */
struct series *results_series(struct results *r, const char *name, enum contender c,
			      const char *unit);
void results_add(struct results *r, const char *name, enum contender c, const char *unit,
		 double value);
__attribute__((format(printf, 5, 6))) void results_error(struct results *r, const char *name,
							 enum contender c, const char *unit,
							 const char *format, ...);

/* Prints the rows that are complete now. */
void results_show(struct results *r);
int results_write(const struct results *r, const char *path);
void results_deinit(struct results *r);
