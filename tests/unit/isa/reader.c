/* SPDX-License-Identifier: MIT */
/* The table reader must say what the strict reader says, over all code of the libraries this test runs with. */
#include "isa/x86_64/reader.h"

#include <link.h>
#include <Zydis/Zydis.h>

#include "tap.h"

struct tally {
	u64 insns, differ, rbx_wrong;
};

static void show(const char *what, const u8 *p, const struct x86_insn *a, const struct x86_insn *b)
{
	printf("# %s:", what);
	for (u32 i = 0; i < X86_INSN_MAX; i++)
		printf(" %02x", p[i]);
	printf("\n#   table  len %u kind %u map %u prefix %x rex %x op %x@%u modrm %x@%u disp %d@%u/%u rel %d@%u/%u rip %d\n",
	       a->len, a->kind, a->map, a->prefix, a->rex, a->opcode, a->op_off, a->modrm, a->modrm_off, a->disp, a->disp_off,
	       a->disp_len, a->rel, a->rel_off, a->rel_len, a->rip_rel);
	printf("#   strict len %u kind %u map %u prefix %x rex %x op %x@%u modrm %x@%u disp %d@%u/%u rel %d@%u/%u rip %d\n",
	       b->len, b->kind, b->map, b->prefix, b->rex, b->opcode, b->op_off, b->modrm, b->modrm_off, b->disp, b->disp_off,
	       b->disp_len, b->rel, b->rel_off, b->rel_len, b->rip_rel);
}

static bool same(const struct x86_insn *a, const struct x86_insn *b)
{
	if (a->len != b->len || a->kind != b->kind || a->map != b->map || a->prefix != b->prefix ||
	    a->rip_rel != b->rip_rel || a->rel_len != b->rel_len || a->modrm_off != b->modrm_off ||
	    a->disp_len != b->disp_len || a->rex != b->rex || a->opcode != b->opcode || a->op_off != b->op_off)
		return false;
	if (a->rel_len && (a->rel != b->rel || a->rel_off != b->rel_off))
		return false;
	if (a->modrm_off && a->modrm != b->modrm)
		return false;
	return !a->disp_len || (a->disp == b->disp && a->disp_off == b->disp_off);
}

static bool touches_rbx(const u8 *p, size_t n)
{
	ZydisDecoder d;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p, n, &z, op)))
		return false;
	for (u32 i = 0; i < z.operand_count; i++) {
		ZydisRegister r[3] = { ZYDIS_REGISTER_NONE, ZYDIS_REGISTER_NONE, ZYDIS_REGISTER_NONE };

		if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			r[0] = op[i].reg.value;
		if (op[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			r[1] = op[i].mem.base;
			r[2] = op[i].mem.index;
		}
		for (u32 k = 0; k < 3; k++)
			if (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r[k]) == ZYDIS_REGISTER_RBX)
				return true;
	}
	return false;
}

static void compare(const u8 *p, size_t n, struct tally *t)
{
	while (n >= 64) {
		struct x86_insn a, b;
		u32 step = 1;

		if (x86_read_strict(p, n, &b)) {
			step = b.len;
			t->insns++;
			if ((!x86_read(p, n, &a) || !same(&a, &b)) && t->differ++ < 5)
				show("readers differ", p, &a, &b);
			if (touches_rbx(p, n) != (x86_rbx_use(p, &b) != X86_RBX_UNUSED) && t->rbx_wrong++ < 5)
				show("rbx", p, &b, &b);
		}
		p += step;
		n -= step;
	}
}

static int each_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X)
			compare((const u8 *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, info->dlpi_phdr[i].p_memsz, arg);
	return 0;
}

struct want {
	const char *bytes;
	u8 n, kind;
};

/* One of each kind, and prefixes in unusual places. */
static const struct want wants[] = {
	{ "\x90", 1, X86_K_NOP },
	{ "\x66\x90", 2, X86_K_NOP },
	{ "\x41\x90", 2, X86_K_PLAIN }, /* xchg r8d, eax */
	{ "\xf3\x90", 2, X86_K_PLAIN }, /* pause */
	{ "\xf3\x0f\x1e\xfa", 4, X86_K_PLAIN }, /* endbr64 */
	{ "\x0f\x1f\x44\x00\x00", 5, X86_K_NOP },
	{ "\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 10, X86_K_NOP },
	{ "\xeb\xfe", 2, X86_K_JMP },
	{ "\xe9\x00\x00\x00\x00", 5, X86_K_JMP },
	{ "\xe8\x00\x00\x00\x00", 5, X86_K_CALL },
	{ "\x66\x66\x48\xe8\x00\x00\x00\x00", 8, X86_K_CALL }, /* the call of a TLS sequence */
	{ "\x75\x00", 2, X86_K_JCC },
	{ "\x0f\x84\x00\x00\x00\x00", 6, X86_K_JCC },
	{ "\xe3\x00", 2, X86_K_LOOP },
	{ "\xe2\x00", 2, X86_K_LOOP },
	{ "\x67\xe3\x00", 3, X86_K_LOOP },
	{ "\xc7\xf8\x00\x00\x00\x00", 6, X86_K_XBEGIN },
	{ "\xff\xe0", 2, X86_K_JMP_IND },
	{ "\x3e\xff\xe0", 3, X86_K_JMP_IND },
	{ "\xff\x25\x00\x00\x00\x00", 6, X86_K_JMP_IND },
	{ "\xff\xd0", 2, X86_K_CALL_IND },
	{ "\xff\x15\x00\x00\x00\x00", 6, X86_K_CALL_IND },
	{ "\xc3", 1, X86_K_RET },
	{ "\xf3\xc3", 2, X86_K_RET },
	{ "\xc2\x08\x00", 3, X86_K_RET },
	{ "\xcc", 1, X86_K_STOP },
	{ "\x0f\x0b", 2, X86_K_STOP },
	{ "\xf4", 1, X86_K_STOP },
	{ "\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, X86_K_PLAIN },
	{ "\x66\xb8\x01\x02", 4, X86_K_PLAIN },
	{ "\xf7\x05\x00\x00\x00\x00\x01\x00\x00\x00", 10, X86_K_PLAIN }, /* test dword [rip], 1 */
	{ "\x48\xa1\x01\x02\x03\x04\x05\x06\x07\x08", 10, X86_K_PLAIN },
	{ "\x67\xa1\x01\x02\x03\x04", 6, X86_K_PLAIN },
};

static void test_table(void)
{
	for (u32 i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		u8 buf[64];
		struct x86_insn a = { 0 }, b = { 0 };
		bool ra, rb;

		memset(buf, 0xcc, sizeof(buf));
		memcpy(buf, wants[i].bytes, wants[i].n);
		ra = x86_read(buf, sizeof(buf), &a);
		rb = x86_read_strict(buf, sizeof(buf), &b);
		if (!tap_ok(ra && rb && a.len == wants[i].n && a.kind == wants[i].kind && same(&a, &b), "known bytes %u", i))
			show("want", buf, &a, &b);
		tap_ok(!x86_read(buf, wants[i].n - 1u, &a) || wants[i].n == 1 || a.len < wants[i].n, "cut short %u", i);
	}
	{
		struct x86_insn a;
		const u8 invalid[32] = { 0x06 };

		tap_ok(!x86_read(invalid, sizeof(invalid), &a), "push es is no instruction in 64-bit mode");
		tap_ok(!x86_read(invalid, 0, &a), "no bytes, no instruction");
	}
}

int main(void)
{
	struct tally t = { 0 };

	test_table();
	dl_iterate_phdr(each_object, &t);
	printf("# %llu instructions compared\n", (unsigned long long)t.insns);
	tap_ok(t.insns > 200000, "enough code was seen");
	tap_eq(t.differ, 0, "both readers agree on all of it");
	tap_eq(t.rbx_wrong, 0, "uses of rbx are all found");
	return tap_done();
}
