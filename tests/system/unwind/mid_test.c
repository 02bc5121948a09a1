/* SPDX-License-Identifier: MIT */
/*
 * A probe at every byte of the functions of tests/victims/funcs.S, one at a time: red zone, flags and all registers must
 * survive in the middle of a function as well. Bytes that begin no instruction are refused.
 *
 *     mid_test COUNTER_VICTIM
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "all.h"
#include "all.skel.h"
#include "common/functions.h"
#include "tap.h"

enum { CALLS = 20, LONGEST = 32 };

struct sums {
	int probed, silent, refused, odd, wrong;
};

static void probe_byte(struct all *a, struct victim_io *v, const char *victim, uint64_t offset, const char *name,
		       unsigned int at, struct sums *s)
{
	unsigned long off = offset + at;
	__u32 slot = 0;
	__u64 zero = 0, n = 0;
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cnt = 1, .offsets = &off);
	struct bpf_link *l;

	bpf_map__update_elem(a->skel->maps.entries, &slot, sizeof(slot), &zero, sizeof(zero), 0);
	l = bpf_program__attach_uprobe_multi(a->skel->progs.on_entry, v->pid, victim, NULL, &opts);
	if (!l) {
		s->refused++;
		return;
	}
	if (!victim_do(v, "run 1 20")) {
		printf("# %s+%u: wrong\n", name, at);
		s->wrong++;
	}
	bpf_link__destroy(l);
	bpf_map__lookup_elem(a->skel->maps.entries, &slot, sizeof(slot), &n, sizeof(n), 0);
	if ((n > CALLS && n % CALLS) || (!at && n != CALLS)) {
		printf("# %s+%u: %llu hits in %d calls\n", name, at, n, CALLS);
		s->odd++;
	}
	s->probed += n != 0;
	s->silent += n == 0;
}

int main(int argc, char **argv)
{
	struct victim_io v = { 0 };
	struct sums s = { 0 };
	const struct functions *fs;
	struct all a;

	if (argc < 2)
		return 99;
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, false) && all_add(&a, argv[1]),
		    "the victim starts"))
		return tap_done();
	fs = a.file[0].functions;
	for (size_t i = 0; i < fs->n && !s.wrong; i++) {
		uint64_t end = i + 1 < fs->n ? fs->fn[i + 1].offset : 0;

		if (strncmp(fs->fn[i].name, "v_", 2) || !strcmp(fs->fn[i].name, "v_call_with_carry"))
			continue;
		for (unsigned int at = 0; at < LONGEST && fs->fn[i].offset + at < end; at++)
			probe_byte(&a, &v, argv[1], fs->fn[i].offset, fs->fn[i].name, at, &s);
	}
	printf("# %d places were hit, %d were not, %d refused with an error\n", s.probed, s.silent, s.refused);
	tap_ok(!s.wrong, "every result was right");
	tap_ok(!s.odd, "every instruction was counted once per execution");
	tap_ok(s.probed >= 50, "most instructions can be probed");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "the victim ends well");
	return tap_done();
}
