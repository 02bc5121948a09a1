/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "asm.h"
#include "ebpf/kfuncs.h"

const u8 case_rodata[32] = {1,	 2,    3,    4,	   5,	 6,   7,   8,	'a', 'b', 'c',
			    0,	 0xff, 0xff, 0xff, 0xff, 'x', 'x', 'x', 'x', 'x', 'x',
			    'x', 'x',  'x',  'x',  'x',	 'x', 'x', 'x', 'x', 'x'};

const struct verifier_map case_maps[M_ALL] = {
    [M_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 48, 16, 0, NULL},
    [M_HASH] = {BPF_MAP_TYPE_HASH, 4, 48, 16, 0, NULL},
    [M_PERCPU] = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 4, 0, NULL},
    [M_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, NULL},
    [M_DATA] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, NULL},
    [M_RODATA] = {BPF_MAP_TYPE_ARRAY, 4, 32, 1, BPF_F_RDONLY_PROG, case_rodata},
    [M_HASH8] = {BPF_MAP_TYPE_HASH, 8, 8, 16, 0, NULL},
    [M_PHASH] = {BPF_MAP_TYPE_PERCPU_HASH, 4, 16, 16, 0, NULL},
    [M_PERF] = {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4, 0, NULL},
    [M_PROGS] = {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0, NULL},
    [M_OUTER] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, 0, NULL, M_INNER},
    [M_INNER] = {BPF_MAP_TYPE_HASH, 4, 8, 16, 0, NULL},
    [M_QUEUE] = {BPF_MAP_TYPE_QUEUE, 0, 8, 4, 0, NULL},
    [M_STACKS] = {BPF_MAP_TYPE_STACK_TRACE, 4, 80, 16, 0, NULL},
    [M_RDONLY] = {BPF_MAP_TYPE_ARRAY, 4, 8, 4, BPF_F_RDONLY_PROG, NULL},
};

/* r0 = lookup(map, key on the stack at fp - 4) */
#define LOOKUP(m, key)                                                                             \
	STI(4, R10, -4, key), MOV(R2, R10), ADDI(R2, -4), LDMAP(R1, m),                            \
	    CALL(BPF_FUNC_map_lookup_elem)
/* r0 = a value of the hash map, checked; r6 = ctx */
#define VALUE() MOV(R6, R1), LOOKUP(M_HASH, 1), JI(BPF_JNE, R0, 0, 2), RET(0)
#define RESERVE(n) LDMAP(R1, M_RING), MOVI(R2, n), MOVI(R3, 0), CALL(BPF_FUNC_ringbuf_reserve)
#define SUBMIT(r) MOV(R1, r), MOVI(R2, 0), CALL(BPF_FUNC_ringbuf_submit)

const struct vcase vcases[] = {
#include "cases_struct.inc"
#include "cases_state.inc"
#include "cases_mem.inc"
#include "cases_call.inc"
#include "cases_loop.inc"
#include "cases_packet.inc"
};
const u32 vcases_n = sizeof(vcases) / sizeof(vcases[0]);

u32 vcase_len(const struct vcase *c)
{
	u32 n = CASE_MAX_INSNS;

	while (n && !c->insn[n - 1].code && !c->insn[n - 1].imm &&
	       !(n > 1 && ebpf_insn_is_ld64(&c->insn[n - 2])))
		n--;
	return n;
}
