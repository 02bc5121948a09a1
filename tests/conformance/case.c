/* SPDX-License-Identifier: MIT */
#include "case.h"

#include <stdlib.h>
#include <string.h>

static bool read_ctx(struct conf_case *c, char *s)
{
	u32 n = 0;

	for (char *w = strtok(s, " "); w; w = strtok(NULL, " ")) {
		char *end;

		if (n == CASE_CTX)
			return false;
		c->ctx[n++] = strtoull(w, &end, 0);
		if (*end)
			return false;
	}
	return n > 0;
}

static bool read_result(struct conf_case *c, const char *s)
{
	char *end;

	c->refused = !strcmp(s, "refused");
	if (c->refused)
		return true;
	c->want = strtoull(s, &end, 0);
	return end != s && !*end;
}

static bool read_line(struct conf_case *c, char *s, bool *ret_ends)
{
	*ret_ends = !strncmp(s, "-> ", 3);
	if (*ret_ends)
		return read_result(c, s + 3);
	if (!strncmp(s, "ctx ", 4))
		return read_ctx(c, s + 4);
	if (!strncmp(s, "kernel no, ", 11))
		return c->no_kernel = true;
	return asm_line(&c->prog, s);
}

bool case_next(FILE *f, const char *name, u32 *line, struct conf_case *ret)
{
	const char *label;
	char buf[256];
	bool begun = false, ends = false;

	memset(ret, 0, sizeof(*ret));
	while (!ends && fgets(buf, sizeof(buf), f)) {
		++*line;
		buf[strcspn(buf, "\n")] = 0;
		if (!*buf || *buf == '#')
			continue;
		begun = true;
		if (!read_line(ret, buf, &ends)) {
			printf("# %s:%u: not understood: %s\n", name, *line, buf);
			ret->bad = true;
		}
	}
	ret->line = *line;
	if (begun && !ends) {
		printf("# %s:%u: a case without a result\n", name, *line);
		ret->bad = true;
	}
	if (begun && !asm_link(&ret->prog, &label)) {
		printf("# %s:%u: no label %s\n", name, *line, label);
		ret->bad = true;
	}
	return begun;
}
