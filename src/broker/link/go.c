/* SPDX-License-Identifier: MIT */
/*
 * What hits in Go code need of a process (patch/x86_64/go_stack.c): a stack for each row, and five words of each thread.
 *
 * Without C the words are those of m.tls behind the thread pointer. With C the thread pointer is glibc's, and the words are
 * in its struct pthread, among 512 bytes at 0x80 that the dynamic linker of long ago saved vector registers in (tcbhead_t,
 * __glibc_unused2). That it is this struct is known by the library that is mapped and by where it keeps the thread's id.
 */
#include <string.h>
#include <sys/mman.h>

#include "broker/link/process.h"
#include "broker/link/remote.h"
#include "util/log.h"
#include "util/proc.h"

enum { GLIBC_WORDS = 0x100, GLIBC_TID = 0x2d0 };

static bool glibc_visit(const struct proc_map *map, void *arg)
{
	const char *name = strrchr(map->path, '/');

	if (name && (!strcmp(name, "/libc.so.6") || !strncmp(name, "/libc-2.", 8)))
		*(bool *)arg = true;
	return *(bool *)arg;
}

static bool is_glibc(struct process *p)
{
	bool mapped = false;
	s32 tid_off = 0;

	if (inject_read(&p->target, p->state + offsetof(struct nt_state, tid_off), &tid_off, sizeof(tid_off)) ||
	    tid_off != GLIBC_TID)
		return false;
	proc_maps_each(p->pid, glibc_visit, &mapped);
	return mapped;
}

int process_go_stacks(struct process *p)
{
	const u64 size = 1ull << (p->env.row_bits + REGION_GO_STACK_SHIFT);
	u64 word[2]; /* nt_state.go_stacks, go_words */
	s64 r;

	if (p->env.go_stacks)
		return 0;
	if (p->env.fs0 && !is_glibc(p)) {
		log_info("pid %d (%s): Go with a C library that we do not know: none of its Go functions is probed", p->pid, p->comm);
		return 0;
	}
	r = remote_mmap(p, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (remote_failed(r))
		return (int)r;
	word[0] = (u64)r;
	word[1] = p->env.fs0 ? GLIBC_WORDS : 0;
	_Static_assert(offsetof(struct nt_state, go_words) == offsetof(struct nt_state, go_stacks) + 8, "");
	r = inject_write(&p->target, p->state + offsetof(struct nt_state, go_stacks), word, sizeof(word));
	if (r) {
		remote_munmap(p, word[0], size);
		return (int)r;
	}
	p->env.go_stacks = word[0];
	p->env.go_words = (u32)word[1];
	return 0;
}
