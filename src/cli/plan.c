/* SPDX-License-Identifier: MIT */
/* `notrap plan`: what would happen to every function of a binary, without touching any process. */
#include "cli/cli.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "patch/plan.h"
#include "util/elf.h"
#include "util/fd.h"

struct site {
	const struct patch_func *func; /* first of its aliases */
	u32 nalias;
	u64 off; /* in the file: what a loader passes to uprobe_multi */
	struct patch_plan plan;
	u8 ret_reason; /* PATCH_OK: it can have a return probe ... */
	u32 nrets;     /* ... at so many `ret`s; 0: by a call through the slot */
};

struct report {
	const char *file;
	const struct patch_binary_desc *desc;
	struct util_elf *elf;
	struct patch_binary *binary;
	char **pattern;
	int npattern;
	struct site *site;
	u32 n;
	u32 form[PATCH_NFORMS], reason[PATCH_NREASONS];
	u32 back; /* windows that begin before their site */
	bool insns, show; /* instructions instead of functions; list those refused */
	u32 return_reason[PATCH_NREASONS]; /* of sites that can be probed at entry */
	u32 return_refused, return_at_rets;
};

static void report_clear(struct report *r)
{
	free(r->site);
	patch_binary_free(r->binary);
	util_elf_close(r->elf);
}

static const char *name_of(const struct site *s, u32 alias, char buf[32])
{
	if (s->func[alias].name)
		return s->func[alias].name;
	snprintf(buf, 32, "0x%" PRIx64, s->func->vaddr);
	return buf;
}

static bool is_wanted(const struct report *r, const struct site *s)
{
	char buf[32];

	for (u32 a = 0; a < s->nalias; a++)
		for (int i = 0; i < r->npattern; i++)
			if (!fnmatch(r->pattern[i], name_of(s, a, buf), 0))
				return true;
	return !r->npattern;
}

/* One site per address. Pieces of functions that have no name are nobody's target. */
static int select_sites(struct report *r)
{
	const struct patch_binary_desc *d = r->desc;

	r->site = calloc(d->nfunc + 1, sizeof(*r->site));
	if (!r->site)
		return -ENOMEM;
	for (u32 i = 0, k; i < d->nfunc; i = k) {
		struct site s = { .func = &d->func[i] };

		for (k = i; k < d->nfunc && d->func[k].vaddr == d->func[i].vaddr; k++)
			s.nalias++;
		if (!s.func->name && s.func->fragment)
			continue;
		if (is_wanted(r, &s) && !util_elf_offset(r->elf, s.func->vaddr, &s.off))
			r->site[r->n++] = s;
	}
	return 0;
}

static void insert_sorted(struct patch_range *a, u32 n, struct patch_range v)
{
	for (; n && a[n - 1].lo > v.lo; n--)
		a[n] = a[n - 1];
	a[n] = v;
}

static void count(struct report *r, const struct patch_plan *p)
{
	r->form[p->form]++;
	r->back += p->back != 0;
	if (p->form == PATCH_REFUSED)
		r->reason[p->reason]++;
}

struct places { /* what has been planned so far */
	u64 *all;
	u32 nall;
	struct patch_range *taken; /* [ntaken] sorted */
	u32 ntaken, cap;
};

static void places_deinit(struct places *p)
{
	free(p->all);
	free(p->taken);
}

static int take_places(struct places *p, const struct patch_plan *plan)
{
	struct patch_range takes[2];
	u32 n = patch_plan_takes(plan, takes);

	if (p->ntaken + n > p->cap) {
		u32 cap = 2 * p->cap + 64;
		struct patch_range *more = realloc(p->taken, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->taken = more;
		p->cap = cap;
	}
	while (n)
		insert_sorted(p->taken, p->ntaken++, takes[--n]);
	return 0;
}

/* How the function's return can be probed when its entry is, too. */
static int plan_return(struct report *r, struct site *s, struct places *places)
{
	u64 rets[PATCH_RETS_MAX];
	int e = 0;

	s->ret_reason = s->plan.form == PATCH_REFUSED ? s->plan.reason : s->plan.ret_reason;
	if (s->plan.form != PATCH_REFUSED && s->ret_reason)
		s->ret_reason = (u8)patch_function_rets(r->binary, s->plan.vaddr, rets, PATCH_RETS_MAX, &s->nrets);
	for (u32 i = 0; i < s->nrets && !s->ret_reason && !e; i++) {
		struct patch_plan p;

		patch_plan_site_avoiding(r->binary, rets[i], places->all, places->nall, places->taken, places->ntaken, &p);
		if (rets[i] == s->plan.vaddr)
			continue;
		if (p.form == PATCH_REFUSED)
			s->ret_reason = p.reason;
		else if (p.back < p.wlen && patch_plan_at(&p) < s->plan.vaddr + s->plan.wlen)
			s->ret_reason = PATCH_R_OVERLAP;
		else
			e = take_places(places, &p);
	}
	if (s->plan.form == PATCH_REFUSED)
		return e;
	r->return_at_rets += !s->ret_reason && s->plan.ret_reason;
	r->return_refused += s->ret_reason != PATCH_OK;
	r->return_reason[s->ret_reason] += s->ret_reason != PATCH_OK;
	return e;
}

/* As a link on all of them would be planned, and then one on their returns. */
static int plan_all(struct report *r)
{
	struct places p util_cleanup(places_deinit) = { .all = calloc(r->n + 1ull, sizeof(u64)), .nall = r->n };
	int e = p.all ? 0 : -ENOMEM;

	if (e)
		return e;
	for (u32 i = 0; i < r->n; i++)
		p.all[i] = r->site[i].func->vaddr;
	for (u32 i = 0; i < r->n && !e; i++) {
		patch_plan_site_avoiding(r->binary, p.all[i], p.all, r->n, p.taken, p.ntaken, &r->site[i].plan);
		e = take_places(&p, &r->site[i].plan);
		count(r, &r->site[i].plan);
	}
	for (u32 i = 0; i < r->n && !e; i++)
		e = plan_return(r, &r->site[i], &p);
	return e;
}

static u32 insn_count(const struct report *r)
{
	u64 a = 0;
	u32 n = 0;

	for (; !patch_binary_next_insn(r->binary, a, &a); a++)
		n++;
	return n;
}

/* Instructions wherever they stand, each planned as if it were the only one: all, or about `want` of them, chosen by
 * the seed. */
static void plan_insns(struct report *r, u32 want, u64 seed)
{
	u32 all = insn_count(r);
	u64 a = 0, state = seed ^ 0x9e3779b97f4a7c15ull;

	for (; !patch_binary_next_insn(r->binary, a, &a); a++) {
		struct patch_plan p;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		if (want && (state >> 33) % all >= want)
			continue;
		patch_plan_site(r->binary, a, NULL, 0, &p);
		r->n++;
		count(r, &p);
		if (r->show && p.form == PATCH_REFUSED)
			printf("%#-12" PRIx64 " %s\n", a, patch_reason_name(p.reason));
	}
}

/* ---- for people ---- */

static void print_reasons(const u32 count[PATCH_NREASONS])
{
	const char *sep = "";

	for (u32 i = 0; i < PATCH_NREASONS; i++)
		if (count[i]) {
			printf("%s%s %u", sep, patch_reason_name(i), count[i]);
			sep = ", ";
		}
}

static void print_sites(const struct report *r)
{
	char buf[32];

	printf("%-12s %-8s %6s  %-16s %s\n", "OFFSET", "FORM", "WINDOW", "RETURN", "NAME");
	for (u32 i = 0; i < r->n; i++) {
		const struct site *s = &r->site[i];
		const struct patch_plan *p = &s->plan;

		printf("%#-12" PRIx64 " %-8s ", s->off, patch_form_name(p->form));
		if (p->form == PATCH_REFUSED)
			printf("%6s  %-16s ", "-", patch_reason_name(p->reason));
		else
			printf("%6u  %-16s ", p->wlen,
			       s->ret_reason ? patch_reason_name(s->ret_reason) : p->ret_reason ? "at-ret" : "yes");
		for (u32 a = 0; a < s->nalias; a++)
			printf("%s%s", a ? ", " : "", name_of(s, a, buf));
		printf("\n");
	}
	printf("\n");
}

static double share(u32 part, u32 all)
{
	return all ? 100.0 * part / all : 0;
}

static void print_summary(const struct report *r)
{
	static const u8 order[] = {
		PATCH_NOP5, PATCH_JMP, PATCH_JMP_N, PATCH_PAD, PATCH_ISLAND, PATCH_EVICT, PATCH_REFUSED,
	};
	u32 direct = r->n - r->form[PATCH_REFUSED];

	printf("%s: %u %s%s\n", r->file, r->n, r->insns ? "instruction" : "function", r->n == 1 ? "" : "s");
	if (util_elf_is_stripped(r->elf))
		printf("no .symtab (stripped): functions are those of .dynsym and .eh_frame\n");
	printf("\n%-8s %10s %9s\n", "FORM", r->insns ? "INSNS" : "FUNCTIONS", "SHARE");
	for (u32 i = 0; i < sizeof(order); i++) {
		u32 n = r->form[order[i]];

		printf("%-8s %10u %7.2f %%", patch_form_name(order[i]), n, share(n, r->n));
		if (order[i] == PATCH_REFUSED && n) {
			printf("   ");
			print_reasons(r->reason);
		}
		printf("\n");
	}
	printf("\n%-8s %10u %7.3f %%", r->insns ? "any" : "entry", direct, share(direct, r->n));
	if (r->back)
		printf("   window begins before the site: %u", r->back);
	printf("\n");
	if (r->insns)
		return;
	printf("%-8s %10u %7.2f %%", "return", direct - r->return_refused,
	       share(direct - r->return_refused, r->n));
	if (r->return_at_rets)
		printf("   at their rets: %u", r->return_at_rets);
	if (r->return_refused) {
		printf("   no: ");
		print_reasons(r->return_reason);
	}
	printf("\n");
}

/* ---- for programs ---- */

static json_t *json_reasons(const u32 count[PATCH_NREASONS])
{
	json_t *o = json_object();

	for (u32 i = 0; i < PATCH_NREASONS; i++)
		if (count[i])
			json_object_set_new(o, patch_reason_name(i), json_integer(count[i]));
	return o;
}

static json_t *json_site(const struct site *s)
{
	const struct patch_plan *p = &s->plan;
	json_t *o = json_object(), *alias = json_array();
	char buf[32];

	json_object_set_new(o, "name", json_string(name_of(s, 0, buf)));
	for (u32 a = 1; a < s->nalias; a++)
		json_array_append_new(alias, json_string(name_of(s, a, buf)));
	json_object_set_new(o, "aliases", alias);
	json_object_set_new(o, "offset", json_integer((json_int_t)s->off));
	json_object_set_new(o, "address", json_integer((json_int_t)p->vaddr));
	json_object_set_new(o, "form", json_string(patch_form_name(p->form)));
	json_object_set_new(o, "reason", json_string(patch_reason_name(p->reason)));
	json_object_set_new(o, "window", json_integer(p->wlen));
	json_object_set_new(o, "instructions", json_integer(p->ninsn));
	json_object_set_new(o, "entry", json_boolean(p->entry));
	json_object_set_new(o, "return", json_boolean(p->form != PATCH_REFUSED && !s->ret_reason));
	json_object_set_new(o, "return_reason", json_string(patch_reason_name(s->ret_reason)));
	if (!s->ret_reason && p->ret_reason)
		json_object_set_new(o, "rets", json_integer(s->nrets));
	if (p->form == PATCH_ISLAND)
		json_object_set_new(o, "island", json_integer((json_int_t)p->island));
	if (p->form == PATCH_EVICT)
		json_object_set_new(o, "evicted", json_integer((json_int_t)p->island));
	return o;
}

static json_t *json_build_id(const struct report *r)
{
	u8 id[UTIL_ELF_BUILD_ID_MAX];
	char hex[2 * UTIL_ELF_BUILD_ID_MAX + 1] = "";
	u32 n = util_elf_build_id(r->elf, id);

	for (u32 i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", id[i]);
	return n ? json_string(hex) : json_null();
}

/* Output that nobody got is an error, not a success. */
static int flush_output(bool failed)
{
	if (fflush(stdout) || failed || ferror(stdout))
		return cli_error(&cli_plan, "cannot write the output: %s", strerror(errno));
	return CLI_OK;
}

static int print_json(const struct report *r, bool sites)
{
	json_t *o = json_object(), *forms = json_object(), *list = json_array();
	int failed;

	for (u32 i = 1; i < PATCH_NFORMS; i++)
		json_object_set_new(forms, patch_form_name(i), json_integer(r->form[i]));
	for (u32 i = 0; sites && i < r->n; i++)
		json_array_append_new(list, json_site(&r->site[i]));
	json_object_set_new(o, "file", json_string(r->file));
	json_object_set_new(o, "build_id", json_build_id(r));
	json_object_set_new(o, "stripped", json_boolean(util_elf_is_stripped(r->elf)));
	json_object_set_new(o, r->insns ? "instructions" : "functions", json_integer(r->n));
	json_object_set_new(o, "refused", json_integer(r->form[PATCH_REFUSED]));
	json_object_set_new(o, "forms", forms);
	json_object_set_new(o, "reasons", json_reasons(r->reason));
	json_object_set_new(o, "return_refused",
			    json_integer(r->return_refused + r->form[PATCH_REFUSED]));
	json_object_set_new(o, "return_reasons", json_reasons(r->return_reason));
	if (sites)
		json_object_set(o, "sites", list);
	failed = json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(list);
	json_decref(o);
	return flush_output(failed);
}

/* ---- the command ---- */

static const char *open_error(int err)
{
	switch (-err) {
	case ENOEXEC: return "not an ELF file, or cut off";
	case ENOTSUP: return "not x86-64 code (32-bit, another machine, or nothing executable)";
	default: return strerror(-err);
	}
}

static int make_report(struct report *r, u32 want, u64 seed)
{
	int err = util_elf_open(r->file, &r->elf);

	if (err)
		return cli_error(&cli_plan, "%s: %s", r->file, open_error(err));
	r->desc = util_elf_desc(r->elf);
	err = patch_binary_new(r->desc, &r->binary);
	if (!err && r->insns) {
		plan_insns(r, want, seed);
		return CLI_OK;
	}
	if (!err)
		err = select_sites(r);
	if (!err)
		err = plan_all(r);
	if (err)
		return cli_error(&cli_plan, "%s: %s", r->file, strerror(-err));
	if (!r->desc->nfunc)
		return cli_error(&cli_plan, "%s: no functions in .symtab, .dynsym or .eh_frame",
				 r->file);
	if (!r->n)
		return cli_error(&cli_plan, "%s: no function matches%s%s", r->file,
				 r->npattern == 1 ? " " : " any pattern",
				 r->npattern == 1 ? r->pattern[0] : "");
	return CLI_OK;
}

/* "all", or a number up to 2^32. */
static int parse_count(const char *s, unsigned long *ret)
{
	char *end;

	*ret = 0;
	if (!strcmp(s, "all"))
		return 0;
	*ret = strtoul(s, &end, 0);
	return *end || !*s || !*ret || *ret > UINT32_MAX ? -EINVAL : 0;
}

static int plan_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "sites", no_argument, NULL, 's' },
		{ "insns", required_argument, NULL, 'i' }, { "seed", required_argument, NULL, 'S' },
		{ "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct report r util_cleanup(report_clear) = { 0 };
	bool json = false, sites = false;
	unsigned long want = 0, seed = 1;
	int c, status;

	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, "jshi:S:", options, NULL)) >= 0) {
		switch (c) {
		case 'j': json = true; break;
		case 's': sites = true; break;
		case 'S': seed = strtoul(optarg, NULL, 0); break;
		case 'i':
			r.insns = true;
			if (parse_count(optarg, &want))
				return cli_usage_error(&cli_plan, "how many instructions? '%s'", optarg);
			break;
		case 'h': cli_help(&cli_plan, stdout); return CLI_OK;
		default: return cli_usage_error(&cli_plan, "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind >= argc)
		return cli_usage_error(&cli_plan, "which file?");
	r.file = argv[optind];
	r.pattern = argv + optind + 1;
	r.npattern = argc - optind - 1;
	if (r.insns && r.npattern)
		return cli_usage_error(&cli_plan, "patterns are for functions, not for instructions");
	r.show = sites && !json;
	status = make_report(&r, (u32)want, seed);
	if (status)
		return status;
	sites = !r.insns && (sites || r.npattern);
	if (json)
		return print_json(&r, sites);
	if (sites)
		print_sites(&r);
	print_summary(&r);
	return flush_output(false);
}

const struct cli_command cli_plan = {
	.name = "plan",
	.args = "[--json] [--sites] [--insns N] FILE [PATTERN...]",
	.help = "Show how the functions of a program or library can be probed",
	.details = "  -s, --sites   list every function, not only the totals\n"
		   "  -j, --json    write one JSON object\n"
		   "  -i, --insns N plan some N of all instructions ('all': every one) instead of functions\n"
		   "  -S, --seed N  which ones\n"
		   "\n"
		   "PATTERN is a shell pattern for function names, e.g. 'pthread_*' (quote it).\n"
		   "Functions with several names count once.\n"
		   "\n"
		   "Forms, best first: nop5 and jmp displace one instruction, jmp-n several, pad\n"
		   "uses padding behind the function, island needs a second jump in padding near by,\n"
		   "evict makes room for that jump among other instructions.\n"
		   "A refused function cannot be probed; RETURN says why its return cannot.\n",
	.fn = plan_main,
};
