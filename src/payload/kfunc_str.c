/* SPDX-License-Identifier: MIT */
/*
 * bpf_strcmp and its kin (kernel/bpf/helpers.c): strings anywhere, read safely, at most STRING_MAX
 * characters. Results are indexes, -ENOENT for what is not there, -EFAULT for what cannot be read,
 * -E2BIG for a string without an end.
 */
#include <asm/errno.h>

#include "base/bits.h"
#include "payload/kfunc.h"
#include "payload/safe_read.h"

#define STRING_MAX 65536u /* XATTR_SIZE_MAX */
#define CHUNK 64u

struct text {
	u64 at;
	u32 from, n; /* buf holds characters [from, from + n) */
	u8 buf[CHUNK];
};

/* Character i, or -EFAULT. Chunks end where a page may. */
static s32 text_char(struct text *t, u32 i)
{
	if (i - t->from >= t->n) {
		u64 addr = t->at + i;
		u32 n = CHUNK - (u32)(addr % CHUNK);

		if (safe_read(t->buf, addr, n))
			return -EFAULT;
		t->from = i;
		t->n = n;
	}
	return t->buf[i - t->from];
}

static struct text text_at(u64 addr)
{
	return (struct text){.at = addr};
}

static s32 lower(s32 c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) ? c + 0x20 : c; /* Latin-1, as the kernel */
}

static s64 compare(u64 s1, u64 s2, bool fold)
{
	struct text a = text_at(s1), b = text_at(s2);

	for (u32 i = 0; i < STRING_MAX; i++) {
		s32 x = text_char(&a, i), y = text_char(&b, i);

		if (x < 0 || y < 0)
			return -EFAULT;
		if (fold) {
			x = lower(x);
			y = lower(y);
		}
		if (x != y)
			return x < y ? -1 : 1;
		if (!x)
			return 0;
	}
	return -E2BIG;
}

u64 kfunc_strcmp(u64 s1, u64 s2, u64 r3, u64 r4, u64 r5)
{
	return (u64)compare(s1, s2, false);
}

u64 kfunc_strcasecmp(u64 s1, u64 s2, u64 r3, u64 r4, u64 r5)
{
	return (u64)compare(s1, s2, true);
}

/* Index of c among the first n characters. or_end: the string's end is as good. */
static s64 find(u64 s, u64 n, u8 c, bool or_end)
{
	struct text t = text_at(s);

	for (u32 i = 0; i < bits_min(n, (u64)STRING_MAX); i++) {
		s32 x = text_char(&t, i);

		if (x < 0)
			return -EFAULT;
		if (x == c)
			return i;
		if (!x)
			return or_end ? (s64)i : -ENOENT;
	}
	return n < STRING_MAX ? -ENOENT : -E2BIG;
}

u64 kfunc_strchr(u64 s, u64 c, u64 r3, u64 r4, u64 r5)
{
	return (u64)find(s, ~0ull, (u8)c, false);
}

u64 kfunc_strchrnul(u64 s, u64 c, u64 r3, u64 r4, u64 r5)
{
	return (u64)find(s, ~0ull, (u8)c, true);
}

u64 kfunc_strnchr(u64 s, u64 n, u64 c, u64 r4, u64 r5)
{
	return (u64)find(s, n, (u8)c, false);
}

u64 kfunc_strlen(u64 s, u64 r2, u64 r3, u64 r4, u64 r5)
{
	return (u64)find(s, ~0ull, 0, false);
}

u64 kfunc_strnlen(u64 s, u64 n, u64 r3, u64 r4, u64 r5)
{
	s64 r = find(s, n, 0, false);

	return r == -ENOENT ? n : (u64)r;
}

u64 kfunc_strrchr(u64 s, u64 c, u64 r3, u64 r4, u64 r5)
{
	struct text t = text_at(s);
	s64 last = -ENOENT;

	for (u32 i = 0; i < STRING_MAX; i++) {
		s32 x = text_char(&t, i);

		if (x < 0)
			return (u64)-EFAULT;
		if (x == (u8)c)
			last = i;
		if (!x)
			return (u64)last;
	}
	return (u64)-E2BIG;
}

/* How many characters from the first on are in the set (or not). */
static s64 span(u64 s, u64 set, bool in)
{
	struct text t = text_at(s);

	for (u32 i = 0; i < STRING_MAX; i++) {
		s32 x = text_char(&t, i);
		s64 at;

		if (x <= 0)
			return x < 0 ? -EFAULT : (s64)i;
		at = find(set, ~0ull, (u8)x, false);
		if (at < 0 && at != -ENOENT)
			return at;
		if ((at >= 0) != in)
			return i;
	}
	return -E2BIG;
}

u64 kfunc_strspn(u64 s, u64 accept, u64 r3, u64 r4, u64 r5)
{
	return (u64)span(s, accept, true);
}

u64 kfunc_strcspn(u64 s, u64 reject, u64 r3, u64 r4, u64 r5)
{
	return (u64)span(s, reject, false);
}

/* Index of the first place in s1, within n characters, where all of s2 stands. */
static s64 search(u64 s1, u64 s2, u64 n)
{
	struct text a = text_at(s1), b = text_at(s2);

	for (u32 i = 0; i < STRING_MAX; i++) {
		u32 j;

		for (j = 0; i + j < n && j < STRING_MAX; j++) {
			s32 y = text_char(&b, j), x;

			if (y < 0)
				return -EFAULT;
			if (!y)
				return i;
			x = text_char(&a, i + j);
			if (x < 0)
				return -EFAULT;
			if (!x)
				return -ENOENT;
			if (x != y)
				break;
		}
		if (j == STRING_MAX)
			return -E2BIG;
		if (i + j >= n) /* s1 is used up; was s2, too? */
			return text_char(&b, j) ? -ENOENT : (s64)i;
	}
	return -E2BIG;
}

u64 kfunc_strstr(u64 s1, u64 s2, u64 r3, u64 r4, u64 r5)
{
	return (u64)search(s1, s2, ~0ull);
}

u64 kfunc_strnstr(u64 s1, u64 s2, u64 n, u64 r4, u64 r5)
{
	return (u64)search(s1, s2, n);
}
