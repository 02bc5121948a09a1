/* SPDX-License-Identifier: MIT */
/*
 * Displaced instructions of real programs, executed by an emulator where they stand and from their copy: the same
 * registers, flags, memory and place to go on must come out. Every distinct window of the functions' entries, and of
 * instructions anywhere (so that all forms occur), once with each of a few sets of registers. The short tier takes a
 * sample, NT_SOAK=1 takes all (0.1: one in ten), of large files too; or of those that are named. (Guarded copies, as some of
 * Go's are, do a little more: their own return address and the thread's word are left out.)
 *
 * Memory is made when it is touched, its content is a function of its address: nops around the code, so that whatever is
 * jumped to is an instruction.
 */
#include "util/elf.h"

#include <glob.h>
#include <link.h>
#include <stdlib.h>
#include <unicorn/unicorn.h>
#include <unistd.h>

#include "isa/x86_64/reader.h"
#include "tap.h"

#define PAGE 4096ull
#define DISTANCE 0x20000000ull /* of the copies from the originals */
#define BODY_ROOM 1024u
#define THREAD 0x5550000000ull /* where a thread of Go has its words (go_stack.c) */
#define NEAR (1ull << 20)

enum { FEW = 1500, NREGS = 18, NXMM = 16, PAGES_MAX = 64, WRITES_MAX = 64, SETS = 2, STATUS = 0xcd5 };

static const int reg_id[NREGS] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
	UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,	UC_X86_REG_R9,	UC_X86_REG_R10, UC_X86_REG_R11,
	UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15, UC_X86_REG_EFLAGS, UC_X86_REG_RIP,
};
enum { RSP = 4, FLAGS = 16, RIP = 17 };

struct machine {
	uc_engine *uc;
	uc_hook hook[4];
	u64 page[PAGES_MAX], write[WRITES_MAX];
	u8 write_len[WRITES_MAX];
	u32 npages, nwrites;
	u64 near[2]; /* original and copy */
	u64 lo, hi, first; /* instructions in [lo, hi) run; back at the first it is over */
	u64 last;
	u32 steps;
	int trapped;
	bool too_much;
	u64 guarded; /* where the originals of guarded copies stand, while these run */
};

struct outcome {
	u64 reg[NREGS];
	u8 xmm[NXMM][16];
	int error;
};

static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static bool map_page(struct machine *m, u64 addr)
{
	u64 words[PAGE / 8];

	addr &= ~(PAGE - 1);
	if (m->npages == PAGES_MAX || uc_mem_map(m->uc, addr, PAGE, UC_PROT_ALL))
		return false;
	m->page[m->npages++] = addr;
	memset(words, 0x90, sizeof(words));
	if (addr - m->near[0] + NEAR < 2 * NEAR || addr - m->near[1] + NEAR < 2 * NEAR)
		return !uc_mem_write(m->uc, addr, words, PAGE);
	for (u32 i = 0; i < PAGE / 8; i++)
		words[i] = addr == THREAD ? 0 : mix(addr + 8 * i) & (i % 3 ? ~0ull : 0x7fffffffffull); /* some could be addresses */
	return !uc_mem_write(m->uc, addr, words, PAGE);
}

static bool on_unmapped(uc_engine *uc, uc_mem_type type, u64 addr, int size, s64 value, void *arg)
{
	struct machine *m = arg;

	if (type == UC_MEM_FETCH_UNMAPPED)
		return false;
	if (!map_page(m, addr))
		return false;
	return addr / PAGE == (addr + (u64)size - 1) / PAGE || map_page(m, addr + (u64)size - 1) || true;
}

static void on_write(uc_engine *uc, uc_mem_type type, u64 addr, int size, s64 value, void *arg)
{
	struct machine *m = arg;

	if (m->nwrites == WRITES_MAX) {
		m->too_much = true;
		return;
	}
	/* The return address that a guard puts below the stack pointer, and its word of the thread (guard.c). */
	if (m->guarded && (addr - THREAD < PAGE || ((u64)value - m->guarded < PATCH_WINDOW_MAX && size == 8)))
		return;
	m->write[m->nwrites] = addr;
	m->write_len[m->nwrites++] = (u8)size;
}

static void on_insn(uc_engine *uc, u64 addr, u32 size, void *arg)
{
	struct machine *m = arg;

	bool again = addr == m->last; /* after memory was made for it */

	if (addr < m->lo || addr >= m->hi || (m->steps && addr == m->first && !again) )
		uc_emu_stop(uc);
	m->too_much |= m->steps++ > 60; /* a long string instruction */
	m->last = addr;
}

static void on_trap(uc_engine *uc, u32 number, void *arg)
{
	struct machine *m = arg;

	m->trapped = (int)number + 1;
	uc_emu_stop(uc);
}

static void clean(struct machine *m)
{
	while (m->npages)
		uc_mem_unmap(m->uc, m->page[--m->npages], PAGE);
	m->nwrites = m->steps = 0;
	m->last = 0;
	m->trapped = 0;
	m->too_much = false;
}

/* n bytes of code at addr; whatever else is on its pages is left as made. The emulator reads ahead: a page more. */
static bool put_code(struct machine *m, u64 addr, const u8 *code, u32 n)
{
	for (u64 p = addr & ~(PAGE - 1); p < addr + n + PAGE; p += PAGE) {
		bool known = false;

		for (u32 i = 0; i < m->npages; i++)
			known |= m->page[i] == p;
		if (!known && !map_page(m, p))
			return false;
	}
	return !uc_mem_write(m->uc, addr, code, n);
}

static bool machine_open(struct machine *m)
{
	*m = (struct machine){ .uc = NULL };
	return !uc_open(UC_ARCH_X86, UC_MODE_64, &m->uc) &&
	       !uc_hook_add(m->uc, &m->hook[0], UC_HOOK_MEM_UNMAPPED, (void *)on_unmapped, m, 1, 0) &&
	       !uc_hook_add(m->uc, &m->hook[1], UC_HOOK_MEM_WRITE, (void *)on_write, m, 1, 0) &&
	       !uc_hook_add(m->uc, &m->hook[2], UC_HOOK_CODE, (void *)on_insn, m, 1, 0) &&
	       !uc_hook_add(m->uc, &m->hook[3], UC_HOOK_INTR, (void *)on_trap, m, 1, 0);
}

static void set_registers(struct machine *m, u64 seed)
{
	u64 thread = THREAD;

	u16 fpu_control = 0x37f, fpu_status = 0, fpu_tags = 0xffff;

	uc_reg_write(m->uc, UC_X86_REG_FS_BASE, &thread);
	uc_reg_write(m->uc, UC_X86_REG_FPCW, &fpu_control);
	uc_reg_write(m->uc, UC_X86_REG_FPSW, &fpu_status);
	uc_reg_write(m->uc, UC_X86_REG_FPTAG, &fpu_tags);
	for (int i = 0; i < 8; i++) { /* empty, but a store shows what was there */
		u64 v[2] = { mix(seed + 3000 + (u64)i) | 1ull << 63, 0x3fff };

		uc_reg_write(m->uc, UC_X86_REG_FP0 + i, v);
	}
	for (u32 i = 0; i < NREGS - 1; i++) {
		/* addresses, mostly; small numbers too, for counts and indexes */
		u64 v = 0x100000000000ull + ((u64)i << 32) + (mix(seed + i) & 0xffff8);

		if (mix(seed ^ i << 20) % 4 == 0)
			v = mix(seed * 31 + i) % 5;
		if (i == RSP)
			v = 0x7f0000008000ull;
		if (i == FLAGS)
			v = 2 | (mix(seed + 99) & 0x8d5);
		uc_reg_write(m->uc, reg_id[i], &v);
	}
	for (u32 i = 0; i < NXMM; i++) {
		u64 v[2] = { mix(seed + 1000 + i), mix(seed + 2000 + i) };

		uc_reg_write(m->uc, UC_X86_REG_XMM0 + (int)i, v);
	}
}

static void run(struct machine *m, u64 at, u64 seed, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	set_registers(m, seed);
	o->error = (int)uc_emu_start(m->uc, at, 0, 0, 64);
	if (o->error == UC_ERR_FETCH_UNMAPPED) /* it has gone elsewhere */
		o->error = 0;
	for (u32 i = 0; i < NREGS; i++)
		uc_reg_read(m->uc, reg_id[i], &o->reg[i]);
	for (u32 i = 0; i < NXMM; i++)
		uc_reg_read(m->uc, UC_X86_REG_XMM0 + (int)i, o->xmm[i]);
	o->reg[FLAGS] &= STATUS;
	if (m->trapped || (o->reg[RIP] != m->first && o->reg[RIP] - m->lo < m->hi - m->lo))
		o->error = -1; /* has not come out of it */
}

struct written {
	u64 addr[WRITES_MAX * 2];
	u8 value[WRITES_MAX * 2][64], len[WRITES_MAX * 2];
	u32 n;
};

static void note_writes(struct machine *m, const struct machine *from, struct written *w)
{
	for (u32 i = 0; i < from->nwrites; i++) {
		u32 n = from->write_len[i] > 64 ? 64 : from->write_len[i];

		memset(w->value[w->n], 0, 64);
		uc_mem_read(m->uc, from->write[i], w->value[w->n], n);
		w->addr[w->n] = from->write[i];
		w->len[w->n++] = (u8)n;
	}
}

struct sums {
	u64 windows, runs, bad, faults, skipped, form[PATCH_NFORMS], back, guarded;
};

/* Reads clocks, random numbers or its own address; or the emulator does not know it (XOP), or it goes on elsewhere (the
 * trap flag comes from memory, segments, returns to other ones; xbegin); or jumps into the window itself: what stands there is not in the copy. Mostly
 * data that was taken for code. */
static bool is_unsteady_insn(const u8 *p, const struct x86_insn *i, u32 at, u32 n)
{
	u32 to = at + i->len + (u32)i->rel;

	if ((i->rel_off && to && to < n) || i->kind == X86_K_XBEGIN)
		return true;
	if (i->map == X86_MAP_VECTOR)
		return p[i->op_off] && memchr(p, 0x8f, i->op_off); /* XOP */
	if (i->map == X86_MAP_ONE)
		return i->opcode == 0x9d || (i->opcode >= 0xca && i->opcode <= 0xcf) || i->opcode == 0xc8 || i->opcode == 0x8c || i->opcode == 0x8e;
	return i->map == X86_MAP_0F && (i->opcode == 0x05 || i->opcode == 0x31 || i->opcode == 0xc7 || i->opcode == 0xa2 ||
					i->opcode == 0x34 || i->opcode == 0x01);
}

static bool is_unsteady(const u8 *p, u32 n)
{
	struct x86_insn i;

	for (u32 at = 0; at < n && x86_read(p + at, n - at, &i) && !x86_ends_flow(&i); at += i.len) /* then padding */
		if (is_unsteady_insn(p + at, &i, at, n))
			return true;
	return false;
}

struct copy { /* original code at `at`, its copy at `to`, both n bytes at most */
	u64 at, to;
	u8 orig[PATCH_WINDOW_MAX], code[2 * BODY_ROOM];
	u32 norig, ncode;
	bool guarded;
};

/* bias: every window runs at addresses of its own, the emulator remembers what it has translated. */
static bool make_site(const struct patch_plan *p, u64 bias, struct copy *c)
{
	u16 off[PATCH_INSNS_MAX];
	u64 site = p->vaddr + bias, body = site + DISTANCE;
	int n, head;

	*c = (struct copy){ .at = site - p->back, .to = body, .norig = p->wlen, .guarded = p->guarded };
	memcpy(c->orig, p->orig, p->wlen);
	n = patch_relocate(p, site, body, 0, c->code, BODY_ROOM, off);
	c->ncode = n > 0 ? (u32)n : 0;
	if (n < 0 || !p->back)
		return n >= 0;
	head = patch_relocate_head(p, site, body + BODY_ROOM, body, 0, c->code + BODY_ROOM, BODY_ROOM, off);
	c->to = body + BODY_ROOM;
	c->ncode = BODY_ROOM + (u32)(head > 0 ? head : 0);
	return head > 0;
}

static bool make_victim(const struct patch_plan *p, u64 bias, struct copy *c)
{
	u64 at = p->island + bias;
	u16 off[PATCH_INSNS_MAX];
	int n;

	*c = (struct copy){ .at = at, .to = at + DISTANCE, .norig = p->victim.len,
			     .guarded = p->victim.guarded };
	memcpy(c->orig, p->victim.orig, p->victim.len);
	n = patch_relocate_victim(p, at, c->to, 0, c->code, BODY_ROOM, off);
	c->ncode = (u32)n;
	return n > 0;
}

static bool same_once(struct machine *m, const struct copy *c, u64 code_at, u64 seed, struct sums *s)
{
	static struct written first, second;
	struct machine marks;
	struct outcome a, b;

	first.n = second.n = 0;
	m->near[0] = c->at;
	m->near[1] = code_at;
	clean(m);
	if (!put_code(m, c->at, c->orig, c->norig))
		return true;
	m->lo = m->first = c->at;
	m->hi = c->at + c->norig;
	run(m, c->at, seed, &a);
	marks = *m;
	note_writes(m, &marks, &first);
	clean(m);
	if (!put_code(m, code_at, c->code, c->ncode))
		return true;
	m->lo = code_at;
	m->hi = code_at + c->ncode;
	m->first = c->to;
	m->guarded = c->guarded ? c->at : 0;
	run(m, c->to, seed, &b);
	m->guarded = 0;
	note_writes(m, &marks, &second);
	s->runs++;
	s->faults += a.error != 0;
	if (a.error || b.error) /* what the emulator does not know, or a division by zero */
		return a.error == b.error || (c->guarded && a.error && b.error); /* there more ran before it */
	if (marks.too_much || m->too_much)
		return true;
	return !memcmp(&a, &b, sizeof(a)) && first.n == second.n &&
	       !memcmp(first.value, second.value, first.n * sizeof(first.value[0]));
}

/* After a fault the emulator is not what it was. */
static bool same(struct machine *m, const struct copy *c, u64 code_at, u64 seed, struct sums *s)
{
	u64 faults = s->faults;
	bool ok = same_once(m, c, code_at, seed, s);

	if (ok && s->faults == faults)
		return true;
	uc_close(m->uc);
	if (!machine_open(m))
		abort();
	return ok || same_once(m, c, code_at, seed, s);
}

/* Is this window new? A table of hashes; a collision leaves a window out. */
static bool is_new(u64 *table, u32 bits, const u8 *p, u32 n)
{
	u64 h = n;
	u32 at;

	for (u32 i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	h = mix(h) | 1;
	for (at = (u32)(h >> (64 - bits)); table[at]; at = (at + 1) & ((1u << bits) - 1))
		if (table[at] == h)
			return false;
	table[at] = h;
	return true;
}

static void check_copy(struct machine *m, const struct copy *c, u64 code_at, u64 seed, struct sums *s)
{
	if (is_unsteady(c->orig, c->norig)) {
		s->skipped++;
		return;
	}
	s->windows++;
	for (u32 k = 0; k < SETS; k++)
		if (!same(m, c, code_at, mix(seed + k), s) && s->bad++ < 8) {
			printf("# at %#llx:", (unsigned long long)c->at);
			for (u32 i = 0; i < c->norig; i++)
				printf(" %02x", c->orig[i]);
			printf("\n");
		}
}

static void check_plan(struct machine *m, const struct patch_plan *p, u64 seed, struct sums *s, u64 *table, u32 bits)
{
	u64 bias = ((s->windows + 1) & 0x3fff) << 32;
	struct copy c;

	if (p->form == PATCH_REFUSED)
		return;
	if (is_new(table, bits, p->orig, p->wlen) && make_site(p, bias, &c)) {
		s->form[p->form]++;
		s->back += p->back != 0;
		s->guarded += p->guarded != 0;
		check_copy(m, &c, p->vaddr + bias + DISTANCE, seed, s);
	}
	if (p->victim.len && is_new(table, bits, p->victim.orig, p->victim.len) && make_victim(p, bias, &c))
		check_copy(m, &c, c.to, seed, s);
}

/* part: of all instructions; 0: a few */
static void check_file(struct machine *m, const char *path, double part, u64 seed)
{
	const u32 bits = part > 0 ? 25 : 20;
	u64 *table = calloc(1ull << bits, sizeof(*table));
	struct patch_binary *b = NULL;
	struct util_elf *elf = NULL;
	struct sums s = { 0 };
	u64 a = 0, state = seed;
	u32 all = 0, want;

	if (util_elf_open(path, &elf)) {
		tap_skip("no such file", "%s", path);
		free(table);
		return;
	}
	if (!table || !tap_eq(patch_binary_new(util_elf_desc(elf), &b), 0, "%s: analysed", path))
		goto out;
	for (; !patch_binary_next_insn(b, a, &a); a++)
		all++;
	want = part > 0 ? (u32)(all * part) : FEW;
	for (a = 0; !patch_binary_next_insn(b, a, &a); a++) {
		struct patch_plan p;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		if ((state >> 33) % all >= want)
			continue;
		patch_plan_site(b, a, NULL, 0, &p);
		check_plan(m, &p, state, &s, table, bits);
	}
	printf("# %llu windows (jmp %llu, jmp-n %llu, pad %llu, island %llu, evict %llu; %llu begin before their site, %llu guarded), "
	       "%llu runs, %llu faults, %llu left out\n",
	       (unsigned long long)s.windows, (unsigned long long)s.form[PATCH_JMP],
	       (unsigned long long)s.form[PATCH_JMP_N], (unsigned long long)s.form[PATCH_PAD],
	       (unsigned long long)s.form[PATCH_ISLAND], (unsigned long long)s.form[PATCH_EVICT], (unsigned long long)s.back, (unsigned long long)s.guarded,
	       (unsigned long long)s.runs, (unsigned long long)s.faults, (unsigned long long)s.skipped);
	tap_ok(s.windows > 500 && s.faults < s.runs / 4, "%s: most windows ran", path);
	tap_eq(s.bad, 0, "%s: all copies do what the originals do", path);
out:
	patch_binary_free(b);
	util_elf_close(elf);
	free(table);
}

static int note_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	if (strstr(info->dlpi_name, "libc.so"))
		snprintf(arg, 4096, "%s", info->dlpi_name);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const large[] = { "/usr/lib/go-*/pkg/tool/linux_amd64/compile", "/usr/lib/*/libcrypto.so.3", "/usr/lib/*/libstdc++.so.6",
					     "/usr/lib/*/libpython3.*.so.1.0", "/usr/lib/postgresql/*/bin/postgres",
					     "/usr/lib/*/libLLVM-1*.so.1", "/usr/bin/node", "/usr/bin/rg" };
	const char *fixed = getenv("NT_SEED"), *soak = getenv("NT_SOAK");
	u64 seed = fixed ? strtoull(fixed, NULL, 0) : (u64)getpid() * 0x9e3779b97f4a7c15ull;
	double part = soak ? strtod(soak, NULL) : 0;
	const u32 nlarge = part > 0 ? sizeof(large) / sizeof(large[0]) : 1; /* of Go's in the short tier, too */
	char libc[4096] = "/lib64/libc.so.6";
	struct machine m = { 0 };

	if (!tap_ok(machine_open(&m), "an emulator"))
		return tap_done();
	printf("# NT_SEED=%#llx\n", (unsigned long long)seed);
	for (int i = 1; i < argc; i++)
		check_file(&m, argv[i], part, seed);
	if (argc == 1) {
		dl_iterate_phdr(note_libc, libc);
		check_file(&m, libc, part, seed);
		check_file(&m, "/bin/bash", part, seed);
	}
	for (u32 i = 0; argc == 1 && i < nlarge; i++) {
		glob_t g;

		if (glob(large[i], 0, NULL, &g)) {
			tap_skip("not installed", "%s", large[i]);
			continue;
		}
		check_file(&m, g.gl_pathv[0], part, seed);
		globfree(&g);
	}
	uc_close(m.uc);
	return tap_done();
}
