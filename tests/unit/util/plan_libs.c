/* SPDX-License-Identifier: MIT */
/*
 * Every instruction of real libraries as a site. What the planner accepts is checked by other
 * means: Zydis decodes the original and the relocated instructions and each pair must be the same
 * instruction with the same operands and the same absolute targets; no direct branch that Zydis
 * finds in the binary may lead into patched bytes.
 */
#include "util/elf.h"

#include <link.h>
#include <Zydis/Zydis.h>

#include "tap.h"

#define DISTANCE 0x20000000ull /* of the copy from the original */

struct lib {
	struct util_elf *elf;
	const struct patch_binary_desc *desc;
	struct patch_binary *binary;
	const struct patch_segment *seg;
	ZydisDecoder decoder;
	u8 *target; /* one byte per byte of the segment: a direct branch leads here */
	u64 sites, accepted, entries, insns, bad, form[PATCH_NFORMS], back;
};

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const struct lib *l, const u8 *p, size_t n, struct insn *ret)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&l->decoder, p, n, &ret->i, ret->op));
}

static u64 absolute(const struct insn *x, u32 k, u64 addr)
{
	u64 v = 0;

	ZydisCalcAbsoluteAddress(&x->i, &x->op[k], addr, &v);
	return v;
}

static bool same_operand(const struct insn *a, u64 at, const struct insn *b, u64 bt, u32 k)
{
	const ZydisDecodedOperand *x = &a->op[k], *y = &b->op[k];

	if (x->type != y->type || x->size != y->size)
		return false;
	switch (x->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		return x->reg.value == y->reg.value;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return x->imm.is_relative ? absolute(a, k, at) == absolute(b, k, bt) :
					    x->imm.value.u == y->imm.value.u;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		if (x->mem.base == ZYDIS_REGISTER_RIP)
			return y->mem.base == ZYDIS_REGISTER_RIP &&
			       absolute(a, k, at) == absolute(b, k, bt);
		return x->mem.base == y->mem.base && x->mem.index == y->mem.index &&
		       x->mem.scale == y->mem.scale && x->mem.segment == y->mem.segment &&
		       x->mem.disp.value == y->mem.disp.value;
	default:
		return true;
	}
}

static bool same_insn(const struct insn *a, u64 at, const struct insn *b, u64 bt)
{
	if (a->i.mnemonic != b->i.mnemonic ||
	    a->i.operand_count_visible != b->i.operand_count_visible)
		return false;
	for (u32 k = 0; k < a->i.operand_count_visible; k++) {
		if (a->i.mnemonic == ZYDIS_MNEMONIC_NOP)
			continue;
		/* a short branch may have become a long one */
		if (a->op[k].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && a->op[k].imm.is_relative) {
			if (absolute(a, k, at) != absolute(b, k, bt))
				return false;
		} else if (!same_operand(a, at, b, bt, k)) {
			return false;
		}
	}
	return true;
}

static bool is_loop(const struct insn *a)
{
	return a->i.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT &&
	       (a->i.opcode & 0xfc) == 0xe0 && a->i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
}

/* push lo; mov dword [rsp + 4], hi; jmp same operand (8 further up if it is relative to rsp). */
static bool same_call(const struct lib *l, const struct insn *a, u64 at, const u8 *p, size_t n,
		      u64 bt)
{
	struct insn push, mov, jmp;
	u64 ra = at + a->i.length, got;
	const ZydisDecodedOperand *x = &a->op[0], *y;

	if (!decode(l, p, n, &push) || push.i.mnemonic != ZYDIS_MNEMONIC_PUSH)
		return false;
	got = (u32)push.op[0].imm.value.u;
	p += push.i.length, n -= push.i.length, bt += push.i.length;
	if (!decode(l, p, n, &mov) || mov.i.mnemonic != ZYDIS_MNEMONIC_MOV ||
	    mov.op[0].size != 32 || mov.op[0].mem.base != ZYDIS_REGISTER_RSP ||
	    mov.op[0].mem.disp.value != 4)
		return false;
	got |= mov.op[1].imm.value.u << 32;
	p += mov.i.length, n -= mov.i.length, bt += mov.i.length;
	if (got != ra || !decode(l, p, n, &jmp) || jmp.i.mnemonic != ZYDIS_MNEMONIC_JMP)
		return false;
	y = &jmp.op[0];
	if (x->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return absolute(a, 0, at) == absolute(&jmp, 0, bt);
	if (x->type == ZYDIS_OPERAND_TYPE_MEMORY && x->mem.base == ZYDIS_REGISTER_RSP)
		return y->mem.base == ZYDIS_REGISTER_RSP && y->mem.index == x->mem.index &&
		       y->mem.scale == x->mem.scale && y->mem.disp.value == x->mem.disp.value + 8;
	return same_operand(a, at, &jmp, bt, 0);
}

static bool same_loop(const struct lib *l, const struct insn *a, u64 at, const u8 *p, size_t n,
		      u64 bt)
{
	struct insn loop, skip, jmp;
	u64 t = bt, over;

	if (!decode(l, p, n, &loop) || loop.i.mnemonic != a->i.mnemonic)
		return false;
	over = t + loop.i.length;
	if (!decode(l, p + loop.i.length, n - loop.i.length, &skip) ||
	    skip.i.mnemonic != ZYDIS_MNEMONIC_JMP)
		return false;
	t = over + skip.i.length;
	if (absolute(&loop, 0, bt) != t || !decode(l, p + (t - bt), n - (t - bt), &jmp))
		return false;
	return absolute(&jmp, 0, t) == absolute(a, 0, at) &&
	       absolute(&skip, 0, over) == t + jmp.i.length;
}

/* n bytes of copies at out, to: instructions [from, ninsn) of the window that stood at `at`. */
static bool check_insns(const struct lib *l, const u8 *orig, u32 len, const u8 *insn_off, u32 from, u32 ninsn, u64 at,
			const u8 *out, int n, u64 to, const u16 *off)
{
	for (u32 k = from; k < ninsn; k++) {
		u64 src = at + insn_off[k], dst = to + off[k];
		const u8 *q = out + off[k];
		size_t left = (size_t)n - off[k];
		struct insn a, b;

		if (!decode(l, orig + insn_off[k], len - insn_off[k], &a))
			return false;
		if (a.i.mnemonic == ZYDIS_MNEMONIC_CALL) {
			if (!same_call(l, &a, src, q, left, dst))
				return false;
		} else if (is_loop(&a)) {
			if (!same_loop(l, &a, src, q, left, dst))
				return false;
		} else if (!decode(l, q, left, &b) || !same_insn(&a, src, &b, dst)) {
			return false;
		}
	}
	return true;
}

static bool check_copy(const struct lib *l, const struct patch_plan *p)
{
	u64 at = patch_plan_at(p), to = p->vaddr + DISTANCE;
	u8 out[2048];
	u16 off[PATCH_INSNS_MAX] = { 0 };
	int n = patch_relocate(p, p->vaddr, to, 0, out, sizeof(out), off);

	if (n <= 0 || (u32)n > patch_relocated_size(p))
		return false;
	if (p->form == PATCH_NOP5)
		return n == 5 && out[0] == 0xe9;
	if (!check_insns(l, p->orig, p->wlen, p->insn_off, p->first, p->ninsn, at, out, n, to, off))
		return false;
	if (p->back) {
		n = patch_relocate_head(p, p->vaddr, to, to + 4096, 0, out, sizeof(out), off);
		if (n <= 0 || !check_insns(l, p->orig, p->wlen, p->insn_off, 0, p->first, at, out, n, to, off))
			return false;
	}
	if (!p->victim.len)
		return true;
	n = patch_relocate_victim(p, p->island, to, 0, out, sizeof(out), off);
	return n > 0 && check_insns(l, p->victim.orig, p->victim.len, p->victim.insn_off, 0, p->victim.ninsn, p->island,
				    out, n, to, off);
}

static bool no_targets(const struct lib *l, u64 lo, u64 hi)
{
	for (u64 a = lo - l->seg->vaddr; a < hi - l->seg->vaddr; a++)
		if (l->target[a])
			return false;
	return true;
}

static bool check_plan(const struct lib *l, const struct patch_plan *p)
{
	u64 at = patch_plan_at(p);

	if (p->wlen < p->patch_len || (p->patch_len != 5) != (p->far_len != 0) || !p->ninsn)
		return false;
	if (memcmp(p->orig, l->seg->bytes + (at - l->seg->vaddr), p->wlen))
		return false;
	/* The first byte of a victim may be jumped to, of an island not. */
	return no_targets(l, at + 1, at + p->patch_len) &&
	       no_targets(l, p->island + (p->form == PATCH_EVICT), p->island + p->far_len);
}

static void find_targets(struct lib *l)
{
	const struct patch_segment *s = l->seg;
	struct insn x;

	for (u64 a = 0; a < s->size; a += x.i.length)
		if (!decode(l, s->bytes + a, s->size - a, &x))
			x.i.length = 1;
		else if (x.i.raw.imm[0].is_relative) {
			u64 t = absolute(&x, 0, s->vaddr + a) - s->vaddr;

			if (t < s->size)
				l->target[t] = 1;
		}
}

static void check_site(struct lib *l, u64 vaddr)
{
	struct patch_plan p;

	patch_plan_site(l->binary, vaddr, NULL, 0, &p);
	l->sites++;
	if (p.form == PATCH_REFUSED)
		return;
	l->accepted++;
	l->entries += p.entry;
	l->insns += p.ninsn;
	l->form[p.form]++;
	l->back += p.back != 0;
	if (!check_plan(l, &p) || !check_copy(l, &p)) {
		if (l->bad++ < 5) {
			printf("# at %#llx, %s:", (unsigned long long)vaddr,
			       patch_form_name(p.form));
			for (u32 i = 0; i < p.wlen; i++)
				printf(" %02x", p.orig[i]);
			printf("\n");
		}
	}
}

static void check_lib(const char *path)
{
	struct lib l = { 0 };

	if (util_elf_open(path, &l.elf)) {
		tap_skip("no such file", "%s", path);
		return;
	}
	l.desc = util_elf_desc(l.elf);
	ZydisDecoderInit(&l.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (tap_eq(patch_binary_new(l.desc, &l.binary), 0, "%s: analysed", path)) {
		for (u32 i = 0; i < l.desc->nseg; i++) {
			struct insn x;

			l.seg = &l.desc->seg[i];
			l.target = calloc(1, l.seg->size + 16);
			find_targets(&l);
			for (u64 a = 0; a < l.seg->size; a += x.i.length) {
				check_site(&l, l.seg->vaddr + a);
				if (!decode(&l, l.seg->bytes + a, l.seg->size - a, &x))
					x.i.length = 1;
			}
			free(l.target);
		}
		printf("# %llu sites, %llu accepted, %llu entries, %llu displaced instructions\n",
		       (unsigned long long)l.sites, (unsigned long long)l.accepted,
		       (unsigned long long)l.entries, (unsigned long long)l.insns);
		printf("# %llu islands, %llu evictions, %llu windows that begin before their site\n",
		       (unsigned long long)l.form[PATCH_ISLAND], (unsigned long long)l.form[PATCH_EVICT],
		       (unsigned long long)l.back);
		tap_ok(l.accepted > l.sites / 2, "%s: most sites can be patched", path);
		tap_ok(l.form[PATCH_EVICT] && l.form[PATCH_ISLAND] && l.back, "%s: every form occurs", path);
		tap_eq(l.bad, 0, "%s: all plans and copies are right", path);
	}
	patch_binary_free(l.binary);
	util_elf_close(l.elf);
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	if (strstr(info->dlpi_name, "libc.so"))
		snprintf(arg, 4096, "%s", info->dlpi_name);
	return 0;
}

int main(void)
{
	char libc[4096] = "/lib64/libc.so.6";

	dl_iterate_phdr(find_libc, libc);
	check_lib(libc);
	check_lib("/bin/bash");
	return tap_done();
}
