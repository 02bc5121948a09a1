/* SPDX-License-Identifier: MIT */
/* Return entries: refilled from the pool, then reaped, and only from calls that cannot come back.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"
#include "tap.h"

#define RA 0x1111110000ull
#define THUNK 0x2222220000ull
#define JUNK 0x3333330000ull
#define REGION 0x7777000000ull
#define MARK (1ull << 63)

static struct nt_ret_entry *pool_of(const struct subject *s)
{
	return (void *)s->state->pool;
}

static u32 list_len(const struct subject *s, u64 e)
{
	u32 n = 0;

	for (; e && n <= SUBJECT_POOL; n++) {
		if (e - s->state->pool >= sizeof(struct nt_ret_entry) * SUBJECT_POOL)
			return ~0u;
		e = ((struct nt_ret_entry *)e)->next;
	}
	return n;
}

/* Takes every entry off the thread's list; returns their number. */
static u32 take_all(const struct subject *s, struct nt_row *row)
{
	u32 n = list_len(s, row->free);

	row->free = 0;
	return n;
}

static void test_pool(const struct subject *s)
{
	struct nt_row *row;
	u32 n = 0, calls = 0, got;

	subject_reset(s);
	row = s->row_slow();
	tap_ok((u64)s->ret_slow(0) == row->free && list_len(s, row->free) == 16,
	       "16 entries to begin with");
	tap_ok((u64)s->ret_slow(0) == row->free && list_len(s, row->free) == 16,
	       "no more while there are some");
	tap_eq(row->missed, 0, "nothing missed");
	for (n = take_all(s, row); s->ret_slow(0); n += got, calls++) {
		got = take_all(s, row);
		if (got > 16)
			break;
	}
	tap_eq(n, SUBJECT_POOL, "the whole pool is handed out, once");
	tap_eq(calls, SUBJECT_POOL / 16 - 1, "in batches");
	tap_eq(row->missed, 1, "then a call is missed");
	s->state->pool_next = 0xffffffff;
	row->missed = 0;
	tap_ok(!s->ret_slow(0), "a wrong count of used entries is no entry");
	s->state->pool_n = 0;
	row->missed = 0;
	tap_ok(!s->ret_slow(0), "no pool");
	s->state->pool_n = SUBJECT_POOL;
	row->missed = 0;
}

/* All entries are in use, by calls whose word holds `word`. */
static void fill(const struct subject *s, u64 *words, u64 word)
{
	struct nt_ret_entry *pool = pool_of(s);

	subject_reset(s);
	s->state->pool_next = SUBJECT_POOL;
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		words[i] = word;
		pool[i] = (struct nt_ret_entry){
		    .ra = RA, .thunk = THUNK, .sp = (u64)&words[i], .in_use = i + 1};
	}
}

/* Reaps until nothing comes for a while; a bit per entry that was taken. */
static u32 reap_all(const struct subject *s, u8 *taken)
{
	struct nt_row *row = s->row_slow();
	u32 n = 0;

	memset(taken, 0, SUBJECT_POOL);
	for (int idle = 0; idle < 3; idle++) {
		row->missed = 0;
		if (!s->ret_slow(0))
			continue;
		for (u64 e = row->free; e; e = ((struct nt_ret_entry *)e)->next, n++)
			taken[(struct nt_ret_entry *)e - pool_of(s)]++;
		row->free = 0;
		idle = -1;
	}
	return n;
}

static void test_reap_words(const struct subject *s)
{
	static u64 words[SUBJECT_POOL];
	const struct {
		const char *name;
		u64 word;
		u32 want;
	} c[] = {
	    {"its thunk", THUNK, 0},
	    {"its real return address", RA, 0},
	    {"an address in a region", REGION + 0xfff, 0},
	    {"the first address of a region", REGION, 0},
	    {"the address behind a region", REGION + 0x1000, SUBJECT_POOL},
	    {"an address in a region that is old", REGION + 0x2010, 0},
	    {"something else", JUNK, SUBJECT_POOL},
	    {"nothing", 0, SUBJECT_POOL},
	};
	u8 taken[SUBJECT_POOL];

	s->state->region[1] =
	    (struct nt_region){.base = REGION, .size = 0x1000, .state = NT_REGION_LIVE};
	s->state->region[2] =
	    (struct nt_region){.base = REGION + 0x2000, .size = 0x1000, .state = NT_REGION_OLD};
	s->state->nregions = 3;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		fill(s, words, c[i].word);
		tap_eq(reap_all(s, taken), c[i].want, "calls whose word holds %s", c[i].name);
	}
	s->state->region[1].state = NT_REGION_FREE;
	fill(s, words, REGION);
	tap_eq(reap_all(s, taken), SUBJECT_POOL, "an address in a region that is gone");
}

static void test_reap_mixed(const struct subject *s)
{
	static u64 words[SUBJECT_POOL];
	u8 *hole =
	    mmap(NULL, 2 * NT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 taken[SUBJECT_POOL];
	u32 wrong = 0, want = 0;

	munmap(hole + NT_PAGE, NT_PAGE);
	fill(s, words, THUNK);
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		if (i % 5 == 0)
			words[i] = JUNK;
		else if (i % 5 == 1)
			pool_of(s)[i].sp = (u64)hole + NT_PAGE + 8 * i;
		else if (i % 5 == 2)
			pool_of(s)[i].in_use = 0; /* on some thread's list */
		else if (i % 5 == 3)
			pool_of(s)[i].in_use = MARK + i; /* a reaper's that was left behind */
		want += i % 5 < 2;
	}
	words[3] = JUNK; /* not even then: another reaper may hold it */
	tap_eq(reap_all(s, taken), want, "dead among living");
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		bool dead = i % 5 < 2;
		u64 use = pool_of(s)[i].in_use;

		wrong += taken[i] != dead || (dead ? use != 0 : i % 5 == 2 ? use != 0 : (use & ~MARK) != i + (i % 5 == 4));
	}
	tap_eq(wrong, 0,
	       "exactly those, also where the stack is gone; the others are in use as before");
	fill(s, words, JUNK);
	s->state->flags |= NT_STATE_NO_SYSCALL;
	tap_eq(reap_all(s, taken), 0, "without the kernel nobody is declared dead");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
}

static void test_back_off(const struct subject *s)
{
	static u64 words[SUBJECT_POOL];
	struct nt_row *row;
	u32 failed = 0;

	fill(s, words, THUNK);
	row = s->row_slow();
	tap_ok(!s->ret_slow(0) && row->missed == 1, "nothing to reap");
	words[7] = JUNK;
	while (!s->ret_slow(0) && failed < 5000)
		failed++;
	tap_eq(failed, 1023, "the next look is 1024 misses later");
	tap_eq(list_len(s, row->free), 1, "and finds what has died since");
}

/* A loop that calls a function which always leaves by longjmp: each time the same word, holding the
 * same ra. */
static void test_own_word(const struct subject *s)
{
	static u64 words[SUBJECT_POOL];
	struct nt_ret_entry *pool = pool_of(s);
	struct nt_row *row;
	u64 own = RA, at = (u64)&own;

	fill(s, words, THUNK);
	row = s->row_slow();
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		pool[i].sp = i & 1 ? at : (u64)&words[i];
		pool[i].row = i; /* no call is another one's successor */
	}
	for (u32 i = 0; i < SUBJECT_POOL; i += 2)
		words[i] = RA; /* these may be at their entry or exit on other threads */
	row->missed = 0;
	tap_ok(!s->ret_slow(0), "nobody says where the word is: all may live");
	row->missed = 0;
	tap_ok(s->ret_slow(at), "entries of the caller's own word are dead");
	tap_eq(list_len(s, row->free), 4, "all that were looked at");
	for (u64 e = row->free; e; e = ((struct nt_ret_entry *)e)->next)
		if (!(((struct nt_ret_entry *)e - pool) & 1))
			tap_ok(false, "an entry of another word was taken");
	row->free = 0;
	s->state->region[1] = (struct nt_region){.base = REGION, .size = 64, .state = NT_REGION_LIVE};
	own = REGION + 16;
	for (u32 i = 0; i < SUBJECT_POOL; i++)
		pool[i].ra = words[i] = REGION + 16;
	row->missed = 0;
	tap_ok(!s->ret_slow(at), "reached by a tail jump: they live");
	s->state->region[1].state = NT_REGION_FREE;
}

/* Calls that were left pile up; the word of them all is that of the newest, which lives. */
static void test_overtaken(const struct subject *s)
{
	static u64 words[SUBJECT_POOL];
	struct nt_ret_entry *pool = pool_of(s);
	u8 taken[SUBJECT_POOL];
	u32 n = 0, wrong = 0;

	s->state->region[1] =
	    (struct nt_region){.base = REGION, .size = 0x1000, .state = NT_REGION_LIVE};
	s->state->flags |= NT_STATE_NO_SYSCALL; /* words need not be read */
	fill(s, words, THUNK);
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		pool[i].in_use = 1000 + i * 7 % SUBJECT_POOL;
		pool[i].sp = (u64)&words[i & 1];
	}
	n = reap_all(s, taken);
	for (u32 i = 0; i < SUBJECT_POOL; i++)
		if (!taken[i] && pool[i].in_use < 1000 + SUBJECT_POOL - 2)
			wrong++;
	tap_ok(n == SUBJECT_POOL - 2 && !wrong, "only the newest of each of two words live (%u, %u)", n,
	       wrong);
	fill(s, words, THUNK);
	for (u32 i = 0; i < SUBJECT_POOL; i++)
		pool[i].sp = (u64)&words[i % 100];
	tap_eq(reap_all(s, taken), SUBJECT_POOL - 100, "the same with a hundred words");
	fill(s, words, THUNK);
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		pool[i].sp = (u64)&words[0];
		pool[i].row = i;
	}
	tap_eq(reap_all(s, taken), 0, "of different threads nobody knows who was first");
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		pool[i].row = 0;
		pool[i].in_use = 5;
	}
	tap_eq(reap_all(s, taken), 0, "nor with the same number");
	for (u32 i = 0; i < SUBJECT_POOL; i++) {
		pool[i].in_use = i + 1;
		pool[i].ra = i ? REGION + 8 : RA;
	}
	tap_eq(reap_all(s, taken), 0, "tail jumps overwrite nothing: all may live");
	pool[SUBJECT_POOL / 2].ra = RA;
	tap_eq(reap_all(s, taken), SUBJECT_POOL / 2, "a call among them does");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
	s->state->region[1].state = NT_REGION_FREE;
}

int main(void)
{
	const struct subject *s = subject_new();

	test_pool(s);
	test_reap_words(s);
	test_reap_mixed(s);
	test_back_off(s);
	test_own_word(s);
	test_overtaken(s);
	return tap_done();
}
