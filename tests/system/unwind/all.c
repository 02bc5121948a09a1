/* SPDX-License-Identifier: MIT */
#include "all.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>

#include "all.skel.h"
#include "common/functions.h"
#include "util/elf.h"

static bool every_name(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return true;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	printf("# ");
	return vprintf(fmt, args);
}

bool all_open(struct all *a, bool use_hash)
{
	*a = (struct all){ 0 };
	libbpf_set_print(quiet);
	a->skel = all_bpf__open();
	if (!a->skel)
		return false;
	a->skel->rodata->use_hash = use_hash;
	if (all_bpf__load(a->skel)) {
		printf("# load: %s\n", strerror(errno));
		return false;
	}
	return true;
}

bool all_reads_are_right(const struct all *a)
{
	const struct all_bpf__bss *b = a->skel->bss;

	printf("# of reads of its memory %llu good, %llu of nothing, %llu wrong\n", (unsigned long long)b->reads_good,
	       (unsigned long long)b->reads_bad, (unsigned long long)b->reads_wrong);
	return !b->reads_wrong;
}

void all_close(struct all *a)
{
	if (!a->skel)
		return;
	all_detach(a);
	for (unsigned int i = 0; i < a->nfiles; i++) {
		if (a->file[i].functions)
			functions_free(a->file[i].functions);
		free(a->file[i].functions);
		free(a->file[i].offset);
		free(a->file[i].path);
	}
	all_bpf__destroy(a->skel);
	*a = (struct all){ 0 };
}

bool all_add(struct all *a, const char *path)
{
	struct functions *fs = calloc(1, sizeof(*fs));
	struct all_file *f = &a->file[a->nfiles];
	int r;

	if (!fs || a->nfiles == ALL_FILES)
		return false;
	r = functions_find(path, every_name, NULL, fs);
	if (r || a->next + fs->n > ALL_MAX) {
		printf("# functions of %s: %s\n", path, strerror(-r));
		free(fs);
		return false;
	}
	*f = (struct all_file){ .path = strdup(path), .functions = fs, .n = (uint32_t)fs->n, .first = a->next };
	a->next += f->n;
	a->nfiles++;
	return f->path;
}

bool all_add_unnamed(struct all *a, const char *path)
{
	struct all_file *f = &a->file[a->nfiles];
	const struct patch_binary_desc *d;
	struct util_elf *elf;
	uint64_t last = 0;

	if (a->nfiles == ALL_FILES || util_elf_open(path, &elf))
		return false;
	d = util_elf_desc(elf);
	*f = (struct all_file){ .path = strdup(path), .first = a->next, .offset = calloc(d->nfunc + 1, sizeof(uint64_t)) };
	for (uint32_t i = 0; i < d->nfunc && f->offset; i++) {
		u64 off;

		if (d->func[i].vaddr == last || d->func[i].fragment || d->func[i].ifunc ||
		    util_elf_offset(elf, d->func[i].vaddr, &off))
			continue;
		f->offset[f->n++] = off;
		last = d->func[i].vaddr;
	}
	util_elf_close(elf);
	if (!f->path || !f->n || a->next + f->n > ALL_MAX) {
		free(f->offset);
		free(f->path);
		*f = (struct all_file){ 0 };
		return false;
	}
	a->next += f->n;
	a->nfiles++;
	return true;
}

static bool find_mapped(pid_t pid, const char *part, char path[PATH_MAX])
{
	char name[64], line[PATH_MAX + 128];
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	maps = fopen(name, "r");
	*path = '\0';
	while (maps && !*path && fgets(line, sizeof(line), maps)) {
		char *slash = strchr(line, '/');

		line[strcspn(line, "\n")] = '\0';
		if (slash && strstr(strrchr(slash, '/'), part))
			snprintf(path, PATH_MAX, "%s", slash);
	}
	if (maps)
		fclose(maps);
	return *path;
}

bool all_add_mapped(struct all *a, pid_t pid, const char *part)
{
	char path[PATH_MAX];

	return find_mapped(pid, part, path) && all_add(a, path);
}

bool all_add_mapped_unnamed(struct all *a, pid_t pid, const char *part)
{
	char path[PATH_MAX];

	return find_mapped(pid, part, path) && all_add_unnamed(a, path);
}

static bool attach_file(struct all *a, struct all_file *f, pid_t pid)
{
	size_t n = f->n;
	unsigned long *offsets = calloc(n, sizeof(*offsets));
	__u64 *cookies = calloc(n, sizeof(*cookies));
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cnt = n, .offsets = offsets, .cookies = cookies);

	for (size_t i = 0; i < n && offsets && cookies; i++) {
		offsets[i] = f->offset ? f->offset[i] : f->functions->fn[i].offset;
		cookies[i] = f->first + i;
	}
	f->in = bpf_program__attach_uprobe_multi(a->skel->progs.on_entry, pid, f->path, NULL, &opts);
	opts.retprobe = true;
	if (f->in && !a->entries_only)
		f->out = bpf_program__attach_uprobe_multi(a->skel->progs.on_return, pid, f->path, NULL, &opts);
	if (!f->in || (!f->out && !a->entries_only))
		printf("# attach to %s: %s\n", f->path, strerror(errno));
	free(offsets);
	free(cookies);
	return f->in && (f->out || a->entries_only);
}

bool all_attach(struct all *a, pid_t pid)
{
	for (unsigned int i = 0; i < a->nfiles; i++)
		if (!attach_file(a, &a->file[i], pid))
			return false;
	return true;
}

void all_detach(struct all *a)
{
	for (unsigned int i = 0; i < a->nfiles; i++) {
		bpf_link__destroy(a->file[i].in);
		bpf_link__destroy(a->file[i].out);
		a->file[i].in = a->file[i].out = NULL;
	}
}

static void read_counts(struct all *a, uint32_t slot, uint64_t *ret_entries, uint64_t *ret_returns)
{
	*ret_entries = *ret_returns = 0;
	bpf_map__lookup_elem(a->skel->maps.entries, &slot, sizeof(slot), ret_entries, sizeof(*ret_entries), 0);
	bpf_map__lookup_elem(a->skel->maps.returns, &slot, sizeof(slot), ret_returns, sizeof(*ret_returns), 0);
}

bool all_count(struct all *a, const char *name, uint64_t *ret_entries, uint64_t *ret_returns)
{
	const struct all_file *f = &a->file[0];

	for (size_t i = 0; i < f->functions->n; i++)
		if (!strcmp(f->functions->fn[i].name, name)) {
			read_counts(a, f->first + (uint32_t)i, ret_entries, ret_returns);
			return true;
		}
	return false;
}

void all_sum(struct all *a, unsigned int file, uint64_t *ret_entries, uint64_t *ret_returns)
{
	const struct all_file *f = &a->file[file];

	*ret_entries = *ret_returns = 0;
	for (size_t i = 0; i < f->n; i++) {
		uint64_t in, out;

		read_counts(a, f->first + (uint32_t)i, &in, &out);
		*ret_entries += in;
		*ret_returns += out;
	}
}

static bool check_count(struct all *a, const char *line)
{
	unsigned long long e_lo, e_hi, r_lo, r_hi;
	uint64_t in, out;
	char name[128];

	if (sscanf(line, "count %127s %llu %llu %llu %llu", name, &e_lo, &e_hi, &r_lo, &r_hi) != 5) {
		printf("# cannot read: %s\n", line);
		return false;
	}
	if (!all_count(a, name, &in, &out)) {
		printf("# %s is no function of %s\n", name, a->file[0].path);
		return false;
	}
	if (in >= e_lo && in <= e_hi && out >= r_lo && out <= r_hi)
		return true;
	printf("# %s: %llu entries, want %llu..%llu; %llu returns, want %llu..%llu\n", name, (unsigned long long)in, e_lo,
	       e_hi, (unsigned long long)out, r_lo, r_hi);
	return false;
}

bool all_do(struct all *a, struct victim_io *v, const char *command)
{
	setvbuf(v->out, NULL, _IONBF, 0); /* poll() must see what was not read */
	victim_tell(v, command);
	return all_answer(a, v, command);
}

bool all_answer(struct all *a, struct victim_io *v, const char *command)
{
	char line[512];
	bool ok = true;

	while (victim_line(v, line, sizeof(line))) {
		if (!strcmp(line, "done"))
			return ok;
		if (!strncmp(line, "count ", 6)) {
			ok &= check_count(a, line);
		} else {
			printf("# victim: %s\n", line);
			ok &= line[0] == '#';
		}
	}
	printf("# the victim said nothing more after '%s'\n", command);
	return false;
}

size_t all_functions(const struct all *a, unsigned int file)
{
	return a->file[file].n;
}
