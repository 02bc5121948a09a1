/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

static const struct cli_command *const commands[] = {
	&cli_run, &cli_ps, &cli_trace, &cli_stop, &cli_plan,
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out, "Usage: notrap COMMAND ...\n\neBPF uprobes without the trap: programs run inside their targets.\n\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->help);
	fprintf(out, "\nTo begin with:\n\n"
		     "  notrap run bpftrace -e 'uprobe:/bin/bash:readline { @[pid] = count(); }'\n"
		     "  notrap plan /bin/bash 'read*'\n");
	fprintf(out, "\n`notrap COMMAND --help` tells more about one of them.\n");
}

void cli_help(const struct cli_command *c, FILE *out)
{
	fprintf(out, "Usage: notrap %s%s%s\n\n%s.\n", c->name, *c->args ? " " : "", c->args, c->help);
	if (c->details)
		fprintf(out, "\n%s", c->details);
}

int cli_usage_error(const struct cli_command *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "notrap: %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nUsage: notrap %s%s%s\n", c->name, *c->args ? " " : "", c->args);
	return CLI_USAGE;
}

int cli_error(const struct cli_command *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "notrap: %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return CLI_FAILED;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("notrap %s\n", NOTRAP_VERSION);
		return CLI_OK;
	}
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strcmp(argv[1], commands[i]->name))
			return commands[i]->fn(argc - 1, argv + 1);
	fprintf(stderr, "notrap: unknown command '%s'; `notrap --help` lists them\n", argv[1]);
	return CLI_USAGE;
}
