/* SPDX-License-Identifier: MIT */
/*
 * Packets. Their length is known when the program runs only; what may be touched follows from comparisons with where
 * they end:
 *
 *     data      p            data_end             if (p + 14 > data_end) return;
 *      |--------|------14-----|--- ?              14 bytes from p on are there: size 14 of every pointer that is p
 *                                                 but for a fixed distance, which shares its id
 *
 * A pointer is where its variable part (v, named by id) has led, plus off; size counts from there, off included. What
 * stands in front of the packet, the metadata, ends at data. Follows find_good_pkt_pointers() and
 * try_match_pkt_pointers() of the kernel.
 */
#include <errno.h>

#include "verifier/env.h"

#define MAX_PACKET_OFF 0xffff

bool vpacket_is(const struct vreg *r)
{
	return r->type == VREG_PACKET || r->type == VREG_PACKET_META;
}

void vpacket_moved(struct venv *env, struct vreg *moved, const struct vreg *num, u8 op)
{
	/* a constant moves it by a distance that is known */
	if (!vpacket_is(moved) || range_is_const(&num->v))
		return;
	moved->id = ++env->last_id;
	if (op == BPF_ADD || num->v.smin < 0)
		moved->size = 0;
}

int vpacket_access(struct venv *env, u32 regno, s64 off, u32 size, bool zero_ok)
{
	const struct vreg *r = vreg_of(env, regno);

	if (r->v.smin < 0) {
		vlog(env, "R%u min value is negative, either use unsigned index or do a if (index >=0) check.\n", regno);
		return -EACCES;
	}
	off += r->off;
	if (off >= 0 && (size || zero_ok) && (u64)off + size <= r->size)
		return 0;
	vlog(env, "invalid access to packet, off=%lld size=%u, R%u(id=%u,off=%lld,r=%u)\n", (long long)off, size, regno,
	     r->id, (long long)off, r->size);
	vlog(env, "R%u offset is outside of the packet\n", regno);
	return -EACCES;
}

/* check_ld_abs(). In a function of the program it would end that function with a result that is not walked on with. */
int vpacket_load(struct venv *env, const struct bpf_insn *in)
{
	bool ind = BPF_MODE(in->code) == BPF_IND;
	int r;

	if (env->prog->prog_type != BPF_PROG_TYPE_SOCKET_FILTER) {
		vlog(env, "BPF_LD_[ABS|IND] instructions not allowed for this program type\n");
		return -EINVAL;
	}
	if (in->dst_reg || in->off || (!ind && in->src_reg)) {
		vlog(env, "BPF_LD_[ABS|IND] uses reserved fields\n");
		return -EINVAL;
	}
	if (env->cur.nframes > 1) {
		vlog(env, env->prog->funcs ? "LD_ABS is not allowed in subprogs: notrap does not have it\n"
					   : "LD_ABS is not allowed in subprogs without BTF\n");
		return -EINVAL;
	}
	r = vreg_check_read(env, 6);
	if (!r)
		r = vfunc_check_nothing_held(env, "BPF_LD_[ABS|IND]");
	if (r)
		return r;
	if (vreg_of(env, 6)->type != VREG_CTX) {
		vlog(env, "at the time of BPF_LD_ABS|IND R6 != pointer to skb\n");
		return -EINVAL;
	}
	if (ind)
		r = vreg_check_read(env, in->src_reg);
	if (!r)
		r = vaccess_ctx_unmoved(env, 6);
	if (r)
		return r;
	for (u32 i = 1; i <= 5; i++)
		vreg_set_none(vreg_of(env, i));
	vreg_set_unknown(vreg_of(env, 0));
	return 0;
}

static void grow(struct vreg *r, const struct vreg *known, u32 size)
{
	if (r->type == known->type && r->id == known->id && r->size < size)
		r->size = size;
}

/* In st the end lies at p or behind (open: behind). */
static void learn_inside(struct vstate *st, const struct vreg *p, bool open)
{
	const struct vreg known = *p;
	u32 f, i, size = (u32)known.off + open;

	if (known.off < 0 || (!known.off && open))
		return; /* the kernel learns nothing then, either */
	if (known.v.umax > MAX_PACKET_OFF || known.v.umax + (u64)known.off > MAX_PACKET_OFF)
		return; /* the sum may have gone round */
	for (f = 0; f < st->nframes; f++) {
		struct vframe *fr = st->frame[f];

		for (i = 0; i < 10; i++)
			grow(&fr->r[i], &known, size);
		for (i = 0; i < fr->nslots; i++)
			grow(&fr->slot[i].spill, &known, size);
	}
}

/* The packet as the context gives it. */
static bool is_begin(const struct vreg *r)
{
	return r->type == VREG_PACKET && !r->off && !r->id && range_is_const(&r->v) && !r->v.t.value;
}

static bool ends(const struct vreg *p, const struct vreg *end)
{
	return (p->type == VREG_PACKET && end->type == VREG_PACKET_END) || (p->type == VREG_PACKET_META && is_begin(end));
}

void vpacket_learn(struct vstate *taken, struct vstate *on, const struct bpf_insn *in)
{
	const struct vreg *a = &vstate_top(on)->r[in->dst_reg], *b = &vstate_top(on)->r[in->src_reg];
	u8 op = BPF_OP(in->code);
	bool left = ends(a, b), upper = op == BPF_JGT || op == BPF_JGE, or_equal = op == BPF_JGE || op == BPF_JLE;

	if (BPF_CLASS(in->code) != BPF_JMP || BPF_SRC(in->code) != BPF_X || (!left && !ends(b, a)))
		return;
	if (op != BPF_JGT && op != BPF_JGE && op != BPF_JLT && op != BPF_JLE)
		return;
	/* "p > end" is taken: p is outside; "p < end" is taken: p is inside. Where it is inside, is p == end left? */
	if (left)
		learn_inside(upper ? on : taken, a, upper == or_equal);
	else
		learn_inside(upper ? taken : on, b, upper != or_equal);
}

void vpacket_forget(struct vstate *st)
{
	u32 f, i;

	for (f = 0; f < st->nframes; f++) {
		struct vframe *fr = st->frame[f];

		for (i = 0; i < 10; i++)
			if (vpacket_is(&fr->r[i]) || fr->r[i].type == VREG_PACKET_END)
				vreg_set_unknown(&fr->r[i]);
		for (i = 0; i < fr->nslots; i++)
			if (vpacket_is(&fr->slot[i].spill) || fr->slot[i].spill.type == VREG_PACKET_END)
				vreg_set_unknown(&fr->slot[i].spill);
	}
}
