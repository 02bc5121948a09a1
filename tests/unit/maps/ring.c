/* SPDX-License-Identifier: MIT */
/* Ring buffer: kernel's sizes, flags and wake rule; wrapping; the lock; what a dead producer
 * leaves. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/syscall.h"
#include "mapfile.h"
#include "tap.h"

static u64 *cons_of(struct nt_map_view *v)
{
	return (u64 *)(void *)v->base;
}

static u64 *prod_of(struct nt_map_view *v)
{
	return (u64 *)(void *)(v->base + NT_PAGE);
}

static struct nt_ring_ctl *ctl_of(struct nt_map_view *v)
{
	return (struct nt_ring_ctl *)(void *)(v->base + v->ctl_off);
}

static void sizes(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	void *r;

	tap_ok(!ring_reserve(&v, &c, 4081), "4096 ring: 4081 does not fit");
	tap_ok(!ring_reserve(&v, &c, 4088), "4096 ring: nor 4088");
	tap_ok(!ring_reserve(&v, &c, 1ull << 30), "nor a gigabyte");
	tap_ok(!ring_reserve(&v, &c, ~0ull - 4), "nor a size that overflows");
	tap_eq(ctl_of(&v)->dropped, 0, "sizes that never fit are not counted as dropped");
	r = ring_reserve(&v, &c, 4080);
	tap_ok(r == v.base + v.data_off + 8, "4080 fits");
	tap_ok(!ring_reserve(&v, &c, 0), "and nothing more");
	tap_eq(ctl_of(&v)->dropped, 1, "which is counted");
	tap_eq(*(u32 *)(void *)(v.base + v.data_off), 4080u | NT_RING_BUSY, "header: busy");
	tap_eq(*(u32 *)(void *)(v.base + v.data_off + 4), c.tid, "header: owner");
	tap_ok(ring_submit(&v, r, 0, false), "submit of what the consumer waits for wakes it");
	tap_eq(*(u32 *)(void *)(v.base + v.data_off), 4080, "header: length");
	tap_ok(!ring_submit(&v, r, 0, false), "a second submit does nothing");
	tap_ok(!ring_submit(&v, v.base, 0, false), "nor a pointer outside the data");
	tap_eq(ring_query(&v, BPF_RB_AVAIL_DATA), 4088, "available");
	tap_eq(ring_query(&v, BPF_RB_RING_SIZE), 4096, "size");
	tap_eq(ring_query(&v, BPF_RB_CONS_POS), 0, "consumer position");
	tap_eq(ring_query(&v, BPF_RB_PROD_POS), 4088, "producer position");
	tap_eq(ring_query(&v, 9), 0, "unknown query");
	*cons_of(&v) = 4088;
	r = ring_reserve(&v, &c, 100);
	tap_ok(r == v.base + v.data_off + 4088 + 8, "a record runs on into the second copy");
	memset(r, 0xaa, 100);
	tap_ok(!ring_submit(&v, r, BPF_RB_NO_WAKEUP, true), "NO_WAKEUP");
	tap_eq(*(u32 *)(void *)(v.base + v.data_off + 4088), 100u | NT_RING_DISCARD,
	       "header: discarded");
	tap_eq(*prod_of(&v), 4088 + 112, "producer position is rounded to 8");
	mapfile_free(&v);
}

static void wakes(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	void *a = ring_reserve(&v, &c, 8), *b = ring_reserve(&v, &c, 8),
	     *d = ring_reserve(&v, &c, 8);
	bool wake = false;

	tap_ok(!ring_submit(&v, b, 0, false), "the consumer is not at this record: no wake");
	tap_ok(ring_submit(&v, d, BPF_RB_FORCE_WAKEUP | BPF_RB_NO_WAKEUP, false),
	       "FORCE_WAKEUP wins");
	tap_ok(ring_submit(&v, a, 0, true),
	       "a discarded record that the consumer waits for wakes it");
	tap_eq(ring_output(&v, &c, "x", 1, 4, &wake), -EINVAL, "output: unknown flag");
	tap_eq(ring_output(&v, &c, "x", 5000, 0, &wake), -EAGAIN, "output: too large");
	*cons_of(&v) = 48;
	tap_eq(ring_output(&v, &c, "hello", 6, 0, &wake), 0, "output");
	tap_ok(wake, "output wakes a consumer that caught up");
	tap_ok(!memcmp(v.base + v.data_off + 48 + 8, "hello", 6), "output copies");
	mapfile_free(&v);
}

static void no_elements(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 1);
	struct nt_caller c = mapfile_caller(0);
	u32 k = 0;

	tap_ok(!map_lookup(&v, &c, &k), "ring: no lookup");
	tap_eq(map_update(&v, &c, &k, &k, 0), -NT_ENOTSUPP, "ring: no update");
	tap_eq(map_delete(&v, &c, &k), -NT_ENOTSUPP, "ring: no delete");
	tap_eq(map_sys_lookup(&v, &c, &k, &k), -NT_ENOTSUPP, "ring: no lookup by system call");
	tap_eq(map_sys_update(&v, &c, &k, &k, 0), -NT_ENOTSUPP, "ring: no update by system call");
	tap_eq(map_sys_delete(&v, &c, &k), -NT_ENOTSUPP, "ring: no delete by system call");
	tap_eq(map_sys_lookup_and_delete(&v, &c, &k, &k), -NT_ENOTSUPP,
	       "ring: no lookup and delete");
	tap_eq(map_next_key(&v, NULL, &k), -NT_ENOTSUPP, "ring: no keys");
	mapfile_free(&v);
}

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

static void lock(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 1);
	struct nt_caller c = mapfile_caller(0), quiet = c, foreign = c;
	struct nt_ring_ctl *ctl = ctl_of(&v);
	pid_t dead = fork(), zombie;
	u64 t;

	if (!dead)
		_exit(0);
	waitpid(dead, NULL, 0);
	ctl->lock.owner = c.tid;
	t = now_ms();
	tap_ok(!ring_reserve(&v, &c, 8) && now_ms() - t < 100,
	       "own lock (signal handler): fails at once");
	ctl->lock.owner = (u32)dead;
	ctl->lock.stuck = (u32)dead; /* patience is at its end: no wait */
	foreign.flags = NT_CALLER_FOREIGN;
	tap_ok(!ring_reserve(&v, &foreign, 8) && ctl->lock.owner == (u32)dead, "who is in another namespace cannot know that it is dead");
	ctl->lock.owner = ctl->lock.stuck = (u32)dead | NT_TID_LOCAL;
	tap_ok(!ring_reserve(&v, &c, 8), "nobody knows that of an owner whose number is not the broker's");
	ctl->lock.owner = (u32)dead;
	ctl->lock.stuck = 0;
	tap_ok(ring_reserve(&v, &c, 8), "a dead owner's lock is taken over");
	tap_eq(ctl->lock.owner, 0, "and freed");
	zombie = fork();
	if (!zombie)
		_exit(0);
	waitid(P_PID, (id_t)zombie, NULL, WEXITED | WNOWAIT);
	ctl->lock.owner = (u32)zombie;
	if (sys_call6(__NR_process_vm_readv, 1, 0, 0, 0, 0, 0) == -ENOSYS)
		tap_skip("an emulator without process_vm_readv", "so is a zombie's");
	else
		tap_ok(ring_reserve(&v, &c, 8), "so is a zombie's");
	waitpid(zombie, NULL, 0);
	ctl->lock.owner = 0xffffffffu;
	tap_ok(ring_reserve(&v, &c, 8), "and one of nobody");
	ctl->lock.owner = 1;
	t = now_ms();
	tap_ok(!ring_reserve(&v, &c, 8), "a living owner is waited for, not for ever");
	t = now_ms() - t;
	tap_ok(t > 500 && t < 3000, "about a second (%llu ms)", (unsigned long long)t);
	t = now_ms();
	tap_ok(!ring_reserve(&v, &c, 8) && now_ms() - t < 300, "the second waiter gives up soon");
	ctl->lock.owner = 0;
	tap_ok(ring_reserve(&v, &c, 8), "once it is free all is well");
	tap_eq(ctl->lock.stuck, 0, "and the note is gone");
	quiet.flags = NT_CALLER_NO_SYSCALL;
	ctl->lock.owner = 1;
	t = now_ms();
	tap_ok(!ring_reserve(&v, &quiet, 8) && now_ms() - t < 2000,
	       "without system calls: spins, then gives up");
	ctl->lock.owner = 0;
	quiet.tid = 0;
	tap_ok(!ring_reserve(&v, &quiet, 8), "a caller without a thread id gets nothing");
	mapfile_free(&v);
}

static bool is_dead(u32 tid, void *arg)
{
	return tid == *(u32 *)arg;
}

static void reap(void)
{
	struct nt_map_view v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 1);
	struct nt_caller me = mapfile_caller(0), gone = {.tid = 4000000};
	void *mine = ring_reserve(&v, &me, 24), *lost = ring_reserve(&v, &gone, 100), *done;
	u32 dead = 4000000, *hdr = (u32 *)lost - 2;

	done = ring_reserve(&v, &gone, 8);
	ring_submit(&v, done, 0, false);
	ctl_of(&v)->lock.owner = dead;
	tap_eq(ring_reap(&v, is_dead, &dead), 1, "one unfinished record of the dead");
	tap_eq(ctl_of(&v)->lock.owner, 0, "its lock is free");
	tap_eq(*hdr, 100u | NT_RING_DISCARD, "its record is discarded");
	tap_eq(*((u32 *)mine - 2), 24u | NT_RING_BUSY, "others' are not");
	tap_eq(*((u32 *)done - 2), 8, "nor what it had finished");
	tap_ok(!ring_submit(&v, lost, 0, false), "a late submit changes nothing");
	tap_eq(*hdr, 100u | NT_RING_DISCARD, "really");
	tap_eq(ring_reap(&v, is_dead, &dead), 0, "nothing left to reap");
	*prod_of(&v) = 1ull << 40;
	tap_eq(ring_reap(&v, is_dead, &dead), 0, "positions that cannot be: nothing is touched");
	*cons_of(&v) = 12345;
	*prod_of(&v) = 12345 + 77;
	tap_ok(ring_reserve(&v, &me, 8), "odd positions: a record inside the data all the same");
	mapfile_free(&v);
}

int main(void)
{
	sizes();
	wakes();
	no_elements();
	lock();
	reap();
	return tap_done();
}
