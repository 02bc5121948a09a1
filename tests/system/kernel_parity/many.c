/* SPDX-License-Identifier: MIT */
/*
 * As many targets as a link may have: 2^20 functions of a file that is made for it. The program says how many calls it
 * counted; how long it took goes to stderr, and that it grows no faster than the number of targets is checked.
 */
#include "parity.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#define FILE_NAME "/tmp/notrap-parity-many"
#define MOST (1u << 20)
#define STRIDE 16u
#define CODE 4096u /* where it begins in the file */
#define CODE_SIZE ((u64)MOST * STRIDE)

/* push rbp; mov rbp, rsp; mov eax, 7; pop rbp; ret */
static const unsigned char function[] = { 0x55, 0x48, 0x89, 0xe5, 0xb8, 7, 0, 0, 0, 0x5d, 0xc3 };

enum { S_NONE, S_TEXT, S_SYMTAB, S_STRTAB, S_N };

/* What stands in front of the code, and behind it: symbols, their names, the table of sections. */
struct head {
	Elf64_Ehdr elf;
	Elf64_Phdr load;
};

struct tail {
	Elf64_Sym sym[MOST + 1];
	char names[32];
	Elf64_Shdr section[S_N];
};

static void fill_head(struct head *h)
{
	h->elf = (Elf64_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_DYN,
			       .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_ehsize = sizeof(h->elf),
			       .e_phoff = offsetof(struct head, load), .e_phentsize = sizeof(h->load), .e_phnum = 1,
			       .e_shoff = CODE + CODE_SIZE + offsetof(struct tail, section), .e_shentsize = sizeof(Elf64_Shdr),
			       .e_shnum = S_N, .e_shstrndx = S_STRTAB };
	h->load = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = CODE + CODE_SIZE,
				.p_memsz = CODE + CODE_SIZE, .p_align = 4096 };
}

static void fill_tail(struct tail *t)
{
	u64 at = CODE + CODE_SIZE;

	for (u32 i = 0; i < MOST; i++)
		t->sym[i + 1] = (Elf64_Sym){ .st_name = 1, .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC), .st_shndx = S_TEXT,
					     .st_value = CODE + i * STRIDE, .st_size = sizeof(function) };
	memcpy(t->names, "\0f\0.text\0.symtab\0.strtab", 25);
	t->section[S_TEXT] = (Elf64_Shdr){ .sh_name = 3, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
					   .sh_addr = CODE, .sh_offset = CODE, .sh_size = CODE_SIZE, .sh_addralign = 16 };
	t->section[S_SYMTAB] = (Elf64_Shdr){ .sh_name = 9, .sh_type = SHT_SYMTAB, .sh_offset = at, .sh_size = sizeof(t->sym),
					     .sh_link = S_STRTAB, .sh_info = MOST + 1, .sh_entsize = sizeof(t->sym[0]) };
	t->section[S_STRTAB] = (Elf64_Shdr){ .sh_name = 17, .sh_type = SHT_STRTAB, .sh_size = sizeof(t->names),
					     .sh_offset = at + offsetof(struct tail, names) };
}

static const unsigned char *make_file(void)
{
	u64 size = CODE + CODE_SIZE + sizeof(struct tail);
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	unsigned char *m;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		exit(99);
	m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fill_head((struct head *)m);
	for (u32 i = 0; i < MOST; i++) {
		memset(m + CODE + i * STRIDE, 0x90, STRIDE);
		memcpy(m + CODE + i * STRIDE, function, sizeof(function));
	}
	fill_tail((struct tail *)(m + CODE + CODE_SIZE));
	munmap(m, size);
	m = mmap(NULL, CODE + CODE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	return m;
}

static u64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000 + (u64)t.tv_nsec / 1000;
}

static int link_many(int prog, u32 flags, int pid, u32 n)
{
	static __u64 cookies[MOST + 1];
	static u64 offsets[MOST + 1];
	LIBBPF_OPTS(bpf_link_create_opts, o, .uprobe_multi = { .path = FILE_NAME, .offsets = offsets,
			.cookies = cookies, .cnt = n, .flags = flags, .pid = (u32)pid });

	for (u32 i = 0; i < n; i++) {
		offsets[i] = CODE + i * STRIDE;
		cookies[i] = i;
	}
	return bpf_link_create(prog, 0, LINK_MULTI, &o);
}

/* Each counted once, with its cookie? */
static void call_some(struct parity *p, const unsigned char *m, u32 n, const char *name)
{
	u64 wrong = 0, called = 0, cookies = 0, want = 0;

	p->skel->bss->many_calls = p->skel->bss->many_cookies = 0;
	for (u32 i = 0; i < n; i += 509, called++) {
		u64 (*fn)(void);

		*(const void **)&fn = m + CODE + i * STRIDE;
		wrong += fn() != 7;
		want += i;
	}
	cookies = p->skel->bss->many_cookies;
	printf("%s: every call counted %d, cookies right %d, wrong results %llu\n", name,
	       p->skel->bss->many_calls == called, cookies == want, (unsigned long long)wrong);
}

/* Microseconds to attach. */
static u64 one(struct parity *p, const unsigned char *m, u32 flags, int pid, u32 n, const char *name)
{
	u64 begin = now_us(), attached, closing;
	int fd = link_many(flags ? p->many_leave : p->many, flags, pid, n);

	attached = now_us();
	show(name, fd < 0 ? -errno : 0);
	call_some(p, m, n, name);
	closing = now_us();
	close(fd);
	fprintf(stderr, "%s: %u targets attached in %llu us, detached in %llu us\n", name, n,
		(unsigned long long)(attached - begin), (unsigned long long)(now_us() - closing));
	call_some(p, m, n, "closed");
	return attached - begin;
}

void many_cases(struct parity *p)
{
	const unsigned char *m = make_file();
	const char *fewer = getenv("PARITY_MANY"); /* the kernel takes half a minute for all of them */
	u32 most = fewer ? 1u << atoi(fewer) : MOST;
	u64 few, all;

	one(p, m, 0, getpid(), most / 64, "the first, to warm up");
	few = one(p, m, 0, getpid(), most / 16, "a sixteenth");
	all = one(p, m, 0, getpid(), most, "all");
	printf("time grows no faster than the number: %d\n", all < 128 * few + 500000);
	one(p, m, FLAG_RETURN, 0, most / 8, "returns, all processes");
	show("one more", link_many(p->many, 0, getpid(), MOST + 1) < 0 ? -errno : 0);
	unlink(FILE_NAME);
}
