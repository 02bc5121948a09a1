/* SPDX-License-Identifier: MIT */
/*
 * Entry probes on instructions of a Go program, wherever they stand: a few hundred at a time, chosen by the seed (NT_SEED),
 * in every part of it. Its results must stay the same; flags, registers, and a stack that is as small as the linker made it
 * are at stake.
 *
 *     insns_test VICTIM
 */
#include <bpf/libbpf.h>

#include "all.h"
#include "all.skel.h"
#include "common/functions.h"
#include "patch/plan.h"
#include "tap.h"
#include "util/elf.h"

enum { SITES = 3000, ROUNDS = 12, ROUNDS_LONG = 400 };

static uint64_t state;

static uint32_t random_u32(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33);
}

struct insns {
	unsigned long *off;
	size_t n;
};

static bool insns_find(const char *path, struct insns *ret)
{
	struct patch_binary *b = NULL;
	struct util_elf *elf = NULL;
	u64 off;

	*ret = (struct insns){ .off = calloc(8u << 20, sizeof(*ret->off)) };
	if (util_elf_open(path, &elf) || patch_binary_new(util_elf_desc(elf), &b) || !ret->off)
		return false;
	for (u64 a = 0; !patch_binary_next_insn(b, a, &a) && ret->n < 8u << 20; a++)
		if (!util_elf_offset(elf, a, &off))
			ret->off[ret->n++] = off;
	patch_binary_free(b);
	util_elf_close(elf);
	return ret->n > 0;
}

static struct bpf_link *attach_some(struct all *a, const char *path, const struct insns *all, pid_t pid)
{
	unsigned long off[SITES];
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cnt = SITES, .offsets = off);

	for (size_t i = 0; i < SITES; i++)
		off[i] = all->off[random_u32() % all->n];
	return bpf_program__attach_uprobe_multi(a->skel->progs.on_entry, pid, path, NULL, &opts);
}

int main(int argc, char **argv)
{
	const char *seed = getenv("NT_SEED");
	int rounds = getenv("NT_SOAK") ? ROUNDS_LONG : ROUNDS;
	struct victim_io v = { 0 };
	struct insns all = { 0 };
	uint64_t in, out;
	struct all a;
	bool ok = true;

	if (argc < 2)
		return 99;
	state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15ull;
	printf("# NT_SEED=%#llx\n", (unsigned long long)state);
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, true) && all_add(&a, argv[1]) &&
			    all_do(&a, &v, "run 4 40") && insns_find(argv[1], &all),
		    "the program starts"))
		return tap_done();
	for (int i = 0; i < rounds && ok; i++) {
		struct bpf_link *l = attach_some(&a, argv[1], &all, v.pid);

		ok = l && all_do(&a, &v, "run 4 40");
		victim_tell(&v, "run 4 40"); /* the detach comes in the middle */
		bpf_link__destroy(l);
		ok = ok && all_answer(&a, &v, "run 4 40");
	}
	tap_ok(ok, "%d times %d of its %zu instructions: the results stay the same", rounds, SITES, all.n);
	all_sum(&a, 0, &in, &out);
	printf("# %llu hits\n", (unsigned long long)in);
	tap_ok(in > 100000, "they were hit");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "it ends well");
	free(all.off);
	return tap_done();
}
