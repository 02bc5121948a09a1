/* SPDX-License-Identifier: MIT */
/*
 * The live kernel as oracle. The hand-written programs of the unit test, programs compiled from
 * tests/golden/verifier (arguments: the object files) and seeded mutations of both are loaded as
 * kprobe programs into the kernel and given to verifier_check(). What we accept and the kernel
 * refuses is a failure, unless the kernel's reason is in the short list below. What the kernel
 * accepts and we refuse is counted: programs of users must not fall into that share.
 *
 * NT_SEED and NT_ROUNDS choose the mutations; the seed is printed. With NT_SOAK there are more than 200,000 programs.
 */
#include "tap.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cases.h"
#include "ebpf/btf.h"
#include "ebpf/disasm.h"
#include "ebpf/kfuncs.h"
#include "gen.h"
#include "object.h"

#define MAX_MISSED_PERCENT 2.0
#define KERNEL_LOG (1u << 18)

/* We accept, the kernel does not, and both are right: parts of the kernel's words, and why. */
static const struct {
	const char *phrase, *why;
} explained[] = {
    {"verifier bug", "the kernel's verifier has failed, not the program"},
    {"is not a function", "the broker looks kernel functions up before it verifies"},
    {"failed to find BTF for kernel function", "the same: of a module that nobody named"},
    {"func_info BTF section doesn't match", "mutation has moved a function away from its BTF"},
};

static int bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

struct map_set {
	const struct verifier_map *map;
	u32 n;
	int fd[16];
	int btf; /* int main(), static int cb(): types 3 and 4 */
	s32 kfunc[EBPF_KFUNC_N]; /* numbers in the kernel's BTF */
};

/* A call that mutation has turned into one of nothing stays one. */
static s32 kernel_number(const struct map_set *set, u32 id)
{
	return id < EBPF_KFUNC_N ? set->kfunc[id] : 0x7ffffff;
}

static int load_btf(void)
{
	static const struct {
		struct btf_header h;
		struct btf_type integer;
		u32 bits;
		struct btf_type proto, prog, cb;
		char names[16];
	} b = {.h = {BTF_MAGIC, BTF_VERSION, 0, sizeof(struct btf_header), 0, 52, 52, 16},
	       .integer = {1, BTF_KIND_INT << 24, {4}},
	       .bits = BTF_INT_SIGNED << 24 | 32,
	       .proto = {0, BTF_KIND_FUNC_PROTO << 24, {1}},
	       .prog = {5, BTF_KIND_FUNC << 24 | BTF_FUNC_GLOBAL, {2}},
	       .cb = {10, BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, {2}},
	       .names = "\0int\0main\0cb"};
	union bpf_attr a = {.btf = (u64)&b, .btf_size = sizeof(b)};

	return bpf(BPF_BTF_LOAD, &a);
}

static void find_kfuncs(struct map_set *set)
{
	static u8 data[32 << 20];
	FILE *f = fopen("/sys/kernel/btf/vmlinux", "rb");
	struct ebpf_btf b;
	size_t n = f ? fread(data, 1, sizeof(data), f) : 0;
	u32 i;

	if (f)
		fclose(f);
	if (ebpf_btf_open(data, n, &b))
		return;
	for (i = 1; i < b.n; i++) {
		const struct btf_type *t = ebpf_btf_type(&b, i);

		if (BTF_INFO_KIND(t->info) == BTF_KIND_FUNC)
			set->kfunc[ebpf_kfunc_by_name(ebpf_btf_name(&b, t->name_off))] = (s32)i;
	}
	set->kfunc[EBPF_KFUNC_NONE] = 0;
	ebpf_btf_close(&b);
}

static int make_inner(const struct verifier_map *m)
{
	union bpf_attr a = {.map_type = m->type,
			    .key_size = m->key_size,
			    .value_size = m->value_size,
			    .max_entries = m->max_entries};

	return bpf(BPF_MAP_CREATE, &a);
}

static int make_maps(const struct verifier_map *map, u32 n, struct map_set *set)
{
	u32 i, zero = 0;

	set->map = map;
	set->n = n;
	set->btf = load_btf();
	find_kfuncs(set);
	for (i = 0; i < n; i++) {
		union bpf_attr a = {.map_type = map[i].type,
				    .key_size = map[i].key_size,
				    .value_size = map[i].value_size,
				    .max_entries = map[i].max_entries,
				    .map_flags = map[i].map_flags};

		if (map[i].inner)
			a.inner_map_fd = (u32)make_inner(&map[map[i].inner]);
		set->fd[i] = bpf(BPF_MAP_CREATE, &a);
		if (set->fd[i] < 0)
			return -errno;
		if (!map[i].frozen)
			continue;
		a = (union bpf_attr){
		    .map_fd = (u32)set->fd[i], .key = (u64)&zero, .value = (u64)map[i].frozen};
		if (bpf(BPF_MAP_UPDATE_ELEM, &a))
			return -errno;
		a = (union bpf_attr){.map_fd = (u32)set->fd[i]};
		if (bpf(BPF_MAP_FREEZE, &a))
			return -errno;
	}
	return 0;
}

static bool is_map_load(const struct bpf_insn *in)
{
	return ebpf_insn_is_ld64(in) &&
	       (in->src_reg == BPF_PSEUDO_MAP_FD || in->src_reg == BPF_PSEUDO_MAP_VALUE);
}

#define MAX_INSNS 512u

struct program {
	struct bpf_insn insn[MAX_INSNS];
	u32 n, type, attach;
	u32 cb; /* as in struct vcase */
	const struct map_set *maps;
};

/* log NULL: the verdict alone, which is many times faster. */
static int kernel_verdict(const struct program *p, char *log)
{
	struct bpf_insn insn[MAX_INSNS];
	const struct bpf_func_info info[2] = {{0, 3}, {p->cb, 4}};
	union bpf_attr a = {.prog_type = p->type,
			    .insns = (u64)insn,
			    .insn_cnt = p->n,
			    .license = (u64) "GPL",
			    .log_level = log ? 1 : 0,
			    .log_buf = (u64)log,
			    .log_size = log ? KERNEL_LOG : 0,
			    .expected_attach_type = p->attach,
			    .func_info = p->cb ? (u64)info : 0,
			    .func_info_cnt = p->cb ? 2 : 0,
			    .func_info_rec_size = sizeof(info[0]),
			    .prog_btf_fd = p->cb ? p->maps->btf : 0};
	u32 i;
	int fd;

	memcpy(insn, p->insn, sizeof(insn));
	for (i = 0; i < p->n; i++)
		if (ebpf_insn_is_kfunc_call(&insn[i]))
			insn[i].imm = kernel_number(p->maps, (u32)insn[i].imm);
		else if (is_map_load(&insn[i]))
			insn[i].imm = (u32)insn[i].imm < p->maps->n ? p->maps->fd[insn[i].imm] : -1;
	if (log)
		log[0] = 0;
	fd = bpf(BPF_PROG_LOAD, &a);
	if (fd < 0 && errno == ENOSPC) {
		/* the log was too short for a long path; the verdict counts */
		a.log_level = 0;
		a.log_buf = 0;
		a.log_size = 0;
		fd = bpf(BPF_PROG_LOAD, &a);
	}
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int our_verdict(const struct program *p, u32 level, struct verifier_log *log)
{
	const struct verifier_func funcs[2] = {{0, false, "main"}, {p->cb, true, "cb"}};
	struct verifier_prog prog = {.insns = p->insn,
				     .n = p->n,
				     .maps = p->maps->map,
				     .nmaps = p->maps->n,
				     .prog_type = p->type,
				     .expected_attach = p->attach,
				     .all_bodies = true,
				     .funcs = p->cb ? funcs : NULL,
				     .nfuncs = 2};
	struct verifier_result res = {0};
	int r;

	log->level = level;
	log->len = 0;
	r = verifier_check(&prog, log, &res);
	if (!r)
		verifier_result_deinit(&res);
	return r;
}

static void print_program(const struct program *p)
{
	char text[EBPF_DISASM_MAX];
	u32 i;

	for (i = 0; i < p->n; i++) {
		ebpf_disasm(&p->insn[i], text, sizeof(text));
		printf("#   %u: %s\n", i, text);
		if (ebpf_insn_is_ld64(&p->insn[i]))
			i++;
	}
}

/* The line before the count of instructions: the reason. */
static const char *reason(char *log)
{
	char *end = strstr(log, "processed "), *line;

	if (!end || end == log)
		return "";
	while (end > log && end[-1] == '\n')
		*--end = 0;
	line = strrchr(log, '\n');
	return line ? line + 1 : log;
}

static u64 next_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * 0x2545f4914f6cdd1dull >> 16;
}

static void program_from(const struct vcase *c, const struct map_set *maps, struct program *ret)
{
	ret->maps = maps;
	memcpy(ret->insn, c->insn, sizeof(c->insn));
	ret->n = vcase_len(c);
	ret->type = c->prog_type ? c->prog_type : BPF_PROG_TYPE_KPROBE;
	ret->attach = c->attach;
	ret->cb = c->cb;
}

static void insert_copy(struct program *p, u32 at, const struct bpf_insn *in)
{
	if (p->n == MAX_INSNS || ebpf_insn_is_ld64(in))
		return;
	memmove(&p->insn[at + 1], &p->insn[at], (p->n - at) * sizeof(*in));
	p->insn[at] = *in;
	p->n++;
}

static u32 pick_field(u64 *seed)
{
	/* opcodes seldom: most of what comes out does not exist */
	static const u8 weight[10] = {1, 3, 3, 3, 4, 4, 4, 3, 2, 4};
	u32 at = next_random(seed) % 31, i;

	for (i = 0; at >= weight[i]; i++)
		at -= weight[i];
	return i;
}

static void mutate_once(struct program *p, u64 *seed)
{
	static const s32 numbers[] = {0,
				      1,
				      -1,
				      2,
				      4,
				      7,
				      8,
				      16,
				      31,
				      32,
				      40,
				      47,
				      48,
				      49,
				      63,
				      64,
				      255,
				      256,
				      4096,
				      -8,
				      -16,
				      0x7fffffff,
				      (s32)0x80000000};
	static const s16 offs[] = {0,	1,   2,	   3,  -1, -2, 4,  8,	-4, -8,
				   -12, -16, -512, 16, 40, 47, 48, 112, 160};
	u32 at = next_random(seed) % p->n;
	struct bpf_insn *in = &p->insn[at], copy = p->insn[next_random(seed) % p->n];

	switch (pick_field(seed)) {
	case 0: in->code ^= (u8)(1u << next_random(seed) % 8); break;
	case 1: in->code = (in->code & 0x0f) | (u8)(next_random(seed) % 16 << 4); break;
	case 2: in->dst_reg = next_random(seed) % 11; break;
	case 3: in->src_reg = next_random(seed) % 11; break;
	case 4: in->off = offs[next_random(seed) % (sizeof(offs) / sizeof(offs[0]))]; break;
	case 5:
	case 6:
		in->imm = numbers[next_random(seed) % (sizeof(numbers) / sizeof(numbers[0]))];
		break;
	case 7: insert_copy(p, at, &copy); break;
	case 8: in->code ^= BPF_X; break;
	default: in->off += next_random(seed) % 2 ? 1 : -1; break;
	}
}

struct score {
	u32 both_accept, both_refuse, missed, wrong, explained;
	u32 errno_differs; /* of both_refuse */
};

static const char *find_explanation(const char *kernel_log)
{
	u32 i;

	for (i = 0; i < sizeof(explained) / sizeof(explained[0]); i++)
		if (explained[i].phrase && strstr(kernel_log, explained[i].phrase))
			return explained[i].why;
	return NULL;
}

/* Loaders show and search the text, so equal verdicts should come with equal words; told, not
 * judged. */
static void compare_phrases(const char *name, const char *kernel, const char *ours)
{
	if (getenv("NT_PHRASES") && strcmp(kernel, ours))
		printf("# %s: kernel: %s\n# %s: ours:   %s\n", name, kernel, name, ours);
}

/* Told with NT_PHRASES; a map or a kernel function that mutation has made up is looked up before the program is walked. */
static bool errno_differs(const struct program *p, const char *name, int kernel, int ours, char *kernel_log, struct verifier_log *log)
{
	if (kernel == ours)
		return false;
	kernel_verdict(p, kernel_log);
	our_verdict(p, 1, log);
	if (find_explanation(kernel_log) || strstr(kernel_log, "is not pointing to valid bpf_map"))
		return false;
	if (getenv("NT_PHRASES"))
		printf("# %s: kernel: %d %s\n# %s: ours:   %d %s\n", name, kernel, reason(kernel_log), name, ours, reason(log->buf));
	return true;
}

static void compare(const struct program *p, const char *name, bool show_missed, struct score *s)
{
	static char kernel_log[KERNEL_LOG];
	struct verifier_log log = {0};
	int kernel = kernel_verdict(p, NULL), ours = our_verdict(p, 0, &log);

	if (!kernel != !ours || (kernel && s->both_refuse % 8 == 0)) {
		kernel_verdict(p, kernel_log);
		our_verdict(p, 1, &log);
	}
	if (!kernel && !ours) {
		s->both_accept++;
	} else if (kernel && ours) {
		s->errno_differs += errno_differs(p, name, kernel, ours, kernel_log, &log);
		if (s->both_refuse++ % 8 == 0)
			compare_phrases(name, reason(kernel_log), reason(log.buf));
	} else if (!kernel) {
		s->missed++;
		if (show_missed) {
			printf("# refused by us only (%s): %s\n", name, reason(log.buf));
			print_program(p);
		}
	} else if (find_explanation(kernel_log)) {
		s->explained++;
	} else {
		s->wrong++;
		printf("# accepted by us only (%s); kernel: %d %s\n", name, kernel,
		       reason(kernel_log));
		print_program(p);
	}
	free(log.buf);
}

static void run_cases(const struct map_set *maps)
{
	struct score s = {0}, ignored = {0};
	u32 i;

	for (i = 0; i < vcases_n; i++) {
		struct program p;

		bool on_purpose = vcases[i].kernel_takes || vcases[i].refused_for_ever;

		program_from(&vcases[i], maps, &p);
		compare(&p, vcases[i].name, !on_purpose, on_purpose ? &ignored : &s);
	}
	tap_eq(s.wrong, 0, "hand-written: nothing is accepted that the kernel refuses");
	tap_eq(s.missed, 0, "hand-written: nothing is refused that the kernel accepts");
	tap_eq(s.errno_differs, 0, "hand-written: what is refused is refused with the kernel's error");
	printf("# both accept %u, both refuse %u, explained %u\n", s.both_accept, s.both_refuse,
	       s.explained);
}

static void judge(const struct score *s, const char *what)
{
	double missed =
	    s->both_accept + s->missed ? 100.0 * s->missed / (s->both_accept + s->missed) : 0;

	printf("# both accept %u, both refuse %u, refused by us only %u (%.2f %% of what the "
	       "kernel accepts), explained %u, with another error %u\n",
	       s->both_accept, s->both_refuse, s->missed, missed, s->explained, s->errno_differs);
	tap_eq(s->wrong, 0, "%s: nothing is accepted that the kernel refuses", what);
	tap_ok(missed <= MAX_MISSED_PERCENT,
	       "%s: at most %.1f %% of what the kernel accepts is refused", what,
	       MAX_MISSED_PERCENT);
}

/* Mostly small changes of valid programs, so that both verdicts are frequent; none that takes a
 * second each. */
static bool is_good_base(const struct vcase *c, u64 *seed)
{
	if (c->kernel_takes || c->refused_for_ever || (c->phrase && strstr(c->phrase, "too large")))
		return false;
	return !c->phrase || next_random(seed) % 4 == 0;
}

static void run_mutations(const struct map_set *maps, u64 seed, u32 rounds)
{
	struct score s = {0};
	u32 i, k;

	for (i = 0; i < rounds; i++) {
		struct program p;
		const struct vcase *c;

		do
			c = &vcases[next_random(&seed) % vcases_n];
		while (!is_good_base(c, &seed));
		program_from(c, maps, &p);
		if (p.type != BPF_PROG_TYPE_XDP && p.type != BPF_PROG_TYPE_SOCKET_FILTER)
			p.type = BPF_PROG_TYPE_KPROBE;
		for (k = 1 + (next_random(&seed) % 4 == 0); k; k--)
			mutate_once(&p, &seed);
		compare(&p, c->name, getenv("NT_MISSED") != NULL, &s);
	}
	judge(&s, "mutations");
	tap_ok(!rounds || s.both_accept > rounds / 20,
	       "mutations: enough of them are valid programs");
}

/* Programs that are built at random, as they are and with one change. */
static void run_generated(const struct map_set *maps, u64 seed, u32 rounds)
{
	static const u8 map[GEN_MAPS] = {[GEN_ARRAY] = M_ARRAY, [GEN_DATA] = M_DATA, [GEN_RING] = M_RING};
	struct score s = {0};
	u32 i, k;

	for (i = 0; i < rounds; i++) {
		struct gen_input in = {.state = (seed + i) * 0x9e3779b97f4a7c15ull | 1, .max_steps = 7, .counted = i % 3 == 0};
		struct gen_builder b = {0};
		struct program p = {.maps = maps, .type = BPF_PROG_TYPE_KPROBE};

		gen_build(&b, &in);
		p.n = b.n;
		p.cb = b.cb;
		memcpy(p.insn, b.insn, b.n * sizeof(b.insn[0]));
		for (k = 0; k < p.n; k++)
			if (is_map_load(&p.insn[k]))
				p.insn[k].imm = map[p.insn[k].imm];
		if (i % 2)
			mutate_once(&p, &seed);
		compare(&p, "generated", getenv("NT_MISSED") != NULL, &s);
	}
	judge(&s, "generated");
}

/* Compiled programs as they are, and with one change. */
static void run_object(const char *path, u64 seed, u32 rounds)
{
	struct map_set maps = {0};
	struct score plain = {0}, changed = {0};
	struct program p = {.type = BPF_PROG_TYPE_KPROBE, .maps = &maps}, q;
	struct object o;
	u32 i;

	if (!tap_eq(object_load(path, &o), 0, "%s: read", path))
		return;
	tap_eq(make_maps(o.map, o.nmaps, &maps), 0, "%s: maps in the kernel", path);
	p.n = o.n < MAX_INSNS ? o.n : MAX_INSNS;
	memcpy(p.insn, o.insns, p.n * sizeof(*p.insn));
	compare(&p, path, true, &plain);
	tap_eq(plain.both_accept, 1, "%s: accepted by both", path);
	for (i = 0; i < rounds; i++) {
		q = p;
		mutate_once(&q, &seed);
		compare(&q, path, getenv("NT_MISSED") != NULL, &changed);
	}
	judge(&changed, path);
	for (i = 0; i < maps.n; i++)
		close(maps.fd[i]);
	object_deinit(&o);
}

int main(int argc, char **argv)
{
	const char *text = getenv("NT_SEED"), *count = getenv("NT_ROUNDS");
	u64 seed = text ? strtoull(text, NULL, 0) : 20240117;
	bool soak = getenv("NT_SOAK") != NULL, only_soak = argc > 1 && !strcmp(argv[1], "--soak");
	u32 rounds = count ? (u32)atoi(count) : soak ? 100000 : 600;
	struct map_set maps = {0};
	int i, r;

	if (only_soak && !soak)
		tap_skip_all("200000 programs: only in `make soak`");
	r = make_maps(case_maps, M_NMAPS, &maps);

	if (r == -EPERM || r == -ENOSYS)
		tap_skip_all("bpf(2) is not permitted here");
	if (!tap_eq(r, 0, "maps in the kernel"))
		return tap_done();
	printf("# seed %llu, %u rounds\n", (unsigned long long)seed, rounds);
	run_cases(&maps);
	run_mutations(&maps, seed, rounds);
	run_generated(&maps, seed, rounds);
	for (i = 1 + only_soak; i < argc; i++)
		run_object(argv[i], seed + (u32)i, rounds / 10);
	return tap_done();
}
