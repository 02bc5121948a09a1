/* SPDX-License-Identifier: MIT */
/*
 * Backward analysis. Which registers and which words of the stack frame may still be read. An
 * instruction whose only effect is a register or a word that nobody reads does not count as a
 * reader itself, so whole chains die: the key of an inlined look-up, the pointer to it, and with
 * them the stack frame.
 */
#include "jit/prog.h"

#include "base/bits.h"

enum { LIVE_MAX_SWEEPS = 64 };

static void words_set(struct jit_words *w, s32 lo, s32 hi)
{
	for (s32 b = bits_max(lo, 0); b < bits_min(hi, 128); b++)
		w->w[b >> 6] |= 1ull << (b & 63);
}

/* Words of which bytes [R10 + off, + size) touch any part; those it covers entirely. */
static void words_touched(struct jit_words *w, s32 off, s32 size)
{
	words_set(w, (off + 512) >> 2, (off + 512 + size + 3) >> 2);
}

static void words_covered(struct jit_words *w, s32 off, s32 size)
{
	words_set(w, (off + 512 + 3) >> 2, (off + 512 + size) >> 2);
}

bool jit_words_meet(const struct jit_words *a, const struct jit_words *b)
{
	return (a->w[0] & b->w[0]) | (a->w[1] & b->w[1]);
}

bool jit_words_any(const struct jit_words *a)
{
	return a->w[0] | a->w[1];
}

static void words_or(struct jit_words *a, const struct jit_words *b)
{
	a->w[0] |= b->w[0];
	a->w[1] |= b->w[1];
}

static void effect_read(struct jit_effect *e, s16 base, s32 off, s32 size)
{
	if (base == JIT_MAYBE_STACK)
		e->reads_all = true;
	else if (base != JIT_NOT_STACK)
		words_touched(&e->rd, base + off, size);
}

static void effect_write(const struct jit_prog *p, u32 i, struct jit_effect *e)
{
	const struct bpf_insn *insn = &p->insns[i];
	s16 base = p->flow[i].fp_off[insn->dst_reg];
	s32 off = base + insn->off, size = (s32)jit_size(insn);

	e->use |= (u16)(1u << insn->dst_reg);
	if (base == JIT_NOT_STACK || base == JIT_MAYBE_STACK || off < -EBPF_MAX_STACK ||
	    off + size > 0) {
		e->side = true;
		return;
	}
	e->side = jit_func_of(p, i)->escapes;
	words_touched(&e->wr, off, size);
	words_covered(&e->kill, off, size);
}

static void effect_atomic(const struct jit_prog *p, u32 i, struct jit_effect *e)
{
	const struct bpf_insn *insn = &p->insns[i];
	u16 dst = (u16)(1u << insn->dst_reg), src = (u16)(1u << insn->src_reg);

	e->side = true;
	if (insn->imm == JIT_ATOMIC_LOAD_ACQ) {
		e->use = src;
		e->def = dst;
		effect_read(e, p->flow[i].fp_off[insn->src_reg], insn->off, (s32)jit_size(insn));
		return;
	}
	e->use = dst | src;
	effect_read(e, p->flow[i].fp_off[insn->dst_reg], insn->off, (s32)jit_size(insn));
	if (insn->imm == BPF_CMPXCHG) {
		e->use |= 1;
		e->def = 1;
	} else if (insn->imm & BPF_FETCH && insn->imm != JIT_ATOMIC_STORE_REL) {
		e->def = src;
	}
}

static void effect_lookup(const struct jit_prog *p, u32 i, struct jit_effect *e)
{
	const struct jit_note *note = &p->note[i];

	switch (note->key) {
	case JIT_KEY_PTR:
		e->use = 1u << 2;
		effect_read(e, p->flow[i].fp_off[2], 0, 4);
		break;
	case JIT_KEY_STACK:
		e->use = 1u << JIT_FP;
		effect_read(e, 0, note->key_off, 4);
		break;
	case JIT_KEY_R0: e->use = 1; break;
	}
}

static void effect_call(const struct jit_prog *p, u32 i, struct jit_effect *e)
{
	e->def = JIT_CALLER_REGS;
	switch (p->note[i].action) {
	case JIT_LOOKUP: effect_lookup(p, i, e); return;
	case JIT_NULL:
	case JIT_SMP_ID: return;
	case JIT_COOKIE:
	case JIT_FUNC_IP:
	case JIT_ARG: e->use = 1u << 1; return;
	case JIT_IS_RETURN:
	case JIT_SESSION: return;
	}
	e->side = true;
	e->use = JIT_ARG_REGS;
	/* A helper reads upwards from the pointers it gets. */
	for (u32 r = 1; r <= 5; r++)
		effect_read(e, p->flow[i].fp_off[r], 0, EBPF_MAX_STACK * 2);
}

static void effect_alu(const struct bpf_insn *insn, struct jit_effect *e)
{
	u8 op = BPF_OP(insn->code);

	e->def = (u16)(1u << insn->dst_reg);
	if (op != BPF_MOV)
		e->use |= e->def;
	if (BPF_SRC(insn->code) == BPF_X && op != BPF_END)
		e->use |= (u16)(1u << insn->src_reg);
}

static void effect_jump(const struct jit_prog *p, u32 i, struct jit_effect *e)
{
	const struct bpf_insn *insn = &p->insns[i];

	if (BPF_OP(insn->code) == BPF_CALL) {
		effect_call(p, i, e);
		return;
	}
	e->side = true;
	if (BPF_OP(insn->code) == BPF_EXIT) {
		e->use = 1;
	} else if (insn->code == JIT_MAY_GOTO) {
		e->use = 1u << JIT_FP;
	} else if (jit_is_cond(insn) && (p->note[i].action == JIT_PLAIN || p->note[i].action == JIT_UNLESS)) {
		e->use = (u16)(1u << insn->dst_reg);
		if (BPF_SRC(insn->code) == BPF_X)
			e->use |= (u16)(1u << insn->src_reg);
	}
}

void jit_effect_get(const struct jit_prog *p, u32 i, struct jit_effect *ret)
{
	const struct bpf_insn *insn = &p->insns[i];
	struct jit_effect e = {0};

	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: effect_alu(insn, &e); break;
	case BPF_LD:
		e.def = (u16)(1u << insn->dst_reg);
		if (!ebpf_insn_is_packet_load(insn))
			break;
		e.def = JIT_CALLER_REGS;
		e.use = (u16)(1u << 6 | (BPF_MODE(insn->code) == BPF_IND ? 1u << insn->src_reg : 0));
		e.side = true;
		break;
	case BPF_LDX:
		e.def = (u16)(1u << insn->dst_reg);
		e.use = (u16)(1u << insn->src_reg);
		effect_read(&e, p->flow[i].fp_off[insn->src_reg], insn->off, (s32)jit_size(insn));
		break;
	case BPF_ST: effect_write(p, i, &e); break;
	case BPF_STX:
		if (p->note[i].action == JIT_KEY) {
			e.def = 1;
			e.use = (u16)(1u << insn->src_reg);
		} else if (BPF_MODE(insn->code) == BPF_ATOMIC) {
			effect_atomic(p, i, &e);
		} else {
			e.use = (u16)(1u << insn->src_reg);
			effect_write(p, i, &e);
		}
		break;
	default: effect_jump(p, i, &e); break;
	}
	*ret = e;
}

static bool effect_is_dead(const struct jit_effect *e, const struct jit_live *out)
{
	return !e->side && !(e->def & out->regs) && !jit_words_meet(&e->wr, &out->words);
}

bool jit_is_dead(const struct jit_prog *p, u32 i, const struct jit_live *out)
{
	struct jit_effect e;

	if (p->note[i].action == JIT_SKIP)
		return true;
	jit_effect_get(p, i, &e);
	return effect_is_dead(&e, out);
}

void jit_live_out(const struct jit_prog *p, u32 i, struct jit_live *ret)
{
	struct jit_live out = {0};
	u32 succ[2], n = jit_successors(p, i, succ);

	for (u32 k = 0; k < n; k++) {
		out.regs |= p->live[succ[k]].regs;
		words_or(&out.words, &p->live[succ[k]].words);
	}
	*ret = out;
}

bool jit_reg_live_out(const struct jit_prog *p, u32 i, u32 bpf_reg)
{
	struct jit_live out;

	jit_live_out(p, i, &out);
	return out.regs >> bpf_reg & 1;
}

static void live_step(const struct jit_prog *p, u32 i, struct jit_live *live)
{
	struct jit_effect e;
	/* A call that is not made for its result still ends the life of R1-R5: nobody may read them
	 * after it. */
	bool call = BPF_CLASS(p->insns[i].code) == BPF_JMP && BPF_OP(p->insns[i].code) == BPF_CALL;

	jit_effect_get(p, i, &e);
	if (p->note[i].action == JIT_SKIP || effect_is_dead(&e, live)) {
		if (call)
			live->regs &= (u16)~JIT_CALLER_REGS;
		return;
	}
	live->regs = (u16)((live->regs & ~e.def) | e.use);
	for (int k = 0; k < 2; k++)
		live->words.w[k] =
		    e.reads_all ? ~0ull : (live->words.w[k] & ~e.kill.w[k]) | e.rd.w[k];
}

static void live_give_up(struct jit_prog *p)
{
	for (u32 i = 0; i < p->n; i++)
		p->live[i] = (struct jit_live){.words = {{~0ull, ~0ull}}, .regs = 0x7ff};
}

/* Least fixed point from "nothing is live". Code without loops needs two sweeps; code that needs
 * very many is not worth the time: treat everything as live. */
void jit_live(struct jit_prog *p)
{
	bool changed = true;

	for (u32 i = 0; i < p->n; i++)
		p->live[i] = (struct jit_live){0};
	for (u32 sweep = 0; changed; sweep++) {
		if (sweep == LIVE_MAX_SWEEPS) {
			live_give_up(p);
			return;
		}
		changed = false;
		for (u32 i = p->n; i-- > 0;) {
			struct jit_live live;

			if (!p->flow[i].reached)
				continue;
			jit_live_out(p, i, &live);
			live_step(p, i, &live);
			if (live.regs == p->live[i].regs &&
			    live.words.w[0] == p->live[i].words.w[0] &&
			    live.words.w[1] == p->live[i].words.w[1])
				continue;
			p->live[i] = live;
			changed = true;
		}
	}
}
