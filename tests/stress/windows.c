/* SPDX-License-Identifier: MIT */
/*
 * The forms of windows that displace more than their own site's instructions: those that begin before the site, and those
 * that make room among other instructions for a second jump. All places in a C library that need one of them and that a
 * busy program comes by are probed and let go again and again, while four threads and a timer's handler run through them.
 *
 *     windows VICTIM
 *
 * NT_SEED chooses; NT_SOAK in the environment: for long.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <limits.h>
#include <sys/stat.h>

#include "all.h"
#include "all.skel.h"
#include "patch/plan.h"
#include "tap.h"
#include "util/elf.h"

enum { SITES_MAX = 100000, ROUNDS = 60, ROUNDS_LONG = 20000, EACH = 200 };

struct place {
	unsigned long off;
	bool evict;
};

struct places {
	struct place *place;
	unsigned int n, evict;
};

static uint64_t state;

static uint32_t random_u32(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33);
}

static bool places_find(const char *path, struct places *ret)
{
	struct patch_binary *b = NULL;
	struct util_elf *elf = NULL;
	struct patch_plan p;
	u64 off;

	*ret = (struct places){ .place = calloc(SITES_MAX, sizeof(*ret->place)) };
	if (!ret->place || util_elf_open(path, &elf) || patch_binary_new(util_elf_desc(elf), &b))
		return false;
	for (u64 a = 0; !patch_binary_next_insn(b, a, &a) && ret->n < SITES_MAX; a++) {
		patch_plan_site(b, a, NULL, 0, &p);
		if (p.form == PATCH_REFUSED || (!p.back && p.form != PATCH_EVICT) || util_elf_offset(elf, a, &off))
			continue;
		ret->place[ret->n++] = (struct place){ .off = off, .evict = p.form == PATCH_EVICT };
	}
	patch_binary_free(b);
	util_elf_close(elf);
	return ret->n;
}

static struct bpf_link *attach(struct all *a, const char *path, pid_t pid, const struct place *place, unsigned int n)
{
	unsigned long *off = calloc(n, sizeof(*off));
	__u64 *cookie = calloc(n, sizeof(*cookie));
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cnt = n, .offsets = off, .cookies = cookie);
	struct bpf_link *l = NULL;

	for (unsigned int i = 0; i < n && off && cookie; i++) {
		off[i] = place[i].off;
		cookie[i] = i;
	}
	if (off && cookie)
		l = bpf_program__attach_uprobe_multi(a->skel->progs.on_entry, pid, path, NULL, &opts);
	free(off);
	free(cookie);
	return l;
}

/* Keeps those that the victim's work hits. They are planned together here, so it takes several turns. */
static void keep_hot(struct all *a, struct victim_io *v, const char *path, struct places *all)
{
	unsigned int kept = 0;

	for (unsigned int at = 0; at < all->n; at += 8000) {
		unsigned int n = all->n - at < 8000 ? all->n - at : 8000;
		struct bpf_link *l = attach(a, path, v->pid, all->place + at, n);

		victim_do(v, "run 60");
		bpf_link__destroy(l);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t hits = 0, zero = 0;

			bpf_map__lookup_elem(a->skel->maps.entries, &i, sizeof(i), &hits, sizeof(hits), 0);
			if (!hits)
				continue;
			bpf_map__update_elem(a->skel->maps.entries, &i, sizeof(i), &zero, sizeof(zero), 0);
			all->evict += all->place[at + i].evict;
			all->place[kept++] = all->place[at + i];
		}
	}
	all->n = kept;
}

static bool one_round(struct all *a, struct victim_io *v, const char *path, const struct places *hot)
{
	struct place some[EACH];
	struct bpf_link *l;

	for (unsigned int i = 0; i < EACH; i++)
		some[i] = hot->place[random_u32() % hot->n];
	l = attach(a, path, v->pid, some, EACH);
	nanosleep(&(struct timespec){ .tv_nsec = random_u32() % 4000000 }, NULL);
	bpf_link__destroy(l);
	return l;
}

static uint64_t hits_of(struct all *a)
{
	uint64_t sum = 0, n = 0;

	for (uint32_t i = 0; i < EACH; i++) {
		bpf_map__lookup_elem(a->skel->maps.entries, &i, sizeof(i), &n, sizeof(n), 0);
		sum += n;
	}
	return sum;
}

/* A C library of its own, so that nobody else is probed. */
static bool private_libc(char dir[64], char path[PATH_MAX])
{
	char command[PATH_MAX + 128];
	Dl_info info;

	snprintf(dir, 64, "/tmp/notrap-windows-XXXXXX");
	if (!mkdtemp(dir) || !dladdr((void *)strtok, &info))
		return false;
	snprintf(path, PATH_MAX, "%s/libc.so.6", dir);
	snprintf(command, sizeof(command), "cp -L '%s' '%s'", info.dli_fname, path);
	return !system(command) && !setenv("LD_LIBRARY_PATH", dir, 1);
}

int main(int argc, char **argv)
{
	const char *seed = getenv("NT_SEED");
	int rounds = getenv("NT_SOAK") ? ROUNDS_LONG : ROUNDS;
	char dir[64], path[PATH_MAX], command[128];
	struct victim_io v = { 0 };
	struct places places = { 0 };
	struct all a;
	bool ok = true;

	if (argc < 2)
		return 99;
	state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15ull;
	printf("# NT_SEED=%#llx\n", (unsigned long long)state);
	if (!tap_ok(private_libc(dir, path) && !victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, true), "a victim"))
		return tap_done();
	unsetenv("LD_LIBRARY_PATH");
	ok = places_find(path, &places);
	tap_ok(ok, "%u places in %s need such windows", places.n, path);
	keep_hot(&a, &v, path, &places);
	tap_ok(places.n > 100 && places.evict > 20, "%u of them are on its way, %u with room made elsewhere", places.n, places.evict);
	for (int i = 0; i < rounds && ok && places.n; i++) {
		if (i % 10 == 0)
			victim_tell(&v, "run 150");
		ok = one_round(&a, &v, path, &places);
		if (i % 10 == 9) {
			snprintf(command, sizeof(command), "run 150");
			ok = ok && all_answer(&a, &v, command);
		}
	}
	tap_ok(ok, "%d times %d of them: every result was right", rounds, EACH);
	tap_ok(hits_of(&a) > 1000, "%llu hits", (unsigned long long)hits_of(&a));
	all_close(&a);
	tap_ok(victim_do(&v, "run 100"), "it goes on without");
	tap_eq(victim_end(&v), 0, "and ends well");
	snprintf(command, sizeof(command), "rm -r %s", dir);
	tap_ok(!system(command), "its C library is removed");
	return tap_done();
}
