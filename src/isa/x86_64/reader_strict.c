/* SPDX-License-Identifier: MIT */
/* The strict reader: Zydis' view of an instruction in our words. */
#include "isa/x86_64/reader.h"

#include <Zydis/Zydis.h>

/* Initialising a decoder only fills in two enums and a mode mask, so there is no global one to
 * share. */
static ZydisDecoder decoder(void)
{
	ZydisDecoder d;

	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return d;
}

static enum x86_kind kind_of(const ZydisDecodedInstruction *z)
{
	bool rel = z->raw.imm[0].is_relative;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_NOP: return X86_K_NOP;
	case ZYDIS_MNEMONIC_JMP: return rel ? X86_K_JMP : X86_K_JMP_IND;
	case ZYDIS_MNEMONIC_CALL: return rel ? X86_K_CALL : X86_K_CALL_IND;
	case ZYDIS_MNEMONIC_XBEGIN: return X86_K_XBEGIN;
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ: return X86_K_LOOP;
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ: return X86_K_RET;
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT: return X86_K_STOP;
	default: break;
	}
	return z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && rel ? X86_K_JCC : X86_K_PLAIN;
}

static u8 map_of(const ZydisDecodedInstruction *z)
{
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return X86_MAP_VECTOR;
	switch (z->opcode_map) {
	case ZYDIS_OPCODE_MAP_0F: return X86_MAP_0F;
	case ZYDIS_OPCODE_MAP_0F38: return X86_MAP_0F38;
	case ZYDIS_OPCODE_MAP_0F3A: return X86_MAP_0F3A;
	default: return X86_MAP_ONE;
	}
}

static u8 prefixes_of(const ZydisDecodedInstruction *z)
{
	u8 bits = 0;

	for (u32 i = 0; i < z->raw.prefix_count; i++) {
		switch (z->raw.prefixes[i].value) {
		case 0x66: bits |= X86_P_66; break;
		case 0x67: bits |= X86_P_67; break;
		case 0xf0: bits |= X86_P_LOCK; break;
		case 0xf2: bits |= X86_P_F2; break;
		case 0xf3: bits |= X86_P_F3; break;
		case 0x64: case 0x65: bits |= X86_P_FSGS; break;
		case 0x26: case 0x2e: case 0x36: case 0x3e: bits |= X86_P_SEG; break;
		}
	}
	return bits;
}

/* Offset of the last opcode byte: in front of ModRM, else in front of the operands. */
static u8 opcode_offset(const ZydisDecodedInstruction *z)
{
	if (z->raw.modrm.offset)
		return (u8)(z->raw.modrm.offset - 1);
	if (z->raw.disp.size)
		return (u8)(z->raw.disp.offset - 1);
	if (z->raw.imm[0].size)
		return (u8)(z->raw.imm[0].offset - 1);
	return (u8)(z->length - 1);
}

bool x86_read_strict(const u8 *p, size_t avail, struct x86_insn *ret)
{
	ZydisDecoder d = decoder();
	ZydisDecodedInstruction z;
	struct x86_insn i = { 0 };

	if (avail > X86_INSN_MAX)
		avail = X86_INSN_MAX;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, p, avail, &z)))
		return false;
	i.len = z.length;
	i.kind = (u8)kind_of(&z);
	i.map = map_of(&z);
	i.prefix = prefixes_of(&z);
	if (z.attributes & ZYDIS_ATTRIB_HAS_REX && z.raw.rex.offset < z.length)
		i.rex = p[z.raw.rex.offset];
	i.opcode = z.opcode;
	i.op_off = opcode_offset(&z);
	if (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		i.modrm_off = z.raw.modrm.offset;
		i.modrm = p[i.modrm_off];
		i.rip_rel = z.raw.modrm.mod == 0 && z.raw.modrm.rm == 5 && z.raw.disp.size == 32;
		if (z.raw.disp.size) {
			i.disp_off = z.raw.disp.offset;
			i.disp_len = z.raw.disp.size / 8;
			i.disp = (s32)z.raw.disp.value;
		}
	}
	if (z.raw.imm[0].is_relative) {
		i.rel_off = z.raw.imm[0].offset;
		i.rel_len = z.raw.imm[0].size / 8;
		i.rel = (s32)z.raw.imm[0].value.s;
	}
	*ret = i;
	return true;
}

/* Cheap and generous: false only when the instruction certainly leaves rbx alone. */
static bool may_use_rbx(const u8 *p, const struct x86_insn *i)
{
	bool b_ext = i->rex & 1, r_ext = i->rex & 4, x_ext = i->rex & 2;
	u8 mod = i->modrm >> 6, reg = i->modrm >> 3 & 7, rm = i->modrm & 7;

	if (i->map == X86_MAP_VECTOR)
		return true;
	if (i->map == X86_MAP_ONE && !i->modrm_off)
		switch (i->opcode) {
		case 0x53: case 0x5b: case 0x93: case 0xb3: case 0xbb: return !b_ext;
		case 0xb7: return !i->rex; /* mov bh, imm8 */
		case 0xd7: return true;	   /* xlat */
		default: return false;
		}
	if (!i->modrm_off)
		return i->map == X86_MAP_0F && (i->opcode == 0xa2 || (i->opcode & 0xf8) == 0xc8);
	if (i->map == X86_MAP_0F && (i->opcode == 0x01 || i->opcode == 0xc7))
		return true;
	if ((reg == 3 && !r_ext) || (reg == 7 && !i->rex))
		return true;
	if (mod == 3)
		return (rm == 3 && !b_ext) || (rm == 7 && !i->rex);
	if (rm == 4) {
		u8 sib = p[i->modrm_off + 1];

		return ((sib & 7) == 3 && !b_ext) || ((sib >> 3 & 7) == 3 && !x_ext);
	}
	return rm == 3 && !b_ext;
}

static bool is_rbx(ZydisRegister r)
{
	return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r) ==
	       ZYDIS_REGISTER_RBX;
}

enum x86_rbx x86_rbx_use(const u8 *p, const struct x86_insn *i)
{
	ZydisDecoder d = decoder();
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	if (!may_use_rbx(p, i))
		return X86_RBX_UNUSED;
	if (i->map == X86_MAP_ONE && i->opcode == 0x53)
		return X86_RBX_SAVED;
	if (i->map == X86_MAP_ONE && i->opcode == 0x89 && (i->rex & 0xc) == 8 &&
	    (i->modrm >> 3 & 7) == 3 && i->modrm >> 6 != 3)
		return X86_RBX_SAVED; /* mov [..], rbx */
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p, i->len, &z, op)))
		return X86_RBX_USED;
	for (u32 k = 0; k < z.operand_count; k++) {
		if (op[k].type == ZYDIS_OPERAND_TYPE_REGISTER && is_rbx(op[k].reg.value))
			return X86_RBX_USED;
		if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (is_rbx(op[k].mem.base) || is_rbx(op[k].mem.index)))
			return X86_RBX_USED;
	}
	return X86_RBX_UNUSED;
}
