/* SPDX-License-Identifier: MIT */
/*
 * Accesses to an arena: random ones, inside, across its ends and far outside, of every kind, size and register, compiled and
 * interpreted: the same registers and the same memory. What is outside reads as zero, is not written, and leaves the
 * registers of an atomic operation as they are.
 */
#include <stdlib.h>

#include "abi/bpf.h"
#include "harness.h"
#include "tap.h"

#define BYTES 4096u

static struct jt t;

static u64 next(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * 0x2545f4914f6cdd1dull >> 16;
}

static void add(struct bpf_insn in, bool arena)
{
	t.fact[t.n] = (struct verifier_insn){.seen = true, .mem = arena ? VMEM_ARENA : VMEM_NONE};
	t.insn[t.n++] = in;
}

static void add_number(u32 reg, u64 v)
{
	add(I(BPF_LD | BPF_IMM | BPF_DW, reg, 0, 0, v), false);
	add(I(0, 0, 0, 0, v >> 32), false);
}

/* Mostly near the arena's ends. */
static u64 pick_address(u64 *seed, u64 user)
{
	switch (next(seed) % 8) {
	case 0: return next(seed);
	case 1: return user + BYTES - next(seed) % 12;
	case 2: return user - next(seed) % 12;
	case 3: return (u32)user + next(seed) % BYTES;
	default: return user + next(seed) % BYTES;
	}
}

static struct bpf_insn pick_access(u64 *seed, bool aligned)
{
	static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	static const s32 ops[] = {BPF_ADD, BPF_OR, BPF_AND, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_AND | BPF_FETCH,
				  BPF_XOR | BPF_FETCH, BPF_XCHG, BPF_CMPXCHG};
	u8 size = sizes[next(seed) % 4], wide = sizes[2 + next(seed) % 2];
	u32 dst = next(seed) % 10, src = next(seed) % 10;
	s16 off = next(seed) % 4 ? (s16)(next(seed) % 64) - 32 : (s16)next(seed);

	if (aligned)
		off = (s16)(off & ~7);
	switch (next(seed) % (aligned ? 7 : 4)) {
	case 0: return I(BPF_LDX | BPF_MEM | size, dst, src, off, 0);
	case 1: return I(BPF_LDX | BPF_MEMSX | sizes[next(seed) % 3], dst, src, off, 0);
	case 2: return I(BPF_STX | BPF_MEM | size, dst, src, off, 0);
	case 3: return I(BPF_ST | BPF_MEM | size, dst, 0, off, (s32)next(seed));
	case 4: return I(BPF_STX | BPF_ATOMIC | size, dst, src, off, 0x100);
	case 5: return I(BPF_STX | BPF_ATOMIC | size, dst, src, off, 0x110);
	default: return I(BPF_STX | BPF_ATOMIC | wide, dst, src, off, ops[next(seed) % 10]);
	}
}

/* r0..r9 hold addresses; after some accesses all of them go into r0. */
static void build(u64 *seed, u64 user, bool aligned)
{
	t.n = 0;
	for (u32 r = 0; r < 10; r++)
		add_number(r, aligned ? pick_address(seed, user) & ~7ull : pick_address(seed, user));
	for (u32 k = 1 + next(seed) % 8; k; k--) {
		struct bpf_insn in = pick_access(seed, aligned);
		u32 address = BPF_CLASS(in.code) == BPF_LDX || (BPF_MODE(in.code) == BPF_ATOMIC && in.imm == 0x100) ? in.src_reg : in.dst_reg;

		if (aligned) /* an address may have been loaded over */
			add(ALU64I(BPF_AND, address, -8), false);
		add(in, true);
		if (next(seed) % 3 == 0)
			add(I(BPF_ALU64 | BPF_MOV | BPF_X, next(seed) % 10, next(seed) % 10, 1, 1 << 16), false);
	}
	for (u32 r = 1; r < 10; r++) {
		add(ALU64I(BPF_MUL, 0, 31), false);
		add(ALU64(BPF_ADD, 0, r), false);
	}
	add(EXIT(), false);
}

static bool agree(u64 seed)
{
	static const u64 users[] = {0x100000010000, 0x7f00ffff0000, 0x7fff80000000, 0x10000, 0x200000000000};
	u64 r0, user = users[next(&seed) % 5];
	struct nt_map_view *v;
	bool ok;

	jt_map(&t, NT_BPF_MAP_TYPE_ARENA, BYTES, 1, 1);
	v = &t.map[0];
	build(&seed, user, next(&seed) % 2);
	v->extra = user;
	v->ctl_off = BYTES;
	v->flags = next(&seed) % 8 ? 0 : NT_BPF_F_NO_USER_CONV;
	for (u32 i = 0; i < BYTES; i++)
		v->base[v->data_off + i] = (u8)next(&seed);
	if (v->flags) /* the interpreter need not know */
		for (u32 i = 0; i < t.n; i++)
			if (ebpf_insn_is_cast(&t.insn[i]))
				t.insn[i] = I(BPF_ALU | BPF_MOV | BPF_X, t.insn[i].dst_reg, t.insn[i].src_reg, 0, 0);
	ok = !jt_compile(&t) && jt_agree(&t, &r0);
	jt_deinit(&t);
	return ok;
}

int main(int argc, char **argv)
{
	u64 seed = getenv("NT_SEED") ? strtoull(getenv("NT_SEED"), NULL, 0) : 9001, n = argc > 1 ? strtoull(argv[1], NULL, 0) : 4000, k;
	const struct bpf_insn nothing[] = {EXIT()};

	jt_init(&t, nothing, 1);
	for (k = 0; k < n && agree((seed + k) * 0x9e3779b97f4a7c15ull | 1); k++)
		;
	tap_eq(k, n, "compiled and interpreted agree, seed %llu", (unsigned long long)seed);
	return tap_done();
}
