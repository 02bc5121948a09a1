/* SPDX-License-Identifier: MIT */
#include "native.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct writer {
	const struct native_input *in;
	FILE *f;
	u32 i;	   /* instruction */
	u32 depth; /* of this function's stack */
	int err;
};

static void unknown(struct writer *w)
{
	const struct bpf_insn *x = &w->in->program->insn[w->i];

	fprintf(stderr, "%s: instruction %u, opcode %#x: not written as C yet\n", w->in->program->name, w->i, x->code);
	w->err = -ENOTSUP;
}

static const char *type_of(u8 code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B: return "m1";
	case BPF_H: return "m2";
	case BPF_W: return "m4";
	default: return "m8";
	}
}

/* An access relative to the frame is one to the array, which LLVM understands better than an integer that was a pointer. */
static void write_place(struct writer *w, u8 code, u32 reg, s32 off)
{
	if (reg == 10)
		fprintf(w->f, "*(%s *)(stack + %d)", type_of(code), (s32)w->depth + off);
	else
		fprintf(w->f, "*(%s *)(r%u + (%d))", type_of(code), reg, off);
}

static void write_operand(struct writer *w, const struct bpf_insn *x, bool wide)
{
	if (BPF_SRC(x->code) == BPF_X)
		fprintf(w->f, "(%s)r%u", wide ? "u64" : "u32", x->src_reg);
	else
		fprintf(w->f, "(%s)%d", wide ? "u64" : "u32", x->imm);
}

static void write_alu(struct writer *w, const struct bpf_insn *x)
{
	static const char *const plain[] = {[BPF_ADD >> 4] = "+", [BPF_SUB >> 4] = "-", [BPF_MUL >> 4] = "*", [BPF_OR >> 4] = "|",
					    [BPF_AND >> 4] = "&", [BPF_XOR >> 4] = "^", [BPF_LSH >> 4] = "<<", [BPF_RSH >> 4] = ">>"};
	bool wide = BPF_CLASS(x->code) == BPF_ALU64;
	const char *u = wide ? "u64" : "u32", *s = wide ? "s64" : "s32";
	u8 op = BPF_OP(x->code);

	if (x->off && op != BPF_DIV && op != BPF_MOD) {
		unknown(w);
		return;
	}
	if (op == BPF_END) {
		fprintf(w->f, BPF_SRC(x->code) == BPF_X ? "r%u = SWAP%d(r%u);\n" : "r%u = CUT%d(r%u);\n", x->dst_reg, x->imm, x->dst_reg);
		return;
	}
	fprintf(w->f, "r%u = ", x->dst_reg);
	if (op == BPF_NEG) {
		fprintf(w->f, "(%s)0 - (%s)r%u;\n", u, u, x->dst_reg);
		return;
	}
	if (op == BPF_MOV)
		fprintf(w->f, "(%s)", u);
	else if (op == BPF_ARSH)
		fprintf(w->f, "(%s)((%s)r%u >> (%d & ", u, s, x->dst_reg, wide ? 63 : 31);
	else if (op == BPF_DIV || op == BPF_MOD)
		fprintf(w->f, "%s%s(%s, r%u, ", x->off ? "S" : "U", op == BPF_DIV ? "DIV" : "MOD", x->off ? s : u, x->dst_reg);
	else if (op == BPF_LSH || op == BPF_RSH)
		fprintf(w->f, "(%s)((%s)r%u %s (%d & ", u, u, x->dst_reg, plain[op >> 4], wide ? 63 : 31);
	else if (op >> 4 < (int)(sizeof(plain) / sizeof(plain[0])) && plain[op >> 4])
		fprintf(w->f, "(%s)((%s)r%u %s (", u, u, x->dst_reg, plain[op >> 4]);
	else
		unknown(w);
	write_operand(w, x, wide);
	fprintf(w->f, op == BPF_MOV ? ";\n" : op == BPF_DIV || op == BPF_MOD ? ");\n" : "));\n");
}

static void write_jump(struct writer *w, const struct bpf_insn *x)
{
	static const char *const compare[] = {[BPF_JEQ >> 4] = "==",  [BPF_JGT >> 4] = ">",  [BPF_JGE >> 4] = ">=", [BPF_JSET >> 4] = "&",
					      [BPF_JNE >> 4] = "!=",  [BPF_JSGT >> 4] = ">", [BPF_JSGE >> 4] = ">=", [BPF_JLT >> 4] = "<",
					      [BPF_JLE >> 4] = "<=",  [BPF_JSLT >> 4] = "<", [BPF_JSLE >> 4] = "<="};
	bool wide = BPF_CLASS(x->code) == BPF_JMP;
	u8 op = BPF_OP(x->code);
	bool is_signed = op == BPF_JSGT || op == BPF_JSGE || op == BPF_JSLT || op == BPF_JSLE;
	const char *type = wide ? is_signed ? "s64" : "u64" : is_signed ? "s32" : "u32";

	if (ebpf_insn_is_goto(x)) {
		fprintf(w->f, "goto i%lld;\n", (long long)ebpf_insn_target(x, w->i));
		return;
	}
	if (op >> 4 >= (int)(sizeof(compare) / sizeof(compare[0])) || !compare[op >> 4]) {
		unknown(w);
		return;
	}
	fprintf(w->f, "if ((%s)r%u %s (%s)", type, x->dst_reg, compare[op >> 4], type);
	write_operand(w, x, wide);
	fprintf(w->f, ") goto i%lld;\n", (long long)ebpf_insn_target(x, w->i));
}

static void write_call(struct writer *w, const struct bpf_insn *x)
{
	u32 id = (u32)x->imm;

	if (ebpf_insn_is_subprog_call(x))
		fprintf(w->f, "r0 = f%lld(r1, r2, r3, r4, r5);", (long long)ebpf_insn_target(x, w->i));
	else if (ebpf_insn_is_helper_call(x) && id < w->in->nhelpers && w->in->helper[id])
		fprintf(w->f, "r0 = ((fn *)%#llxull)(r1, r2, r3, r4, r5);", (unsigned long long)w->in->helper[id]);
	else
		unknown(w);
	fprintf(w->f, " r1 = r2 = r3 = r4 = r5 = undefined;\n");
}

static void write_ld64(struct writer *w, const struct bpf_insn *x)
{
	u64 v = (u32)x[0].imm | (u64)(u32)x[1].imm << 32;

	if (x->src_reg == BPF_PSEUDO_FUNC) {
		fprintf(w->f, "r%u = (u64)f%lld;\n", x->dst_reg, (long long)ebpf_insn_target(x, w->i));
		return;
	}
	if (x->src_reg == BPF_PSEUDO_MAP_FD)
		v = w->in->map_view[x->imm];
	else if (x->src_reg == BPF_PSEUDO_MAP_VALUE)
		v = w->in->map_data[x->imm] + (u32)x[1].imm;
	else if (x->src_reg)
		unknown(w);
	fprintf(w->f, "r%u = %#llxull;\n", x->dst_reg, (unsigned long long)v);
}

static void write_memory(struct writer *w, const struct bpf_insn *x)
{
	u8 class = BPF_CLASS(x->code), mode = BPF_MODE(x->code);

	if (class == BPF_LDX && mode == BPF_MEM) {
		fprintf(w->f, "r%u = ", x->dst_reg);
		write_place(w, x->code, x->src_reg, x->off);
		fprintf(w->f, ";\n");
	} else if (class != BPF_LDX && mode == BPF_MEM) {
		write_place(w, x->code, x->dst_reg, x->off);
		if (class == BPF_STX)
			fprintf(w->f, " = r%u;\n", x->src_reg);
		else
			fprintf(w->f, " = %d;\n", x->imm);
	} else if (ebpf_insn_is_atomic(x) && x->imm == BPF_ADD) {
		fprintf(w->f, "__atomic_fetch_add(&");
		write_place(w, x->code, x->dst_reg, x->off);
		fprintf(w->f, ", r%u, __ATOMIC_RELAXED);\n", x->src_reg);
	} else {
		unknown(w);
	}
}

static void write_insn(struct writer *w, const struct bpf_insn *x)
{
	fprintf(w->f, "i%u: ", w->i);
	switch (BPF_CLASS(x->code)) {
	case BPF_ALU:
	case BPF_ALU64: write_alu(w, x); return;
	case BPF_JMP:
	case BPF_JMP32:
		if (ebpf_insn_is_exit(x))
			fprintf(w->f, "return r0;\n");
		else if (x->code == (BPF_JMP | BPF_CALL))
			write_call(w, x);
		else
			write_jump(w, x);
		return;
	case BPF_LD:
		if (ebpf_insn_is_ld64(x))
			write_ld64(w, x);
		else
			unknown(w);
		return;
	default: write_memory(w, x);
	}
}

static void write_function(struct writer *w, u32 begin, u32 end)
{
	const struct bpf_insn *insn = w->in->program->insn;

	w->depth = ((u32)w->in->facts[begin].stack_depth + 15) & ~15u;
	fprintf(w->f, "static u64 f%u(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)\n{\n"
		      "u64 undefined, r0, r6, r7, r8, r9;\n"
		      "__attribute__((aligned(16))) unsigned char stack[%u];\n"
		      "unsigned char *const r10 = stack + %u;\n",
		begin, w->depth ? w->depth : 16, w->depth);
	for (w->i = begin; w->i < end && !w->err; w->i += ebpf_insn_is_ld64(&insn[w->i]) ? 2 : 1)
		write_insn(w, &insn[w->i]);
	fprintf(w->f, "}\n\n");
}

int native_write(const struct native_input *in, void *f)
{
	static const char prelude[] =
		"typedef unsigned long long u64; typedef long long s64; typedef unsigned int u32; typedef int s32;\n"
		"typedef u64 fn(u64, u64, u64, u64, u64);\n"
		"#define M __attribute__((may_alias, aligned(1)))\n"
		"typedef unsigned char M m1; typedef unsigned short M m2; typedef u32 M m4; typedef u64 M m8;\n"
		"#undef M\n"
		"#define UDIV(t, a, b) ((t)(b) ? (t)(a) / (t)(b) : 0)\n"
		"#define UMOD(t, a, b) ((t)(b) ? (t)(a) % (t)(b) : (t)(a))\n"
		"#define SWAP16(r) __builtin_bswap16(r)\n#define SWAP32(r) __builtin_bswap32(r)\n#define SWAP64(r) __builtin_bswap64(r)\n"
		"#define CUT16(r) (unsigned short)(r)\n#define CUT32(r) (u32)(r)\n#define CUT64(r) (r)\n\n";
	const struct object_program *p = in->program;
	struct writer w = {.in = in, .f = f};

	if (ftell(f) == 0)
		fputs(prelude, f);
	fprintf(f, "#define f0 f0_%s\n#define f%u f%u_%s\n", p->name, p->callback, p->callback, p->name);
	if (p->callback)
		write_function(&w, p->callback, p->n);
	write_function(&w, 0, p->callback ? p->callback : p->n);
	fprintf(f, "u64 native_%s(u64 ctx)\n{\nu64 u;\nreturn f0(ctx, u, u, u, u);\n}\n#undef f0\n#undef f%u\n", p->name, p->callback);
	return w.err;
}

void *native_load(const char *dir, const char *source, const char *flags, const char **ret_why)
{
	char library[PATH_MAX], command[2 * PATH_MAX + 256];
	void *handle;
	int status;

	snprintf(library, sizeof(library), "%s/native.so", dir);
	snprintf(command, sizeof(command), "%s -O3 -march=native %s -w -shared -fPIC -fno-semantic-interposition -o '%s' '%s' 1>&2", NATIVE_CLANG, flags,
		 library, source);
	status = system(command);
	if (status) {
		*ret_why = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "clang is not installed" : "clang makes no machine code for this machine";
		return NULL;
	}
	handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		*ret_why = dlerror();
	return handle;
}
