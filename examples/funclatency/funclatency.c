/* SPDX-License-Identifier: MIT */
/*
 * funclatency: how long the calls of functions take, as a histogram for each.
 *
 * Two uprobe_multi links, one at entry and one at return, over the same functions; the cookie of a
 * function is the index of its histogram in both.
 */
#include <argp.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/attach.h"
#include "common/target.h"
#include "common/tool.h"
#include "funclatency.h"
#include "funclatency.skel.h"

#define TOOL "funclatency"

const char *argp_program_version = "funclatency 0.1";

static const char doc[] =
    "Shows how long calls of functions take, in one process or in all.\v"
    "FILE is a path, or a name like libc.so.6 (or libc, or c); it may be left out with -p.\n"
    "PATTERN is a shell pattern (with -r an extended regular expression).\n\n"
    "  funclatency -p 1234 libc.so.6:read       one function, in one process\n"
    "  funclatency -u -d 5 'c:f*'               all processes, in microseconds";

struct options {
	int pid;
	double duration;
	int top;
	__u64 unit_ns;
	bool regex, verbose;
	const char *spec;
};

static const struct argp_option option_table[] = {
    {"pid", 'p', "PID", 0, "measure in this process only"},
    {"duration", 'd', "SECONDS", 0, "stop after this time"},
    {"top", 't', "N", 0, "show the N functions that took most time (10)"},
    {"regex", 'r', NULL, 0, "PATTERN is an extended regular expression"},
    {"microseconds", 'u', NULL, 0, "histograms in microseconds instead of nanoseconds"},
    {"milliseconds", 'm', NULL, 0, "histograms in milliseconds"},
    {"verbose", 'v', NULL, 0, "show what libbpf does"},
    {}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'p': o->pid = tool_parse_positive(arg, "process id", state); break;
	case 'd': o->duration = tool_parse_seconds(arg, state); break;
	case 't': o->top = tool_parse_positive(arg, "number of functions", state); break;
	case 'r': o->regex = true; break;
	case 'u': o->unit_ns = 1000; break;
	case 'm': o->unit_ns = 1000000; break;
	case 'v': o->verbose = true; break;
	case ARGP_KEY_ARG:
		if (o->spec)
			argp_error(state, "one FILE:PATTERN at a time (quote the pattern?)");
		o->spec = arg;
		break;
	case ARGP_KEY_NO_ARGS: argp_error(state, "FILE:PATTERN is missing"); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

struct meter {
	struct options opt;
	struct target target;
	struct funclatency_bpf *skel;
	struct bpf_link *at_entry, *at_return;
	struct histogram *histograms; /* the map's values */
};

static size_t histograms_size(const struct meter *m)
{
	return m->target.functions.n * sizeof(*m->histograms);
}

static int meter_load(struct meter *m)
{
	void *values;
	int err;

	m->skel = funclatency_bpf__open();
	if (!m->skel)
		return -errno;
	m->skel->rodata->unit_ns = m->opt.unit_ns;
	bpf_map__set_max_entries(m->skel->maps.histograms, m->target.functions.n);
	err = funclatency_bpf__load(m->skel);
	if (err) {
		attach_explain(TOOL, "cannot load the programs", err);
		return err;
	}
	values = mmap(NULL, histograms_size(m), PROT_READ, MAP_SHARED,
		      bpf_map__fd(m->skel->maps.histograms), 0);
	if (values == MAP_FAILED)
		return -errno;
	m->histograms = values;
	return 0;
}

/* Returns first, so that no entry waits for a return that nobody sees. */
static int meter_attach(struct meter *m)
{
	int err;

	err = attach_functions(m->skel->progs.at_return, &m->target, true, &m->at_return);
	if (!err)
		err = attach_functions(m->skel->progs.at_entry, &m->target, false, &m->at_entry);
	if (err) {
		attach_explain(TOOL, "cannot attach", err);
		return err;
	}
	printf("Timing %zu function%s of %s.%s\n", m->target.functions.n,
	       m->target.functions.n == 1 ? "" : "s", m->target.path,
	       m->opt.duration ? "" : " Ctrl-C ends.");
	fflush(stdout);
	return 0;
}

static void meter_detach(struct meter *m)
{
	bpf_link__destroy(m->at_entry);
	bpf_link__destroy(m->at_return);
	m->at_entry = m->at_return = NULL;
}

static const char *unit_name(const struct meter *m)
{
	return m->opt.unit_ns == 1 ? "nsecs" : m->opt.unit_ns == 1000 ? "usecs" : "msecs";
}

static void show_histogram(const struct meter *m, size_t function)
{
	static const char stars[] = "****************************************";
	const struct histogram *h = &m->histograms[function];
	int i, first = 0, last = MAX_SLOTS - 1, width = sizeof(stars) - 1;
	__u64 most = 1;

	while (first < last && !h->slot[first])
		first++;
	while (last > first && !h->slot[last])
		last--;
	for (i = first; i <= last; i++)
		if (h->slot[i] > most)
			most = h->slot[i];
	printf("\n%s: %llu calls, %llu %s on average\n", m->target.functions.fn[function].name,
	       h->calls, h->total / h->calls, unit_name(m));
	printf("%24s : %-10s distribution\n", unit_name(m), "count");
	for (i = first; i <= last; i++)
		printf("%10llu -> %-10llu : %-10llu |%-*.*s|\n", i ? 1ull << i : 0ull,
		       (2ull << i) - 1, h->slot[i], width, (int)(h->slot[i] * width / most), stars);
}

static int by_total(const void *a, const void *b, void *arg)
{
	const struct histogram *h = arg;
	__u64 x = h[*(const size_t *)a].total, y = h[*(const size_t *)b].total;

	return (x < y) - (x > y);
}

static int meter_show(struct meter *m)
{
	size_t i, ran = 0, top = m->opt.top, *order = calloc(m->target.functions.n, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (i = 0; i < m->target.functions.n; i++)
		if (m->histograms[i].calls)
			order[ran++] = i;
	qsort_r(order, ran, sizeof(*order), by_total, m->histograms);
	for (i = 0; i < ran && i < top; i++)
		show_histogram(m, order[i]);
	if (ran > top)
		printf("\nand %zu functions more\n", ran - top);
	if (!ran)
		printf("\nNone of them returned.\n");
	if (m->skel->bss->missed)
		printf("\n%llu calls were not timed: too many under way at once\n",
		       m->skel->bss->missed);
	free(order);
	return 0;
}

static int meter_work(struct meter *m)
{
	int err, watched;

	err = target_init(&m->target, TOOL, m->opt.pid, m->opt.spec, m->opt.regex);
	if (err)
		return err;
	err = meter_load(m);
	if (err)
		return err;
	err = meter_attach(m);
	if (err)
		return err;
	watched = tool_watch(m->opt.pid);
	tool_wait(m->opt.duration ? tool_now() + m->opt.duration : 1e18, watched);
	if (watched >= 0)
		close(watched);
	meter_detach(m);
	return meter_show(m);
}

static void meter_deinit(struct meter *m)
{
	meter_detach(m);
	if (m->histograms)
		munmap(m->histograms, histograms_size(m));
	funclatency_bpf__destroy(m->skel);
	target_deinit(&m->target);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {option_table, parse_option, "FILE:PATTERN", doc};
	struct meter m = {.opt = {.pid = -1, .top = 10, .unit_ns = 1}};
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &m.opt);
	tool_init(m.opt.verbose);
	err = meter_work(&m);
	meter_deinit(&m);
	return err ? 1 : 0;
}
