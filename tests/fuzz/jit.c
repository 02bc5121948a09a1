/* SPDX-License-Identifier: MIT */
/*
 * Differential fuzzer: random valid programs, compiled code against the interpreter. R0, the
 * contents of all maps and the registers that must survive are compared. A disagreement is reduced
 * and printed.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "gen.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct jt t;
static u8 before[JT_MAX_MAPS][JT_MAP_BYTES];

static void dump(void)
{
	for (u32 i = 0; i < t.n; i++)
		printf("# %4u  code %02x dst %u src %u off %d imm %#x  @%#x\n", i, t.insn[i].code,
		       t.insn[i].dst_reg, t.insn[i].src_reg, t.insn[i].off, (u32)t.insn[i].imm,
		       t.img.insn_off ? t.img.insn_off[i] : 0);
	for (u32 i = 0; i < t.img.size; i++)
		printf("%s%02x", i % 32 ? "" : "\n# hex ", t.img.code[i]);
	printf("\n");
}

static bool run_once(void)
{
	u64 r0;

	for (u32 m = 0; m < t.nmaps; m++)
		memcpy(before[m], t.map[m].base, JT_MAP_BYTES);
	return jt_agree(&t, &r0);
}

static bool interp_ok(void)
{
	u64 r0;

	return !jt_interp(&t, &r0);
}

/* A reduced program may crash either side. */
static bool in_child(bool (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn() ? 0 : 1);
	waitpid(pid, &status, 0);
	return status == 0;
}

/* The same program, ctx and maps again, after a change: still a disagreement, and of a valid
 * program? */
static bool still_fails(void)
{
	for (u32 m = 0; m < t.nmaps; m++)
		memcpy(t.map[m].base, before[m], JT_MAP_BYTES);
	munmap(t.text, t.text_size);
	jit_image_deinit(&t.img);
	t.text = NULL;
	return in_child(interp_ok) && !jt_compile(&t) && !in_child(run_once);
}

/* Replaces whatever is not needed for the disagreement by something trivial. */
static void reduce(const struct gen *g)
{
	static u8 start[JT_MAX_MAPS][JT_MAP_BYTES];

	memcpy(start, before, sizeof(start));
	for (u32 i = g->body; i < t.n; i++) {
		struct bpf_insn old = t.insn[i];
		u8 class = BPF_CLASS(old.code);
		struct bpf_insn simple = class == BPF_ALU || class == BPF_ALU64 || class == BPF_LDX
					     ? MOV64I(old.dst_reg, 1)
					     : JA(0);

		if (old.code == 0 || (i >= g->sub && i < g->sub_body) || class == BPF_LD ||
		    old.code == (BPF_JMP | BPF_EXIT) || old.code == (BPF_JMP | BPF_CALL))
			continue;
		t.insn[i] = simple;
		if (!still_fails())
			t.insn[i] = old;
		memcpy(before, start, sizeof(start));
	}
	still_fails();
}

static bool one_program(const u8 *data, size_t size)
{
	struct gen g;
	bool ok = true;
	int r;

	gen_init(&g, &t, data, size, 1, GEN_V4 | GEN_ACQ_REL);
	gen_program(&g, 1 + gen_below(&g, 60));
	r = jt_compile(&t);
	if (r) {
		printf("# does not compile: %d\n", r);
		ok = false;
	}
	for (u32 k = 0; ok && k < 4; k++) {
		for (u32 i = 0; i < bits_count(t.ctx); i++)
			t.ctx[i] = gen_below(&g, 2) ? gen_u64(&g) : gen_below(&g, 9);
		ok = run_once();
	}
	if (!ok && t.text) {
		reduce(&g);
		dump();
	}
	jt_deinit(&t);
	return ok;
}

/* Both runs must use the same CPU's values. */
static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static bool pinned;

	if (!pinned)
		pin();
	pinned = true;
	if (!one_program(data, size))
		abort();
	return 0;
}
