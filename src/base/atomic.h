/* SPDX-License-Identifier: MIT */
/* Atomics on shared memory: thin names over the compiler's builtins. Freestanding. */
#pragma once

#include "abi/types.h"

#define at_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define at_load_acq(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define at_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define at_store_rel(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define at_xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define at_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST) /* the old value */
#define at_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
/* *p == *old ? *p = new, true : *old = *p, false */
#define at_cas(p, old, new) __atomic_compare_exchange_n((p), (old), (new), false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)

/* at_pause(): the processor may do something else for a moment. */
#if defined(__x86_64__)
#include "base/arch/x86_64/pause.h"
#elif defined(__aarch64__)
#include "base/arch/aarch64/pause.h"
#else
#error "no port to this architecture yet"
#endif
