/* SPDX-License-Identifier: MIT */
/*
 * funccount: counts the calls of many functions through one uprobe_multi link.
 *
 * Every function that matches becomes one target of the link, its cookie the index of its counter.
 * The counters are an array map that is mapped into this process, so that showing a table costs no
 * system call per function.
 */
#include <argp.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/attach.h"
#include "common/target.h"
#include "common/tool.h"
#include "funccount.skel.h"
#include "machine.h"

#define TOOL "funccount"

const char *argp_program_version = "funccount 0.1";

static const char doc[] =
    "Counts calls of functions, in one process or in all.\v"
    "FILE is a path, or a name like libc.so.6 (or libc, or c); it may be left out with -p.\n"
    "PATTERN is a shell pattern (with -r an extended regular expression).\n\n"
    "  funccount -p 1234 'libc.so.6:*'          every function of libc, in one process\n"
    "  funccount -i 1 'c:mem*'                  live, in all processes\n"
    "  funccount -d 5 -t 20 /usr/bin/perl:Perl_'*'";

struct options {
	int pid;
	double interval, duration;
	int top;
	bool regex, json, verbose, cost;
	const char *spec;
};

static const struct argp_option option_table[] = {
    {"pid", 'p', "PID", 0, "count in this process only"},
    {"interval", 'i', "SECONDS", 0, "show a table of the last interval this often"},
    {"duration", 'd', "SECONDS", 0, "stop after this time"},
    {"top", 't', "N", 0, "show the N busiest functions (live: 20, at the end: all)"},
    {"regex", 'r', NULL, 0, "PATTERN is an extended regular expression"},
    {"cost", 'c', NULL, 0, "measure what one hit costs, on a function of this program"},
    {"json", 'j', NULL, 0, "print the final counts as JSON"},
    {"verbose", 'v', NULL, 0, "show what libbpf does"},
    {}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'p': o->pid = tool_parse_positive(arg, "process id", state); break;
	case 'i': o->interval = tool_parse_seconds(arg, state); break;
	case 'd': o->duration = tool_parse_seconds(arg, state); break;
	case 't': o->top = tool_parse_positive(arg, "number of functions", state); break;
	case 'r': o->regex = true; break;
	case 'c': o->cost = true; break;
	case 'j': o->json = true; break;
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

struct counter {
	struct options opt;
	struct target target;
	struct funccount_bpf *skel;
	struct bpf_link *link;
	uint64_t *calls; /* the map's values; one more than there are functions, for --cost */
	uint64_t *shown; /* calls at the last live table */
	uint32_t *order; /* scratch: indexes of functions, busiest first */
	double attached_ms, seconds;
	double cost_ns; /* of one hit, < 0 = not measured */
};

/* -- Load and attach -- */

static int counter_load(struct counter *c)
{
	size_t n = c->target.functions.n + 1;
	int err;

	c->skel = funccount_bpf__open();
	if (!c->skel)
		return -errno;
	bpf_map__set_max_entries(c->skel->maps.calls, n);
	err = funccount_bpf__load(c->skel);
	if (err) {
		attach_explain(TOOL, "cannot load the program", err);
		return err;
	}
	c->calls = mmap(NULL, n * sizeof(*c->calls), PROT_READ, MAP_SHARED,
			bpf_map__fd(c->skel->maps.calls), 0);
	if (c->calls == MAP_FAILED) {
		c->calls = NULL;
		return -errno;
	}
	c->shown = calloc(n, sizeof(*c->shown));
	c->order = calloc(n, sizeof(*c->order));
	return c->shown && c->order ? 0 : -ENOMEM;
}

static int counter_attach(struct counter *c)
{
	const struct functions *fs = &c->target.functions;
	double start = tool_now();
	int err;

	err = attach_functions(c->skel->progs.count_call, &c->target, false, &c->link);
	if (err) {
		attach_explain(TOOL, "cannot attach", err);
		return err;
	}
	c->attached_ms = (tool_now() - start) * 1e3;
	if (c->opt.json)
		return 0;
	printf("Counting calls of %zu functions of %s, attached in %.1f ms.%s\n", fs->n,
	       c->target.path, c->attached_ms, c->opt.duration ? "" : " Ctrl-C ends.");
	if (fs->refused)
		printf("Left out: %s%s, which no uprobe can be put on.\n", fs->first_refused,
		       fs->refused > 1 ? " and others" : "");
	fflush(stdout);
	return 0;
}

/* -- What a hit costs -- */

/* The function that is probed to find out. Like most, it begins with a push: its registers are
 * "used". */
__attribute__((noinline, used)) static void funccount_cost_probe(void)
{
	asm volatile("" ::: SAVED_REGISTERS);
}

#define COST_CALLS 2000

static double time_calls(void)
{
	double best = 1e9, start, took;
	int i, round;

	for (round = 0; round < 20; round++) {
		start = tool_now();
		for (i = 0; i < COST_CALLS; i++)
			funccount_cost_probe();
		took = tool_now() - start;
		if (took < best)
			best = took;
	}
	return best / COST_CALLS * 1e9;
}

static bool is_cost_probe(const char *name, void *arg)
{
	return !strcmp(name, "funccount_cost_probe");
}

/* Attaches the same program to a function of our own, the same way, and compares calls with and
 * without. */
static int counter_measure_cost(struct counter *c)
{
	struct functions self = {};
	unsigned long offset;
	__u64 cookie = c->target.functions.n;
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cookies = &cookie, .cnt = 1);
	struct bpf_link *link;
	double bare, probed;
	int err;

	err = functions_find("/proc/self/exe", is_cost_probe, NULL, &self);
	if (err)
		return err;
	offset = self.fn[0].offset;
	opts.offsets = &offset;
	bare = time_calls();
	link = bpf_program__attach_uprobe_multi(c->skel->progs.count_call, getpid(),
						"/proc/self/exe", NULL, &opts);
	err = link ? 0 : -errno;
	functions_free(&self);
	if (err)
		return err;
	probed = time_calls();
	bpf_link__destroy(link);
	if (c->calls[cookie] != 20 * COST_CALLS)
		return -EIO;
	c->cost_ns = probed - bare;
	return 0;
}

/* -- Tables
 * ---------------------------------------------------------------------------------------------------
 */

struct ranking {
	const uint64_t *calls, *since;
};

static int by_calls(const void *a, const void *b, void *arg)
{
	const struct ranking *r = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	uint64_t x = r->calls[i] - (r->since ? r->since[i] : 0),
		 y = r->calls[j] - (r->since ? r->since[j] : 0);

	return x != y ? (x < y ? 1 : -1) : (i > j) - (i < j);
}

/* Fills c->order with the functions that ran since; calls must hold still. Returns how many;
 * ret_total = their calls. */
static size_t rank_functions(struct counter *c, const uint64_t *calls, const uint64_t *since,
			     uint64_t *ret_total)
{
	struct ranking r = {calls, since};
	size_t i, n = 0;

	*ret_total = 0;
	for (i = 0; i < c->target.functions.n; i++) {
		uint64_t more = calls[i] - (since ? since[i] : 0);

		if (more)
			c->order[n++] = i;
		*ret_total += more;
	}
	qsort_r(c->order, n, sizeof(*c->order), by_calls, &r);
	return n;
}

static void show_rows(struct counter *c, const uint64_t *calls, const uint64_t *since, size_t rows,
		      uint64_t total, double seconds)
{
	size_t i;

	printf("%16s %14s %7s  %s\n", "CALLS", "CALLS/S", "%", "FUNCTION");
	for (i = 0; i < rows; i++) {
		uint32_t f = c->order[i];
		uint64_t n = calls[f] - (since ? since[f] : 0);

		printf("%16llu %14.0f %7.2f  %s\n", (unsigned long long)n, n / seconds,
		       100.0 * n / total, c->target.functions.fn[f].name);
	}
}

/* One live table, in place when stdout is a terminal. */
static void show_interval(struct counter *c, double since, double at)
{
	size_t n = c->target.functions.n, rows, top = c->opt.top ? c->opt.top : 20;
	uint64_t total, *calls = malloc(n * sizeof(*calls));

	if (!calls)
		return;
	memcpy(calls, c->calls, n * sizeof(*calls));
	rows = rank_functions(c, calls, c->shown, &total);
	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[2J");
	printf("\n%llu calls of %zu functions in %.1f s\n", (unsigned long long)total, rows,
	       at - since);
	show_rows(c, calls, c->shown, rows < top ? rows : top, total, at - since);
	fflush(stdout);
	memcpy(c->shown, calls, n * sizeof(*calls));
	free(calls);
}

static void show_final(struct counter *c)
{
	size_t n = c->target.functions.n, top = c->opt.top ? (size_t)c->opt.top : n;
	uint64_t total;
	size_t ran = rank_functions(c, c->calls, NULL, &total);
	size_t rows = ran < top ? ran : top;

	if (isatty(STDOUT_FILENO) && c->opt.interval)
		printf("\033[H\033[2J");
	printf("\n");
	show_rows(c, c->calls, NULL, rows, total, c->seconds);
	if (rows < ran)
		printf("%16s %14s %7s  and %zu functions more\n", "", "", "", ran - rows);
	printf("\n%llu calls of %zu functions in %.2f s; %zu functions never ran.\n",
	       (unsigned long long)total, ran, c->seconds, n - ran);
	if (c->cost_ns >= 0)
		printf("A hit costs %.1f ns (measured on a function of this program).\n",
		       c->cost_ns);
}

static void show_json(struct counter *c)
{
	uint64_t total;
	size_t i, ran = rank_functions(c, c->calls, NULL, &total);

	printf("{\"file\": \"%s\", \"functions\": %zu, \"ran\": %zu, \"calls\": %llu, \"seconds\": "
	       "%.3f, "
	       "\"attach_ms\": %.3f, ",
	       c->target.path, c->target.functions.n, ran, (unsigned long long)total, c->seconds,
	       c->attached_ms);
	if (c->cost_ns >= 0)
		printf("\"hit_ns\": %.1f, ", c->cost_ns);
	printf("\"counts\": [");
	for (i = 0; i < ran && (!c->opt.top || i < (size_t)c->opt.top); i++)
		printf("%s\n {\"function\": \"%s\", \"calls\": %llu}", i ? "," : "",
		       c->target.functions.fn[c->order[i]].name,
		       (unsigned long long)c->calls[c->order[i]]);
	printf("]}\n");
}

/* -- The run
 * ------------------------------------------------------------------------------------------------
 */

static void counter_run(struct counter *c)
{
	double start = tool_now(), last = start,
	       end = c->opt.duration ? start + c->opt.duration : 1e18, next;
	int watched = tool_watch(c->opt.pid);

	while (tool_now() < end) {
		next =
		    c->opt.interval && last + c->opt.interval < end ? last + c->opt.interval : end;
		if (!tool_wait(next, watched))
			break;
		if (!c->opt.interval)
			continue;
		show_interval(c, last, next);
		last = next;
	}
	c->seconds = tool_now() - start;
	if (watched >= 0)
		close(watched);
}

static void counter_deinit(struct counter *c)
{
	if (c->calls)
		munmap(c->calls, (c->target.functions.n + 1) * sizeof(*c->calls));
	bpf_link__destroy(c->link);
	funccount_bpf__destroy(c->skel);
	target_deinit(&c->target);
	free(c->shown);
	free(c->order);
}

static int counter_work(struct counter *c)
{
	int err;

	err = target_init(&c->target, TOOL, c->opt.pid, c->opt.spec, c->opt.regex);
	if (err)
		return err;
	err = counter_load(c);
	if (err)
		return err;
	if (c->opt.cost) {
		err = counter_measure_cost(c);
		if (err)
			fprintf(stderr, TOOL ": cannot measure the cost of a hit: %s\n",
				strerror(-err));
	}
	err = counter_attach(c);
	if (err)
		return err;
	counter_run(c);
	/* The link first: then the counts are final. */
	bpf_link__destroy(c->link);
	c->link = NULL;
	if (c->opt.json)
		show_json(c);
	else
		show_final(c);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {option_table, parse_option, "FILE:PATTERN", doc};
	struct counter c = {.opt = {.pid = -1}, .cost_ns = -1};
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &c.opt);
	tool_init(c.opt.verbose);
	err = counter_work(&c);
	counter_deinit(&c);
	return err ? 1 : 0;
}
