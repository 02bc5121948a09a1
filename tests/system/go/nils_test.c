/* SPDX-License-Identifier: MIT */
/*
 * A probe on every instruction of Go functions that follow pointers, nil ones among them: panics are the same, and know
 * the line they come from. Some of the instructions at a time, so that they do not take each other's place.
 *
 *     nils_test VICTIM
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "all.h"
#include "all.skel.h"
#include "common/functions.h"
#include "patch/plan.h"
#include "tap.h"
#include "util/elf.h"

enum { PARTS = 29, SITES_MAX = 8192 };

struct insns {
	struct patch_binary *b;
	struct util_elf *elf;
	u64 addr[SITES_MAX];
	u32 n, refused;
};

static bool is_wanted(const char *name)
{
	return name && (!strncmp(name, "main.nil", 8) || !strncmp(name, "main.touch", 10));
}

static bool insns_find(const char *path, struct insns *ret)
{
	const struct patch_binary_desc *d;

	*ret = (struct insns){ .n = 0 };
	if (util_elf_open(path, &ret->elf) || patch_binary_new(util_elf_desc(ret->elf), &ret->b))
		return false;
	d = util_elf_desc(ret->elf);
	for (u32 i = 0; i < d->nfunc; i++) {
		struct patch_plan p;
		u64 a = d->func[i].vaddr;

		if (!is_wanted(d->func[i].name))
			continue;
		for (; !patch_binary_next_insn(ret->b, a, &a) && a < d->func[i].vaddr + d->func[i].size && ret->n < SITES_MAX; a++) {
			ret->addr[ret->n++] = a;
			patch_plan_site(ret->b, a, NULL, 0, &p);
			ret->refused += p.form == PATCH_REFUSED;
		}
	}
	return ret->n > 0;
}

static struct bpf_link *attach_part(struct all *a, const char *path, const struct insns *all, u32 part, pid_t pid)
{
	static unsigned long off[SITES_MAX];
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .offsets = off);
	u64 o;

	for (u32 i = part; i < all->n; i += PARTS)
		if (!util_elf_offset(all->elf, all->addr[i], &o))
			off[opts.cnt++] = o;
	return bpf_program__attach_uprobe_multi(a->skel->progs.on_entry, pid, path, NULL, &opts);
}

int main(int argc, char **argv)
{
	struct victim_io v = { 0 };
	static struct insns all;
	__u32 slot = 0;
	__u64 hits = 0;
	struct all a;
	bool ok = true;

	if (argc < 2)
		return 99;
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, true) && all_do(&a, &v, "run 2"),
		    "the program starts"))
		return tap_done();
	ok = insns_find(argv[1], &all);
	tap_ok(ok, "%u instructions, %u of them cannot be probed", all.n, all.refused);
	tap_ok(all.refused * 100 < all.n, "which are not many");
	for (u32 part = 0; part < PARTS && ok; part++) {
		struct bpf_link *l = attach_part(&a, argv[1], &all, part, v.pid);

		ok = l && all_do(&a, &v, "run 3");
		victim_tell(&v, "run 3"); /* the detach comes in the middle */
		bpf_link__destroy(l);
		ok = ok && all_answer(&a, &v, "run 3");
		if (!ok)
			printf("# instructions %u, %u, ...\n", part, part + PARTS);
	}
	tap_ok(ok, "every result and every panic is what it was");
	bpf_map__lookup_elem(a.skel->maps.entries, &slot, sizeof(slot), &hits, sizeof(hits), 0);
	tap_ok(hits > 3000, "%llu hits", (unsigned long long)hits);
	all_close(&a);
	patch_binary_free(all.b);
	util_elf_close(all.elf);
	tap_eq(victim_end(&v), 0, "it ends well");
	return tap_done();
}
