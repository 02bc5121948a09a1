/* SPDX-License-Identifier: MIT */
#include "asm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

static const char *const alu_op[] = {"+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "", "%=", "^=", "=", "s>>="};
static const char *const jmp_op[] = {"", "==", ">", ">=", "&", "!=", "s>", "s>=", "", "", "<", "<=", "s<", "s<="};
static const char *const size_name[] = {"32", "16", "8", "64"}; /* by BPF_SIZE() >> 3 */

static int find(const char *const *list, u32 n, const char *what)
{
	for (u32 i = 0; i < n; i++)
		if (*list[i] && !strcmp(list[i], what))
			return (int)i;
	return -1;
}

static bool put(struct asm_program *p, struct bpf_insn x)
{
	if (p->n == ASM_MAX)
		return false;
	p->insn[p->n++] = x;
	return true;
}

static bool name_at(struct asm_label *list, u32 *n, const char *name, u32 at)
{
	if (*n == ASM_LABELS || strlen(name) >= ASM_NAME)
		return false;
	list[*n].at = at;
	strcpy(list[(*n)++].name, name);
	return true;
}

/* Where a jump goes: pc+1, or a label. */
static bool put_to(struct asm_program *p, struct bpf_insn x, const char *to)
{
	bool by_imm = x.code == (BPF_JMP32 | BPF_JA) || x.code == (BPF_JMP | BPF_CALL) || ebpf_insn_is_ld64(&x);
	char *end;
	long d;

	if (strncmp(to, "pc", 2))
		return name_at(p->use, &p->nuses, to, p->n) && put(p, x);
	d = strtol(to + 2, &end, 10);
	if (by_imm)
		x.imm = (s32)d;
	else
		x.off = (s16)d;
	return !*end && put(p, x);
}

/* A whole number of 32 bits, with its sign or without. */
static bool number(const char *s, s32 *ret)
{
	char *end;
	long long v = strtoll(s, &end, 0);

	if (end == s || *end || v < INT32_MIN || v > (long long)UINT32_MAX)
		return false;
	*ret = (s32)(u32)v;
	return true;
}

/* r1, w1: its class says 64 or 32 bits. */
static bool reg(const char *s, char *ret_kind, u8 *ret_reg)
{
	int end = 0;
	unsigned r;

	if ((*s != 'r' && *s != 'w') || sscanf(s + 1, "%2u%n", &r, &end) != 1 || s[1 + end] || r > 10)
		return false;
	*ret_kind = *s;
	*ret_reg = (u8)r;
	return true;
}

static bool line_alu(struct asm_program *p, char kind, u8 dst, const char *op, const char *value)
{
	struct bpf_insn x = {.code = kind == 'r' ? BPF_ALU64 : BPF_ALU, .dst_reg = dst & 15};
	bool sign = !strcmp(op, "s/=") || !strcmp(op, "s%=");
	int k = find(alu_op, bits_count(alu_op), op + sign), bits, end = 0;
	char vkind;
	u8 src;

	if (k < 0)
		return false;
	x.code |= (u8)(k << 4);
	x.off = sign;
	if (reg(value, &vkind, &src)) {
		x.code |= BPF_X;
		x.src_reg = src & 15;
		return vkind == kind && put(p, x);
	}
	if (k << 4 == BPF_MOV && sscanf(value, "(s%d)%n", &bits, &end) == 1 && end && reg(value + end, &vkind, &src)) {
		x.code |= BPF_X;
		x.src_reg = src & 15;
		x.off = (s16)bits;
		return vkind == kind && put(p, x);
	}
	if (k << 4 == BPF_MOV && *value == '-' && reg(value + 1, &vkind, &src)) {
		x.code = (x.code & 7) | BPF_NEG;
		return vkind == kind && src == dst && put(p, x);
	}
	return number(value, &x.imm) && put(p, x);
}

/* r0 = be16 r0 */
static bool line_end(struct asm_program *p, const char *s)
{
	unsigned d, bits, r;
	char what[8];
	int end = 0;

	if (sscanf(s, "r%u = %5[a-z]%u r%u%n", &d, what, &bits, &r, &end) != 4 || s[end] || d != r || d > 9)
		return false;
	return put(p, (struct bpf_insn){.code = !strcmp(what, "le")    ? BPF_ALU | BPF_END | BPF_TO_LE
						: !strcmp(what, "be")  ? BPF_ALU | BPF_END | BPF_TO_BE
						: !strcmp(what, "bswap") ? BPF_ALU64 | BPF_END
									 : 0xff,
					.dst_reg = d & 15,
					.imm = (s32)bits});
}

static bool line_ld64(struct asm_program *p, const char *s)
{
	char name[ASM_NAME], value[24], *after;
	unsigned long long v;
	int end = 0;
	unsigned d;

	if (sscanf(s, "r%u = %23s ll%n", &d, value, &end) == 2 && end && !s[end]) {
		v = strtoull(value, &after, 0);
		return !*after && put(p, (struct bpf_insn){.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = d & 15, .imm = (s32)v}) &&
			       put(p, (struct bpf_insn){.imm = (s32)(v >> 32)});
	}
	if (sscanf(s, "r%u = &%23[a-z0-9_]%n", &d, name, &end) == 2 && !s[end])
		return put_to(p, (struct bpf_insn){.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = d & 15, .src_reg = BPF_PSEUDO_FUNC},
			      name) &&
		       put(p, (struct bpf_insn){0});
	return false;
}

/* The part "(u64 *)(r10 -8)"; returns what follows it, NULL if it is none. */
static const char *place(const char *s, struct bpf_insn *x, char *ret_sign, u8 *ret_reg)
{
	unsigned r, bits;
	char size[4];
	int off, end = 0, k;

	if (sscanf(s, "(%c%u *)(r%u %d)%n", ret_sign, &bits, &r, &off, &end) != 4 || !end || r > 10)
		return NULL;
	snprintf(size, sizeof(size), "%u", bits);
	k = find(size_name, 4, size);
	if (k < 0)
		return NULL;
	x->code = (u8)(x->code | k << 3);
	x->off = (s16)off;
	*ret_reg = (u8)r;
	return s + end;
}

/* *(u32 *)(r10 -8) = r1, lock *(u32 *)(r10 -8) += r1 */
static bool line_store(struct asm_program *p, const char *s)
{
	bool lock = !strncmp(s, "lock *", 6);
	struct bpf_insn x = {.code = lock ? BPF_STX | BPF_ATOMIC : BPF_STX | BPF_MEM};
	char sign, op[8], value[24], kind;
	const char *rest;
	int end = 0, k;
	u8 dst, src;

	if (!lock && *s != '*')
		return false;
	rest = place(s + (lock ? 6 : 1), &x, &sign, &dst);
	if (!rest || sign != 'u' || sscanf(rest, " %7s %23s%n", op, value, &end) != 2 || rest[end])
		return false;
	x.dst_reg = dst & 15;
	k = find(alu_op, bits_count(alu_op), op);
	if (reg(value, &kind, &src)) {
		x.src_reg = src & 15;
		x.imm = lock ? k << 4 : 0;
		return kind == 'r' && (lock ? k >= 0 : !strcmp(op, "=")) && put(p, x);
	}
	x.code = (x.code & ~7) | BPF_ST;
	return !lock && !strcmp(op, "=") && number(value, &x.imm) && put(p, x);
}

/* r1 = atomic64_fetch_add((u64 *)(r10 -8), r1) and its like, load_acquire, store_release, plain loads */
static bool line_value(struct asm_program *p, const char *s)
{
	static const struct {
		const char *name, *last;
		s32 imm;
	} ops[] = {{"_fetch_add", ", r%u)%n", BPF_ADD | BPF_FETCH}, {"_fetch_or", ", r%u)%n", BPF_OR | BPF_FETCH},
		   {"_fetch_and", ", r%u)%n", BPF_AND | BPF_FETCH}, {"_fetch_xor", ", r%u)%n", BPF_XOR | BPF_FETCH},
		   {"_xchg", ", r%u)%n", BPF_XCHG},		    {"_cmpxchg", ", r0, r%u)%n", BPF_CMPXCHG}};
	struct bpf_insn x = {.code = BPF_LDX | BPF_MEM};
	unsigned d = 0, r;
	const char *rest;
	int end = 0;
	char sign;
	u8 base;

	if (sscanf(s, "r%u = *%n", &d, &end) == 1 && end) {
		rest = place(s + end, &x, &sign, &base);
		if (!rest || *rest || d > 9)
			return false;
		if (sign == 's')
			x.code = (u8)((x.code & ~0xe0) | BPF_MEMSX);
		x.dst_reg = d & 15;
		x.src_reg = base & 15;
		return put(p, x);
	}
	x.code = BPF_STX | BPF_ATOMIC;
	if (sscanf(s, "r%u = load_acquire(%n", &d, &end) == 1 && end) {
		rest = place(s + end, &x, &sign, &base);
		x.dst_reg = d & 15;
		x.src_reg = base & 15;
		x.imm = EBPF_LOAD_ACQ;
		return rest && !strcmp(rest, ")") && put(p, x);
	}
	if (!strncmp(s, "store_release(", 14)) {
		rest = place(s + 14, &x, &sign, &base);
		x.dst_reg = base & 15;
		x.imm = EBPF_STORE_REL;
		if (!rest || sscanf(rest, ", r%u)%n", &r, &end) != 1 || rest[end])
			return false;
		x.src_reg = r & 15;
		return put(p, x);
	}
	if (sscanf(s, "r%u = atomic%n", &d, &end) != 1 || !end)
		return false;
	s += end;
	s += strncmp(s, "64", 2) ? 0 : 2;
	for (u32 k = 0; k < bits_count(ops); k++) {
		size_t len = strlen(ops[k].name);

		if (strncmp(s, ops[k].name, len) || s[len] != '(')
			continue;
		rest = place(s + len + 1, &x, &sign, &base);
		end = 0;
		if (!rest || sscanf(rest, ops[k].last, &r, &end) != 1 || !end || rest[end])
			return false;
		x.dst_reg = base & 15;
		x.src_reg = r & 15;
		x.imm = ops[k].imm;
		return d == (x.imm == BPF_CMPXCHG ? 0 : r) && put(p, x);
	}
	return false;
}

static bool line_jump(struct asm_program *p, const char *s)
{
	struct bpf_insn x = {0};
	char a[8], op[8], b[24], to[ASM_NAME], ka, kb;
	int end = 0, k;
	u8 dst, src;

	if (!strcmp(s, "exit"))
		return put(p, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
	if (sscanf(s, "goto %23s%n", to, &end) == 1 && !s[end])
		return put_to(p, (struct bpf_insn){.code = BPF_JMP | BPF_JA}, to);
	if (sscanf(s, "gotol %23s%n", to, &end) == 1 && !s[end])
		return put_to(p, (struct bpf_insn){.code = BPF_JMP32 | BPF_JA}, to);
	if (sscanf(s, "may_goto %23s%n", to, &end) == 1 && !s[end])
		return put_to(p, (struct bpf_insn){.code = BPF_JMP | EBPF_JCOND}, to);
	if (sscanf(s, "call %23s%n", to, &end) == 1 && !s[end]) {
		if (strchr(to, '#')) /* name#5: a helper */
			return number(strchr(to, '#') + 1, &x.imm) && (x.code = BPF_JMP | BPF_CALL, put(p, x));
		return put_to(p, (struct bpf_insn){.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL}, to);
	}
	if (sscanf(s, "if %7s %7s %23s goto %23s%n", a, op, b, to, &end) != 4 || s[end] || !reg(a, &ka, &dst))
		return false;
	k = find(jmp_op, bits_count(jmp_op), op);
	if (k < 0)
		return false;
	x.code = (u8)((ka == 'r' ? BPF_JMP : BPF_JMP32) | k << 4);
	x.dst_reg = dst & 15;
	if (reg(b, &kb, &src)) {
		x.code |= BPF_X;
		x.src_reg = src & 15;
		return ka == kb && put_to(p, x, to);
	}
	return number(b, &x.imm) && put_to(p, x, to);
}

bool asm_line(struct asm_program *p, const char *s)
{
	char a[8], op[8], value[24], kind;
	size_t len = strlen(s);
	int end = 0;
	u8 dst;

	if (len > 1 && s[len - 1] == ':' && !strchr(s, ' ')) {
		char name[ASM_NAME];

		if (len > sizeof(name))
			return false;
		memcpy(name, s, len - 1);
		name[len - 1] = 0;
		return name_at(p->label, &p->nlabels, name, p->n);
	}
	if (sscanf(s, "%7s %7s %23s%n", a, op, value, &end) == 3 && !s[end] && reg(a, &kind, &dst) &&
	    line_alu(p, kind, dst, op, value))
		return true;
	return line_end(p, s) || line_ld64(p, s) || line_store(p, s) || line_value(p, s) || line_jump(p, s);
}

bool asm_link(struct asm_program *p, const char **ret_name)
{
	for (u32 u = 0; u < p->nuses; u++) {
		struct bpf_insn *x = &p->insn[p->use[u].at];
		u32 k = 0;
		s32 d;

		while (k < p->nlabels && strcmp(p->label[k].name, p->use[u].name))
			k++;
		if (k == p->nlabels) {
			*ret_name = p->use[u].name;
			return false;
		}
		d = (s32)p->label[k].at - (s32)p->use[u].at - 1;
		if (x->code == (BPF_JMP32 | BPF_JA) || x->code == (BPF_JMP | BPF_CALL) || ebpf_insn_is_ld64(x))
			x->imm = d;
		else
			x->off = (s16)d;
	}
	return true;
}
