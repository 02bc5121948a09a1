/* SPDX-License-Identifier: MIT */
#include "broker/object/prog.h"

#include "tap.h"

/* SHA-256 of these bytes, computed with another tool; lengths around the padding's edges. */
int main(void)
{
	struct bpf_insn insns[32] = {};
	u8 tag[PROG_TAG_LEN], other[PROG_TAG_LEN];
	static const struct {
		u32 n;
		u8 want[PROG_TAG_LEN];
	} zeros[] = {
	    {1, {0xaf, 0x55, 0x70, 0xf5, 0xa1, 0x81, 0x0b, 0x7a}},
	    {6, {0x17, 0xb0, 0x76, 0x1f, 0x87, 0xb0, 0x81, 0xd5}},
	    {7, {0xd4, 0x81, 0x7a, 0xa5, 0x49, 0x76, 0x28, 0xe7}},
	    {8, {0xf5, 0xa5, 0xfd, 0x42, 0xd1, 0x6a, 0x20, 0x30}},
	    {15, {0x6e, 0xdd, 0x9f, 0x6f, 0x9c, 0xc9, 0x2c, 0xde}},
	    {16, {0x38, 0x72, 0x3a, 0x2e, 0x5e, 0x8a, 0x17, 0xaa}},
	    {31, {0xb3, 0xab, 0x69, 0x82, 0x98, 0x0f, 0xdd, 0xf4}},
	};

	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
		prog_tag(insns, zeros[i].n, tag);
		tap_ok(!memcmp(tag, zeros[i].want, sizeof(tag)), "%u zero instructions",
		       zeros[i].n);
	}
	insns[0] = (struct bpf_insn){.code = BPF_LD | BPF_IMM | BPF_DW, .src_reg = 1, .imm = 5};
	prog_tag(insns, 2, tag);
	insns[0].imm = 6;
	prog_tag(insns, 2, other);
	tap_ok(!memcmp(tag, other, sizeof(tag)),
	       "the number of a map's descriptor does not matter");
	return tap_done();
}
