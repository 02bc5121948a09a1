/* SPDX-License-Identifier: MIT */
/* Runs the cases of tests/golden/patch/sites.txt, whose head describes the format. argv[1] is that
 * file. */
#include "patch/plan.h"

#include <ctype.h>

#include "tap.h"

#define CODE_AT 0x1000u
#define DATA_AT 0x3000u

struct golden {
	char name[128];
	u8 code[256], data[64];
	u32 ncode, ndata;
	struct patch_func func[12];
	char names[12][64];
	u32 nfunc;
	u64 ptr[4];
	u32 nptr;
	u64 other, entry;
	bool has_other, is_go, dynamic, fixed;
	struct patch_binary *binary;
};

static u32 hex_bytes(const char *s, u8 *out, u32 n, u32 cap)
{
	int used;
	unsigned v;

	for (; n < cap && sscanf(s, "%x%n", &v, &used) == 1; s += used)
		out[n++] = (u8)v;
	return n;
}

static void add_func(struct golden *c, const char *s)
{
	struct patch_func *f = &c->func[c->nfunc];
	char *name = c->names[c->nfunc];
	unsigned off = 0, size = 0;

	while (*s == ' ')
		s++;
	f->fragment = *s == '!';
	sscanf(s + f->fragment, "%i %i %63s", (int *)&off, (int *)&size, name);
	f->vaddr = CODE_AT + off;
	f->size = size;
	f->name = *name == '-' ? NULL : name;
	c->nfunc++;
}

static bool analyse(struct golden *c)
{
	static struct patch_segment code, data; /* live as long as the binary */
	struct patch_binary_desc d = {
		.seg = &code,
		.nseg = 1,
		.data = &data,
		.ndata = 1,
		.func = c->func,
		.nfunc = c->nfunc,
		.code_ptr = c->ptr,
		.ncode_ptr = c->nptr,
		.is_go = c->is_go,
		.dynamic = c->dynamic,
		.entry = c->entry,
		.fixed = c->fixed,
	};

	code = (struct patch_segment){ CODE_AT, 0, c->ncode, c->code };
	data = (struct patch_segment){ DATA_AT, 0x2000, c->ndata, c->data };
	return c->binary || !patch_binary_new(&d, &c->binary);
}

/* The plan in the words of the file. */
static void describe(const struct patch_plan *p, char *out, size_t n)
{
	size_t k;

	if (p->form == PATCH_REFUSED) {
		snprintf(out, n, "refused %s", patch_reason_name(p->reason));
		return;
	}
	k = (size_t)snprintf(out, n, "%s %u%s", patch_form_name(p->form), p->wlen,
			     p->entry ? " entry" : "");
	if (p->ret_reason)
		k += (size_t)snprintf(out + k, n - k, " no-return:%s",
				      patch_reason_name(p->ret_reason));
	else
		k += (size_t)snprintf(out + k, n - k, " return");
	if (p->form == PATCH_ISLAND)
		k += (size_t)snprintf(out + k, n - k, " island:%llu", (unsigned long long)(p->island - CODE_AT));
	if (p->form == PATCH_EVICT)
		k += (size_t)snprintf(out + k, n - k, " evict:%llu+%u", (unsigned long long)(p->island - CODE_AT),
				      p->victim.len);
	if (p->back)
		k += (size_t)snprintf(out + k, n - k, " back:%u", p->back);
	if (p->guarded)
		k += (size_t)snprintf(out + k, n - k, " guarded:%#x", p->guarded);
	if (p->victim.guarded)
		snprintf(out + k, n - k, " victim-guarded:%#x", p->victim.guarded);
}

static void check_site(struct golden *c, const char *s)
{
	const char *want = strchr(s, '=');
	struct patch_plan p;
	char got[128];
	int off = 0;

	if (!want || sscanf(s, "%i", &off) != 1 || !tap_ok(analyse(c), "%s: analysed", c->name))
		return;
	for (want++; *want == ' ';)
		want++;
	patch_plan_site(c->binary, CODE_AT + (u64)off, c->has_other ? &c->other : NULL,
			c->has_other, &p);
	describe(&p, got, sizeof(got));
	if (!tap_ok(!strcmp(got, want), "%s: site %d: %s", c->name, off, want))
		printf("# got %s\n", got);
}

/* Where a function returns, or why that cannot be probed. */
static void check_rets(struct golden *c, const char *s)
{
	const char *want = strchr(s, '=');
	enum patch_reason r;
	u64 ret[8];
	char got[128] = "";
	size_t k = 0;
	u32 n = 0;
	int off = 0;

	if (!want || sscanf(s, "%i", &off) != 1 || !tap_ok(analyse(c), "%s: analysed", c->name))
		return;
	for (want++; *want == ' ';)
		want++;
	r = patch_function_rets(c->binary, CODE_AT + (u64)off, ret, 8, &n);
	if (r)
		snprintf(got, sizeof(got), "refused %s", patch_reason_name(r));
	else if (!n)
		snprintf(got, sizeof(got), "none");
	for (u32 i = 0; i < n; i++)
		k += (size_t)snprintf(got + k, sizeof(got) - k, "%s%llu", i ? " " : "", (unsigned long long)(ret[i] - CODE_AT));
	if (!tap_ok(!strcmp(got, want), "%s: rets of %d: %s", c->name, off, want))
		printf("# got %s\n", got);
}

static void read_line(struct golden *c, char *line)
{
	char *arg;

	line[strcspn(line, "#\n")] = 0;
	while (*line && isspace((unsigned char)line[strlen(line) - 1]))
		line[strlen(line) - 1] = 0;
	arg = line + strcspn(line, " ");
	if (*arg)
		*arg++ = 0;
	if (!strcmp(line, "case")) {
		patch_binary_free(c->binary);
		*c = (struct golden){ 0 };
		snprintf(c->name, sizeof(c->name), "%s", arg);
	} else if (!strcmp(line, "code")) {
		c->ncode = hex_bytes(arg, c->code, c->ncode, sizeof(c->code));
	} else if (!strcmp(line, "data")) {
		c->ndata = hex_bytes(arg, c->data, c->ndata, sizeof(c->data));
	} else if (!strcmp(line, "func") && c->nfunc < 12) {
		add_func(c, arg);
	} else if (!strcmp(line, "ptr") && c->nptr < 4) {
		c->ptr[c->nptr++] = CODE_AT + strtoull(arg, NULL, 0);
	} else if (!strcmp(line, "other")) {
		c->other = CODE_AT + strtoull(arg, NULL, 0);
		c->has_other = true;
	} else if (!strcmp(line, "entry")) {
		c->entry = CODE_AT + strtoull(arg, NULL, 0);
	} else if (!strcmp(line, "fixed")) {
		c->fixed = true;
	} else if (!strcmp(line, "go")) {
		c->is_go = true;
	} else if (!strcmp(line, "dynamic")) {
		c->dynamic = true;
	} else if (!strcmp(line, "site")) {
		check_site(c, arg);
	} else if (!strcmp(line, "rets")) {
		check_rets(c, arg);
	} else if (*line) {
		tap_ok(false, "unknown word '%s'", line);
	}
}

/* Two sites that want the same island, and a batch that tells the second of the first. */
static void test_avoiding(void)
{
	/* f, g: 3 bytes each without room; two islands behind them */
	static const u8 code[] = { 0x31, 0xc0, 0xc3, 0x31, 0xc9, 0xc3, 0x31, 0xd2, 0xc3,
				   0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
				   0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x31, 0xc0, 0xc3 };
	static const struct patch_func func[] = { { .vaddr = 0x1000, .size = 3 },
						  { .vaddr = 0x1003, .size = 3 },
						  { .vaddr = 0x1006, .size = 3 },
						  { .vaddr = 0x1018, .size = 3 } };
	const struct patch_segment seg = { 0x1000, 0, sizeof(code), code };
	const struct patch_binary_desc d = { .seg = &seg, .nseg = 1, .func = func, .nfunc = 4 };
	struct patch_binary *b = NULL;
	struct patch_plan p, q;
	struct patch_range taken[4];

	tap_eq(patch_binary_new(&d, &b), 0, "islands: analysed");
	patch_plan_site(b, 0x1000, NULL, 0, &p);
	patch_plan_site(b, 0x1003, NULL, 0, &q);
	tap_ok(p.form == PATCH_ISLAND && q.form == PATCH_ISLAND && p.island == q.island,
	       "two plans, one island");
	tap_eq(patch_plan_takes(&p, taken), 1, "which the first takes");
	patch_plan_site_avoiding(b, 0x1003, NULL, 0, taken, 1, &q);
	tap_ok(q.form == PATCH_ISLAND && q.island >= p.island + 5, "a second island is found");
	tap_eq(patch_plan_takes(&q, taken + 1), 1, "which is taken too");
	patch_plan_site_avoiding(b, 0x1003, NULL, 0, taken, 2, &q);
	tap_ok(q.form == PATCH_REFUSED && q.reason == PATCH_R_JUMP_INSIDE,
	       "until there is none left");
	patch_binary_free(b);
}

static void test_bad_descriptions(void)
{
	static const u8 code[16] = { 0xc3 };
	static const struct patch_func unsorted[] = { { .vaddr = 0x1004 }, { .vaddr = 0x1000 } };
	const struct patch_segment seg = { 0x1000, 0, sizeof(code), code },
				   wraps = { ~0ull - 4, 0, 16, code };
	struct patch_binary_desc d = { .seg = &seg, .nseg = 1, .func = unsorted, .nfunc = 2 };
	struct patch_binary *b = NULL;

	tap_eq(patch_binary_new(&d, &b), -22, "functions must be sorted");
	d = (struct patch_binary_desc){ .seg = &wraps, .nseg = 1 };
	tap_eq(patch_binary_new(&d, &b), -22, "a segment must not wrap around");
	tap_ok(!b, "nothing is returned on failure");
	d = (struct patch_binary_desc){ 0 };
	tap_eq(patch_binary_new(&d, &b), 0, "an empty binary is a binary");
	patch_binary_free(b);
	patch_binary_free(NULL);
}

int main(int argc, char **argv)
{
	struct golden c = { 0 };
	char line[512];
	FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (!tap_ok(f, "golden file %s", argc > 1 ? argv[1] : "(none)"))
		return tap_done();
	while (fgets(line, sizeof(line), f))
		read_line(&c, line);
	patch_binary_free(c.binary);
	fclose(f);
	test_avoiding();
	test_bad_descriptions();
	return tap_done();
}
