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

#include "ebpf/disasm.h"
#include "ebpf/interp.h"
#include "gen.h"
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
struct helper_state {
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

static void run(const struct gen_builder *b, struct gen_input *in)
{
	struct world w;
	struct interp_range range[] = {{(u64)w.ctx, (u64)w.ctx + sizeof(w.ctx), false},
				       {(u64)&w.array[6], (u64)&w.array[12], true},
				       {(u64)w.data, (u64)w.data + sizeof(w.data), true}};
	u64 view[GEN_MAPS] = {(u64)w.array, (u64)w.data, 0},
	    base[GEN_MAPS] = {(u64)w.array, (u64)w.data, 0}, r0;
	struct helper_state h = {.w = &w, .in = in};
	struct interp it = {.insns = b->insn,
			    .n = b->n,
			    .range = range,
			    .nranges = 3,
			    .map_view = view,
			    .map_data = base,
			    .nmaps = GEN_MAPS,
			    .helper = run_helper,
			    .arg = &h,
			    .max_insns = EBPF_MAX_INSNS};
	u32 i;
	int r;

	memset(&w, 0, sizeof(w));
	for (i = 0; i < 21; i++)
		w.ctx[i] = gen_number(in);
	r = interp_run(&it, (u64)w.ctx, &r0);
	if (r || h.bad)
		fail(b, "an accepted program failed", r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gen_builder b = {0};
	struct gen_input in = {.data = data, .n = size, .state = size * 0x9e3779b97f4a7c15ull | 1};
	struct verifier_prog prog = {
	    .insns = b.insn, .prog_type = BPF_PROG_TYPE_KPROBE, .maps = maps, .nmaps = GEN_MAPS};
	struct verifier_log log = {0};
	struct verifier_result res = {0};
	u32 i;

	gen_build(&b, &in);
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
