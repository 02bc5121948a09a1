/* SPDX-License-Identifier: MIT */
#include "patch/plan.h"

#include "base/bits.h"

static const char *const form_names[PATCH_NFORMS] = {
	[PATCH_REFUSED] = "refused", [PATCH_NOP5] = "nop5", [PATCH_JMP] = "jmp",
	[PATCH_JMP_N] = "jmp-n",     [PATCH_PAD] = "pad",   [PATCH_ISLAND] = "island",
	[PATCH_EVICT] = "evict",
};

static const char *const reason_names[PATCH_NREASONS] = {
	[PATCH_OK] = "ok",
	[PATCH_R_NOT_CODE] = "not-code",
	[PATCH_R_UNDECODABLE] = "undecodable",
	[PATCH_R_TOO_SHORT] = "too-short",
	[PATCH_R_JUMP_INSIDE] = "jump-inside",
	[PATCH_R_CALL_INSIDE] = "call-inside",
	[PATCH_R_RELOCATE] = "not-relocatable",
	[PATCH_R_SIGRETURN] = "sigreturn",
	[PATCH_R_OVERLAP] = "overlap",
	[PATCH_R_NO_RETURN_PROBE] = "no-return-probe",
	[PATCH_R_BAD_INSN] = "bad-instruction",
	[PATCH_R_DATA_INSIDE] = "data-inside",
	[PATCH_R_MID_INSN] = "mid-instruction",
	[PATCH_R_GO] = "go",
	[PATCH_R_GO_FAULT] = "go-may-fault",
	[PATCH_R_TAIL_JUMP] = "leaves-by-jump",
	[PATCH_R_NOT_ENTRY] = "not-an-entry",
	[PATCH_R_RBX] = "rbx-not-saved",
};

const char *patch_form_name(enum patch_form f)
{
	return (u32)f < PATCH_NFORMS && form_names[f] ? form_names[f] : "?";
}

const char *patch_reason_name(enum patch_reason r)
{
	return (u32)r < PATCH_NREASONS && reason_names[r] ? reason_names[r] : "?";
}

u32 patch_plan_takes(const struct patch_plan *p, struct patch_range ret[2])
{
	u32 n = 0;

	if (p->form == PATCH_REFUSED)
		return 0;
	if (p->far_len)
		ret[n++] = (struct patch_range){ p->island, p->island + (p->victim.len ? p->victim.len : p->far_len) };
	if (p->back)
		ret[n++] = (struct patch_range){ patch_plan_at(p), patch_plan_at(p) + p->wlen };
	return n;
}
