/* SPDX-License-Identifier: MIT */
/*
 * An arena is at the same address in every loader, and does not cross a line of 4 GiB: the low halves of its addresses say
 * where in it they are. The first one to map it chooses, if BPF_MAP_CREATE did not; we tell the broker.
 */
#include "shim/arena.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/syscall.h"

#define LINE (1ull << 32)

static s64 map_at(int fd, const struct arena_place *p, u64 addr, u64 flags)
{
	return sys_call6(__NR_mmap, addr, p->length, p->prot, flags, (u64)fd, 0);
}

/* Twice as much is reserved, so that a place behind a line is inside. */
static s64 map_anywhere(int fd, const struct arena_place *p)
{
	u64 n = bits_round_up(p->length, (u64)NT_PAGE), at;
	s64 room = sys_call6(__NR_mmap, p->addr, 2 * n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (u64)-1, 0), r;

	if (room < 0)
		return room;
	at = (u64)room;
	if (at / LINE != (at + n - 1) / LINE)
		at = bits_round_up(at, LINE);
	r = map_at(fd, p, at, p->flags | MAP_FIXED);
	if (r < 0) {
		sys_call3(__NR_munmap, (u64)room, 2 * n, 0);
		return r;
	}
	if (at > (u64)room)
		sys_call3(__NR_munmap, (u64)room, at - (u64)room, 0);
	if (at + n < (u64)room + 2 * n)
		sys_call3(__NR_munmap, at + n, (u64)room + 2 * n - at - n, 0);
	return r;
}

static s64 tell(struct session *s, int fd, u64 at, u64 length)
{
	const u64 arg[6] = {(u64)fd, at, length};
	struct nt_reply reply;
	int other, r = session_call(s, NT_OP_ARENA, arg, &reply, &other);

	return r < 0 ? r : reply.ret;
}

s64 arena_map(struct session *s, int fd, const struct arena_place *p)
{
	bool fixed = p->flags & MAP_FIXED;
	s64 at, r;

	if (p->at || fixed)
		at = map_at(fd, p, p->at ? p->at : p->addr, p->flags);
	else
		at = map_anywhere(fd, p);
	if (at < 0)
		return at;
	r = p->at ? ((u64)at == p->at ? 0 : -EBUSY) : tell(s, fd, (u64)at, p->length);
	if (r < 0)
		sys_call3(__NR_munmap, (u64)at, p->length, 0);
	return r < 0 ? r : at;
}
