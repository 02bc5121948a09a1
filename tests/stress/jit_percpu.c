/* SPDX-License-Identifier: MIT */
/*
 * `v += 1` on a per-CPU value by threads that all believe to be on the same CPU, as a thread does
 * that is migrated between reading the CPU number and the add: not one count may be lost. The map
 * has one CPU, so there is no escape.
 */
#include <pthread.h>

#include "base/bits.h"
#include "harness.h"
#include "tap.h"

enum { THREADS = 4, HITS = 200000 };

static struct jt t;

static void *hit(void *arg)
{
	u64 (*prog)(void *ctx) = (u64(*)(void *))(uintptr_t)(t.text + t.img.entry);

	for (u32 i = 0; i < HITS; i++)
		prog(&t.ctx[4]);
	return NULL;
}

static void count(const char *name, const struct bpf_insn *x, u32 n, u32 call)
{
	pthread_t thread[THREADS];
	u64 v;

	jt_init(&t, x, n);
	jt_map(&t, BPF_MAP_TYPE_PERCPU_ARRAY, 8, 1, 1);
	jt_fact_lookup(&t, call, 0, 0);
	t.fact[call + 2].mem = t.fact[call + 4].mem = VMEM_PERCPU_MAP;
	if (!tap_eq(jt_compile(&t), 0, "%s: compiles", name))
		return;
	for (u32 i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, hit, NULL);
	for (u32 i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	memcpy(&v, t.map[0].base + t.map[0].data_off, 8);
	tap_eq(v, (u64)THREADS * HITS, "%s: every count is there", name);
	jt_deinit(&t);
}

int main(void)
{
	const struct bpf_insn plain[] = {ST(BPF_W, 10, -4, 0),
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
	const struct bpf_insn live[] = {ST(BPF_W, 10, -4, 0),
					MOV64(2, 10),
					ALU64I(BPF_ADD, 2, -4),
					LD_MAP(1, 0),
					CALL(1),
					JMPI(BPF_JEQ, 0, 0, 4),
					LDX(BPF_DW, 1, 0, 0),
					ALU64I(BPF_ADD, 1, 1),
					STX(BPF_DW, 0, 0, 1),
					MOV64(0, 1),
					EXIT(),
					MOV64I(0, 0),
					EXIT()};

	count("counter", plain, bits_count(plain), 5);
	count("counter whose value is used", live, bits_count(live), 5);
	return tap_done();
}
