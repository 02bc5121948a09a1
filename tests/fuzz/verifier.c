/* SPDX-License-Identifier: MIT */
/*
 * Soundness by execution: programs built from the input (arithmetic on unknown numbers, branches,
 * spills, indexes into maps and the stack, helpers with sizes) go through the verifier; what it
 * accepts is run by the interpreter, which checks every access, on several contexts. An access
 * outside, an instruction that was said to be dead or to touch other memory, a run longer than the
 * verifier's own limit, a register or spilled value that lies in no state that the walk had at that
 * instruction: all are bugs of the verifier.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/disasm.h"
#include "ebpf/interp.h"
#include "gen.h"
#include "verifier/state.h"
#include "verifier/verifier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RUNS 6u

static const struct verifier_map maps[GEN_MAPS] = {
    [GEN_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, 0, NULL},
    [GEN_DATA] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, NULL},
    [GEN_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, NULL},
};

struct world {
	u64 ctx[21];
	u64 array[4 * 6]; /* four elements of 48 bytes */
	u64 data[8];
};

/* Only what the programs above call. Sizes are not checked here: writing past the end is for a
 * sanitizer to see, and the checks below look at the argument. */
struct witness;

struct helper_state {
	const struct witness *witness;
	struct world *w;
	struct gen_input *in;
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
	memset((void *)args[0], (int)gen_below(h->in, 256), args[1]);
	*ret = id == BPF_FUNC_probe_read_user_str
		   ? (args[1] && gen_below(h->in, 2) ? 1 + gen_below(h->in, (u32)args[1]) : (u64)-EFAULT)
		   : (gen_below(h->in, 2) ? 0 : (u64)-EFAULT);
	return 0;
}

static void fail(const struct gen_builder *b, const char *what, int r)
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
static void poison_dead(struct gen_builder *b, const struct verifier_result *res)
{
	u32 i;

	for (i = 0; i < b->n; i++) {
		if (!res->insn[i].seen)
			b->insn[i].code = 0xff;
		if (ebpf_insn_is_ld64(&b->insn[i]))
			i++;
	}
}

/* States that the walk has seen, per instruction. */
struct seen {
	struct vstate *st;
	u32 n;
};

struct witness {
	struct seen at[GEN_MAX_INSNS];
	const struct gen_builder *b;
	const struct world *w;
	struct helper_state *helper;
};

static void observe(void *arg, u32 insn, const struct vstate *st)
{
	struct seen *s = &((struct witness *)arg)->at[insn];

	if (!(s->n & (s->n - 1)))
		s->st = realloc(s->st, (s->n ? 2 * s->n : 1) * sizeof(*s->st));
	if (!s->st || vstate_copy(st, &s->st[s->n++]))
		abort();
}

static bool value_fits(const struct witness *wi, const struct vreg *r, u64 v, u64 fp)
{
	u64 base;

	switch (r->type) {
	case VREG_NONE: return true;
	case VREG_SCALAR: return range_has(&r->v, v);
	case VREG_CTX: base = (u64)wi->w->ctx; break;
	case VREG_STACK:
		if (!fp)
			return true;
		base = fp;
		break;
	case VREG_VALUE: base = r->map == GEN_ARRAY ? (u64)&wi->w->array[6] : (u64)wi->w->data; break;
	default: return true;
	}
	return range_has(&r->v, v - base - (u64)(s64)r->off) || (r->maybe_null && !v);
}

/* The frame pointer that a register stems from; 0: of another function, nobody knows here. */
static u64 fp_of(const struct vreg *r, u32 depth, const u64 regs[11])
{
	return r->frame == depth ? regs[10] : 0;
}

static bool state_fits(const struct witness *wi, const struct vstate *st, const u64 r[11], u32 depth)
{
	const struct vframe *f;
	u32 i;

	if (st->nframes != depth + 1)
		return false;
	f = st->frame[depth];

	for (i = 0; i < 10; i++)
		if (!value_fits(wi, &f->r[i], r[i], fp_of(&f->r[i], depth, r)))
			return false;
	for (i = 0; i < f->nslots; i++)
		if (f->slot[i].spill_size == 8 &&
		    !value_fits(wi, &f->slot[i].spill, *(const u64 *)(r[10] - 8 * (i + 1)),
				fp_of(&f->slot[i].spill, depth, r)))
			return false;
	return true;
}

/* What is in the registers now must be in one of the states that the walk had here. */
static void witness_step(void *arg, u32 insn, const u64 r[11], u32 depth)
{
	const struct witness *wi = ((struct helper_state *)arg)->witness;
	const struct seen *s = &wi->at[insn];
	u32 i;

	for (i = 0; i < s->n; i++)
		if (state_fits(wi, &s->st[i], r, depth))
			return;
	fail(wi->b, "real values that no state contains", (int)insn);
}

static void forget(struct witness *wi)
{
	u32 i, k;

	for (i = 0; i < GEN_MAX_INSNS; i++) {
		for (k = 0; k < wi->at[i].n; k++)
			vstate_deinit(&wi->at[i].st[k]);
		free(wi->at[i].st);
	}
}

static void run(const struct gen_builder *b, struct gen_input *in, struct witness *wi)
{
	struct world w;
	struct interp_range range[] = {{(u64)w.ctx, (u64)w.ctx + sizeof(w.ctx), false},
				       {(u64)&w.array[6], (u64)&w.array[12], true},
				       {(u64)w.data, (u64)w.data + sizeof(w.data), true}};
	u64 view[GEN_MAPS] = {(u64)w.array, (u64)w.data, 0},
	    base[GEN_MAPS] = {(u64)w.array, (u64)w.data, 0}, r0;
	struct helper_state h = {.w = &w, .in = in, .witness = wi};
	struct interp it = {.insns = b->insn,
			    .n = b->n,
			    .range = range,
			    .nranges = 3,
			    .map_view = view,
			    .map_data = base,
			    .nmaps = GEN_MAPS,
			    .helper = run_helper,
			    .step = wi ? witness_step : NULL,
			    .may_gotos = 100,
			    .arg = &h,
			    .max_insns = EBPF_MAX_INSNS};
	u32 i;
	int r;

	memset(&w, 0, sizeof(w));
	if (wi)
		wi->w = &w;
	for (i = 0; i < 21; i++)
		w.ctx[i] = gen_number(in);
	r = interp_run(&it, (u64)w.ctx, &r0);
	if (r || h.bad)
		fail(b, "an accepted program failed", r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gen_builder b = {0};
	struct verifier_func funcs[2] = {{0, false, "main"}, {0, true, "cb"}};
	struct gen_input in = {.data = data,
			       .n = size,
			       .state = size * 0x9e3779b97f4a7c15ull | 1,
			       .max_steps = size % 2 ? 8 : 0,
			       .counted = size % 4 < 2};
	struct verifier_prog prog = {
	    .insns = b.insn, .prog_type = BPF_PROG_TYPE_KPROBE, .maps = maps, .nmaps = GEN_MAPS};
	struct verifier_log log = {0};
	struct verifier_result res = {0};
	struct witness wi = {.b = &b}, *told = NULL;
	u32 i;

	gen_build(&b, &in);
	prog.n = b.n;
	prog.all_bodies = true;
	funcs[1].start = b.cb;
	prog.funcs = b.cb ? funcs : NULL;
	prog.nfuncs = 2;
	if (getenv("NT_SHOW"))
		log.level = 1;
	i = (u32)verifier_check(&prog, &log, &res);
	if (getenv("NT_SHOW"))
		fprintf(stderr, "verdict %d\n%s\n", (int)i, i ? log.buf : "");
	free(log.buf);
	if (i)
		return 0;
	poison_dead(&b, &res);
	verifier_result_deinit(&res);
	/* the same walk again, less hasty, with a witness */
	prog.observe = observe;
	prog.observe_arg = &wi;
	if (verifier_check(&prog, &log, &res) == 0) {
		verifier_result_deinit(&res);
		told = &wi;
	}
	for (i = 0; i < RUNS; i++)
		run(&b, &in, told);
	forget(&wi);
	return 0;
}
