/* SPDX-License-Identifier: MIT */
/*
 * Soundness by execution: programs built from the input (arithmetic on unknown numbers, branches,
 * spills, indexes into maps and the stack, helpers with sizes) go through the verifier; what it
 * accepts is run by the interpreter, which checks every access, on several contexts. An access
 * outside, an instruction that was said to be dead or to touch other memory, a run longer than the
 * verifier's own limit: all are bugs of the verifier.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asm.h"
#include "ebpf/disasm.h"
#include "ebpf/interp.h"
#include "verifier/verifier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INSNS 160u
#define RUNS 6u

enum { MAP_ARRAY, MAP_DATA, MAP_RING, MAP_N };

static const struct verifier_map maps[MAP_N] = {
    [MAP_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, 0, NULL},
    [MAP_DATA] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, NULL},
    [MAP_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, NULL},
};

struct input {
	const uint8_t *data;
	size_t n, pos;
	u64 state;
};

static u32 below(struct input *in, u32 n)
{
	u32 v;

	if (in->pos + 2 <= in->n) {
		v = (u32)in->data[in->pos] << 8 | in->data[in->pos + 1];
		in->pos += 2;
		return v % n;
	}
	in->state ^= in->state << 13;
	in->state ^= in->state >> 7;
	in->state ^= in->state << 17;
	return (u32)(in->state >> 33) % n;
}

static u64 number(struct input *in)
{
	static const u64 some[] = {0,	      1,	  2,	      3,	  7,	      8,
				   15,	      16,	  31,	      32,	  40,	      47,
				   48,	      56,	  63,	      64,	  127,	      128,
				   255,	      256,	  0x7fffffff, 0x80000000, 0xffffffff, ~0ull,
				   ~0ull - 7, ~0ull - 15, 1ull << 32, 1ull << 63};
	u32 n = sizeof(some) / sizeof(some[0]);

	return below(in, 5) ? some[below(in, n)] : (u64)below(in, 65536) << below(in, 48);
}

struct builder {
	struct bpf_insn insn[MAX_INSNS];
	u32 n;
	u32 pending[MAX_INSNS], npending; /* forward jumps that have not landed */
};

static void put(struct builder *b, struct bpf_insn in)
{
	if (b->n < MAX_INSNS)
		b->insn[b->n++] = in;
}

static void put2(struct builder *b, const struct bpf_insn *in)
{
	put(b, in[0]);
	put(b, in[1]);
}

static void land(struct builder *b, struct input *in, bool all)
{
	u32 i;

	for (i = 0; i < b->npending;) {
		if (!all && below(in, 3)) {
			i++;
			continue;
		}
		b->insn[b->pending[i]].off = (s16)(b->n - b->pending[i] - 1);
		b->pending[i] = b->pending[--b->npending];
	}
}

/* R0-R5 hold numbers, R6 = ctx, R7 = element of the array, R8 = global data, R9 a number that calls
 * keep. */
static u32 num(struct input *in)
{
	return below(in, 7) == 6 ? R9 : below(in, 6);
}

static void put_alu(struct builder *b, struct input *in)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,   BPF_AND, BPF_LSH,
				 BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_AND, BPF_RSH};
	u8 op = ops[below(in, sizeof(ops))], class = below(in, 2) ? BPF_ALU64 : BPF_ALU;
	bool shift = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH,
	     div = op == BPF_DIV || op == BPF_MOD;
	s32 imm = (s32)number(in);

	if (below(in, 12) == 0) {
		put(b, INSN(class | BPF_NEG, num(in), 0, 0, 0));
	} else if (op == BPF_MOV && below(in, 2)) {
		put(b, INSN(class | BPF_MOV | BPF_X, num(in), num(in), below(in, 3) * 8, 0));
	} else if (below(in, 3)) {
		if (shift)
			imm &= class == BPF_ALU ? 31 : 63;
		if (div && !imm)
			imm = 3;
		put(b, INSN(class | op | BPF_K, num(in), 0, div ? below(in, 2) : 0, imm));
	} else {
		put(b, INSN(class | op | BPF_X, num(in), num(in), div ? below(in, 2) : 0, 0));
	}
}

static void put_branch(struct builder *b, struct input *in)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,	 BPF_JLT, BPF_JLE,
				 BPF_JSET, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
	u8 class = below(in, 2) ? BPF_JMP : BPF_JMP32, op = ops[below(in, sizeof(ops))];

	if (b->n >= MAX_INSNS)
		return;
	b->pending[b->npending++] = b->n;
	if (below(in, 3))
		put(b, INSN(class | op | BPF_K, num(in), 0, 0, number(in)));
	else
		put(b, INSN(class | op | BPF_X, num(in), num(in), 0, 0));
}

static void put_refill(struct builder *b, struct input *in)
{
	u32 size = 1u << below(in, 4), off = below(in, 168 / size) * size, d = num(in);

	if (below(in, 6) == 0 && size < 8)
		put(b, LDSX(size, d, R6, off));
	else
		put(b, LD(size, d, R6, off));
}

static void put_stack(struct builder *b, struct input *in)
{
	u32 size = below(in, 2) ? 8 : 1u << below(in, 4);
	s32 off = -(s32)(below(in, 64 / size) + 1) * (s32)size;

	switch (below(in, 5)) {
	case 0: put(b, STI(size, R10, off, number(in))); break;
	case 1:
	case 2: put(b, ST(size, R10, off, num(in))); break;
	default: put(b, LD(size, num(in), R10, off));
	}
}

/* Bound a number in one of many ways, then use it as an index. */
static void put_index(struct builder *b, struct input *in)
{
	u32 r = below(in, 6), base = below(in, 3), tmp = below(in, 6), size = 1u << below(in, 4);
	u32 span = base == 0 ? 48 : 64;
	u32 bound = below(in, span + 4);

	switch (below(in, 6)) {
	case 0: put(b, ALUI(BPF_AND, r, bound)); break;
	case 1:
	case 2:
		if (b->n < MAX_INSNS)
			b->pending[b->npending++] = b->n;
		put(b, INSN((below(in, 2) ? BPF_JMP : BPF_JMP32) |
				(below(in, 2) ? BPF_JGT : BPF_JSGT) | BPF_K,
			    r, 0, 0, bound));
		break;
	case 3: put(b, ALUI(BPF_RSH, r, 58 + below(in, 6))); break;
	case 4: put(b, INSN(BPF_ALU | BPF_AND | BPF_K, r, 0, 0, bound)); break;
	default: break; /* perhaps it is bounded already */
	}
	if (below(in, 3) == 0)
		put_alu(b, in);
	if (tmp == r)
		tmp = (r + 1) % 6;
	put(b, MOV(tmp, base == 0 ? R7 : base == 1 ? R8 : R10));
	if (base == 2)
		put(b, ADDI(tmp, -64));
	if (base == 2 && below(in, 2))
		put(b, ALUI(BPF_AND, r, -8)), size = 8;
	put(b, ALU(BPF_ADD, tmp, r));
	switch (below(in, 4)) {
	case 0: put(b, ST(size, tmp, below(in, 8), num(in))); break;
	case 1: put(b, ATOMIC(8, below(in, 2) ? BPF_ADD : BPF_ADD | BPF_FETCH, tmp, 0, r)); break;
	default: put(b, LD(size, r, tmp, below(in, 3) ? 0 : (s32)below(in, 24) - 8));
	}
	put(b, MOVI(tmp, number(in)));
}

static void put_probe_read(struct builder *b, struct input *in)
{
	u32 r = num(in), i;

	put(b, MOV(R2, r));
	if (below(in, 3))
		put(b, ALUI(BPF_AND, R2, below(in, 80)));
	put(b, MOV(R1, below(in, 3) ? R10 : R7));
	if (b->n && b->insn[b->n - 1].src_reg == R10)
		put(b, ADDI(R1, -(s32)(below(in, 12) * 8)));
	put(b, MOVI(R3, 0));
	put(b, CALL(below(in, 2) ? BPF_FUNC_probe_read_user : BPF_FUNC_probe_read_user_str));
	for (i = 1; i <= 5; i++)
		put(b, i % 2 ? MOV(i, R9) : LD(8, i, R6, i * 8));
}

static void put_loop(struct builder *b, struct input *in)
{
	u32 start, rounds = 1 + below(in, 12);

	put(b, STI(8, R10, -72, 0));
	start = b->n;
	put_alu(b, in);
	put_stack(b, in);
	put(b, LD(8, R5, R10, -72));
	put(b, ADDI(R5, 1));
	put(b, ST(8, R10, -72, R5));
	put(b, JI(BPF_JLT, R5, rounds, (s32)start - (s32)b->n - 1));
}

static void build(struct builder *b, struct input *in)
{
	u32 i, steps = 4 + below(in, 28);

	put(b, MOV(R6, R1));
	put(b, STI(4, R10, -80, 1));
	put(b, MOV(R2, R10));
	put(b, ADDI(R2, -80));
	put2(b, (struct bpf_insn[]){LDMAP(R1, MAP_ARRAY)});
	put(b, CALL(BPF_FUNC_map_lookup_elem));
	put(b, JI(BPF_JNE, R0, 0, 1));
	put(b, EXIT());
	put(b, MOV(R7, R0));
	put2(b, (struct bpf_insn[]){LDVAL(R8, MAP_DATA, 0)});
	for (i = 0; i <= 5; i++)
		put(b, LD(8, i, R6, i * 8));
	put(b, LD(8, R9, R6, 48));
	for (i = 0; i < steps && b->n < MAX_INSNS - 30; i++) {
		switch (below(in, 16)) {
		case 0:
		case 1:
		case 2: put_branch(b, in); break;
		case 3: put_refill(b, in); break;
		case 4:
		case 5:
		case 6: put_stack(b, in); break;
		case 7:
		case 8:
		case 9: put_index(b, in); break;
		case 10: put_probe_read(b, in); break;
		case 11: put_loop(b, in); break;
		default: put_alu(b, in);
		}
		land(b, in, false);
	}
	land(b, in, true);
	put(b, MOVI(R0, 0));
	put(b, EXIT());
}

struct world {
	u64 ctx[21];
	u64 array[4 * 6]; /* four elements of 48 bytes */
	u64 data[8];
};

/* Only what the programs above call. Sizes are not checked here: writing past the end is for a
 * sanitizer to see, and the checks below look at the argument. */
struct helper_state {
	struct world *w;
	struct input *in;
	bool bad;
};

static bool inside(const struct helper_state *h, u64 p, u64 n)
{
	u64 array = (u64)h->w->array, data = (u64)h->w->data;

	return (p >= array && p + n <= array + sizeof(h->w->array)) ||
	       (p >= data && p + n <= data + sizeof(h->w->data));
}

static int run_helper(void *arg, u32 id, const u64 args[5], u64 *ret)
{
	struct helper_state *h = arg;

	if (id == BPF_FUNC_map_lookup_elem) {
		*ret = (u64)&h->w->array[6];
		return 0;
	}
	/* probe_read: the destination is map memory or the interpreter's stack, which lies
	 * elsewhere */
	if (args[1] > 80) {
		h->bad = true;
		return -EPROTO;
	}
	if (args[0] >= (u64)h->w && args[0] < (u64)(h->w + 1) && !inside(h, args[0], args[1])) {
		h->bad = true;
		return -EPROTO;
	}
	memset((void *)args[0], (int)below(h->in, 256), args[1]);
	*ret = id == BPF_FUNC_probe_read_user_str
		   ? (args[1] && below(h->in, 2) ? 1 + below(h->in, (u32)args[1]) : (u64)-EFAULT)
		   : (below(h->in, 2) ? 0 : (u64)-EFAULT);
	return 0;
}

static void fail(const struct builder *b, const char *what, int r)
{
	char text[EBPF_DISASM_MAX];
	u32 i;

	fprintf(stderr, "%s (%d)\n", what, r);
	for (i = 0; i < b->n; i++) {
		ebpf_disasm(&b->insn[i], text, sizeof(text));
		fprintf(stderr, "%u: %s\n", i, text);
		i += ebpf_insn_is_ld64(&b->insn[i]);
	}
	abort();
}

/* Dead code must be dead: make every instruction that no path reaches one that ends the run with an
 * error. */
static void poison_dead(struct builder *b, const struct verifier_result *res)
{
	u32 i;

	for (i = 0; i < b->n; i++) {
		if (!res->insn[i].seen)
			b->insn[i].code = 0xff;
		if (ebpf_insn_is_ld64(&b->insn[i]))
			i++;
	}
}

static void run(const struct builder *b, struct input *in)
{
	struct world w;
	struct interp_range range[] = {{(u64)w.ctx, (u64)w.ctx + sizeof(w.ctx), false},
				       {(u64)&w.array[6], (u64)&w.array[12], true},
				       {(u64)w.data, (u64)w.data + sizeof(w.data), true}};
	u64 view[MAP_N] = {(u64)w.array, (u64)w.data, 0},
	    base[MAP_N] = {(u64)w.array, (u64)w.data, 0}, r0;
	struct helper_state h = {.w = &w, .in = in};
	struct interp it = {.insns = b->insn,
			    .n = b->n,
			    .range = range,
			    .nranges = 3,
			    .map_view = view,
			    .map_data = base,
			    .nmaps = MAP_N,
			    .helper = run_helper,
			    .arg = &h,
			    .max_insns = EBPF_MAX_INSNS};
	u32 i;
	int r;

	memset(&w, 0, sizeof(w));
	for (i = 0; i < 21; i++)
		w.ctx[i] = number(in);
	r = interp_run(&it, (u64)w.ctx, &r0);
	if (r || h.bad)
		fail(b, "an accepted program failed", r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct builder b = {0};
	struct input in = {.data = data, .n = size, .state = size * 0x9e3779b97f4a7c15ull | 1};
	struct verifier_prog prog = {
	    .insns = b.insn, .prog_type = BPF_PROG_TYPE_KPROBE, .maps = maps, .nmaps = MAP_N};
	struct verifier_log log = {0};
	struct verifier_result res = {0};
	u32 i;

	build(&b, &in);
	prog.n = b.n;
	if (getenv("NT_SHOW"))
		log.level = 1;
	i = (u32)verifier_check(&prog, &log, &res);
	if (getenv("NT_SHOW"))
		fprintf(stderr, "verdict %d\n%s\n", (int)i, i ? log.buf : "");
	free(log.buf);
	if (i)
		return 0;
	poison_dead(&b, &res);
	for (i = 0; i < RUNS; i++)
		run(&b, &in);
	verifier_result_deinit(&res);
	return 0;
}
