/* SPDX-License-Identifier: MIT */
/*
 * glibc's _dl_find_object is two instructions: load the address of the dynamic linker's read-only data from the GOT,
 * jump through a pointer in it. That pointer is swapped for the payload's function, which answers for thunks and
 * calls the original for everything else. No code of libc changes.
 *
 *     mov   _rtld_global_ro@GOTPCREL(%rip), %rax        48 8b 05 disp32
 *     jmp   *OFFSET(%rax)                               ff a0 disp32  (or ff 60 disp8)
 *
 * The write is done while the process is stopped, because /proc/PID/mem promises no atomic stores.
 */
#include "broker/link/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "broker/link/payload_blob.h"
#include "broker/link/site.h"
#include "util/elf.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define STOP_TIMEOUT_MS 2000u

struct libc_search {
	u64 base;	 /* of the first mapping of libc.so.6 */
	bool unwinder;	 /* something that unwinds is mapped */
	bool dynamic;	 /* a dynamic linker is */
	char path[512];
};

static bool libc_visit(const struct proc_map *map, void *arg)
{
	struct libc_search *s = arg;
	const char *name = strrchr(map->path, '/');

	if (!name)
		return false;
	name++;
	if (!s->base && (!strcmp(name, "libc.so.6") || !strncmp(name, "libc-2.", 7)) && map->off == 0 &&
	    map->path_len < sizeof(s->path)) {
		s->base = map->start;
		memcpy(s->path, map->path, map->path_len + 1);
	}
	s->dynamic |= !strncmp(name, "ld-", 3);
	if (!strncmp(name, "libgcc_s.so", 11) || !strncmp(name, "libunwind", 9) || !strncmp(name, "libstdc++.so", 12))
		s->unwinder = true;
	return false;
}

static u64 symbol_vaddr(const struct util_elf *elf, const char *name)
{
	const struct patch_binary_desc *d = util_elf_desc(elf);

	for (u32 i = 0; i < d->nfunc; i++)
		if (d->func[i].name && !strcmp(d->func[i].name, name))
			return d->func[i].vaddr;
	return 0;
}

/* A static program brings its own unwinder. glibc's is always there; what throws is told by the runtimes' names, and
 * without names nobody knows. */
static bool static_throws(pid_t pid)
{
	static const char *const names[] = { "__cxa_throw", "rust_eh_personality", "__gnat_personality_v0" };
	struct util_elf *elf;
	char path[64];
	bool found;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (util_elf_open(path, &elf))
		return true;
	found = util_elf_is_stripped(elf) && !util_elf_desc(elf)->is_go;
	for (u32 i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		found |= symbol_vaddr(elf, names[i]) != 0;
	util_elf_close(elf);
	return found;
}

/* Address of the pointer that _dl_find_object jumps through. */
static int find_pointer(struct process *p, const struct libc_search *s, u64 *ret)
{
	char path[600];
	int fd fd_auto = -1;
	struct binary *b; /* kept: every process has the same libc */
	u64 fn, got, table;
	u8 code[13];
	s32 disp, off;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/root%s", p->pid, s->path);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = binary_get(p->engine, fd, &b);
	if (r)
		return r;
	if (!b->elf || util_elf_symbol(b->elf, "_dl_find_object", &fn))
		return -ENOENT; /* older than glibc 2.35 */
	fn += s->base;
	if (inject_read(&p->target, fn, code, sizeof(code)))
		return -EFAULT;
	if (code[0] != 0x48 || code[1] != 0x8b || code[2] != 0x05 || code[7] != 0xff)
		return -ENOENT;
	memcpy(&disp, code + 3, 4);
	if (code[8] == 0xa0)
		memcpy(&off, code + 9, 4);
	else if (code[8] == 0x60)
		off = (s8)code[9];
	else
		return -ENOENT;
	got = fn + 7 + (u64)(s64)disp;
	if (inject_read(&p->target, got, &table, sizeof(table)))
		return -EFAULT;
	*ret = table + (u64)(s64)off;
	return 0;
}

static int swap_pointer(struct process *p, u64 at)
{
	const struct nt_payload_hdr *hdr = (const struct nt_payload_hdr *)nt_payload_blob;
	u64 ours = p->image + hdr->fn_dl_find_object, theirs;
	int r = inject_read(&p->target, at, &theirs, sizeof(theirs));

	if (r || theirs == ours)
		return r;
	if (theirs & 0xffff800000000000ull || !theirs)
		return -ENOENT; /* not a function: this is not the code we think it is */
	r = inject_write(&p->target, p->state + offsetof(struct nt_state, orig_dl_find_object), &theirs, sizeof(theirs));
	if (!r)
		r = inject_stop(&p->target, STOP_TIMEOUT_MS);
	if (r)
		return r;
	r = inject_write(&p->target, at, &ours, sizeof(ours));
	process_resume(p);
	return r;
}

int unwind_hook(struct process *p)
{
	struct libc_search s = { .base = 0 };
	u64 at = 0;
	int r;

	if (p->unwind_hooked)
		return 0;
	r = proc_maps_each(p->pid, libc_visit, &s);
	if (r)
		return r;
	r = s.base ? find_pointer(p, &s, &at) : -ENOENT;
	if (!r)
		r = swap_pointer(p, at);
	if (r == -ENOENT) {
		if (s.unwinder || (!s.dynamic && static_throws(p->pid))) {
			p->no_returns = true;
			log_info("pid %d (%s): no return probes: exceptions would not pass them", p->pid, p->comm);
			return -EOPNOTSUPP;
		}
		log_info("pid %d (%s): no _dl_find_object to hook; nothing here unwinds", p->pid, p->comm);
		r = 0;
	}
	p->unwind_hooked = !r;
	return r;
}
