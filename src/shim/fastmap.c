/* SPDX-License-Identifier: MIT */
/*
 * Which map a descriptor means is known from the calls that make and close descriptors, which we see, and checked with
 * fstat() when the last check is older than a moment, for those that we do not see.
 *
 * The kernel answers EFAULT to a bad pointer, a library crashes. So a page is tried with a harmless futex call before
 * it is touched, and believed for a moment after: long enough for a loop over a map, and shorter than what a program
 * that frees memory while it still passes pointers to it could notice.
 *
 *     entry.word:  bit 31 live | bit 30 closing | bit 29 not for us | users of the mapping
 *
 * A closed descriptor's mapping is taken away by its last user: the broker frees a map that nobody has open or mapped.
 * News (a map was frozen) are a counter in a page shared with the broker; when it changed everything is asked again.
 */
#include "shim/fastmap.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/time_types.h>
#include <sys/stat.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "base/syscall.h"
#include "maps/maps.h"
#include "shim/arch/ticks.h"

#define FDS 1024u
#define KEY_MAX 512u
#define VALUE_PAGES 4u /* a longer value is the broker's, */
#define BATCH_PAGES 64u /* and a longer batch */
#define PAGES 64u
#define MOMENT_SHIFT 20 /* of the tick counter: some 300 us */

#define WORD_LIVE (1u << 31)
#define WORD_CLOSING (1u << 30)
#define WORD_OPENING (1u << 29)
#define WORD_NOT_OURS (1u << 28)
#define WORD_USERS (WORD_NOT_OURS - 1)

struct fastmap {
	u32 word;
	u32 may;
	u64 checked; /* moment of the last fstat() */
	u64 ino;
	u64 mapped; /* bytes */
	u64 news;   /* counter when it was opened */
	struct nt_map_view view;
};

static struct {
	struct fastmap by_fd[FDS];
	u64 page[PAGES]; /* page number << 24 | may be written << 23 | moment */
	u64 *news;	 /* shared with the broker; NULL: not there yet */
} fast;

/* Set anew in every thread and forked child: a page that the kernel wipes on fork says which. */
static u32 fork_marks[NT_PAGE / 4] __attribute__((aligned(NT_PAGE)));
static u32 fork_count;
static __thread u32 thread_tid, thread_mark;

static u32 fast_tid(void)
{
	u32 mark = at_load(&fork_marks[0]);

	if (!mark) { /* first call of this process */
		sys_call3(__NR_madvise, (u64)fork_marks, NT_PAGE, MADV_WIPEONFORK);
		mark = at_add(&fork_count, 1u) + 1;
		at_store(&fork_marks[0], mark);
	}
	if (thread_mark != mark || !thread_tid) {
		thread_tid = (u32)sys_call3(__NR_gettid, 0, 0, 0);
		thread_mark = mark;
	}
	return thread_tid;
}

static u64 fast_moment(void)
{
	return ticks_now() >> MOMENT_SHIFT;
}

/* One page, tried at most once in a moment. */
static bool page_is_good(u64 addr, bool write, u64 moment)
{
	u64 number = addr / NT_PAGE, *at = &fast.page[number % PAGES], was = at_load(at), word;
	u32 zero = 0;
	struct __kernel_timespec now = {};
	s64 r;

	moment &= (1u << 23) - 1;
	if (was >> 24 == number && (was & ((1u << 23) - 1)) == moment && (!write || was >> 23 & 1))
		return true;
	if (addr >> 47 || addr < NT_PAGE)
		return false;
	addr &= ~3ull;
	/* Adding nothing to a word finds out whether it can be written; waiting for it not at all, whether it can be read. */
	if (write)
		r = sys_call6(__NR_futex, (u64)&zero, FUTEX_WAKE_OP_PRIVATE, 0, 0, addr,
			      FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0));
	else
		r = sys_call6(__NR_futex, addr, FUTEX_WAIT_PRIVATE, 0, (u64)&now, 0, 0);
	if (r == -EFAULT || r == -EINVAL || r == -ENOSYS || r == -EPERM)
		return false;
	word = number << 24 | (u64)write << 23 | moment;
	at_store(at, word);
	return true;
}

static bool pages_are_good(u64 addr, u64 size, u64 most, bool write, u64 moment)
{
	u64 first = addr / NT_PAGE, last;

	if (!size || __builtin_add_overflow(addr, size - 1, &last) || last / NT_PAGE - first >= most)
		return false;
	for (u64 page = first; page <= last / NT_PAGE; page++)
		if (!page_is_good(page * NT_PAGE, write, moment))
			return false;
	return true;
}

static bool range_is_good(u64 addr, u64 size, bool write, u64 moment)
{
	return pages_are_good(addr, size, VALUE_PAGES, write, moment);
}

static void fast_unmap(struct fastmap *m)
{
	if (m->mapped)
		sys_call3(__NR_munmap, (u64)m->view.base, m->mapped, 0);
	m->mapped = 0;
	at_store_rel(&m->word, 0);
}

static void fast_leave(struct fastmap *m)
{
	u32 word = at_add(&m->word, (u32)-1) - 1, closing = WORD_CLOSING;

	if (word == WORD_CLOSING && at_cas(&m->word, &closing, (u32)WORD_OPENING))
		fast_unmap(m);
}

void fastmap_closed(int fd)
{
	struct fastmap *m;
	u32 word, mine;

	if (fd < 0 || (u32)fd >= FDS)
		return;
	m = &fast.by_fd[fd];
	for (word = at_load(&m->word);;) {
		if (word == WORD_NOT_OURS)
			mine = 0;
		else if (!(word & WORD_LIVE))
			return;
		else
			mine = word & WORD_USERS ? (word & WORD_USERS) | WORD_CLOSING : WORD_OPENING;
		if (at_cas(&m->word, &word, mine))
			break;
	}
	if (mine == WORD_OPENING)
		fast_unmap(m);
}

static bool fast_map_file(int fd, struct fastmap *m)
{
	int prot = PROT_READ | (m->may & NT_MAP_WRITE ? PROT_WRITE : 0);
	s64 at;

	if (m->may & NT_MAP_ELSEWHERE) {
		m->mapped = m->view.size;
		return true;
	}
	/* A page longer than the file: so the broker tells it from a mapping of the application. */
	m->mapped = m->view.size + NT_PAGE;
	at = sys_call6(__NR_mmap, 0, m->mapped, (u64)prot, MAP_SHARED, (u64)fd, 0);
	if (at < 0 && at > -(s64)NT_PAGE) {
		m->mapped = 0;
		return false;
	}
	m->view.base = (u8 *)at;
	return true;
}

static bool fast_news(int fd)
{
	s64 at = sys_call6(__NR_mmap, 0, NT_PAGE, PROT_READ, MAP_SHARED, (u64)fd, 0);

	sys_call3(__NR_close, (u64)fd, 0, 0);
	if (at < 0 && at > -(s64)NT_PAGE)
		return false;
	at_store_rel(&fast.news, (u64 *)at);
	return true;
}

/* The entry was free and is now OPENING: makes it live, or remembers that it is not for us. */
static void fast_open(int fd, struct fastmap *m, fastmap_open *open)
{
	struct nt_map_answer answer = {};
	int news = -1, r = open(fd, &answer, &news);

	if (news >= 0 && at_load(&fast.news))
		sys_call3(__NR_close, (u64)news, 0, 0);
	else if (news >= 0)
		fast_news(news);
	m->may = answer.may;
	m->ino = answer.ino;
	m->view = answer.view;
	m->news = at_load(&fast.news) ? at_load_acq(fast.news) : 0;
	m->checked = 0;
	if (r < 0 || !m->may || !at_load(&fast.news) || !fast_map_file(fd, m))
		at_store_rel(&m->word, r < 0 ? 0 : WORD_NOT_OURS);
	else
		at_store_rel(&m->word, WORD_LIVE);
}

static bool fast_is_same_file(int fd, const struct fastmap *m)
{
	struct stat st;

	return sys_call3(__NR_fstat, (u64)fd, (u64)&st, 0) == 0 && st.st_ino == m->ino;
}

/* NULL: not here. Else fast_leave() when done. */
static struct fastmap *fast_enter(u32 fd, fastmap_open *open, u64 moment)
{
	struct fastmap *m = &fast.by_fd[fd];
	u32 word = at_load_acq(&m->word), none = 0;

	if (!word && at_cas(&m->word, &none, WORD_OPENING)) {
		fast_open((int)fd, m, open);
		word = at_load_acq(&m->word);
	}
	if (!(word & WORD_LIVE))
		return NULL;
	if (!(at_add(&m->word, 1u) & WORD_LIVE)) {
		fast_leave(m);
		return NULL;
	}
	/* News are looked at every time: the map may have moved to the kernel in the call before this one. */
	if (at_load_acq(fast.news) != m->news || (at_load(&m->checked) != moment && !fast_is_same_file((int)fd, m))) {
		fast_leave(m);
		fastmap_closed((int)fd);
		return NULL;
	}
	if (at_load(&m->checked) != moment)
		at_store(&m->checked, moment);
	return m;
}

struct fast_attr { /* struct attr_map_elem of the broker */
	u32 fd, pad;
	u64 key, value, flags;
};

static bool fast_type(u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_STACK_TRACE: return true;
	}
	return false;
}

/* The kernel's checks have nothing to say against this call. */
static s64 fast_op(const struct nt_map_view *v, u64 cmd, const struct fast_attr *a, u64 moment)
{
	struct nt_caller c = {.tid = fast_tid(), .cpu = 0};
	u64 size = map_syscall_size(v), key[KEY_MAX / 8], next[KEY_MAX / 8];
	bool has_key = a->key || cmd != BPF_MAP_GET_NEXT_KEY;
	s64 r;

	c.cpu = c.tid;
	if (has_key && !range_is_good(a->key, v->key_size, false, moment))
		return FASTMAP_ASK;
	if (has_key)
		mem_copy(key, (const void *)a->key, v->key_size);
	switch (cmd) {
	case BPF_MAP_LOOKUP_ELEM:
		return range_is_good(a->value, size, true, moment) ? map_sys_lookup(v, &c, key, (void *)a->value)
								    : FASTMAP_ASK;
	case BPF_MAP_UPDATE_ELEM:
		return range_is_good(a->value, size, false, moment)
			   ? map_sys_update(v, &c, key, (const void *)a->value, a->flags)
			   : FASTMAP_ASK;
	case BPF_MAP_DELETE_ELEM: return map_sys_delete(v, &c, key);
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
		return range_is_good(a->value, size, true, moment)
			   ? map_sys_lookup_and_delete(v, &c, key, (void *)a->value)
			   : FASTMAP_ASK;
	}
	r = map_next_key(v, has_key ? key : NULL, next);
	if (r)
		return r;
	if (!range_is_good(a->value, v->key_size, true, moment))
		return FASTMAP_ASK;
	mem_copy((void *)a->value, next, v->key_size);
	return 0;
}

struct fast_batch { /* struct attr_batch of the broker */
	u64 in, out, keys, values;
	u32 count, fd;
	u64 elem_flags, flags;
};

static bool fast_batch_type(u32 type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* BPF_MAP_LOOKUP_BATCH on a hash; *count is the attr's. */
static s64 fast_batch_lookup(const struct nt_map_view *v, const struct fast_batch *a, u32 *count, u64 moment)
{
	u64 keys = (u64)a->count * v->key_size, values = (u64)a->count * map_syscall_size(v);
	u32 bucket = 0, n = a->count;
	s64 r = -ENOENT;

	if ((a->in && !range_is_good(a->in, sizeof(bucket), false, moment)) ||
	    !range_is_good(a->out, sizeof(bucket), true, moment) || !range_is_good((u64)count, sizeof(n), true, moment) ||
	    !pages_are_good(a->keys, keys, BATCH_PAGES, true, moment) ||
	    !pages_are_good(a->values, values, BATCH_PAGES, true, moment))
		return FASTMAP_ASK;
	if (a->in)
		mem_copy(&bucket, (const void *)a->in, sizeof(bucket));
	if (bucket < v->nbuckets)
		r = map_hash_batch(v, &bucket, (void *)a->keys, (void *)a->values, &n);
	else
		n = 0;
	mem_copy((void *)a->out, &bucket, sizeof(bucket));
	mem_copy(count, &n, sizeof(n));
	return r;
}

/* Bytes of the attr that the command has, and what it needs; 0: not one of ours. */
static u32 fast_command(u64 cmd, u32 *ret_may)
{
	switch (cmd) {
	case BPF_MAP_LOOKUP_ELEM: *ret_may = NT_MAP_READ; return 32;
	case BPF_MAP_UPDATE_ELEM: *ret_may = NT_MAP_WRITE; return 32;
	case BPF_MAP_DELETE_ELEM: *ret_may = NT_MAP_WRITE; return 16;
	case BPF_MAP_GET_NEXT_KEY: *ret_may = NT_MAP_READ; return 24;
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM: *ret_may = NT_MAP_READ | NT_MAP_WRITE; return 32;
	}
	return 0;
}

/* Copies the attr; false when it is not the plain case. */
static bool fast_read_attr(u64 attr, u64 size, u32 known, u64 moment, struct fast_attr *ret)
{
	const u8 *from = (const u8 *)attr;

	if (size < known || size > 256 || !range_is_good(attr, size, false, moment))
		return false;
	for (u64 i = known; i < size; i++)
		if (from[i])
			return false;
	*ret = (struct fast_attr){};
	mem_copy(ret, from, known);
	return ret->fd < FDS;
}

/* BPF_MAP_UPDATE_BATCH: one after the other, up to the first that fails. */
static s64 fast_batch_update(const struct nt_map_view *v, const struct fast_batch *a, u32 *count, u64 moment)
{
	u64 size = map_syscall_size(v), key[KEY_MAX / 8];
	struct nt_caller c = {.tid = fast_tid()};
	s64 r = 0;
	u32 n;

	c.cpu = c.tid;
	if (!range_is_good((u64)count, sizeof(n), true, moment) ||
	    !pages_are_good(a->keys, (u64)a->count * v->key_size, BATCH_PAGES, false, moment) ||
	    !pages_are_good(a->values, a->count * size, BATCH_PAGES, false, moment))
		return FASTMAP_ASK;
	for (n = 0; n < a->count; n++) {
		mem_copy(key, (const void *)(a->keys + (u64)n * v->key_size), v->key_size);
		r = map_sys_update(v, &c, key, (const void *)(a->values + n * size), BPF_ANY);
		if (r)
			break;
	}
	mem_copy(count, &n, sizeof(n));
	return r;
}

static s64 fast_batch(u64 attr, u64 size, bool update, fastmap_open *open)
{
	const struct fast_batch *user = (const void *)attr;
	u64 moment = fast_moment();
	struct fast_batch a;
	struct fastmap *m;
	s64 r = FASTMAP_ASK;

	if (size < sizeof(a) || size > 256 || !range_is_good(attr, size, false, moment))
		return FASTMAP_ASK;
	for (u64 i = sizeof(a); i < size; i++)
		if (((const u8 *)attr)[i])
			return FASTMAP_ASK;
	mem_copy(&a, user, sizeof(a));
	if (a.fd >= FDS || !a.count || a.elem_flags || a.flags)
		return FASTMAP_ASK;
	m = fast_enter(a.fd, open, moment);
	if (!m)
		return FASTMAP_ASK;
	if (m->may & (update ? NT_MAP_WRITE : NT_MAP_READ) && fast_batch_type(m->view.type) && m->view.key_size <= KEY_MAX)
		r = (update ? fast_batch_update : fast_batch_lookup)(&m->view, &a, (u32 *)(attr + offsetof(struct fast_batch, count)),
								 moment);
	fast_leave(m);
	return r;
}

s64 fastmap_bpf(u64 cmd, u64 attr, u64 size, fastmap_open *open)
{
	u32 may = 0, known = fast_command((u32)cmd, &may);
	u64 moment = known ? fast_moment() : 0;
	struct fast_attr a;
	struct fastmap *m;
	s64 r = FASTMAP_ASK;

	if ((u32)cmd == BPF_MAP_LOOKUP_BATCH || (u32)cmd == BPF_MAP_UPDATE_BATCH)
		return fast_batch(attr, (u32)size, (u32)cmd == BPF_MAP_UPDATE_BATCH, open);
	if (!known || !fast_read_attr(attr, (u32)size, known, moment, &a))
		return FASTMAP_ASK;
	/* Look-ups have no flag that means anything here; the broker knows what the others mean. */
	if (a.flags && (cmd != BPF_MAP_UPDATE_ELEM || a.flags > BPF_EXIST))
		return FASTMAP_ASK;
	m = fast_enter(a.fd, open, moment);
	if (!m)
		return FASTMAP_ASK;
	if ((m->may & may) == may && fast_type(m->view.type) && m->view.key_size <= KEY_MAX)
		r = fast_op(&m->view, (u32)cmd, &a, moment);
	fast_leave(m);
	return r;
}
