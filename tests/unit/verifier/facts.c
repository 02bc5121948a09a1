/* SPDX-License-Identifier: MIT */
/* What the JIT is told: true on every path, also on those that were cut off. */
#include "tap.h"

#include "asm.h"
#include "verifier/verifier.h"

enum { ARRAY, ARRAY2, HASH, PERCPU, RING, DATA, NMAPS };

static const struct verifier_map maps[NMAPS] = {
    [ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 48, 16, 0, NULL},
    [ARRAY2] = {BPF_MAP_TYPE_ARRAY, 4, 48, 16, 0, NULL},
    [HASH] = {BPF_MAP_TYPE_HASH, 4, 48, 16, 0, NULL},
    [PERCPU] = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 4, 0, NULL},
    [RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, NULL},
    [DATA] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, NULL},
};

static bool check(const struct bpf_insn *insns, u32 n, const char *name,
		  struct verifier_result *ret)
{
	struct verifier_prog prog = {.insns = insns,
				     .n = n,
				     .prog_type = BPF_PROG_TYPE_KPROBE,
				     .maps = maps,
				     .nmaps = NMAPS};
	struct verifier_log log = {.level = 2};
	int r = verifier_check(&prog, &log, ret);

	if (!tap_eq(r, 0, "%s: accepted", name))
		printf("# %s\n", log.buf);
	free(log.buf);
	return r == 0;
}

static void test_memory(void)
{
	const struct bpf_insn p[] = {
	    MOV(R6, R1), /* 0 */
	    STI(4, R10, -4, 3),
	    MOV(R2, R10),
	    ADDI(R2, -4), /* 1 */
	    LDMAP(R1, ARRAY),
	    CALL(BPF_FUNC_map_lookup_elem), /* 4 */
	    JI(BPF_JEQ, R0, 0, 1),
	    LD(8, R1, R0, 0), /* 7 */
	    STI(4, R10, -4, 1),
	    MOV(R2, R10),
	    ADDI(R2, -4), /* 9 */
	    LDMAP(R1, PERCPU),
	    CALL(BPF_FUNC_map_lookup_elem), /* 12 */
	    JI(BPF_JEQ, R0, 0, 1),
	    LD(8, R1, R0, 8), /* 15 */
	    LDVAL(R1, DATA, 8),
	    STI(8, R1, 0, 1), /* 17 */
	    LDMAP(R1, RING),
	    MOVI(R2, 16),
	    MOVI(R3, 0),
	    CALL(BPF_FUNC_ringbuf_reserve), /* 20 */
	    JI(BPF_JEQ, R0, 0, 4),
	    STI(8, R0, 0, 1), /* 25 */
	    MOV(R1, R0),
	    MOVI(R2, 0),
	    CALL(BPF_FUNC_ringbuf_submit), /* 27 */
	    LD(8, R0, R6, 112),
	    LD(4, R0, R6, 36), /* 30 */
	    RET(0),	       /* 32 */
	};
	struct verifier_result r = {0};

	if (!check(p, 34, "memory", &r))
		return;
	tap_ok(r.insn[1].mem == VMEM_STACK, "store to the stack");
	tap_ok(r.insn[6].map_known && r.insn[6].map_index == ARRAY, "look-up: the map");
	tap_ok(r.insn[6].key_known && r.insn[6].key == 3,
	       "look-up: the key, in the upper half of a slot");
	tap_ok(r.insn[8].mem == VMEM_MAP && r.insn[8].map_known && r.insn[8].map_index == ARRAY,
	       "load from a value");
	tap_ok(r.insn[14].key_known && r.insn[14].key == 1 && r.insn[14].map_index == PERCPU,
	       "look-up in a per-CPU array");
	tap_ok(r.insn[16].mem == VMEM_PERCPU_MAP && r.insn[16].map_index == PERCPU,
	       "load from a per-CPU value");
	tap_ok(r.insn[19].mem == VMEM_MAP && r.insn[19].map_index == DATA, "store to global data");
	tap_ok(r.insn[26].mem == VMEM_RINGBUF, "store to a record");
	tap_ok(r.insn[30].mem == VMEM_CTX, "load from ctx");
	tap_eq(r.ctx_read, 1ull << 14 | 1ull << 4, "registers that are read");
	tap_ok(r.uses_ringbuf, "uses the ring buffer");
	tap_ok(r.helpers[0] & 2 && r.helpers[131 / 32] >> (131 % 32) & 1 && !(r.helpers[0] & 4),
	       "helpers that are called");
	tap_eq(r.insn[0].stack_depth, 8, "stack depth, rounded up");
	tap_eq(r.stack_total, 16, "stack of all");
	verifier_result_deinit(&r);
}

/* r2 bits choose; the padding makes a checkpoint behind the choice, so the second path arrives at a
 * proven state. */
#define PAD()                                                                                      \
	MOVI(R4, 0), MOVI(R4, 0), MOVI(R4, 0), MOVI(R4, 0), JI(BPF_JSET, R7, 2, 0),                \
	    JI(BPF_JSET, R7, 4, 0), JI(BPF_JSET, R7, 8, 0)

static void test_paths(void)
{
	const struct bpf_insn key[] = {
	    LD(8, R7, R1, 0),
	    MOVI(R3, 5),
	    JI(BPF_JSET, R7, 1, 1),
	    MOVI(R3, 4),
	    ST(4, R10, -4, R3),
	    PAD(), /* 0 */
	    MOV(R2, R10),
	    ADDI(R2, -4),
	    LDMAP(R1, ARRAY),
	    CALL(BPF_FUNC_map_lookup_elem), /* 12 */
	    RET(0),			    /* 17 */
	};
	const struct bpf_insn map[] = {
	    LD(8, R7, R1, 0),	   LDMAP(R1, ARRAY),   JI(BPF_JSET, R7, 1, 2),
	    LDMAP(R1, ARRAY2),	   STI(4, R10, -4, 1), PAD(),			       /* 0 */
	    MOV(R2, R10),	   ADDI(R2, -4),       CALL(BPF_FUNC_map_lookup_elem), /* 14 */
	    JI(BPF_JEQ, R0, 0, 1), LD(8, R1, R0, 0),   RET(0),			       /* 17 */
	};
	const struct bpf_insn mixed[] = {
	    LD(8, R7, R1, 0),	    LDVAL(R2, DATA, 0),
	    JI(BPF_JSET, R7, 1, 2), MOV(R2, R10),
	    ADDI(R2, -8),	    PAD(),  /* 0 */
	    STI(8, R2, 0, 1),	    RET(0), /* 13 */
	};
	struct verifier_result r = {0};

	if (check(key, 19, "keys by path", &r)) {
		tap_ok(!r.insn[16].key_known, "two paths, two keys: none is told");
		tap_ok(r.insn[16].map_known, "but one map");
		verifier_result_deinit(&r);
	}
	if (check(map, 21, "maps by path", &r)) {
		tap_ok(!r.insn[16].map_known, "two paths, two maps: none is told");
		tap_ok(r.insn[16].key_known && r.insn[16].key == 1, "but one key");
		tap_ok(r.insn[18].mem == VMEM_MAP && !r.insn[18].map_known,
		       "a value of some array");
		verifier_result_deinit(&r);
	}
	if (check(mixed, 16, "memory by path", &r)) {
		tap_ok(r.insn[13].mem == VMEM_MIXED, "two paths, two kinds of memory");
		verifier_result_deinit(&r);
	}
}

/* A context that leaves the verifier's sight may be read anywhere: all of it has to be there. */
static void test_ctx_escapes(void)
{
	static const struct {
		const char *name;
		bool escapes;
		struct bpf_insn insn[12];
		u32 n;
	} c[] = {
	    {"read by a helper from a number", true,
	     {MOV(R3, R1), ADDI(R3, 112), MOV(R1, R10), ADDI(R1, -8), MOVI(R2, 8), CALL(113), RET(0)}, 8},
	    {"cookie", false, {CALL(174), RET(0)}, 3},
	    {"func_ip", false, {CALL(173), RET(0)}, 3},
	    {"stored in a value", true, {LDVAL(R2, DATA, 0), ST(8, R2, 0, R1), RET(0)}, 5},
	    {"spilled and loaded", false, {ST(8, R10, -8, R1), LD(8, R1, R10, -8), LD(8, R0, R1, 0), EXIT()}, 4},
	    {"half of it", true, {MOV32(R2, R1), RET(0)}, 3},
	    {"its distance", true, {MOV(R2, R10), ALU(BPF_SUB, R2, R1), RET(0)}, 4},
	};

	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct verifier_result r = {0};

		if (!check(c[i].insn, c[i].n, c[i].name, &r))
			continue;
		tap_eq(r.ctx_read == ~0ull, c[i].escapes, "%s: all of ctx may be read, or not", c[i].name);
		verifier_result_deinit(&r);
	}
}

static void test_functions(void)
{
	const struct bpf_insn p[] = {
	    STI(8, R10, -16, 0),
	    CALLF(3),
	    CALLF(5),
	    MOVI(R0, 0),
	    EXIT(), /* 0 */
	    STI(8, R10, -40, 0),
	    RET(0), /* 5 */
	    MOVI(R1, 0),
	    JI(BPF_JEQ, R1, 0, 1),
	    CALL(195896080), /* 8 */
	    STI(1, R10, -1, 0),
	    RET(0), /* 11 */
	};
	struct verifier_result r = {0};

	if (!check(p, sizeof(p) / sizeof(p[0]), "functions", &r))
		return;
	tap_eq(r.insn[0].stack_depth, 16, "main's stack");
	tap_eq(r.insn[5].stack_depth, 40, "first function's stack");
	tap_eq(r.insn[8].stack_depth, 8, "second function's stack");
	tap_eq(r.stack_total, 64, "the worst chain");
	tap_ok(r.insn[9].seen && !r.insn[10].seen && r.insn[11].seen, "dead code is known as dead");
	verifier_result_deinit(&r);
}

static void test_limits(void)
{
	struct verifier_prog prog = {.insns = NULL, .n = 0, .prog_type = BPF_PROG_TYPE_KPROBE};
	struct verifier_log log = {0};
	struct verifier_result r = {.stack_total = 77};
	struct bpf_insn bad = EXIT();

	tap_eq(verifier_check(&prog, &log, &r), -7, "no instructions: -E2BIG");
	prog.n = EBPF_MAX_INSNS + 1;
	tap_eq(verifier_check(&prog, &log, &r), -7, "too many: -E2BIG");
	prog.insns = &bad;
	prog.n = 1;
	tap_ok(verifier_check(&prog, &log, &r) == -13 && r.stack_total == 77 && !log.buf,
	       "a refusal leaves the result alone");
	log.level = 4;
	verifier_check(&prog, &log, &r);
	tap_ok(log.buf && strstr(log.buf, "processed 1 insns (limit 1000000)") &&
		   !strstr(log.buf, "(95)"),
	       "level 4: numbers, no instructions");
	free(log.buf);
}

int main(void)
{
	test_memory();
	test_paths();
	test_functions();
	test_ctx_escapes();
	test_limits();
	return tap_done();
}
