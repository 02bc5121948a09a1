/* SPDX-License-Identifier: MIT */
#include "maps/lock.h"

#include <linux/errno.h>
#include <linux/time.h>
#include <linux/uio.h>

#include "base/atomic.h"
#include "base/syscall.h"

#define LOCK_SPINS 200u		   /* some microseconds */
#define LOCK_SPINS_ONLY (1u << 20) /* no system call allowed: outlast a time slice */
#define LOCK_PATIENCE_MS 1000
#define LOCK_YIELDS_PER_CHECK 16u
#define LOCK_TID_MAX (1u << 22) /* PID_MAX_LIMIT: a larger number is nobody's (and would mean a group to kill()) */

static u64 lock_now_ms(void)
{
	struct __kernel_timespec ts = {};

	sys_call3(__NR_clock_gettime, CLOCK_MONOTONIC_COARSE, (u64)&ts, 0);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

/*
 * True when the thread will never run again: it is gone, or a zombie that its parent has not
 * collected yet. kill() still finds zombies; process_vm_readv() says ESRCH of whoever has no memory
 * any more, whatever its permissions.
 */
bool map_owner_is_dead(const struct nt_caller *c, u32 tid)
{
	u8 byte;
	struct iovec local = {&byte, 1}, remote = {NULL, 1};

	if (c->flags & (NT_CALLER_NO_SYSCALL | NT_CALLER_FOREIGN))
		return false;
	if (tid & NT_TID_LOCAL && (tid & ~NT_TID_LOCAL) <= LOCK_TID_MAX)
		return false;
	if (tid > LOCK_TID_MAX || sys_call3(__NR_kill, tid, 0, 0) == -ESRCH)
		return true;
	return sys_call6(__NR_process_vm_readv, tid, (u64)&local, 1, (u64)&remote, 1, 0) == -ESRCH;
}

/* Spins until the lock was taken (true) or the spins are used up. */
static bool lock_spin(struct nt_lock *lock, u32 tid, u32 spins)
{
	for (u32 i = 0; i < spins; i++) {
		u32 owner = at_load(&lock->owner);

		if (!owner && at_cas(&lock->owner, &owner, tid))
			return true;
		at_pause();
	}
	return false;
}

/* The lock is held by another thread. True when it was taken in the end. */
static __attribute__((noinline)) bool lock_wait(struct nt_lock *lock,
						     const struct nt_caller *c)
{
	u64 until = 0;
	u32 owner;

	if (lock_spin(lock, c->tid, LOCK_SPINS))
		return true;
	if (c->flags & NT_CALLER_NO_SYSCALL) {
		owner = at_load(&lock->owner);
		if (owner && owner == at_load(&lock->stuck))
			return false;
		if (lock_spin(lock, c->tid, LOCK_SPINS_ONLY))
			return true;
		at_store(&lock->stuck, at_load(&lock->owner));
		return false;
	}
	for (;;) {
		for (u32 i = 0; i < LOCK_YIELDS_PER_CHECK; i++) {
			sys_call3(__NR_sched_yield, 0, 0, 0);
			owner = at_load(&lock->owner);
			if (!owner && at_cas(&lock->owner, &owner, c->tid))
				return true;
		}
		owner = at_load(&lock->owner);
		if (owner && map_owner_is_dead(c, owner)) {
			if (at_cas(&lock->owner, &owner, c->tid))
				return true;
			continue;
		}
		if (owner && at_load(&lock->stuck) == owner)
			return false;
		if (!until)
			until = lock_now_ms() + LOCK_PATIENCE_MS;
		else if (lock_now_ms() >= until) {
			at_store(&lock->stuck, owner);
			return false;
		}
	}
}

bool map_lock_take(struct nt_lock *lock, const struct nt_caller *c)
{
	u32 owner = 0;

	if (!c->tid)
		return false;
	if (at_cas(&lock->owner, &owner, c->tid))
		return true;
	if (owner == c->tid)
		return false; /* a signal handler on top of this thread's own use of it */
	return lock_wait(lock, c);
}

bool map_lock_try(struct nt_lock *lock, const struct nt_caller *c)
{
	u32 owner = 0;

	if (!c->tid)
		return false;
	if (at_cas(&lock->owner, &owner, c->tid))
		return true;
	if (owner == c->tid || !map_owner_is_dead(c, owner))
		return false;
	return at_cas(&lock->owner, &owner, c->tid);
}

void map_lock_drop(struct nt_lock *lock, u32 tid)
{
	if (at_load(&lock->stuck))
		at_store(&lock->stuck, 0);
	if (at_load(&lock->owner) == tid)
		at_store_rel(&lock->owner, 0);
}

void map_lock_reap(struct nt_lock *lock, bool (*is_dead)(u32 tid, void *arg), void *arg)
{
	u32 owner = at_load(&lock->owner);

	if (owner && is_dead(owner, arg))
		at_cas(&lock->owner, &owner, 0);
}
