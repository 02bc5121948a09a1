/* SPDX-License-Identifier: MIT */
/*
 * Arenas: how they are made and mapped, what programs may do with addresses in them (load), and what comes of it (run: system
 * call programs, BPF_PROG_TEST_RUN). One line per answer; the kernel's are in arena.expected (loader_parity.sh).
 */
#include <fcntl.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "mapped.h"
#include "raw_prog.h"

#define TYPE_ARENA 33
#define MMAPABLE (1u << 10)
#define START 0x100000010000ull
#define PAGES 100u
#define PAGE 4096u
#define LEN (PAGES * PAGE)

#define ALUI(op, d, i) INSN(BPF_ALU64 | op | BPF_K, d, 0, 0, i)
#define ALU(op, d, s) INSN(BPF_ALU64 | op | BPF_X, d, s, 0, 0)
#define ALUI32(op, d, i) INSN(BPF_ALU | op | BPF_K, d, 0, 0, i)
#define ALU32(op, d, s) INSN(BPF_ALU | op | BPF_X, d, s, 0, 0)
#define LDSX(size, d, s, o) INSN(BPF_LDX | 0x80 | size, d, s, o, 0)
#define ATOMIC(size, op, d, o, s) INSN(BPF_STX | BPF_ATOMIC | size, d, s, o, op)
#define KCALL(id) INSN(0x85, 0, 2, 0, id)
#define RET() MOVI(0, 0), EXIT()
#define MAP(d, kind, off) INSN(0x18, d, kind, 0, MAP_HERE), INSN(0, 0, 0, 0, off)
#define MAP_HERE 0x7abc
#define KERN(d, s) INSN(0xbf, d, s, 1, 1)
#define USER(d, s) INSN(0xbf, d, s, 1, 1 << 16)
#define ARENA() MAP(1, 1, 0), MOVI(2, 0), KERN(2, 2)

static int the_map;

static int make(u32 key, u32 value, u32 max, u32 flags, u64 extra)
{
	union bpf_attr a = {.map_type = TYPE_ARENA, .key_size = key, .value_size = value, .max_entries = max, .map_flags = flags, .map_extra = extra};

	return raw_bpf(BPF_MAP_CREATE, &a);
}

static int load(u32 type, u32 attach, u32 flags, struct bpf_insn *insn, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (insn[i].code == 0x18 && insn[i].imm == MAP_HERE)
			insn[i].imm = the_map;
	return raw_load(type, attach, flags, insn, n);
}

static void check(const char *name, u32 type, u32 flags, struct bpf_insn *insn, u32 n)
{
	raw_show_load(name, load(type, 0, flags, insn, n));
}

#define LOAD(name, ...) \
	check(name, BPF_PROG_TYPE_KPROBE, 0, (struct bpf_insn[]){__VA_ARGS__}, COUNT(((struct bpf_insn[]){__VA_ARGS__})))
#define LOAD_SLEEPS(name, ...) \
	check(name, BPF_PROG_TYPE_KPROBE, SLEEPABLE, (struct bpf_insn[]){__VA_ARGS__}, COUNT(((struct bpf_insn[]){__VA_ARGS__})))
#define PROG(...) \
	load(BPF_PROG_TYPE_SYSCALL, 0, SLEEPABLE, (struct bpf_insn[]){__VA_ARGS__}, COUNT(((struct bpf_insn[]){__VA_ARGS__})))

static size_t btf_tail(const struct btf_type *t)
{
	u32 n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG: return 4;
	case BTF_KIND_ARRAY: return 12;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64: return 12 * n;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO: return 8 * n;
	default: return 0;
	}
}

/* The number of a kernel function in its BTF, 0 = it has none. */
static int kfunc(const char *name)
{
	static unsigned char data[32 << 20];
	const struct btf_header *h = (void *)data;
	const unsigned char *at, *end;
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY), id = 1;
	size_t n = 0;
	ssize_t r;

	while (fd >= 0 && (r = read(fd, data + n, sizeof(data) - n)) > 0)
		n += (size_t)r;
	close(fd);
	if (!n)
		return 0;
	at = data + h->hdr_len + h->type_off;
	end = at + h->type_len;
	for (; at < end; id++) {
		const struct btf_type *t = (const void *)at;

		if (BTF_INFO_KIND(t->info) == BTF_KIND_FUNC && !strcmp((char *)data + h->hdr_len + h->str_off + t->name_off, name))
			return id;
		at += sizeof(*t) + btf_tail(t);
	}
	return 0;
}

static void test_create(void)
{
	static const struct {
		u32 key, value, max, flags;
		u64 extra;
	} t[] = {{0, 0, 10, 0, 0},			 {4, 0, 10, MMAPABLE, 0},	       {0, 4, 10, MMAPABLE, 0},
		 {0, 0, 0, MMAPABLE, 0},		 {0, 0, (1 << 20) + 1, MMAPABLE, 0},   {0, 0, 1 << 20, MMAPABLE, 0},
		 {0, 0, 10, MMAPABLE, 0x100000000001},	 {0, 0, 10, MMAPABLE, 0x1000ffffe000}, {0, 0, 10, MMAPABLE | 8, 0},
		 {0, 0, 10, MMAPABLE | 1u << 17, 0},	 {0, 0, 10, MMAPABLE | 3u << 17, 0},   {0, 0, 1 << 20, MMAPABLE, 0x100000000000},
		 {0, 0, 1 << 20, MMAPABLE, 0x100000001000}};

	for (u32 i = 0; i < COUNT(t); i++) {
		int fd = make(t[i].key, t[i].value, t[i].max, t[i].flags, t[i].extra);

		printf("create: %u: %d\n", i, fd < 0 ? fd : 0);
		if (fd >= 0)
			close(fd);
	}
}

static void test_elements(void)
{
	u64 value = 0;
	int fd = make(0, 0, PAGES, MMAPABLE, 0x300000000000);
	union bpf_attr a = {.map_fd = (u32)fd, .value = (u64)&value};

	printf("lookup: %d\n", raw_bpf(BPF_MAP_LOOKUP_ELEM, &a));
	printf("update: %d\n", raw_bpf(BPF_MAP_UPDATE_ELEM, &a));
	printf("look up and delete: %d\n", raw_bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &a));
	printf("next key: %d\n", raw_bpf(BPF_MAP_GET_NEXT_KEY, &a));
	a = (union bpf_attr){.map_fd = (u32)fd};
	printf("delete: %d\n", raw_bpf(BPF_MAP_DELETE_ELEM, &a));
	close(fd);
}

static void *map(const char *name, u64 addr, u64 len, int flags, int fd, u64 off)
{
	void *p = mmap((void *)addr, len, PROT_READ | PROT_WRITE, flags, fd, (off_t)off);

	if (p == MAP_FAILED)
		printf("mmap: %s: %d\n", name, -errno);
	else
		printf("mmap: %s: %s\n", name, !addr ? (u64)p >> 32 == ((u64)p + len - 1) >> 32 ? "somewhere" : "across" : (u64)p == addr ? "there" : "elsewhere");
	return p;
}

static void test_mmap(void)
{
	int fd = make(0, 0, PAGES, MMAPABLE, START), open = make(0, 0, PAGES, MMAPABLE, 0), big = make(0, 0, 1 << 19, MMAPABLE, 0);
	struct bpf_map_info info = {0};
	union bpf_attr a = {.info = {.bpf_fd = (u32)open, .info_len = sizeof(info), .info = (u64)&info}};
	char *at;

	map("not where it belongs", 0, LEN, MAP_SHARED, fd, 0);
	map("a part of it", START, LEN / 2, MAP_SHARED, fd, 0);
	map("private", START, LEN, MAP_PRIVATE, fd, 0);
	map("the end", START, LEN, MAP_SHARED, fd, PAGE);
	map("more", START, LEN + PAGE, MAP_SHARED, fd, 0);
	map("hint", START, LEN, MAP_SHARED, fd, 0);
	map("again", START, LEN, MAP_SHARED | MAP_FIXED, fd, 0);
	map("fixed elsewhere", START + 0x10000, LEN, MAP_SHARED | MAP_FIXED, fd, 0);
	munmap((void *)START, LEN);
	at = map("open", 0, LEN, MAP_SHARED, open, 0);
	map("open, again", 0, LEN, MAP_SHARED, open, 0);
	map("open, more", 0, LEN + PAGE, MAP_SHARED, open, 0);
	map("open, occupied", (u64)at, LEN, MAP_SHARED, open, 0);
	map("open, fixed", (u64)at, LEN, MAP_SHARED | MAP_FIXED, open, 0);
	raw_bpf(BPF_OBJ_GET_INFO_BY_FD, &a);
	printf("info: map_extra %#llx\n", (unsigned long long)info.map_extra);
	map("2 GiB", 0, 1ull << 31, MAP_SHARED, big, 0);
	the_map = open;
	LOAD("mapped, no map_extra", ARENA(), RET());
	close(fd);
	close(big);
	the_map = make(0, 0, PAGES, MMAPABLE, 0);
	LOAD("not mapped yet", ARENA(), RET());
	close(the_map);
	close(open);
}

static void test_loads(void)
{
	int other = make(0, 0, PAGES, MMAPABLE, 0x200000000000);

	the_map = make(0, 0, PAGES, MMAPABLE, START);
	LOAD("no arena", MOVI(2, 0), KERN(2, 2), RET());
	LOAD("two arenas", ARENA(), INSN(0x18, 3, 1, 0, other), INSN(0, 0, 0, 0, 0), RET());
	LOAD("load", ARENA(), LDX(BPF_DW, 3, 2, 8), RET());
	LOAD("load, extended", ARENA(), LDSX(BPF_W, 3, 2, 8), RET());
	LOAD("load, not aligned", ARENA(), LDX(BPF_DW, 3, 2, 3), RET());
	LOAD("store a number", ARENA(), ST(BPF_B, 2, 0, 1), RET());
	LOAD("store the context", MOV(6, 1), ARENA(), STX(BPF_DW, 2, 6, 0), RET());
	LOAD("xchg", ARENA(), MOVI(3, 1), ATOMIC(BPF_DW, 0xe1, 2, 0, 3), RET());
	LOAD("fetch and", ARENA(), MOVI(3, 1), ATOMIC(BPF_DW, 0x51, 2, 0, 3), RET());
	LOAD("atomic and", ARENA(), MOVI(3, 1), ATOMIC(BPF_DW, 0x50, 2, 0, 3), RET());
	LOAD("cmpxchg", ARENA(), MOVI(3, 1), MOVI(0, 0), ATOMIC(BPF_W, 0xf1, 2, 0, 3), RET());
	LOAD("acquire", ARENA(), ATOMIC(BPF_DW, 0x100, 3, 0, 2), RET());
	LOAD("atomic, not aligned", ARENA(), MOVI(3, 1), ATOMIC(BPF_DW, 0, 2, 4, 3), RET());
	LOAD("not cast", MAP(1, 1, 0), MOVI(2, 0), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("arena * 8", ARENA(), ALUI(BPF_MUL, 2, 8), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("arena, 32 bits", ARENA(), ALUI32(BPF_ADD, 2, 8), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("arena - arena", ARENA(), KERN(3, 2), ALU(BPF_SUB, 2, 3), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("arena + stack", ARENA(), ALU(BPF_ADD, 2, 10), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("number + arena", ARENA(), MOVI(3, 5), ALU(BPF_ADD, 3, 2), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("number & arena", ARENA(), MOVI(3, 5), ALU(BPF_AND, 3, 2), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("number + arena, 32 bits", ARENA(), MOVI(3, 5), ALU32(BPF_ADD, 3, 2), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("stack + arena", ARENA(), MOV(3, 10), ALU(BPF_ADD, 3, 2), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("arena / 0", ARENA(), ALUI(BPF_DIV, 2, 0), RET());
	LOAD("-arena", ARENA(), INSN(0x87, 2, 0, 0, 0), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("swapped", ARENA(), INSN(0xdc, 2, 0, 0, 64), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("copied", ARENA(), MOV(3, 2), LDX(BPF_DW, 3, 3, 0), RET());
	LOAD("copied, 32 bits", ARENA(), INSN(0xbc, 3, 2, 0, 0), LDX(BPF_DW, 3, 3, 0), RET());
	LOAD("another cast", ARENA(), INSN(0xbf, 3, 2, 1, 2), RET());
	LOAD("cast of 32 bits", ARENA(), INSN(0xbc, 3, 2, 1, 1), RET());
	LOAD("cast to the loader's", ARENA(), USER(3, 2), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("cast there and back", ARENA(), USER(3, 2), KERN(3, 3), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("cast of the stack", ARENA(), KERN(3, 10), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("cast of nothing", MAP(1, 1, 0), KERN(3, 5), RET());
	LOAD("cast without its offset", ARENA(), INSN(0xbf, 3, 2, 0, 1), RET());
	LOAD("spilled", ARENA(), STX(BPF_DW, 10, 2, -8), LDX(BPF_DW, 3, 10, -8), LDX(BPF_DW, 4, 3, 0), RET());
	LOAD("compared", ARENA(), JI(BPF_JEQ, 2, 0, 1), LDX(BPF_DW, 3, 2, 0), RET());
	LOAD("as memory", ARENA(), MOV(1, 2), MOVI(2, 8), MOVI(3, 0), CALL(113), RET());
	LOAD("as a number", ARENA(), MOV(3, 2), MOV(1, 10), ALUI(BPF_ADD, 1, -8), MOVI(2, 8), CALL(113), RET());
	LOAD("returned", ARENA(), MOV(0, 2), EXIT());
	LOAD("address", MAP(1, 2, 16), KERN(1, 1), LDX(BPF_DW, 2, 1, 0), RET());
	LOAD("address, not cast", MAP(1, 2, 16), LDX(BPF_DW, 2, 1, 0), RET());
	LOAD("address of the end", MAP(1, 2, LEN), RET());
	LOAD("address outside", MAP(1, 2, LEN + 8), RET());
	LOAD("stack or arena", MAP(6, 1, 0), CALL(7), MOVI(2, 0), KERN(2, 2), ST(BPF_DW, 10, -8, 0), JI(BPF_JEQ, 0, 1, 2), MOV(2, 10), ALUI(BPF_ADD, 2, -8),
	     LDX(BPF_DW, 3, 2, 0), RET());
	close(other);
}

static int alloc_id, free_id, reserve_id;

static void test_kfuncs(void)
{
	LOAD("alloc, not sleepable", MAP(1, 1, 0), MOVI(2, 0), MOVI(3, 1), MOVI(4, -1), MOVI(5, 0), KCALL(alloc_id), RET());
	LOAD("free, not sleepable", MAP(1, 1, 0), MOVI(2, 0), MOVI(3, 1), KCALL(free_id), RET());
	LOAD_SLEEPS("alloc, not cast", MAP(1, 1, 0), MOVI(2, 0), MOVI(3, 1), MOVI(4, -1), MOVI(5, 0), KCALL(alloc_id), LDX(BPF_DW, 1, 0, 0), RET());
	LOAD_SLEEPS("alloc", MAP(1, 1, 0), MOVI(2, 0), MOVI(3, 1), MOVI(4, -1), MOVI(5, 0), KCALL(alloc_id), KERN(0, 0), LDX(BPF_DW, 1, 0, 0), RET());
	LOAD_SLEEPS("alloc anywhere", MAP(1, 1, 0), MOVI(3, 1), MOVI(4, -1), MOVI(5, 0), KCALL(alloc_id), RET());
	LOAD_SLEEPS("free", MAP(1, 1, 0), MOVI(2, 0), MOVI(3, 1), KCALL(free_id), RET());
	LOAD_SLEEPS("reserve", MAP(1, 1, 0), MOVI(2, 0), MOVI(3, 1), KCALL(reserve_id), EXIT());
	LOAD_SLEEPS("alloc of a pointer", MAP(1, 1, 0), MOVI(2, 0), MOV(3, 10), MOVI(4, -1), MOVI(5, 0), KCALL(alloc_id), RET());
}

static u64 words_of[12];

static int run(int fd)
{
	union bpf_attr a = {.test = {.prog_fd = (u32)fd, .ctx_in = (u64)words_of, .ctx_size_in = sizeof(words_of)}};
	int r = raw_bpf(BPF_PROG_TEST_RUN, &a);

	return r < 0 ? r : (int)a.test.retval;
}

static int allocator, freer, reserver, toucher;

static u64 alloc(u64 addr, u32 n)
{
	words_of[0] = addr;
	words_of[1] = n;
	run(allocator);
	printf("alloc: %u at %#llx: %#llx\n", n, (unsigned long long)addr, (unsigned long long)words_of[2]);
	return words_of[2];
}

static void give(u64 addr, u32 n)
{
	words_of[0] = addr;
	words_of[1] = n;
	run(freer);
}

static void reserve(u64 addr, u32 n)
{
	words_of[0] = addr;
	words_of[1] = n;
	printf("reserve: %u at %#llx: %d\n", n, (unsigned long long)addr, run(reserver));
}

static void touch(u64 addr, u64 value)
{
	words_of[0] = addr;
	words_of[1] = value;
	run(toucher);
	printf("touch: %#llx with %#llx:", (unsigned long long)addr, (unsigned long long)value);
	for (int i = 2; i < 12; i++)
		printf(" %llx", (unsigned long long)words_of[i]);
	printf("\n");
}

static void test_run(void)
{
	u64 a, *p;

	allocator = PROG(MOV(6, 1), MAP(1, 1, 0), LDX(BPF_DW, 2, 6, 0), LDX(BPF_W, 3, 6, 8), MOVI(4, -1), MOVI(5, 0), KCALL(alloc_id),
			 STX(BPF_DW, 6, 0, 16), RET());
	freer = PROG(MOV(6, 1), MAP(1, 1, 0), LDX(BPF_DW, 2, 6, 0), LDX(BPF_W, 3, 6, 8), KCALL(free_id), RET());
	reserver = PROG(MOV(6, 1), MAP(1, 1, 0), LDX(BPF_DW, 2, 6, 0), LDX(BPF_W, 3, 6, 8), KCALL(reserve_id), EXIT());
	toucher = PROG(MOV(6, 1), MAP(1, 1, 0), LDX(BPF_DW, 2, 6, 0), KERN(2, 2), LDX(BPF_DW, 3, 6, 8), LDX(BPF_DW, 4, 2, 0), STX(BPF_DW, 6, 4, 16),
		       STX(BPF_DW, 2, 3, 0), LDX(BPF_H, 5, 2, 2), STX(BPF_DW, 6, 5, 24), MOVI(7, -1), LDSX(BPF_W, 7, 2, 0), STX(BPF_DW, 6, 7, 32), MOVI(8, 77),
		       ATOMIC(BPF_DW, 1, 2, 0, 8), STX(BPF_DW, 6, 8, 40), USER(8, 2), STX(BPF_DW, 6, 8, 48), MOVI(0, 55), MOVI(8, 66),
		       ATOMIC(BPF_DW, 0xf1, 2, 0, 8), STX(BPF_DW, 6, 0, 56), ATOMIC(BPF_DW, 0x100, 7, 0, 2), STX(BPF_DW, 6, 7, 64), MOVI(8, 3),
		       ATOMIC(BPF_W, 0xe1, 2, 0, 8), STX(BPF_DW, 6, 8, 72), ATOMIC(BPF_W, BPF_XOR, 2, 0, 3), ST(BPF_B, 2, 7, 0x5a), LDX(BPF_DW, 8, 2, 0),
		       STX(BPF_DW, 6, 8, 80), ALUI(BPF_SUB, 2, 8), ALUI(BPF_RSH, 2, 4), STX(BPF_DW, 6, 2, 88), RET());
	if (allocator < 0 || freer < 0 || reserver < 0 || toucher < 0)
		printf("run: programs are refused: %s\n", raw_reason());
	a = alloc(0, 1);
	alloc(0, 1);
	alloc(0, 2);
	alloc(START, 1);
	alloc(START + 0x10000, 1);
	alloc(START + 0x10000, 1);
	alloc(0x30000, 1);
	alloc(START + 0x10001, 1);
	alloc(0, 0);
	alloc(0, 97);
	alloc(0, 101);
	alloc(START - PAGE, 1);
	alloc(START + LEN - PAGE, 1);
	alloc(START + LEN, 1);
	alloc(0x400000000000 + 0x31000, 1);
	give(START + PAGE, 2);
	alloc(0, 1);
	alloc(0, 1);
	give(0x11000, 1);
	alloc(0, 1);
	give(START + 0x800, 1);
	alloc(0, 1);
	give(0, 5);
	reserve(START + 50 * PAGE, 5);
	reserve(START + 52 * PAGE, 5);
	reserve(START + 99 * PAGE, 2);
	reserve(START + 60 * PAGE, 0);
	alloc(START + 53 * PAGE, 1);
	touch(a, 0x1111);
	touch(a, 0x8000000122222222);
	touch(a & UINT32_MAX, 3);
	touch(a + 16, 0x1122334455667788);
	touch(a + 19, 0x1122334455667788);
	touch(0, 5);
	touch(START - 8, 5);
	touch(START + LEN, 7);
	touch(START + LEN - 4, 7);
	touch(START + 0x7fff0000, 7);
	p = mmap((void *)START, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, the_map, 0);
	printf("loader: %#llx\n", (unsigned long long)*p);
	p[30 * PAGE / 8] = 99;
	touch(START + 30 * PAGE, 1);
	alloc(START + 30 * PAGE, 1);
	give(a, 1);
	printf("loader: after it is freed: %#llx\n", (unsigned long long)*p);
	touch(a, 5);
	printf("loader: %#llx\n", (unsigned long long)*p);
	give(START, 1000);
	alloc(0, PAGES);
	touch(START + 30 * PAGE, 1);
}

#define PROBE_CALLS 40u

__attribute__((noinline)) static void probed(u32 n)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop" : : "r"(n) : "memory");
}

/* The process itself and a child call a function that is probed: each call takes a page, writes down who it was, and tells
 * in the first page (which the loader has, so that it is nobody's) where. */
static void test_probe(void)
{
	struct {
		u64 calls, bytes, page[2 * PROBE_CALLS];
	} *told;
	struct bpf_insn insn[] = {MAP(1, 1, 0),
				  MOVI(2, 0),
				  MOVI(3, 1),
				  MOVI(4, -1),
				  MOVI(5, 0),
				  KCALL(alloc_id),
				  MOV(6, 0),
				  CALL(14),
				  KERN(7, 6),
				  ALUI(BPF_RSH, 0, 32),
				  STX(BPF_DW, 7, 0, 0),
				  MAP(1, 2, 0),
				  KERN(1, 1),
				  MOVI(2, 1),
				  ATOMIC(BPF_DW, BPF_ADD, 1, 0, 2),
				  MOVI(2, 8),
				  ATOMIC(BPF_DW, BPF_ADD | 1, 1, 8, 2),
				  ALU(BPF_ADD, 1, 2),
				  STX(BPF_DW, 1, 6, 16),
				  RET()};
	u32 own = 0, child = 0, other = 0, twice = 0;
	int prog, link, go[2];
	pid_t pid;
	char c;

	the_map = make(0, 0, PAGES, MMAPABLE, 0);
	told = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, the_map, 0);
	told->calls = told->bytes = 0;
	prog = load(BPF_PROG_TYPE_KPROBE, UPROBE_MULTI, SLEEPABLE, insn, COUNT(insn));
	if (pipe(go))
		return;
	pid = fork();
	if (!pid) {
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		for (u32 i = 0; i < PROBE_CALLS; i++)
			probed(i);
		_exit(0);
	}
	link = raw_probe(prog, mapped_offset(getpid(), (u64)probed));
	printf("probe: program %s, link %s\n", prog < 0 ? "refused" : "loaded", link < 0 ? "refused" : "made");
	for (u32 i = 0; i < PROBE_CALLS; i++)
		probed(i);
	if (write(go[1], "", 1) == 1)
		waitpid(pid, NULL, 0);
	for (u32 i = 0; i < 2 * PROBE_CALLS && told->page[i]; i++) {
		u64 who = *(u64 *)told->page[i];

		own += who == (u64)getpid();
		child += who == (u64)pid;
		other += who != (u64)getpid() && who != (u64)pid;
		for (u32 k = 0; k < i; k++)
			twice += told->page[k] == told->page[i];
	}
	printf("probe: %llu calls, pages of mine %u, of the child's %u, of others %u, twice %u\n", (unsigned long long)told->calls, own, child,
	       other, twice);
	close(link);
	close(prog);
}

int main(void)
{
	alloc_id = kfunc("bpf_arena_alloc_pages");
	free_id = kfunc("bpf_arena_free_pages");
	reserve_id = kfunc("bpf_arena_reserve_pages");
	if (!alloc_id || !free_id || !reserve_id)
		return 77; /* the numbers come from this kernel's BTF, whoever answers */
	test_create();
	test_elements();
	test_mmap();
	test_loads();
	test_kfuncs();
	test_run();
	test_probe();
	return 0;
}
