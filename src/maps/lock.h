/* SPDX-License-Identifier: MIT */
/*
 * A lock in shared memory whose holder may be killed at any instruction.
 *
 * The word is the owner's thread id. Who finds a dead owner takes the lock over as it stands; so every user of it
 * orders its stores such that what the lock guards is right between any two of them: nothing is ever repaired.
 *
 * Waiting. Holders need some dozen stores, so waiting means that one was preempted, stopped or killed: spin briefly,
 * then yield, look whether it lives, and give up after about a second. Who finds its own id in the lock is a signal
 * handler that interrupted this very thread: it fails at once. The owner that somebody gave up on is noted (stuck);
 * while it still holds the lock others give up after spinning, so a stopped process delays its neighbours once, not
 * once per event.
 *
 * Thread ids are those of the broker's pid namespace, also of threads in others (payload/ids.h); these cannot ask whether
 * an owner lives, so they wait for the broker, or one who can, to find that out. Freestanding.
 */
#pragma once

#include "abi/map.h"

/* False: not taken; the caller fails as if what it guards were full or busy. */
bool map_lock_take(struct nt_lock *lock, const struct nt_caller *c);
/* The same without waiting: false whenever somebody who is alive holds it. */
bool map_lock_try(struct nt_lock *lock, const struct nt_caller *c);
void map_lock_drop(struct nt_lock *lock, u32 tid);
/* The thread will never run again: it is gone, or a zombie that its parent has not collected yet. Two system calls. False
 * also where c cannot know. */
bool map_owner_is_dead(const struct nt_caller *c, u32 tid);
/* Broker: frees the lock when its owner is dead. */
void map_lock_reap(struct nt_lock *lock, bool (*is_dead)(u32 tid, void *arg), void *arg);
