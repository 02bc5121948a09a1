/* SPDX-License-Identifier: MIT */
/*
 * Rows engine/llvm/PROGRAM: the programs of engine.bpf.c in the machine code of our compiler and in LLVM's for the same
 * BPF instructions (native.h), in one process, on the same maps, with the same helpers: those of the image that targets map.
 * What our compiler does without a call (look-ups in arrays, pid_tgid ...) LLVM's code calls a helper for, as every
 * BPF run time that has LLVM behind it; loops, stack and arithmetic are LLVM's own matter. The two take turns, window by window, on
 * one CPU; the best window counts. Before that both run once from the same state of the maps, and must leave the same.
 *
 *   llvm OBJECT [PREFIX [FLAGS]]        "ROW ns" is ours, "ROW@llvm ns" LLVM's; "# text": why there is nothing
 *
 * FLAGS "" instead of native.h's: LLVM may use vector registers.
 */
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "jit/jit.h"
#include "native.h"
#include "subject.h"

#define ROUNDS 256.0 /* engine.h: operations that a round of bpf_loop() does */
#define WINDOW_NS 4e5
#define WINDOWS 30

typedef u64 image_fn(u64 ctx);

struct machine {
	struct object object;
	const struct subject *subject;
	struct nt_map_view *map[OBJECT_MAPS], view[OBJECT_MAPS];
	u8 *fresh[OBJECT_MAPS], *left[OBJECT_MAPS]; /* the maps' memory: as it began; as a run left it */
	u64 helper[NT_HELPER_MAX], map_view[OBJECT_MAPS], map_data[OBJECT_MAPS];
	struct verifier_result facts[OBJECT_PROGRAMS];
	image_fn *ours[OBJECT_PROGRAMS];
	u64 run[8 + 12]; /* struct nt_run, then what the programs' context points to */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void make_maps(struct machine *m)
{
	struct nt_state *st = m->subject->state;

	for (u32 i = 0; i < m->object.nmaps; i++) {
		const struct verifier_map *def = &m->object.map[i];
		bool percpu = def->type == BPF_MAP_TYPE_PERCPU_ARRAY || def->type == BPF_MAP_TYPE_PERCPU_HASH;
		struct nt_map_view *v = subject_map(def->type, def->key_size, def->value_size, def->max_entries,
						    percpu ? (u32)sysconf(_SC_NPROCESSORS_CONF) : 1);

		m->map[i] = v;
		m->view[i] = *v;
		m->map_view[i] = (u64)v;
		m->map_data[i] = (u64)v->base + v->data_off;
		m->fresh[i] = malloc(v->size);
		m->left[i] = malloc(v->size);
		if (!m->fresh[i] || !m->left[i])
			exit(1);
		memcpy(m->fresh[i], v->base, v->size);
		if (def->type == BPF_MAP_TYPE_RINGBUF)
			st->rings[st->nrings++] = (u64)v;
	}
	for (u32 i = 0; i < NT_HELPER_MAX; i++)
		m->helper[i] = (u64)m->subject->helper[i];
}

static u64 got_value(const struct machine *m, const struct jit_got *g)
{
	switch (g->kind) {
	case JIT_GOT_MAP_VIEW: return m->map_view[g->index];
	case JIT_GOT_MAP_DATA: return m->map_data[g->index];
	default: return m->helper[g->index];
	}
}

/* Verified and compiled as the broker does it, mapped as in a target. */
static bool compile_ours(struct machine *m, u32 k)
{
	struct object_program *p = &m->object.program[k];
	const struct verifier_func funcs[] = {{0, false, p->name}, {p->callback, true, "round"}};
	struct verifier_prog prog = {.insns = p->insn, .n = p->n, .prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT, .maps = m->object.map,
				     .nmaps = m->object.nmaps, .funcs = funcs, .nfuncs = p->callback ? 2 : 1};
	struct jit_input in = {.arch = JIT_X86_64, .insns = p->insn, .n = p->n, .facts = &m->facts[k], .maps = m->view,
			       .nmaps = m->object.nmaps, .has_bmi2 = __builtin_cpu_supports("bmi2"), .has_rdpid = machine_has_rdpid()};
	struct verifier_log log = {.level = 1};
	struct jit_image img;
	u8 *at;

	if (verifier_check(&prog, &log, &m->facts[k])) {
		fprintf(stderr, "%s is refused:\n%s\n", p->name, log.buf ? log.buf : "");
		return false;
	}
	free(log.buf);
	verifier_rewrite(&m->facts[k], p->insn, p->n);
	if (jit_compile(&in, &img))
		return false;
	at = mmap(NULL, img.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return false;
	memcpy(at, img.code, img.size);
	for (u32 i = 0; i < img.ngot; i++) {
		u64 v = got_value(m, &img.got[i]);

		memcpy(at + 8 * i, &v, 8);
	}
	if (mprotect(at, img.size, PROT_READ | PROT_EXEC))
		return false;
	m->ours[k] = (image_fn *)(at + img.entry);
	jit_image_deinit(&img);
	return true;
}

/* All programs in one file. NULL and *ret_why: it cannot be had here. */
static void *compile_native(const struct machine *m, const char *flags, const char **ret_why)
{
	char dir[] = "/tmp/notrap-llvm.XXXXXX", source[64], command[128];
	void *handle = NULL;
	FILE *f;
	int err = 0;

	*ret_why = "no temporary file";
	if (!mkdtemp(dir))
		return NULL;
	snprintf(source, sizeof(source), "%s/native.c", dir);
	f = fopen(source, "we");
	for (u32 k = 0; f && !err && k < m->object.nprograms; k++)
		err = native_write(&(struct native_input){.program = &m->object.program[k], .helper = m->helper, .nhelpers = NT_HELPER_MAX,
							  .map_view = m->map_view, .map_data = m->map_data, .facts = m->facts[k].insn}, f);
	if (f && !fclose(f) && !err)
		handle = native_load(dir, source, flags, ret_why);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		perror(dir);
	return handle;
}

static void maps_reset(struct machine *m)
{
	for (u32 i = 0; i < m->object.nmaps; i++)
		memcpy(m->map[i]->base, m->fresh[i], m->map[i]->size);
}

/* A ring takes as much as it has room for. */
static void rings_drain(struct machine *m)
{
	for (u32 i = 0; i < m->object.nmaps; i++)
		if (m->map[i]->type == BPF_MAP_TYPE_RINGBUF)
			memcpy(m->map[i]->base + NT_RING_CONS_OFF, m->map[i]->base + NT_RING_PROD_OFF, 8);
}

/* ns that n rounds take; negative: it did not do them all. */
static double run(struct machine *m, image_fn *fn, u64 n)
{
	u64 *ctx = &m->run[8];
	double begin;

	ctx[0] = n;
	rings_drain(m);
	begin = now();
	return fn((u64)ctx) == n ? now() - begin : -1;
}

/* Two rounds of each from fresh maps: the same result, the same memory. */
static bool is_same(struct machine *m, u32 k, image_fn *native)
{
	bool clock = !strcmp(m->object.program[k].name, "helper_ktime"), same = true;
	u32 bss = m->object.bss;

	for (u32 turn = 0; turn < 2; turn++) {
		maps_reset(m);
		same = same && run(m, turn ? native : m->ours[k], 2) >= 0;
		memset(m->map[bss]->base + m->map[bss]->data_off + m->object.took, 0, 8);
		for (u32 i = 0; i < m->object.nmaps; i++) {
			if (!turn)
				memcpy(m->left[i], m->map[i]->base, m->map[i]->size);
			else if (memcmp(m->left[i], m->map[i]->base, m->map[i]->size) && !(clock && i == bss))
				same = false;
		}
	}
	return same;
}

static void measure(struct machine *m, u32 k, image_fn *native)
{
	image_fn *const fn[2] = {m->ours[k], native};
	const char *name = m->object.program[k].name;
	bool ring = !strncmp(name, "ring", 4);
	double best[2] = {1e18, 1e18};
	u64 n = ring ? 100 : 8;

	while (!ring && n < 1u << 20 && run(m, fn[0], n) < WINDOW_NS)
		n *= 2;
	for (int i = 0; i < 2 * WINDOWS; i++) {
		double ns = run(m, fn[i & 1], n);

		if (ns >= 0 && ns < best[i & 1])
			best[i & 1] = ns;
	}
	printf("engine/llvm/%s %.3f ns\nengine/llvm/%s@llvm %.3f ns\n", name, best[0] / (double)n / ROUNDS, name,
	       best[1] / (double)n / ROUNDS);
}

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("pinning");
}

int main(int argc, char **argv)
{
	static struct machine m;
	const char *prefix = argc > 2 ? argv[2] : "", *why;
	void *library;
	int err = 0;

	if (argc < 2 || object_read(argv[1], &m.object))
		return 1;
	pin();
	m.subject = subject_new();
	make_maps(&m);
	for (u32 k = 0; k < m.object.nprograms; k++)
		if (!compile_ours(&m, k))
			return 1;
	library = compile_native(&m, argc > 3 ? argv[3] : NATIVE_FLAGS, &why);
	if (!library) {
		printf("# Without LLVM: %s.\n", why);
		return 0;
	}
	for (u32 k = 0; k < m.object.nprograms; k++) {
		char row[80], symbol[64];
		image_fn *native;

		snprintf(row, sizeof(row), "engine/llvm/%s", m.object.program[k].name);
		snprintf(symbol, sizeof(symbol), "native_%s", m.object.program[k].name);
		native = (image_fn *)dlsym(library, symbol);
		/* (what read_... reads is not set here, and the helper's own matter) */
		if (strncmp(row, prefix, strlen(prefix)) || !strncmp(m.object.program[k].name, "read_", 5))
			continue;
		if (native && is_same(&m, k, native)) {
			measure(&m, k, native);
			continue;
		}
		fprintf(stderr, "%s: the two do not do the same\n", row);
		err = 1;
	}
	return err;
}
