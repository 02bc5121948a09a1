/* SPDX-License-Identifier: MIT */
/*
 * Completing calls that our stop has cut short.
 *
 * A blocking write() of a megabyte to a pipe returns when all is written. If a stop wakes the writer in its midst, the
 * kernel returns what has been written so far. Programs that have no signal handlers rightly do not expect that.
 * The rest has to be written, and the sum to be returned, but we cannot stay and wait: that may take hours, and if we
 * were killed meanwhile the program would get the count of the rest and write some of its data twice.
 *
 * So the thread finishes the call itself, with a few instructions in a page of their own (x86_64/finish.h): the call
 * again for the rest, add the part already done, go on where the program was. The thread is put *behind* that call with
 * the result -ERESTARTSYS, so the kernel decides as ever: no handler: make the call; a handler: it runs, the call says
 * EINTR, and the program gets the part, as it would have without us. Stopped again in there it is just another call
 * that was cut short, and gets another piece of code.
 *
 * Which counts are short because of us? Proven with pipes and stream sockets: a blocking write or send of theirs, or a
 * recv with MSG_WAITALL, returns less than asked for only for a signal, an error or the end of the stream, and in the
 * two latter cases the rest returns at once with nothing and the part stays the result. Not done: readv, writev,
 * sendmsg and recvmsg (their vectors would have to be changed in the program's memory), terminals, and read(), for
 * which fewer bytes are ordinary.
 *
 * The page stays in the target for good: a thread may wait in it, or have it on a stack. A piece is used again when no
 * thread's pc, no word of a stack and no other piece in use points into it.
 */
#include "inject/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/x86_64/finish.h"
#include "inject/x86_64/regs.h"

_Static_assert(INJECT_FINISH_PIECES * FINISH_CODE_LEN == NT_PAGE, "one page of pieces");
#define COLLECT_AT 16 /* pieces free: below that, look for ones that are not needed any more */
#define ERESTARTSYS 512
#define STACK_LIMIT 65536u

/* A pipe or a socket in blocking mode? (A datagram socket has no short counts.) */
static bool blocks(pid_t pid, u64 fd)
{
	char path[64], text[256], *flags;
	struct stat st;
	ssize_t n;
	int f;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, (int)fd);
	if (stat(path, &st) || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, (int)fd);
	f = open(path, O_RDONLY | O_CLOEXEC);
	if (f < 0)
		return false;
	n = read(f, text, sizeof(text) - 1);
	close(f);
	text[n > 0 ? n : 0] = 0;
	flags = strstr(text, "flags:");
	return flags && !(strtoul(flags + 6, NULL, 8) & O_NONBLOCK);
}

/*
 * Does the thread stand behind a system call that has returned? Where the kernel has just set up a restart and is
 * interrupted again before it goes to user mode, the thread stands in front of the call, and what looks like a result
 * is the call's number: a write() would seem to have written one byte.
 */
static bool has_returned(struct inject_target *t, const struct inject_thread *th)
{
	u8 code[2 * INJECT_SYSCALL_LEN];

	return !inject_read(t, th->regs.rip - INJECT_SYSCALL_LEN, code, sizeof(code)) &&
	       regs_is_syscall_insn(code) && !regs_is_syscall_insn(code + INJECT_SYSCALL_LEN);
}

static bool cut_short(struct inject_target *t, const struct inject_thread *th)
{
	const struct user_regs_struct *r = &th->regs;
	s64 done = regs_result(r);

	if (th->group_stop || regs_call(r) < 0 || done <= 0 || (u64)done >= r->rdx || done > INT32_MAX)
		return false;
	switch (regs_call(r)) {
	case SYS_write: break;
	case SYS_sendto:
		if (r->r10 & MSG_DONTWAIT)
			return false;
		break;
	case SYS_recvfrom:
		if ((r->r10 & MSG_DONTWAIT) || (r->r10 & MSG_PEEK) || !(r->r10 & MSG_WAITALL))
			return false;
		break;
	default: return false;
	}
	return has_returned(t, th) && blocks(t->pid, r->rdi);
}

/* The pieces that addr lies in, or just behind, as a mask. */
static u64 piece_at(const struct inject_target *t, u64 addr)
{
	u64 off = addr - t->finish.page;

	return off < NT_PAGE ? 1ull << off / FINISH_CODE_LEN : 0;
}

struct use {
	struct inject_target *t;
	u64 mask;
};

static void note_use(u64 word, u64 addr, u32 thread, void *arg)
{
	struct use *u = arg;

	u->mask |= piece_at(u->t, word);
}

/* Forgets the pieces that nobody will run again. All threads are stopped; what a piece returns to may be a piece. */
static void collect(struct inject_target *t)
{
	struct use u = {.t = t};
	u64 seen = 0;

	for (u32 i = 0; i < t->nthreads; i++) {
		const struct inject_thread *th = &t->thread[i];

		if (th->gone)
			continue;
		if (!th->stopped || !th->have_regs)
			return;
		u.mask |= piece_at(t, th->regs.rip);
	}
	if (inject_scan_stacks(t, t->finish.page, t->finish.page + NT_PAGE, STACK_LIMIT, note_use, &u) < 0)
		return;
	while (seen != u.mask) {
		u64 news = u.mask & ~seen;

		seen = u.mask;
		for (u32 i = 0; i < INJECT_FINISH_PIECES; i++)
			if (news >> i & 1)
				u.mask |= piece_at(t, t->finish.pc[i]);
	}
	t->finish.used = u.mask;
}

/* A free piece, -1 when there is none to be had. caller: a thread that may make system calls. */
static int new_piece(struct inject_target *t, struct inject_thread *caller)
{
	struct inject_finish *f = &t->finish;
	int i;

	if (!f->page) {
		const u64 arg[6] = {0, NT_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0};
		s64 r = inject_remote_call(t, caller, SYS_mmap, arg);

		if (r <= 0)
			return -1;
		f->page = (u64)r;
		f->used = 0;
	}
	if (!~f->used)
		return -1;
	i = __builtin_ctzll(~f->used);
	f->used |= 1ull << i;
	return i;
}

static void redirect(struct inject_target *t, struct inject_thread *th, int index)
{
	u64 piece = t->finish.page + FINISH_CODE_LEN * (u64)index;
	struct user_regs_struct *r = &th->regs;
	u32 done = (u32)r->rax;
	struct finish_code f = {.pc = r->rip, .buf = r->rsi, .count = r->rdx, .done = done};
	u8 code[FINISH_CODE_LEN];

	finish_write(&f, code);
	if (inject_write(t, piece, code, sizeof(code)))
		return;
	t->finish.pc[index] = f.pc;
	r->rsi += done;
	r->rdx -= done;
	r->rax = (u64)-ERESTARTSYS;
	r->rip = piece + INJECT_SYSCALL_LEN;
	th->dirty = true;
	t->repaired++;
}

void inject_finish_one(struct inject_target *t, struct inject_thread *th)
{
	int piece;

	if (th->gone || !th->have_regs || !cut_short(t, th))
		return;
	piece = new_piece(t, th);
	if (piece >= 0)
		redirect(t, th, piece);
}

void inject_finish_all(struct inject_target *t)
{
	struct inject_thread *caller = NULL;

	if (t->finish.page && __builtin_popcountll(~t->finish.used) < COLLECT_AT)
		collect(t);
	for (u32 i = 0; i < t->nthreads; i++) {
		struct inject_thread *th = &t->thread[i];
		int piece;

		if (!th->stopped || th->gone || !th->have_regs || !cut_short(t, th))
			continue;
		/* The first page takes one system call, and the thread it is for can make it. */
		if (!t->finish.page && !caller) {
			if (inject_remote_begin(t, th))
				return;
			caller = th;
			if (!cut_short(t, th)) /* a signal was delivered on the way */
				continue;
		}
		piece = new_piece(t, caller);
		if (piece < 0)
			break;
		redirect(t, th, piece);
	}
	if (caller)
		inject_remote_end(t, caller);
}
