/* SPDX-License-Identifier: MIT */
/* Every instruction the writer can write, with every register, read back by a disassembler. */
#include <Zydis/Zydis.h>
#include <errno.h>

#include "base/bits.h"
#include "isa/x86_64/writer.h"
#include "tap.h"

static const char *const r64[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
				  "r8",	 "r9",	"r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const r32[] = {"eax", "ecx", "edx",	"ebx",	"esp",	"ebp",	"esi",	"edi",
				  "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"};
static const char *const r16[] = {"ax",	 "cx",	"dx",	"bx",	"sp",	"bp",	"si",	"di",
				  "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"};
static const char *const r8[] = {"al",	"cl",  "dl",   "bl",   "spl",  "bpl",  "sil",  "dil",
				 "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"};
static const char *const alu[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};

static u8 buf[64];
static struct x86_writer w;
static u32 checked;
static bool all_ok = true;

static const char *reg(u32 size, u32 r)
{
	return size == 8 ? r64[r] : size == 4 ? r32[r] : size == 2 ? r16[r] : r8[r];
}

static const char *ptr(u32 size)
{
	return size == 8   ? "qword ptr"
	       : size == 4 ? "dword ptr"
	       : size == 2 ? "word ptr"
			   : "byte ptr";
}

static void drop(char *text, const char *word)
{
	char *at = strstr(text, word);

	if (at)
		memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

/* The text of what was written, one instruction; then starts anew. */
__attribute__((format(printf, 1, 2))) static void is(const char *fmt, ...)
{
	char want[128], got[128] = "?";
	ZydisDecoder dec;
	ZydisFormatter f;
	ZydisDecodedInstruction x = {};
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
				  ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&f, ZYDIS_FORMATTER_PROP_IMM_SIGNEDNESS, ZYDIS_SIGNEDNESS_SIGNED);
	if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, buf, w.len, &x, op)) && x.length == w.len)
		ZydisFormatterFormatInstruction(&f, &x, op, x.operand_count_visible, got,
						sizeof(got), 0x1000, NULL);
	if (x.mnemonic == ZYDIS_MNEMONIC_LEA)
		drop(got, "qword ptr "); /* newer ones show a size, but lea accesses no memory */
	if (strcmp(got, want) || w.error) {
		printf("# got '%s', want '%s', error %d\n", got, want, w.error);
		all_ok = false;
	}
	checked++;
	x86_init(&w, buf, sizeof(buf), 0x1000);
}

static void section(const char *name)
{
	tap_ok(all_ok && checked, "%s: %u instructions", name, checked);
	all_ok = true;
	checked = 0;
}

/* Text of [base + disp], as the disassembler writes it. */
static const char *mem(u32 base, s32 disp)
{
	static char text[32];

	if (!disp)
		snprintf(text, sizeof(text), "[%s]", r64[base]);
	else
		snprintf(text, sizeof(text), "[%s%c0x%x]", r64[base], disp < 0 ? '-' : '+',
			 disp < 0 ? -disp : disp);
	return text;
}

static void memory_of(u32 size, u32 r, u32 b, s32 d)
{
	const char *m = mem(b, d), *p = ptr(size);

	x86_load(&w, size, r, b, d);
	if (size >= 4)
		is("mov %s, %s %s", reg(size, r), p, m);
	else
		is("movzx %s, %s %s", r32[r], p, m);
	x86_store(&w, size, b, d, r), is("mov %s %s, %s", p, m, reg(size, r));
	x86_store_imm(&w, size, b, d, 0x12), is("mov %s %s, 0x12", p, m);
	x86_alu_mem(&w, X86_XOR, size, false, b, d, r), is("xor %s %s, %s", p, m, reg(size, r));
	x86_alu_mem(&w, X86_ADD, size, true, b, d, r), is("lock add %s %s, %s", p, m, reg(size, r));
	x86_alu_mem_imm(&w, X86_SUB, size, true, b, d, -5), is("lock sub %s %s, -0x5", p, m);
	x86_xadd(&w, size, b, d, r), is("lock xadd %s %s, %s", p, m, reg(size, r));
	x86_cmpxchg(&w, size, b, d, r), is("lock cmpxchg %s %s, %s", p, m, reg(size, r));
	x86_xchg(&w, size, b, d, r), is("xchg %s %s, %s", p, m, reg(size, r));
	if (size < 8)
		x86_load_sx(&w, size, r, b, d),
		    is("movs%s %s, %s %s", size == 4 ? "xd" : "x", r64[r], p, m);
	if (size == 8) {
		x86_lea(&w, r, b, d), is("lea %s, %s", r64[r], m);
		x86_push_mem(&w, b, d), is("push qword ptr %s", m);
		x86_pop_mem(&w, b, d), is("pop qword ptr %s", m);
	}
}

static void memory(void)
{
	static const s32 disp[] = {0, 1, -128, 127, 128, -129, 0x12345678};

	for (u32 size = 1; size <= 8; size *= 2)
		for (u32 r = 0; r < 16; r++)
			for (u32 b = 0; b < 16; b++)
				for (u32 k = 0; k < bits_count(disp); k++)
					memory_of(size, r, b, disp[k]);
	section("memory operands");
	x86_alu_mem_imm(&w, X86_ADD, 2, false, X86_RAX, 0, 0x1234),
	    is("add word ptr [rax], 0x1234");
	x86_alu_mem_imm(&w, X86_AND, 8, false, X86_RAX, 0, -0x12345),
	    is("and qword ptr [rax], -0x12345");
	x86_store_imm(&w, 2, X86_RAX, 0, 0x1234), is("mov word ptr [rax], 0x1234");
	x86_load_rip(&w, X86_R9, 0x1100), is("mov r9, qword ptr [0x1100]");
	x86_lea_rip(&w, X86_RDI, 0xf00), is("lea rdi, [0xf00]");
	x86_alu_rip(&w, X86_ADD, X86_RAX, 0x1100), is("add rax, qword ptr [0x1100]");
	x86_call_rip(&w, 0x1100), is("call qword ptr [0x1100]");
	x86_jmp_rip(&w, 0x1100), is("jmp qword ptr [0x1100]");
	x86_load_fs(&w, X86_R12, 16), is("mov r12, qword ptr fs:[0x10]");
	section("special memory operands");
}

static void two_registers(u32 a, u32 b)
{
	for (u32 w64 = 0; w64 < 2; w64++) {
		u32 size = w64 ? 8 : 4;

		for (u32 k = 0; k < 8; k++)
			x86_alu(&w, k, w64, a, b),
			    is("%s %s, %s", alu[k], reg(size, a), reg(size, b));
		x86_mov(&w, w64, a, b), is("mov %s, %s", reg(size, a), reg(size, b));
		x86_test(&w, w64, a, b), is("test %s, %s", reg(size, a), reg(size, b));
		x86_imul(&w, w64, a, b), is("imul %s, %s", reg(size, a), reg(size, b));
		x86_imul_imm(&w, w64, a, b, 7), is("imul %s, %s, 0x7", reg(size, a), reg(size, b));
		x86_imul_imm(&w, w64, a, b, -1000),
		    is("imul %s, %s, -0x3e8", reg(size, a), reg(size, b));
		x86_movsx(&w, w64, 1, a, b), is("movsx %s, %s", reg(size, a), r8[b]);
		x86_movsx(&w, w64, 2, a, b), is("movsx %s, %s", reg(size, a), r16[b]);
	}
	x86_movsx(&w, true, 4, a, b), is("movsxd %s, %s", r64[a], r32[b]);
	x86_movzx(&w, 1, a, b), is("movzx %s, %s", r32[a], r8[b]);
	x86_movzx(&w, 2, a, b), is("movzx %s, %s", r32[a], r16[b]);
}

static void one_register(u32 r)
{
	static const char *const unary[] = {"?", "?", "not", "neg", "mul", "?", "div", "idiv"};

	for (u32 w64 = 0; w64 < 2; w64++) {
		const char *n = reg(w64 ? 8 : 4, r);

		for (u32 k = 0; k < 8; k++) {
			x86_alu_imm(&w, k, w64, r, 127), is("%s %s, 0x7f", alu[k], n);
			x86_alu_imm(&w, k, w64, r, 0x12345), is("%s %s, 0x12345", alu[k], n);
			if (unary[k][0] != '?')
				x86_unary(&w, k, w64, r), is("%s %s", unary[k], n);
		}
		x86_shift_imm(&w, X86_SAR, w64, r, 9), is("sar %s, 0x9", n);
		x86_shift_cl(&w, X86_SHL, w64, r), is("shl %s, cl", n);
		for (u32 src = 0; src < 16; src += 5) {
			const char *const *name = w64 ? r64 : r32;

			x86_shift_reg(&w, X86_SHL, w64, r, src, r ^ 9), is("shlx %s, %s, %s", name[r], name[src], name[r ^ 9]);
			x86_rorx(&w, w64, r, src, 11), is("rorx %s, %s, 0xb", name[r], name[src]);
			x86_shift_reg(&w, X86_SHR, w64, r, src, r ^ 3), is("shrx %s, %s, %s", name[r], name[src], name[r ^ 3]);
			x86_shift_reg(&w, X86_SAR, w64, r, src, r ^ 12), is("sarx %s, %s, %s", name[r], name[src], name[r ^ 12]);
		}
		x86_test_imm(&w, w64, r, 0x12345), is("test %s, 0x12345", n);
		x86_bswap(&w, w64, r), is("bswap %s", n);
	}
	x86_bswap16(&w, r), is("rol %s, 0x8", r16[r]);
	x86_rdpid(&w, r), is("rdpid %s", r64[r]);
	x86_rdfsbase(&w, r), is("rdfsbase %s", r64[r]);
	x86_push(&w, r), is("push %s", r64[r]);
	x86_pop(&w, r), is("pop %s", r64[r]);
	x86_jmp_reg(&w, r), is("jmp %s", r64[r]);
	x86_call_reg(&w, r), is("call %s", r64[r]);
	x86_mov_imm(&w, r, 0), is("xor %s, %s", r32[r], r32[r]);
	x86_mov_imm(&w, r, 0x7fffffff), is("mov %s, 0x7fffffff", r32[r]);
	x86_mov_imm(&w, r, 0xffffffff), is("mov %s, -0x1", r32[r]);
	x86_mov_imm(&w, r, ~0ull), is("mov %s, -0x1", r64[r]);
	x86_mov_imm(&w, r, 0x123456789aull), is("mov %s, 0x123456789a", r64[r]);
}

static void registers(void)
{
	for (u32 a = 0; a < 16; a++)
		for (u32 b = 0; b < 16; b++)
			two_registers(a, b);
	section("two registers");
	for (u32 a = 0; a < 16; a++)
		one_register(a);
	section("one register");
	x86_cqo(&w, true), is("cqo");
	x86_cqo(&w, false), is("cdq");
	x86_leave(&w), is("leave");
	x86_ret(&w), is("ret");
	x86_pushfq(&w), is("pushfq");
	section("no register");
}

static void branches(void)
{
	static const char *const cc[] = {"jo", "jno", "jb", "jnb", "jz", "jnz", "jbe", "jnbe",
					 "js", "jns", "jp", "jnp", "jl", "jnl", "jle", "jnle"};

	for (u32 k = 0; k < 16; k++) {
		x86_jcc(&w, k, 0x2000), is("%s 0x2000", cc[k]);
		x86_jcc8(&w, k, 0x1081), is("%s 0x1081", cc[k]);
	}
	x86_jmp(&w, 0x100), is("jmp 0x100");
	x86_call(&w, 0x2000), is("call 0x2000");
	x86_jmp8(&w, 0xf82), is("jmp 0xf82");
	section("branches");
}

static void marks(void)
{
	u32 m8, m32;

	m8 = x86_jcc8_fwd(&w, X86_CC_E);
	m32 = x86_jmp_fwd(&w);
	x86_ret(&w);
	x86_patch8_here(&w, m8);
	x86_patch_here(&w, m32);
	tap_ok(w.len == 8 && buf[1] == 6 && buf[3] == 1 && !w.error, "forward marks land here");
	x86_init(&w, buf, sizeof(buf), 0x1000);
}

static void errors(void)
{
	u8 small[4] = {0, 0, 0, 0x77};

	x86_init(&w, small, 3, 0);
	x86_mov(&w, true, X86_RAX, X86_RCX);
	x86_ret(&w);
	tap_ok(w.error == -ENOSPC && w.len == 3 && small[3] == 0x77,
	       "a full buffer is an error, not an overflow");
	x86_init(&w, buf, sizeof(buf), 0);
	x86_jmp8(&w, 200);
	tap_eq(w.error, -ERANGE, "a short jump too far");
	x86_init(&w, buf, sizeof(buf), 0);
	x86_jmp(&w, 1ull << 40);
	tap_eq(w.error, -ERANGE, "a jump too far");
	x86_init(&w, NULL, 0, 0);
	x86_mov_imm(&w, X86_RAX, 1ull << 40);
	x86_jmp8(&w, 1000);
	tap_ok(w.len == 12 && !w.error, "without a buffer only the length is counted");
}

int main(void)
{
	x86_init(&w, buf, sizeof(buf), 0x1000);
	memory();
	registers();
	branches();
	marks();
	errors();
	return tap_done();
}
