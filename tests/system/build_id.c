/* SPDX-License-Identifier: MIT */
/*
 * Stacks by build id: bpf_get_stack() with BPF_F_USER_BUILD_ID and stack trace maps with BPF_F_STACK_BUILD_ID. The process
 * probes itself; what each frame should say it knows from its own file. One line per answer; the kernel's are in
 * build_id.expected (loader_parity.sh).
 */
#include "raw_prog.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>

#define MAP(d, fd, kind) INSN(0x18, d, kind, 0, fd), INSN(0, 0, 0, 0, 0)
#define FRAMES 4u

struct told { /* by the program */
	u64 bytes, id;
	struct bpf_stack_build_id frame[FRAMES];
};

struct own {
	u64 bias;
	unsigned char id[BPF_BUILD_ID_SIZE];
	u64 vaddr, off; /* of the segment that has the code */
};

static int make(u32 type, u32 value, u32 max, u32 flags)
{
	union bpf_attr a = {.map_type = type, .key_size = 4, .value_size = value, .max_entries = max, .map_flags = flags};

	return raw_bpf(BPF_MAP_CREATE, &a);
}

__attribute__((noinline)) static void probed(u32 n)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop" : : "r"(n) : "memory");
}

__attribute__((noinline)) static void caller(u32 n)
{
	probed(n);
	__asm__ volatile("" : : : "memory");
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct own *o = arg;

	(void)size;
	o->bias = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			o->vaddr = p->p_vaddr;
			o->off = p->p_offset;
		}
		while (p->p_type == PT_NOTE && at < end) {
			const ElfW(Nhdr) *n = (const void *)at;

			if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && n->n_descsz <= BPF_BUILD_ID_SIZE)
				memcpy(o->id, at + sizeof(*n) + 4, n->n_descsz);
			at += sizeof(*n) + ((n->n_namesz + 3) & ~3u) + ((n->n_descsz + 3) & ~3u);
		}
	}
	return 1; /* the program itself comes first */
}

static u64 offset_of(const struct own *o, const void *function)
{
	return (u64)function - o->bias - o->vaddr + o->off;
}

static void show(const char *name, const struct own *o, const struct bpf_stack_build_id *f)
{
	const char *where = f->offset == offset_of(o, (void *)probed) ? "probed" : "elsewhere"; /* who called is not always seen */

	printf("%s: status %d, %s build id, %s\n", name, f->status, memcmp(f->build_id, o->id, sizeof(o->id)) ? "another" : "own", where);
}

static void test_create(void)
{
	static const u32 sizes[] = {8, 32, 40, 64, 127 * 32, 128 * 32};

	for (u32 i = 0; i < COUNT(sizes); i++) {
		int fd = make(BPF_MAP_TYPE_STACK_TRACE, sizes[i], 16, BPF_F_STACK_BUILD_ID);

		printf("create: %u bytes: %d\n", sizes[i], fd < 0 ? fd : 0);
		if (fd >= 0)
			close(fd);
	}
}

int main(void)
{
	int array = make(BPF_MAP_TYPE_ARRAY, sizeof(struct told), 1, 0),
	    stacks = make(BPF_MAP_TYPE_STACK_TRACE, FRAMES * 32, 64, BPF_F_STACK_BUILD_ID);
	struct bpf_insn insn[] = {MOV(6, 1),
				  MAP(7, array, 2),
				  MOV(2, 7),
				  ADDI(2, 16),
				  MOVI(3, FRAMES * 32),
				  MOVI(4, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID),
				  CALL(67),
				  STX(BPF_DW, 7, 0, 0),
				  MOV(1, 6),
				  MAP(2, stacks, 1),
				  MOVI(3, BPF_F_USER_STACK),
				  CALL(27),
				  STX(BPF_DW, 7, 0, 8),
				  MOVI(0, 0),
				  EXIT()};
	union bpf_attr a;
	struct bpf_stack_build_id kept[FRAMES] = {0};
	struct told t = {0};
	struct own own = {0};
	u32 key = 0;
	int prog;

	test_create();
	dl_iterate_phdr(visit, &own);
	prog = raw_load(BPF_PROG_TYPE_KPROBE, UPROBE_MULTI, 0, insn, COUNT(insn));
	printf("link: %s\n", raw_probe(prog, offset_of(&own, (void *)probed)) < 0 ? "none" : "made");
	caller(1);
	a = (union bpf_attr){.map_fd = (u32)array, .key = (u64)&key, .value = (u64)&t};
	raw_bpf(BPF_MAP_LOOKUP_ELEM, &a);
	printf("get_stack: %s\n", (long)t.bytes >= 64 ? "two frames and more" : "less");
	show("get_stack: frame 0", &own, &t.frame[0]);
	show("get_stack: frame 1", &own, &t.frame[1]);
	key = (u32)t.id;
	a = (union bpf_attr){.map_fd = (u32)stacks, .key = (u64)&key, .value = (u64)kept};
	printf("get_stackid: %s, look-up %d\n", (long)t.id < 0 ? "none" : "an id", raw_bpf(BPF_MAP_LOOKUP_ELEM, &a));
	show("get_stackid: frame 0", &own, &kept[0]);
	show("get_stackid: frame 1", &own, &kept[1]);
	printf("both: %s\n", memcmp(kept, t.frame, 2 * sizeof(kept[0])) ? "differ" : "the same");
	return 0;
}
