/* SPDX-License-Identifier: MIT */
/*
 * Several instructions that become one.
 *
 * KEY     *(u32 *)(r10 - 4) = r1; ...; call lookup      the key goes to R0, the stack is not touched
 * CHECK   call lookup; if r0 == 0 goto x                the bounds check is the NULL check
 * LEA     r2 = r10; r2 += -8                            one lea
 * IMM     r1 = 1; lock *(u64 *)(r0 + 0) += r1           lock add qword [rax], 1
 * RMW     r1 = *(u64 *)(r0 + 8); r1 += 1; *(u64 *)(r0 + 8) = r1      add qword [rax + 8], 1
 * UNLESS  if r6 == 0 goto +1; goto x                    if r6 != 0 goto x: the end of every loop that clang compiles
 * ROT     w4 = w1; w4 <<= 6; w5 = w1; w5 >>= 26; w4 |= w5            rorx
 *
 * RMW on per-CPU values is done with a locked instruction. In the kernel nobody else adds to this
 * CPU's value between load and store, except a program that preempts this one. Here a thread may be
 * preempted or migrated between reading the CPU number and the add, so two threads can hold a
 * pointer to the same CPU's value; they share no lock, but each locked add is exact, so `v += 1`
 * never loses a count. That is the one read-modify-write programs do on per-CPU values; a longer
 * sequence keeps the kernel's guarantee for preemptible programs: none.
 */
#include "jit/prog.h"

enum { FUSE_MAX_DISTANCE = 64 };

/* The next instruction that is executed after i on every path; 0 if control may join or leave in
 * between. */
static u32 next_in_line(const struct jit_prog *p, u32 i)
{
	u32 end = jit_func_of(p, i)->end;

	if (jit_is_branch(&p->insns[i]))
		return 0;
	for (u32 j = i + 1; j < end; j++) {
		if (p->note[j].leader)
			return 0;
		if (p->note[j].action != JIT_SKIP)
			return j;
	}
	return 0;
}

static bool stores_key(const struct jit_prog *p, u32 j, s16 key_off)
{
	const struct bpf_insn *insn = &p->insns[j];
	s16 base = p->flow[j].fp_off[insn->dst_reg];

	return insn->code == (BPF_STX | BPF_MEM | BPF_W) && base != JIT_NOT_STACK &&
	       base != JIT_MAYBE_STACK && base + insn->off == key_off;
}

/*
 * The lookup at `call` reads its key from a stack word: find the store that put it there, going
 * back in straight line. R0 can carry the key if nothing in between touches R0 (the call replaces
 * it anyway) or the word.
 */
static void forward_key(struct jit_prog *p, u32 call)
{
	struct jit_note *note = &p->note[call];
	struct jit_effect key, e;
	struct jit_live out;
	u32 first = jit_func_of(p, call)->first;

	jit_effect_get(p, call, &key);
	jit_live_out(p, call, &out);
	if (jit_words_meet(&key.rd, &out.words) || jit_func_of(p, call)->escapes)
		return;
	for (u32 j = call; j > first && call - j < FUSE_MAX_DISTANCE && !p->note[j].leader;) {
		struct jit_live after;

		j--;
		if (!p->flow[j].reached) {
			if (j == first || !jit_is_wide(&p->insns[j - 1]))
				return;
			continue; /* second half of an LD_IMM64 */
		}
		jit_effect_get(p, j, &e);
		jit_live_out(p, j, &after);
		if (jit_is_dead(p, j, &after)) {
			if (e.def & 1)
				return; /* it would come to life again */
			continue;
		}
		if (BPF_CLASS(p->insns[j].code) == BPF_JMP ||
		    BPF_CLASS(p->insns[j].code) == BPF_JMP32)
			return;
		if (stores_key(p, j, note->key_off)) {
			p->note[j].action = JIT_KEY;
			note->key = JIT_KEY_R0;
			return;
		}
		if ((e.use | e.def) & 1 || e.reads_all || jit_words_meet(&e.rd, &key.rd) ||
		    jit_words_meet(&e.wr, &key.rd))
			return;
	}
}

/* True: something else is alive now. */
static bool fuse_lookup_keys(struct jit_prog *p)
{
	bool changed = false;

	for (u32 i = 0; i < p->n; i++) {
		struct jit_note *note = &p->note[i];
		s16 off = p->flow[i].fp_off[2];
		struct jit_live out;

		if (note->action != JIT_LOOKUP || note->key != JIT_KEY_PTR ||
		    off == JIT_NOT_STACK || off == JIT_MAYBE_STACK || off < -EBPF_MAX_STACK ||
		    off > -4)
			continue;
		note->key = JIT_KEY_STACK;
		note->key_off = off;
		changed = true;
		jit_live_out(p, i, &out);
		if (!jit_is_dead(p, i, &out) && !(off & 3))
			forward_key(p, i);
	}
	return changed;
}

static void fuse_null_check(struct jit_prog *p, u32 i)
{
	u32 j = next_in_line(p, i);

	if (p->note[i].key == JIT_KEY_CONST || !j || p->note[j].action != JIT_PLAIN)
		return;
	if ((p->insns[j].code != (BPF_JMP | BPF_JEQ | BPF_K) &&
	     p->insns[j].code != (BPF_JMP | BPF_JNE | BPF_K)) ||
	    p->insns[j].dst_reg != 0 || p->insns[j].imm != 0)
		return;
	p->note[i].last = j;
	p->note[j].action = JIT_SKIP;
}

static void fuse_lea(struct jit_prog *p, u32 i)
{
	const struct bpf_insn *mov = &p->insns[i], *add;
	u32 j = next_in_line(p, i);

	if (!j || mov->off || mov->dst_reg == mov->src_reg || p->note[j].action != JIT_PLAIN)
		return;
	add = &p->insns[j];
	if (add->code != (BPF_ALU64 | BPF_ADD | BPF_K) || add->dst_reg != mov->dst_reg)
		return;
	p->note[i].action = JIT_LEA;
	p->note[i].last = j;
	p->note[j].action = JIT_SKIP;
}

/* Its address is worked out and looked at: it stays by itself. */
static bool is_arena(const struct jit_prog *p, u32 i)
{
	return p->in->facts->insn[i].mem == VMEM_ARENA;
}

/* The constant goes into the instruction and the register stays as it was. */
static void fuse_imm(struct jit_prog *p, u32 i)
{
	const struct bpf_insn *mov = &p->insns[i], *st;
	u32 j = next_in_line(p, i);
	struct jit_live out;

	if (!j || p->note[j].action != JIT_PLAIN)
		return;
	st = &p->insns[j];
	if (is_arena(p, j))
		return;
	if (BPF_CLASS(st->code) != BPF_STX || st->src_reg != mov->dst_reg ||
	    st->dst_reg == mov->dst_reg)
		return;
	if (BPF_MODE(st->code) == BPF_ATOMIC && st->imm != BPF_ADD && st->imm != BPF_OR &&
	    st->imm != BPF_AND && st->imm != BPF_XOR)
		return;
	if (mov->imm < 0 && BPF_CLASS(mov->code) == BPF_ALU && jit_size(st) == 8)
		return; /* immediates are sign-extended, this number is not */
	jit_live_out(p, j, &out);
	if (out.regs >> mov->dst_reg & 1)
		return;
	p->note[i].action = JIT_IMM;
	p->note[i].last = j;
	p->note[j].action = JIT_SKIP;
}

/* Is the ALU instruction one that memory can be the left operand of, and does it compute what the
 * store keeps? */
static bool rmw_op_ok(const struct bpf_insn *alu, u32 size)
{
	u8 op = BPF_OP(alu->code), class = BPF_CLASS(alu->code);

	if (class != BPF_ALU64 && (class != BPF_ALU || size == 8))
		return false;
	return alu->off == 0 &&
	       (op == BPF_ADD || op == BPF_SUB || op == BPF_OR || op == BPF_AND || op == BPF_XOR);
}

static bool rmw_locked(const struct jit_prog *p, u32 load, u32 store)
{
	u8 a = p->in->facts->insn[load].mem, b = p->in->facts->insn[store].mem;

	return a == VMEM_PERCPU_MAP || a == VMEM_MIXED || b == VMEM_PERCPU_MAP || b == VMEM_MIXED;
}

/*
 * value: the register that holds the result. In `x += v` (v loaded) memory is the right operand;
 * that only commutes, and only without a locked instruction in play may the roles be swapped when
 * the result is used later.
 */
static bool rmw_match(const struct jit_prog *p, u32 load, u32 mid, u32 store)
{
	const struct bpf_insn *ld = &p->insns[load], *alu = &p->insns[mid], *st = &p->insns[store];
	bool reg = BPF_SRC(alu->code) == BPF_X, swapped = alu->dst_reg != ld->dst_reg;
	u32 size = jit_size(ld);
	struct jit_live out;
	bool live;

	if (st->code != (BPF_STX | BPF_MEM | BPF_SIZE(ld->code)) || st->dst_reg != ld->src_reg ||
	    st->off != ld->off || st->src_reg != alu->dst_reg || !rmw_op_ok(alu, size))
		return false;
	if (ld->dst_reg == ld->src_reg || alu->dst_reg == ld->src_reg)
		return false; /* the address is lost on the way */
	if (swapped ? !reg || alu->src_reg != ld->dst_reg || BPF_OP(alu->code) == BPF_SUB
		    : reg && alu->src_reg == ld->dst_reg)
		return false;
	jit_live_out(p, store, &out);
	live = out.regs >> alu->dst_reg & 1;
	if (swapped)
		return !live && !(out.regs >> ld->dst_reg & 1);
	if (!live)
		return true;
	/* Unlocked and the value is wanted: three plain instructions are as good. */
	return rmw_locked(p, load, store) && BPF_OP(alu->code) == BPF_ADD;
}

static void fuse_rmw(struct jit_prog *p, u32 i)
{
	u32 mid = next_in_line(p, i), last = mid ? next_in_line(p, mid) : 0;

	if (!last || is_arena(p, i) || is_arena(p, last) || p->note[mid].action != JIT_PLAIN || p->note[last].action != JIT_PLAIN ||
	    !rmw_match(p, i, mid, last))
		return;
	p->note[i] = (struct jit_note){
	    .action = JIT_RMW, .leader = p->note[i].leader, .mid = mid, .last = last};
	p->note[mid].action = JIT_SKIP;
	p->note[last].action = JIT_SKIP;
}

static void fuse_unless(struct jit_prog *p, u32 i)
{
	u32 j = i + 1;

	/* nobody else lands on the goto, and it is not the last instruction, so there is one behind it */
	if (p->insns[i].code == JIT_MAY_GOTO || jit_target(&p->insns[i], i) != j + 1 || p->note[j].leader ||
	    p->note[j].action != JIT_PLAIN || !ebpf_insn_is_goto(&p->insns[j]))
		return;
	p->note[i].action = JIT_UNLESS;
	p->note[i].last = j;
	p->note[j].action = JIT_SKIP;
}

static bool is_shift(const struct bpf_insn *insn, u8 class)
{
	return insn->code == (class | BPF_LSH | BPF_K) || insn->code == (class | BPF_RSH | BPF_K);
}

/* What comes next, if it is still there. */
static u32 plain_next(const struct jit_prog *p, u32 i)
{
	u32 j = i ? next_in_line(p, i) : 0;

	return j && p->note[j].action == JIT_PLAIN ? j : 0;
}

/*
 * a = c; a shifted; b = c; b shifted the other way; a |= b (or b |= a). Without the second copy b is c itself. What the
 * OR does not keep must be of no use to anybody.
 */
static void fuse_rotate(struct jit_prog *p, u32 i)
{
	const struct bpf_insn *mov = &p->insns[i], *in = p->insns;
	u8 class = BPF_CLASS(mov->code), a = mov->dst_reg, b = mov->src_reg;
	s32 width = class == BPF_ALU64 ? 64 : 32;
	u32 one = plain_next(p, i), two = plain_next(p, one), line[6] = {i, one}, n = 2, last;
	struct jit_live out;
	s32 left, right;

	if (!two || mov->off || a == b || b == JIT_FP || !is_shift(&in[one], class) || in[one].dst_reg != a)
		return;
	if (in[two].code == mov->code && !in[two].off && in[two].src_reg == b && in[two].dst_reg != a) {
		b = in[two].dst_reg;
		line[n++] = two;
		two = plain_next(p, two);
	}
	last = plain_next(p, two);
	if (!last || !is_shift(&in[two], class) || in[two].dst_reg != b || in[two].code == in[one].code ||
	    in[last].code != (class | BPF_OR | BPF_X))
		return;
	line[n++] = two;
	line[n++] = last;
	left = BPF_OP(in[one].code) == BPF_LSH ? in[one].imm : in[two].imm;
	right = in[one].imm + in[two].imm - left;
	jit_live_out(p, last, &out);
	if (left <= 0 || right <= 0 || left + right != width || !((in[last].dst_reg == a && in[last].src_reg == b) ||
	    (in[last].dst_reg == b && in[last].src_reg == a)) || out.regs >> in[last].src_reg & 1)
		return;
	for (u32 k = 1; k < n; k++)
		p->note[line[k]].action = JIT_SKIP;
	p->note[i].action = JIT_ROT;
	p->note[i].mid = (u32)left;
	p->note[i].last = last;
}

static void skip_dead(struct jit_prog *p)
{
	for (u32 i = 0; i < p->n; i++) {
		struct jit_live out;

		if (!p->flow[i].reached)
			continue;
		jit_live_out(p, i, &out);
		if (jit_is_dead(p, i, &out))
			p->note[i].action = JIT_SKIP;
	}
}

static void note_frames(struct jit_prog *p)
{
	for (u32 f = 0; f < p->nfuncs; f++)
		for (u32 i = p->func[f].first; i < p->func[f].end; i++) {
			struct jit_effect e;

			if (p->note[i].action == JIT_SKIP)
				continue;
			jit_effect_get(p, i, &e);
			p->func[f].uses_fp |= e.use >> JIT_FP & 1;
			p->func[f].calls |= p->note[i].action == JIT_PLAIN &&
					    (p->insns[i].code == (BPF_JMP | BPF_CALL) || ebpf_insn_is_packet_load(&p->insns[i]));
		}
}

void jit_fuse(struct jit_prog *p)
{
	jit_live(p);
	if (fuse_lookup_keys(p))
		jit_live(p);
	skip_dead(p);
	note_frames(p);
	for (u32 i = 0; i < p->n; i++) {
		if (p->note[i].action == JIT_LOOKUP)
			fuse_null_check(p, i);
		if (p->note[i].action != JIT_PLAIN)
			continue;
		if (p->insns[i].code == (BPF_ALU64 | BPF_MOV | BPF_X) || p->insns[i].code == (BPF_ALU | BPF_MOV | BPF_X))
			fuse_rotate(p, i);
		if (p->note[i].action != JIT_PLAIN)
			continue;
		if (p->insns[i].code == (BPF_ALU64 | BPF_MOV | BPF_X))
			fuse_lea(p, i);
		else if (jit_is_cond(&p->insns[i]))
			fuse_unless(p, i);
		else if (p->insns[i].code == (BPF_ALU64 | BPF_MOV | BPF_K) ||
			 p->insns[i].code == (BPF_ALU | BPF_MOV | BPF_K))
			fuse_imm(p, i);
		else if (BPF_CLASS(p->insns[i].code) == BPF_LDX &&
			 BPF_MODE(p->insns[i].code) == BPF_MEM)
			fuse_rmw(p, i);
	}
}
