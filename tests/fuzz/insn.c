/* SPDX-License-Identifier: MIT */
/*
 * The instruction decoder and what reads its result: the input is a program as it stands, eight bytes
 * an instruction. Each is disassembled; the verifier gets it with and without a log and must say the
 * same both times; what it accepts is compiled. (fuzz/verifier runs what it accepts, but builds its
 * programs itself.)
 *     byte 0    program type     byte 1    flags     then    struct bpf_insn[]
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cases.h"
#include "ebpf/disasm.h"
#include "jit/jit.h"
#include "maps/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INSNS_MAX 256u
#define FLAG_SLEEPABLE 1u
#define FLAG_NOT_GPL 2u
#define FLAG_CALLBACK 4u

static void fail(const struct verifier_prog *p, const char *what, int r)
{
	char text[EBPF_DISASM_MAX];

	fprintf(stderr, "%s (%d)\n", what, r);
	for (u32 i = 0; i < p->n; i++) {
		ebpf_disasm(&p->insns[i], text, sizeof(text));
		fprintf(stderr, "%u: %s\n", i, text);
	}
	abort();
}

static void disassemble(const struct verifier_prog *p)
{
	char text[EBPF_DISASM_MAX];

	for (u32 i = 0; i < p->n; i++) {
		memset(text, 'x', sizeof(text));
		ebpf_disasm(&p->insns[i], text, sizeof(text));
		if (!memchr(text, 0, sizeof(text)) || !text[0])
			fail(p, "an instruction without a text", (int)i);
		/* the smallest buffer there is */
		ebpf_disasm(&p->insns[i], text, 1);
	}
}

static int verdict(const struct verifier_prog *p, u32 level, struct verifier_result *ret)
{
	struct verifier_log log = {.level = level};
	int r = verifier_check(p, &log, ret);

	if (level && r && r != -ENOMEM && (!log.buf || !log.len))
		fail(p, "refused without a word", r);
	if (log.buf && strlen(log.buf) != log.len)
		fail(p, "a log that is no text", r);
	free(log.buf);
	return r;
}

static void compile(const struct verifier_prog *p, const struct verifier_result *facts)
{
	struct nt_map_view views[M_ALL] = {};
	struct jit_input in = {
	    .insns = p->insns, .n = p->n, .facts = facts, .maps = views, .nmaps = p->nmaps, .has_rdpid = true};
	struct jit_image img;
	int r;

	for (u32 i = 0; i < M_ALL; i++) {
		const struct verifier_map *m = &p->maps[i];

		views[i].type = m->type;
		views[i].key_size = m->key_size;
		views[i].value_size = m->value_size;
		views[i].max_entries = m->max_entries;
		views[i].flags = m->map_flags;
		views[i].ncpus = m->type == BPF_MAP_TYPE_PERCPU_ARRAY || m->type == BPF_MAP_TYPE_PERCPU_HASH ? 3 : 1;
		if (map_geometry(&views[i]))
			fail(p, "a map of the test is none", (int)i);
	}
	r = jit_compile(&in, &img);
	if (r == -EINVAL)
		fail(p, "accepted, and does not compile", r);
	if (!r)
		jit_image_deinit(&img);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const u32 types[] = {BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_RAW_TRACEPOINT,
				    BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_SYSCALL};
	struct bpf_insn insn[INSNS_MAX + 1] = {}; /* an ld64 at the end has a second half */
	struct verifier_func funcs[2] = {{0, false, "main"}, {0, true, "cb"}};
	struct verifier_prog p = {.insns = insn, .maps = case_maps, .nmaps = M_NMAPS};
	struct verifier_result res = {0}, again = {0};
	int r;

	if (size < 2 + sizeof(insn[0]))
		return 0;
	p.n = bits_min((u32)((size - 2) / sizeof(insn[0])), INSNS_MAX);
	memcpy(insn, data + 2, p.n * sizeof(insn[0]));
	p.prog_type = types[data[0] % bits_count(types)];
	p.sleepable = data[1] & FLAG_SLEEPABLE;
	p.not_gpl = data[1] & FLAG_NOT_GPL;
	p.all_bodies = true;
	if (data[1] & FLAG_CALLBACK) {
		funcs[1].start = data[1] >> 3;
		p.funcs = funcs;
		p.nfuncs = 2;
	}
	for (u32 i = 0; i < p.n; i++) /* the broker has resolved the maps */
		if (ebpf_insn_is_ld64(&insn[i]) &&
		    (insn[i].src_reg == BPF_PSEUDO_MAP_FD || insn[i].src_reg == BPF_PSEUDO_MAP_VALUE))
			insn[i].imm = (s32)((u32)insn[i].imm % M_NMAPS);
	disassemble(&p);
	r = verdict(&p, 0, &res);
	if (verdict(&p, data[1] & 8 ? 1 : 2, &again) != r)
		fail(&p, "with a log the verdict is another one", r);
	if (!r) {
		compile(&p, &res);
		verifier_result_deinit(&res);
		verifier_result_deinit(&again);
	}
	return 0;
}
