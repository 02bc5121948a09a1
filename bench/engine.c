/* SPDX-License-Identifier: MIT */
/*
 * The execution engine: compute kernels, helpers, map operations of programs and of loaders, loading. One program
 * (engine_loader.c) times everything in itself; here it is started in turns on the kernel and under notrap.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

/* A series keeps the pointer. */
static const char *unit_of(const char *text)
{
	static const char *const units[] = {"ns", "%", "per 1000"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i]))
			return units[i];
	return "";
}

static void read_rows(struct bench *b, enum contender c, const char *command)
{
	char line[256], name[64], unit[17];
	double value;
	FILE *f = popen(command, "re");
	char *at;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (*line == '#')
			fputs(line + 2, stdout);
		if (*line == '#' || sscanf(line, "%63s %lf %16[^\n]", name, &value, unit) != 3)
			continue;
		at = strchr(name, '@'); /* somebody else's than c */
		if (at)
			*at = 0;
		if (bench_wants(b, name))
			results_add(&b->results, name, at ? LLVM : c, unit_of(unit), value);
	}
	if (pclose(f))
		results_error(&b->results, "engine", c, "ns", "%s failed (see %s)", b->engine, b->log);
}

static void one_round(struct bench *b, enum contender c)
{
	char command[4096];

	snprintf(command, sizeof(command), "%s%s%s '%s' '%s' 2>>'%s'", c == NOTRAP ? "'" : "",
		 c == NOTRAP ? b->notrap : "", c == NOTRAP ? "' run --" : "", b->engine, b->prefix, b->log);
	read_rows(b, c, command);
	if (c != NOTRAP)
		return;
	read_rows(b, c, b->compile); /* our verifier and compiler by themselves */
	snprintf(command, sizeof(command), "'%s' '%s' '%s' 2>>'%s'", b->llvm, b->object, b->prefix, b->log);
	read_rows(b, c, command);
}

void bench_engine(struct bench *b)
{
	static const char family[] = "engine/";
	size_t n = strlen(b->prefix);

	if (strncmp(b->prefix, family, n < sizeof(family) - 1 ? n : sizeof(family) - 1))
		return;
	for (int i = 0; i < b->rounds; i++) {
		if (b->takes_part[NOTRAP])
			one_round(b, NOTRAP);
		if (b->takes_part[KERNEL])
			one_round(b, KERNEL);
	}
	results_show(&b->results);
}
