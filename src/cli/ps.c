/* SPDX-License-Identifier: MIT */
/* `notrap ps`: the broker answers with JSON; this makes tables of it, or passes it on. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "util/fd.h"

#define PS_COLUMNS 10
#define PS_CELL 256

/* A column shows one member of each object of an array. */
struct ps_column {
	const char *title, *key;
	bool right;	  /* numbers */
	bool verbose;	  /* only with -v */
	const char *zero; /* shown for a missing, zero or negative value; NULL = the value itself */
	double scale;	  /* divides the number, one decimal; 0 = as it is */
};

static const struct ps_column process_columns[PS_COLUMNS] = {
    {"PID", "pid", true},
    {"COMM", "comm"},
    {"LINKS", "links", true},
    {"SITES", "sites", true},
    {"HITS", "hits", true},
    {"PAUSE(us)", "pause_ns", true, false, "-", 1e3},
    {"LONGEST(us)", "pause_max_ns", true, true, "-", 1e3},
    {"REGIONS", "regions", true, true},
};

static const struct ps_column link_columns[PS_COLUMNS] = {
    {"ID", "id", true},
    {"TYPE", "type"},
    {"PROG", "prog"},
    {"TARGETS", "targets", true},
    {"ATTACHED", "attached", true},
    {"REFUSED", "refused", true},
    {"PID", "pid", true, false, "all"},
    {"ATTACH(ms)", "attach_ns", true, true, "-", 1e6},
    {"PATH", "path"},
};

static void ps_format(const struct ps_column *col, const json_t *v, char cell[PS_CELL])
{
	double number = json_number_value(v);

	if (json_is_string(v) && *json_string_value(v))
		snprintf(cell, PS_CELL, "%s", json_string_value(v));
	else if (col->zero && number <= 0)
		snprintf(cell, PS_CELL, "%s", col->zero);
	else if (col->scale > 0)
		snprintf(cell, PS_CELL, "%.1f", number / col->scale);
	else if (json_is_integer(v))
		snprintf(cell, PS_CELL, "%lld", (long long)json_integer_value(v));
	else
		snprintf(cell, PS_CELL, "-");
}

static void ps_cell(const struct ps_column *col, const char *text, int width, bool last)
{
	if (col->right)
		printf("%*s%s", width, text, last ? "" : "  ");
	else if (last)
		printf("%s", text);
	else
		printf("%-*s  ", width, text);
}

static u32 ps_choose(const struct ps_column all[PS_COLUMNS], bool verbose,
		     const struct ps_column *ret[PS_COLUMNS])
{
	u32 n = 0;

	for (u32 i = 0; i < PS_COLUMNS && all[i].title; i++)
		if (verbose || !all[i].verbose)
			ret[n++] = &all[i];
	return n;
}

static void ps_table(const json_t *rows, const struct ps_column all[PS_COLUMNS], bool verbose)
{
	const struct ps_column *col[PS_COLUMNS];
	u32 n = ps_choose(all, verbose, col);
	int width[PS_COLUMNS];
	char cell[PS_CELL];
	json_t *row;
	size_t r;

	for (u32 i = 0; i < n; i++) {
		width[i] = (int)strlen(col[i]->title);
		json_array_foreach((json_t *)rows, r, row)
		{
			ps_format(col[i], json_object_get(row, col[i]->key), cell);
			if ((int)strlen(cell) > width[i])
				width[i] = (int)strlen(cell);
		}
	}
	for (u32 i = 0; i < n; i++)
		ps_cell(col[i], col[i]->title, width[i], i + 1 == n);
	printf("\n");
	json_array_foreach((json_t *)rows, r, row)
	{
		for (u32 i = 0; i < n; i++) {
			ps_format(col[i], json_object_get(row, col[i]->key), cell);
			ps_cell(col[i], cell, width[i], i + 1 == n);
		}
		printf("\n");
	}
}

/* {"jump-inside": 9, ...} of each link: what was refused, by name. */
static void ps_refusals(const json_t *links)
{
	json_t *link, *count;
	const char *reason;
	size_t i;

	json_array_foreach((json_t *)links, i, link)
	{
		json_t *reasons = json_object_get(link, "reasons");

		json_object_foreach(reasons, reason, count)
		    printf("link %lld: %lld refused: %s\n",
			   (long long)json_integer_value(json_object_get(link, "id")),
			   (long long)json_integer_value(count), reason);
	}
}

/* Links of ours that had to go to the kernel, and programs that are nobody else's. */
static void ps_kernel(const json_t *links, const json_t *programs)
{
	json_t *o;
	size_t i;

	json_array_foreach((json_t *)links, i, o)
		if (json_is_string(json_object_get(o, "kernel")))
			printf("link %lld runs in the kernel: %s\n", (long long)json_integer_value(json_object_get(o, "id")),
			       json_string_value(json_object_get(o, "kernel")));
	json_array_foreach((json_t *)programs, i, o)
		printf("program %s of pid %lld is in the kernel: %s\n", json_string_value(json_object_get(o, "prog")),
		       (long long)json_integer_value(json_object_get(o, "pid")), json_string_value(json_object_get(o, "type")));
}

static void ps_print(const json_t *root, bool verbose)
{
	const json_t *processes = json_object_get(root, "processes"),
		     *links = json_object_get(root, "links");
	const json_t *broker = json_object_get(root, "broker"), *programs = json_object_get(root, "kernel");

	if (verbose)
		printf("broker: pid %lld, %lld programs, %lld maps, %s\n\n",
		       (long long)json_integer_value(json_object_get(broker, "pid")),
		       (long long)json_integer_value(json_object_get(broker, "programs")),
		       (long long)json_integer_value(json_object_get(broker, "maps")),
		       json_string_value(json_object_get(broker, "dir")));
	if (!json_array_size(links) && !json_array_size(processes)) {
		if (!json_array_size(programs))
			printf("nothing is attached\n");
		ps_kernel(links, programs);
		return;
	}
	if (json_array_size(links))
		ps_table(links, link_columns, verbose);
	if (verbose)
		ps_refusals(links);
	ps_kernel(links, programs);
	if (json_array_size(links) && json_array_size(processes))
		printf("\n");
	if (json_array_size(processes))
		ps_table(processes, process_columns, verbose);
}

static int ps_ask(const struct cli_command *c, int sock, json_t **ret)
{
	int fd fd_auto = -1;
	json_error_t error;
	s64 r = broker_ask(sock, NT_OP_QUERY, NT_QUERY_PS, &fd);

	if (r < 0 || fd < 0)
		return cli_error(c, "the broker refuses: %s", strerror(r < 0 ? (int)-r : EPROTO));
	*ret = json_loadfd(fd, 0, &error);
	return *ret ? 0 : cli_error(c, "the broker's answer is not JSON: %s", error.text);
}

static int ps_main(int argc, char **argv)
{
	const struct cli_command *c = &cli_ps;
	bool json = false, verbose = false;
	json_t *root = NULL;
	int sock fd_auto = -1;
	int r = CLI_OK;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			cli_help(c, stdout);
			return CLI_OK;
		}
		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j"))
			json = true;
		else if (!strcmp(argv[i], "-v") || !strcmp(argv[i], "--verbose"))
			verbose = true;
		else
			return cli_usage_error(c, "unknown argument %s", argv[i]);
	}
	sock = broker_connect(NT_ROLE_CLI);
	if (sock < 0 && !broker_is_absent(sock))
		return cli_error(c, "cannot talk to the broker: %s", broker_error(sock));
	if (sock >= 0)
		r = ps_ask(c, sock, &root);
	else if (json)
		root = json_pack("{s:[], s:[]}", "processes", "links");
	else
		printf("no broker is running\n");
	if (root && json) {
		json_dumpf(root, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (root) {
		ps_print(root, verbose);
	}
	json_decref(root);
	return r;
}

const struct cli_command cli_ps = {
    .name = "ps",
    .args = "[--json] [-v]",
    .help = "Show links, and the processes that they are in",
    .details = "  --json         everything, as JSON\n"
	       "  -v, --verbose  more columns, the broker, and what was refused\n",
    .fn = ps_main,
};
