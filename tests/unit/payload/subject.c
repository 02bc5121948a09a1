/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <pthread.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "payload/cpu.h"

static void *need(void *p)
{
	if (p && p != MAP_FAILED)
		return p;
	perror("subject");
	exit(99);
}

static void *pages(size_t size)
{
	return need(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

enum { TID_LO = 0x40, TID_HI = 0x700 };

/* Drops from the candidates what is not this thread's id. */
static void *tid_sieve(void *candidate)
{
	u8 *is = candidate;
	const u8 *block = (u8 *)pthread_self();

	for (int off = TID_LO; off < TID_HI; off += 4) {
		u32 v;

		memcpy(&v, block + off, sizeof(v));
		if (v != (u32)gettid())
			is[off] = 0;
	}
	return NULL;
}

static s32 tid_off_find(void)
{
	u8 is[TID_HI];
	pthread_t t;

	memset(is, 1, sizeof(is));
	tid_sieve(is);
	if (pthread_create(&t, NULL, tid_sieve, is))
		return 0;
	pthread_join(t, NULL);
	for (int off = TID_LO; off < TID_HI; off += 4)
		if (is[off])
			return (s32)(off + (s64)(pthread_self() - cpu_thread_base()));
	return 0;
}

struct nt_bell *subject_bell(const struct subject *s)
{
	return (struct nt_bell *)s->state->bell;
}

void subject_reset(const struct subject *s)
{
	memset((void *)s->state->rows, 0, sizeof(struct nt_row) << s->state->row_bits);
	memset((void *)s->state->pool, 0, sizeof(struct nt_ret_entry) * s->state->pool_n);
	s->state->pool_next = 0;
}

const struct subject *subject_new(void)
{
	static struct subject s;
	struct nt_state *st;

	subject_load(&s);
	st = s.state;
	st->magic = NT_STATE_MAGIC;
	st->version = NT_PAYLOAD_VERSION;
	st->flags = NT_STATE_FS0 | (machine_has_rdpid() ? NT_STATE_RDPID : 0);
	st->tid_off = tid_off_find();
	st->row_bits = SUBJECT_ROW_BITS;
	st->rows = (u64)pages(sizeof(struct nt_row) << SUBJECT_ROW_BITS);
	st->pool_n = SUBJECT_POOL;
	st->pool = (u64)pages(sizeof(struct nt_ret_entry) * SUBJECT_POOL);
	st->clock_gettime = (u64)clock_gettime;
	st->bell = (u64)need(
	    mmap(NULL, NT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	return &s;
}

struct nt_map_view *subject_map(u32 type, u32 key_size, u32 value_size, u32 max_entries, u32 ncpus)
{
	u32 flags = type == BPF_MAP_TYPE_TASK_STORAGE ? BPF_F_NO_PREALLOC : 0;
	struct nt_map_view *v = pages(NT_PAGE);

	*v = (struct nt_map_view){.type = type,
				  .key_size = key_size,
				  .value_size = value_size,
				  .max_entries = max_entries,
				  .flags = flags,
				  .ncpus = ncpus};
	if (map_geometry(v)) {
		fprintf(stderr, "map_geometry\n");
		exit(99);
	}
	v->base =
	    need(mmap(NULL, v->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	if (map_init(v)) {
		fprintf(stderr, "map_init\n");
		exit(99);
	}
	return v;
}
