/* SPDX-License-Identifier: MIT */
/*
 * Arenas. An address in one is 32 bits: where it is in the arena's first 4 GiB as user space sees them. Nothing needs to be
 * proven of it: compiled code adds it to where the arena is in this process and looks whether that is inside; what is
 * outside reads as zero and is not written. So any arithmetic is allowed, done with 32 bits: such a register never holds
 * more. Addresses as user space has them are numbers; addr_space_cast turns one kind into the other.
 *
 * Follows the kernel's verifier (PTR_TO_ARENA, needs_zext) but in one thing: arithmetic that has an address in an arena on one
 * path and something else on another is refused; there the kernel cuts the something else to 32 bits, too.
 */
#include <errno.h>

#include "abi/bpf.h"
#include "verifier/env.h"

int varena_index(const struct venv *env)
{
	for (u32 i = 0; i < env->prog->nmaps; i++)
		if (env->prog->maps[i].type == NT_BPF_MAP_TYPE_ARENA)
			return (int)i;
	return -1;
}

int varena_check_cast(struct venv *env, const struct bpf_insn *in)
{
	if (in->imm != EBPF_CAST_KERN && in->imm != EBPF_CAST_USER) {
		vlog(env, "addr_space_cast insn can only convert between address space 1 and 0\n");
		return -EINVAL;
	}
	if (varena_index(env) >= 0)
		return 0;
	vlog(env, "addr_space_cast insn can only be used in a program that has an associated arena\n");
	return -EINVAL;
}

int varena_cast(struct venv *env, const struct bpf_insn *in)
{
	struct vreg *dst = vreg_of(env, in->dst_reg);

	vfact_ctx_escapes(env, vreg_of(env, in->src_reg));
	if (in->imm == EBPF_CAST_KERN) {
		vreg_set_pointer(dst, VREG_ARENA);
	} else {
		vreg_set_unknown(dst);
		vfact_map(env, env->cur.pc, (u32)varena_index(env));
	}
	return 0;
}

int varena_alu(struct venv *env, const struct bpf_insn *in, const struct vreg *src)
{
	struct vreg *dst = vreg_of(env, in->dst_reg);
	bool arena = dst->type == VREG_ARENA || src->type == VREG_ARENA;

	if (!vfact_ctx_alone(env, env->cur.pc, arena ? VMEM_ARENA : VMEM_MIXED)) {
		vlog(env, "same insn cannot be used with different pointers\n");
		return -EINVAL;
	}
	if (!arena)
		return 0;
	vfact_ctx_escapes(env, dst);
	vfact_ctx_escapes(env, src);
	vreg_set_pointer(dst, VREG_ARENA);
	env->fact[env->cur.pc].narrow = true;
	return 1;
}

void verifier_rewrite(const struct verifier_result *r, struct bpf_insn *insns, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		struct bpf_insn *in = &insns[i];

		if (r->insn[i].narrow) {
			in->code = (u8)(BPF_ALU | BPF_OP(in->code) | BPF_SRC(in->code));
		} else if (ebpf_insn_is_cast(in) && in->imm == EBPF_CAST_KERN && r->insn[i].seen) {
			in->code = BPF_ALU | BPF_MOV | BPF_X;
			in->off = 0;
			in->imm = 0;
		}
	}
}
