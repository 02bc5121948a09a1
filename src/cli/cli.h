/* SPDX-License-Identifier: MIT */
/* The command line: `notrap COMMAND ...`. A command is one file that exports one struct; main.c lists them. */
#pragma once

#include <stdio.h>

struct cli_command {
	const char *name;
	const char *args;	/* what follows the name, as shown in usage */
	const char *help;	/* one line */
	const char *details;	/* options and examples for `notrap NAME --help`, whole lines; may be NULL */
	int (*fn)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 }; /* exit statuses of our own commands */

/* Usage of one command: to stdout for --help, to stderr for a mistake (returns CLI_USAGE). */
void cli_help(const struct cli_command *c, FILE *out);
__attribute__((format(printf, 2, 3))) int cli_usage_error(const struct cli_command *c, const char *fmt, ...);
/* `notrap: NAME: ...` on stderr; returns CLI_FAILED. */
__attribute__((format(printf, 2, 3))) int cli_error(const struct cli_command *c, const char *fmt, ...);

extern const struct cli_command cli_plan;
extern const struct cli_command cli_ps;
extern const struct cli_command cli_run;
extern const struct cli_command cli_stop;
extern const struct cli_command cli_trace;
