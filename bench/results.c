/* SPDX-License-Identifier: MIT */
#include "results.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const contender_name[CONTENDERS] = {"none", "notrap", "kernel", "llvm"};

static struct series *find(const struct results *r, const char *name, enum contender c)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->series[i]->contender == c && !strcmp(r->series[i]->name, name))
			return r->series[i];
	return NULL;
}

struct series *results_series(struct results *r, const char *name, enum contender c,
			      const char *unit)
{
	struct series *s = find(r, name, c);

	if (s)
		return s;
	r->series = reallocarray(r->series, r->n + 1, sizeof(*r->series));
	s = calloc(1, sizeof(*s));
	if (!r->series || !s)
		abort();
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->contender = c;
	s->unit = unit;
	return r->series[r->n++] = s;
}

void results_add(struct results *r, const char *name, enum contender c, const char *unit,
		 double value)
{
	struct series *s = results_series(r, name, c, unit);

	if (s->n < MAX_SAMPLES)
		s->value[s->n++] = value;
}

void results_error(struct results *r, const char *name, enum contender c, const char *unit,
		   const char *format, ...)
{
	struct series *s = results_series(r, name, c, unit);
	va_list ap;

	r->errors++;
	if (*s->error)
		return;
	va_start(ap, format);
	vsnprintf(s->error, sizeof(s->error), format, ap);
	va_end(ap);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary {
	double median, min, max;
};

static struct summary summarize(const struct series *s)
{
	double v[MAX_SAMPLES];

	if (!s->n)
		return (struct summary){};
	memcpy(v, s->value, sizeof(v));
	qsort(v, s->n, sizeof(*v), by_value);
	return (struct summary){(v[s->n / 2] + v[(s->n - 1) / 2]) / 2, v[0], v[s->n - 1]};
}

/* A time in the unit that reads best, or a plain number. */
static void print_ns(const struct series *s)
{
	double ns;

	if (!s || !s->n) {
		printf(" %11s", s && *s->error ? "failed" : "-");
		return;
	}
	ns = summarize(s).median;
	if (strcmp(s->unit, "ns"))
		printf(" %9.3f%s", ns, strcmp(s->unit, "%") ? "/k" : " %");
	else if (ns < 1e3)
		printf(" %8.2f ns", ns);
	else if (ns < 1e6)
		printf(" %8.2f us", ns / 1e3);
	else
		printf(" %8.2f ms", ns / 1e6);
}

static void show_row(const struct results *r, const char *name)
{
	struct series *s[CONTENDERS];
	double bare, hit;
	int c;

	printf("%-32s", name);
	for (c = 0; c < CONTENDERS; c++) {
		s[c] = find(r, name, c);
		if (c != LLVM)
			print_ns(s[c]);
	}
	if (s[NOTRAP] && s[NOTRAP]->n && s[KERNEL] && s[KERNEL]->n && !strcmp(s[NOTRAP]->unit, "ns")) {
		bare = s[BARE] && !strncmp(name, "hit", 3) ? summarize(s[BARE]).median : 0;
		hit = summarize(s[NOTRAP]).median - bare;
		if (hit > 0)
			printf(" %9.1fx", (summarize(s[KERNEL]).median - bare) / hit);
	}
	if (s[LLVM] && s[LLVM]->n && s[NOTRAP] && s[NOTRAP]->n) {
		printf(" LLVM:");
		print_ns(s[LLVM]);
		printf(" %9.2fx", summarize(s[LLVM]).median / summarize(s[NOTRAP]).median);
	}
	printf("\n");
	for (c = 0; c < CONTENDERS; c++)
		if (s[c] && *s[c]->error)
			printf("    %s: %s\n", contender_name[c], s[c]->error);
}

void results_show(struct results *r)
{
	size_t i, j;

	if (r->shown == r->n)
		return;
	if (!r->shown)
		printf("%-32s %11s %11s %11s %10s\n", "median of a call, hit included", "no probe",
		       "notrap", "kernel", "speed-up");
	for (i = r->shown; i < r->n; i++) {
		for (j = r->shown; j < i && strcmp(r->series[j]->name, r->series[i]->name); j++)
			;
		if (j == i)
			show_row(r, r->series[i]->name);
	}
	r->shown = r->n;
	fflush(stdout);
}

int results_write(const struct results *r, const char *path)
{
	json_t *all = json_array(), *one;
	int err = 0;
	size_t i;

	for (i = 0; i < r->n; i++) {
		const struct series *s = r->series[i];
		struct summary sum = summarize(s);

		one = json_pack("{ss ss ss sf sf sf si}", "case", s->name, "contender",
				contender_name[s->contender], "unit", s->unit, "median", sum.median,
				"min", sum.min, "max", sum.max, "runs", s->n);
		if (one && *s->error)
			json_object_set_new(one, "error", json_string(s->error));
		json_array_append_new(all, one);
	}
	if (json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)))
		err = -EIO;
	json_decref(all);
	return err;
}

void results_deinit(struct results *r)
{
	while (r->n)
		free(r->series[--r->n]);
	free(r->series);
}
