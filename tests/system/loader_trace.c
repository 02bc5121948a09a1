/* SPDX-License-Identifier: MIT */
/* Attaches a program that prints to a function of its own, and calls that a few times. */
#include <link.h>
#include <stdlib.h>

#include "loader_calls.h"

__attribute__((noinline, noclone)) static int probed(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

static int find_probed(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t addr = (uint64_t)(uintptr_t)probed - info->dlpi_addr;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && addr >= p->p_vaddr && addr < p->p_vaddr + p->p_filesz)
			*(uint64_t *)arg = addr - p->p_vaddr + p->p_offset;
	}
	return 1;
}

/* bpf_trace_printk("hello %d", 9, argument) */
static long load(void)
{
	uint32_t words[4] = {};
	struct bpf_insn insns[16];
	int n = 0;
	struct call_load l = {
	    .type = BPF_PROG_TYPE_KPROBE, .eat = 48, .insns = insns, .name = "printer"};

	memcpy(words, "hello %d", 9);
	insns[n++] = (struct bpf_insn){
	    .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 3, .src_reg = 1, .off = 112};
	for (int i = 0; i < 4; i++)
		insns[n++] = (struct bpf_insn){.code = BPF_ST | BPF_MEM | BPF_W,
					       .dst_reg = 10,
					       .off = (int16_t)(-16 + 4 * i),
					       .imm = (int32_t)words[i]};
	insns[n++] = CALL_MOVR(1, 10);
	insns[n++] = CALL_ADD(1, -16);
	insns[n++] = CALL_MOV(2, 9);
	insns[n++] = CALL_HELPER(6);
	insns[n++] = CALL_MOV(0, 0);
	insns[n++] = CALL_EXIT;
	l.n = (unsigned int)n;
	return call_prog_load(&l);
}

int main(void)
{
	union call_attr t = {};
	uint64_t offset = 0;
	long prog = load(), link;

	dl_iterate_phdr(find_probed, &offset);
	t.w[0] = (uint32_t)prog;
	t.w[2] = 48;
	t.q[2] = (uintptr_t) "/proc/self/exe";
	t.q[3] = (uintptr_t)&offset;
	t.w[12] = 1;
	t.w[14] = (uint32_t)getpid();
	link = call_bpf(BPF_LINK_CREATE, &t, 64);
	if (prog < 0 || link < 0) {
		perror(prog < 0 ? "program" : "link");
		return 1;
	}
	for (int i = 0; i < 3; i++)
		probed(40 + i);
	usleep(300000);
	return 0;
}
