/* SPDX-License-Identifier: MIT */
/* The real verifier in front: its facts lead to the same code as hand-made ones, and random
 * programs still agree. */
#include <sched.h>

#include "gen.h"
#include "machine.h"

#include "base/bits.h"
#include "tap.h"
#include "verifier/verifier.h"

static struct jt t;

/* Replaces the facts of t by the verifier's. */
static int verify(void)
{
	struct verifier_map maps[JT_MAX_MAPS];
	struct verifier_prog prog = {.insns = t.insn,
				     .n = t.n,
				     .prog_type = BPF_PROG_TYPE_KPROBE,
				     .maps = maps,
				     .nmaps = t.nmaps};
	struct verifier_log log = {.level = 1};
	struct verifier_result facts = {0};
	int r;

	for (u32 i = 0; i < t.nmaps; i++)
		maps[i] = (struct verifier_map){.type = t.map[i].type,
						.key_size = t.map[i].key_size,
						.value_size = t.map[i].value_size,
						.max_entries = t.map[i].max_entries};
	r = verifier_check(&prog, &log, &facts);
	if (r)
		printf("# refused, %d: %.200s\n", r,
		       !log.buf		       ? ""
		       : strlen(log.buf) > 200 ? log.buf + strlen(log.buf) - 200
					       : log.buf);
	else
		memcpy(t.fact, facts.insn, t.n * sizeof(*t.fact));
	verifier_result_deinit(&facts);
	free(log.buf);
	return r;
}

static void counter(u32 type, u32 ncpus, const char *want)
{
	const struct bpf_insn x[] = {ST(BPF_W, 10, -4, 0),
				     MOV64(2, 10),
				     ALU64I(BPF_ADD, 2, -4),
				     LD_MAP(1, 0),
				     CALL(1),
				     JMPI(BPF_JEQ, 0, 0, 3),
				     LDX(BPF_DW, 1, 0, 0),
				     ALU64I(BPF_ADD, 1, 1),
				     STX(BPF_DW, 0, 0, 1),
				     MOV64I(0, 0),
				     EXIT()};
	char got[256];
	u64 r0;

	jt_init(&t, x, bits_count(x));
	jt_map(&t, type, 8, 8, ncpus);
	if (!tap_eq(verify(), 0, "counter: verified") ||
	    !tap_eq(jt_compile(&t), 0, "counter: compiled"))
		return;
	if (machine_arch == JIT_X86_64)
		tap_ok(!strcmp(jt_hex(&t, got, sizeof(got)), want), "counter: %s", want);
	tap_ok(jt_agree(&t, &r0) && r0 == 0, "counter: counts");
	jt_deinit(&t);
}

static void random_programs(u32 runs)
{
	const u32 seed = 99;
	u32 k, taken = 0;

	for (k = 0; k < runs; k++) {
		struct gen g;
		bool ok = true;
		u64 r0;

		gen_init(&g, &t, NULL, 0, (seed + k) * 0x9e3779b97f4a7c15ull, GEN_V4 | GEN_VERIFY);
		gen_program(&g, gen_below(&g, 40));
		if (!verify()) {
			taken++;
			ok = !jt_compile(&t);
			for (u32 run = 0; ok && run < 4; run++) {
				for (u32 i = 0; i < bits_count(t.ctx); i++)
					t.ctx[i] =
					    gen_below(&g, 2) ? gen_u64(&g) : gen_below(&g, 9);
				ok = jt_agree(&t, &r0);
			}
		}
		jt_deinit(&t);
		if (!ok)
			break;
	}
	tap_eq(k, runs, "%u random programs agree, seed %u", runs, seed);
	tap_ok(taken * 10 > runs * 9, "nearly all of them are taken: %u", taken);
}

/* Argument: number of random programs. */
int main(int argc, char **argv)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set); /* both runs use the same per-CPU values */
	counter(BPF_MAP_TYPE_ARRAY, 1, "488b05e9ffffff4883000131c0c3");
	counter(BPF_MAP_TYPE_PERCPU_ARRAY, 4,
		"f30fc7f883e00348c1e007480305defffffff04883000131c0c3");
	random_programs(argc > 1 ? (u32)atoi(argv[1]) : 1500);
	return tap_done();
}
