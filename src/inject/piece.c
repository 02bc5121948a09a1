/* SPDX-License-Identifier: MIT */
/*
 * Pieces: code in the target, for one thread and one system call each, that brings a call to the end that it would have had
 * without us (finish.c, limit.c).
 *
 *     [code of all pieces r-x][their data rw-]
 *
 * A thread stopped in a call is moved behind the `syscall` of a piece, with other arguments and the result -ERESTARTSYS or
 * -ERESTARTNOHAND. So the kernel decides as ever: no handler: make that call; a handler: it runs, and the call says EINTR. We
 * need not stay and wait, which may take hours, and if we are killed the thread goes on all the same. Stopped again in there
 * it is just another call that was cut short, and gets another piece.
 *
 * The pages stay in the target for good: a thread may wait in a piece, or have one on a stack. A piece is used again when no
 * thread's pc, no word of a stack and no other piece in use points into it. Where it leads to is a place in the program that
 * may be written over: inject_homes_each().
 */
#include "inject/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/x86_64/regs.h"

#define CODE_SIZE (INJECT_PIECES * PIECE_CODE)
#define DATA_SIZE (INJECT_PIECES * INJECT_PIECE_DATA)
#define COLLECT_AT (INJECT_PIECES / 4) /* pieces free: below that, look for ones that are not needed any more */
#define STACK_LIMIT 65536u

_Static_assert(CODE_SIZE % NT_PAGE == 0 && DATA_SIZE % NT_PAGE == 0, "whole pages");

/* The piece that addr lies in, -1 none. */
static int piece_at(const struct inject_target *t, u64 addr)
{
	u64 off = addr - t->pieces.page;

	return t->pieces.page && off < CODE_SIZE ? (int)(off / PIECE_CODE) : -1;
}

int inject_piece_of(const struct inject_target *t, const struct inject_thread *th)
{
	int i = piece_at(t, th->regs.rip);

	return i >= 0 && t->pieces.piece[i].used && (th->regs.rip - t->pieces.page) % PIECE_CODE == PIECE_SYSCALL_LEN ? i : -1;
}

struct use {
	struct inject_target *t;
	bool needed[INJECT_PIECES];
};

/* And those that it leads to. */
static void note_piece(struct use *u, u64 addr)
{
	for (int i = piece_at(u->t, addr); i >= 0 && !u->needed[i]; i = piece_at(u->t, u->t->pieces.piece[i].pc))
		u->needed[i] = true;
}

static void note_use(u64 word, u64 addr, u32 thread, void *arg)
{
	note_piece(arg, word);
}

/* Forgets the pieces that nobody will run again. All threads are stopped. */
static void collect(struct inject_target *t)
{
	struct use u = {.t = t};

	for (u32 i = 0; i < t->nthreads; i++) {
		const struct inject_thread *th = &t->thread[i];

		if (th->gone)
			continue;
		if (!th->stopped || !th->have_regs)
			return;
		note_piece(&u, th->regs.rip);
	}
	if (inject_scan_stacks(t, t->pieces.page, t->pieces.page + CODE_SIZE, STACK_LIMIT, note_use, &u) < 0)
		return;
	t->pieces.used = 0;
	for (u32 i = 0; i < INJECT_PIECES; i++) {
		t->pieces.piece[i].used &= u.needed[i];
		t->pieces.used += t->pieces.piece[i].used;
	}
}

void inject_pieces_collect(struct inject_target *t)
{
	if (t->pieces.page && INJECT_PIECES - t->pieces.used < COLLECT_AT)
		collect(t);
}

/* caller: a thread that may make system calls. */
static int make_pages(struct inject_target *t, struct inject_thread *caller)
{
	const u64 code[6] = {0, CODE_SIZE + DATA_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			     ~0ull, 0};
	s64 at, r;

	if (!t->pieces.piece)
		t->pieces.piece = calloc(INJECT_PIECES, sizeof(*t->pieces.piece));
	at = t->pieces.piece ? inject_remote_call(t, caller, SYS_mmap, code) : 0;
	if (at <= 0)
		return -ENOMEM;
	r = inject_remote_call(t, caller, SYS_mmap, (const u64[6]){(u64)at + CODE_SIZE, DATA_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, ~0ull, 0});
	if (r <= 0) {
		inject_remote_call(t, caller, SYS_munmap, (const u64[6]){(u64)at, CODE_SIZE + DATA_SIZE});
		return -ENOMEM;
	}
	t->pieces.page = (u64)at;
	return 0;
}

int inject_piece_new(struct inject_target *t, struct inject_thread *caller)
{
	if (!t->pieces.page && (!caller || make_pages(t, caller)))
		return -ENOMEM;
	for (u32 i = 0; i < INJECT_PIECES; i++)
		if (!t->pieces.piece[i].used)
			return (int)i;
	return -ENOSPC;
}

u64 inject_piece_data(const struct inject_target *t, int index)
{
	return t->pieces.page + CODE_SIZE + INJECT_PIECE_DATA * (u64)index;
}

int inject_piece_enter(struct inject_target *t, struct inject_thread *th, int index, struct piece_code *p,
		       const struct inject_detour *d)
{
	const u64 at = t->pieces.page + PIECE_CODE * (u64)index;
	struct user_regs_struct *r = &th->regs;
	int err = 0;

	memcpy(p->home, (const u64[6]){r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}, sizeof(p->home));
	p->pc = r->rip;
	piece_write(p);
	if (d->data_len)
		err = inject_write(t, inject_piece_data(t, index), d->data, d->data_len);
	if (!err)
		err = inject_write(t, at, p->code, sizeof(p->code));
	if (err)
		return err;
	t->pieces.used += !t->pieces.piece[index].used;
	t->pieces.piece[index] = (struct inject_piece){.pc = p->pc, .deadline = d->deadline, .pc_at = (u16)p->pc_at,
						       .call = p->kind == PIECE_READY ? p->pc - INJECT_SYSCALL_LEN : 0,
						       .used = true};
	r->rip = at + PIECE_SYSCALL_LEN;
	r->orig_rax = (u64)d->nr;
	r->rdi = d->a[0];
	r->rsi = d->a[1];
	r->rdx = d->a[2];
	r->r10 = d->a[3];
	r->r8 = d->a[4];
	r->r9 = d->a[5];
	r->rax = (u64)(s64)d->result;
	th->dirty = true;
	th->repaired = false; /* what was seen of its call is taken into account */
	th->wait = (struct inject_wait){.nr = -1};
	t->repaired++;
	return 0;
}

void inject_homes_each(struct inject_target *t, u64 (*visit)(u64 pc, void *arg), void *arg)
{
	if (t->pieces.page && t->stopped && t->pieces.used)
		collect(t);
	for (u32 i = 0; t->pieces.page && i < INJECT_PIECES; i++) {
		struct inject_piece *p = &t->pieces.piece[i];
		u64 at = t->pieces.page + PIECE_CODE * i + p->pc_at, pc, call;

		if (!p->used)
			continue;
		pc = visit(p->pc, arg);
		call = p->call ? visit(p->call, arg) : 0;
		if (pc && !inject_write(t, at, &pc, sizeof(pc)))
			p->pc = pc;
		if (call && !inject_write(t, at + sizeof(pc) + PIECE_JUMP_LEN, &call, sizeof(call)))
			p->call = call;
	}
}
