/* SPDX-License-Identifier: MIT */
/* Shared between the files of inject/. Functions marked [tracer] run on the tracer thread only. */
#pragma once

#include "inject/inject.h"
#include "inject/x86_64/piece.h"

#define INJECT_MS 1000000ull /* nanoseconds */

u64 inject_now_ns(void);
void inject_nap(u64 ns);

/* tracer.c. A request runs fn(t, arg) on the tracer thread and waits for it. */
int inject_tracer_begin(struct inject_target *t);
s64 inject_tracer_run(struct inject_target *t, s64 (*fn)(struct inject_target *, void *), void *arg);
/* The same, and the tracer ends with it, with nothing in between: inside inject_hold() it does not. */
s64 inject_tracer_finish(struct inject_target *t, s64 (*fn)(struct inject_target *, void *), void *arg);
void inject_tracer_end(struct inject_target *t);

/* target.c: the descriptors and addresses of a target, whoever traces it. */
int inject_open_files(struct inject_target *t);

/* willing.c: what the functions of these names do with such a target. */
int inject_willing_borrow(struct inject_target *t);
void inject_willing_give_back(struct inject_target *t);
void inject_willing_stop(struct inject_target *t);
void inject_willing_resume(struct inject_target *t);
int inject_willing_send_fds(struct inject_target *t, const int *fd, u32 n, int *remote);

/* thread.c: one thread of the target. */
enum inject_event {
	INJECT_NOTHING, /* still running at the deadline */
	INJECT_GONE,	/* dead; reaped where that is our duty */
	INJECT_STOP,	/* our interrupt, or a group stop: registers may be saved and restored here */
	INJECT_SIGNAL,	/* a signal is about to be delivered: its number, 0 = a fault that will come again */
	INJECT_SYSCALL, /* entry or exit of a system call */
};
enum inject_at { INJECT_AT_STOP, INJECT_AT_SIGNAL, INJECT_AT_SYSCALL_EXIT };

int inject_thread_add(struct inject_target *t, pid_t tid); /* index or -ENOMEM */
void inject_threads_forget(struct inject_target *t); /* but for those that the tracer keeps */
int inject_thread_seize(struct inject_target *t, struct inject_thread *th);	      /* [tracer] */
enum inject_event inject_thread_poll(struct inject_target *t, struct inject_thread *th,
				     int *ret_sig); /* [tracer] */
enum inject_event inject_thread_wait(struct inject_target *t, struct inject_thread *th,
				     u64 deadline_ns, int *ret_sig); /* [tracer] */
/* Waits until the thread stands in any stop; 0, -ESRCH, -ETIMEDOUT. */
int inject_thread_halt(struct inject_target *t, struct inject_thread *th, u64 deadline_ns); /* [tracer] */
/* Brings a stopped thread to an INJECT_STOP: signals on the way are delivered. 0, -ESRCH, -ETIMEDOUT. */
int inject_thread_settle(struct inject_target *t, struct inject_thread *th, u64 deadline_ns); /* [tracer] */
int inject_thread_regs(struct inject_thread *th);		       /* [tracer] */
/* Registers that differ from the thread's are written. 0, or the first -errno that is not the death of a thread. */
int inject_thread_write_all(struct inject_target *t); /* [tracer] */
/* Lets a stopped thread run, still seized. False: it cannot be, detach it. */
bool inject_thread_go_on(struct inject_thread *th); /* [tracer] */
void inject_thread_detach(struct inject_target *t, struct inject_thread *th); /* [tracer] */

/* remote.c */
int inject_remote_begin(struct inject_target *t, struct inject_thread *th); /* [tracer] */
s64 inject_remote_call(struct inject_target *t, struct inject_thread *th, long nr,
		       const u64 arg[6]);				    /* [tracer] */
void inject_remote_end(struct inject_target *t, struct inject_thread *th);  /* [tracer] */

/* haven.c */
/* Puts a thread that is in an INJECT_STOP, or at the exit of a call of ours, into the haven, if there is one: whatever
 * happens from now on, it goes on as th->regs and this mask say. False: there is none. */
bool inject_haven_enter(struct inject_target *t, struct inject_thread *th, u64 sigmask); /* [tracer] */
/* Registers that make a call, in the haven or outside. */
void inject_haven_regs(const struct inject_target *t, const struct inject_thread *th, long nr, const u64 arg[6],
		       struct user_regs_struct *ret);

/* land.c */
/* Stopped threads go on, those whose call begins again from inside of it. All of them are let go of when the tracer ends,
 * which should be soon. */
void inject_release(struct inject_target *t); /* [tracer] */
/* The same, where the tracer ends behind it. */
void inject_release_last(struct inject_target *t); /* [tracer] */

/* borrow.c */
s64 inject_do_give_back(struct inject_target *t, void *unused); /* [tracer] */

/* piece.c */
#define INJECT_PIECE_DATA 64u
struct inject_detour { /* what a thread does first in a piece */
	long nr;
	u64 a[6];
	int result;  /* -ERESTART...: the kernel's decision */
	u64 deadline;
	u8 data[INJECT_PIECE_DATA];
	u8 data_len;
	/* What is meant relative to where the data will be: arguments (bits), arguments of the second call, a word of the data
	 * itself (its offset, 0: none). */
	u8 data_arg, data_arg2, data_word;
};
/* The piece behind whose first call a thread stands, -1 none. */
int inject_piece_of(const struct inject_target *t, const struct inject_thread *th);
/* A free piece, or -errno. caller: may make the system calls for the first one, NULL: nobody may. It is taken by
 * inject_piece_enter(). */
int inject_piece_new(struct inject_target *t, struct inject_thread *caller);
u64 inject_piece_data(const struct inject_target *t, int index);
/* p: kind and what belongs to it. */
int inject_piece_enter(struct inject_target *t, struct inject_thread *th, int index, struct piece_code *p,
		       const struct inject_detour *d);
void inject_pieces_collect(struct inject_target *t);

/* caught.c: a target that is not open yet. */
/* Thread i stands: opens the target and borrows it. 0, or -errno of inject_open() or inject_borrow(). */
int inject_caught_borrow(struct inject_target *t, int i); /* [tracer] */
/* Has the tracer, which has begun, run fn(t, arg), which ends with inject_caught_borrow(). 0: *ret is t, open. Else t is
 * closed: fn's -errno. */
int inject_caught_open(struct inject_target *t, s64 (*fn)(struct inject_target *, void *), void *arg, struct inject_target *ret);

/* heal.c: of one thread, which may make system calls or not; of all that are stopped. */
void inject_heal_one(struct inject_target *t, struct inject_thread *th, bool may_call); /* [tracer] */
void inject_heal_all(struct inject_target *t); /* [tracer] */

/* finish.c, limit.c: what a stopped thread's call needs to end as it would have. False: nothing. p and d are zeroed before;
 * undefined afterwards if false. */
bool inject_finish_plan(struct inject_target *t, const struct inject_thread *th, struct piece_code *p, struct inject_detour *d);
bool inject_limit_plan(struct inject_target *t, struct inject_thread *th, struct piece_code *p, struct inject_detour *d);
/* Does this call have a time limit that would begin afresh? */
bool inject_call_is_limited(struct inject_target *t, long nr, const u64 a[6]);

/* wait.c: before the interrupt; in the stop: was it the same wait? If not, th->wait.began_ns is 0. */
void inject_wait_look(struct inject_target *t, struct inject_thread *th);  /* [tracer] */
void inject_wait_check(struct inject_target *t, struct inject_thread *th); /* [tracer] */

/* peer.c: the file behind a descriptor of the target. */
struct inject_peer {
	int fd; /* ours; -1: none */
	u32 mode;
	u64 rdev;
	int flags, type; /* O_...; SOCK_... or 0 */
};
bool inject_peer_open(const struct inject_target *t, u64 fd, struct inject_peer *ret);
void inject_peer_close(struct inject_peer *p);

/* restart.c */
bool inject_repair(struct inject_thread *th);
/* Does it stand in a call that the kernel will start again? */
bool inject_thread_restarts(const struct inject_thread *th);
/* How much we like to interrupt a thread inside call nr: 0 best. */
int inject_call_rank(long nr);
bool inject_call_is_vfork(long nr);
