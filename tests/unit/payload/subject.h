/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this folder test. Every test is built twice: with the payload's sources as
 * ordinary code (subject_hosted.c; sanitizers work), and with the image as the broker maps it
 * (subject_blob.c; the real thing).
 */
#pragma once

#include "abi/payload.h"
#include "maps/maps.h"
#include "payload/unwind.h"

typedef u64 subject_helper(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5);

struct subject {
	struct nt_state *state;
	struct nt_local *local;
	bool wiped_on_fork;		       /* local is */
	subject_helper *helper[NT_HELPER_MAX]; /* by id, NULL = there is none */
	void *(*ret_slow)(u64 word_at);
	struct nt_row *(*ret_deep)(u64 word_at);
	struct nt_ret_entry *(*session_open)(u64 word_at, u64 n);
	struct nt_ret_entry *(*session_keep)(struct nt_ret_entry *e);
	u64 *(*session_at)(struct nt_ret_entry *e, u64 key);
	void (*session_more)(struct nt_ret_entry *e, struct nt_row *row);
	struct nt_row *(*row_slow)(void);
	int (*dl_find_object)(void *pc, struct unwind_object *ret);
	void (*r_brk)(void);
	void (*hold)(void);
};

enum { SUBJECT_ROW_BITS = 6, SUBJECT_POOL = 256 };

/* Loads the payload and fills the state as a broker would: rows, pool, clock, tid, a bell. Exits on
 * failure. */
const struct subject *subject_new(void);
struct nt_bell *subject_bell(const struct subject *s);

/* Zeroes rows and return entries. */
void subject_reset(const struct subject *s);

/* A map in private memory; key and value sizes as BPF_MAP_CREATE takes them. Exits on failure. */
struct nt_map_view *subject_map(u32 type, u32 key_size, u32 value_size, u32 max_entries, u32 ncpus);

static inline s64 call5(subject_helper *f, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return (s64)f(r1, r2, r3, r4, r5);
}
#define helper_call(s, id, a, b, c) call5((s)->helper[id], (u64)(a), (u64)(b), (u64)(c), 0, 0)

/* What a backend supplies, what an architecture. */
void subject_load(struct subject *s);
bool machine_has_rdpid(void);
