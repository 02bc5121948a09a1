/* SPDX-License-Identifier: MIT */
/* Bodies of kernel functions: iterators, strings, dynptrs. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebpf/kfuncs.h"
#include "subject.h"
#include "tap.h"

static const struct subject *s;

static s64 kcall(u32 k, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	return call5(s->helper[NT_HELPER_KFUNC + k], a, b, c, d, e);
}

#define K(name, a, b, c) kcall(EBPF_KFUNC_##name, (u64)(a), (u64)(b), (u64)(c), 0, 0)

static s64 count_range(s64 from, s64 to, s64 *ret_new)
{
	u64 it = 1;
	s32 *i;
	s64 n = 0, want = from;

	*ret_new = K(ITER_NUM_NEW, &it, from, to);
	while ((i = (s32 *)K(ITER_NUM_NEXT, &it, 0, 0)) && *i == want) {
		want++;
		n++;
	}
	K(ITER_NUM_DESTROY, &it, 0, 0);
	return it ? -1 : n;
}

static void test_num(void)
{
	s64 r;

	tap_eq(count_range(-3, 5, &r), 8, "-3 to 5");
	tap_eq(r, 0, "is a range");
	tap_eq(count_range(5, 5, &r), 0, "5 to 5");
	tap_eq(r, 0, "is one");
	tap_eq(count_range(5, 4, &r), 0, "5 to 4");
	tap_eq(r, -EINVAL, "is none");
	tap_eq(count_range(0, (1 << 23) + 1, &r), 0, "more than 8 million");
	tap_eq(r, -E2BIG, "are too many");
	tap_eq(count_range(INT32_MIN, INT32_MIN + 2, &r), 2, "the smallest number");
	tap_eq(count_range(INT32_MAX - 2, INT32_MAX, &r), 2, "up to the largest");
}

static void test_bits(void)
{
	u64 it[2], words[3] = {1ull << 63 | 5, 0, 2}, sum = 0, n = 0;
	s32 *i;

	tap_eq(K(ITER_BITS_NEW, it, words, 3), 0, "bits of 3 words");
	while ((i = (s32 *)K(ITER_BITS_NEXT, it, 0, 0))) {
		sum += (u64)*i;
		n++;
	}
	tap_ok(n == 4 && sum == 0 + 2 + 63 + 129, "%llu of them", (unsigned long long)n);
	tap_eq(K(ITER_BITS_NEXT, it, 0, 0), 0, "and no more");
	tap_eq(K(ITER_BITS_NEW, it, words, 1), 0, "bits of a word");
	words[0] = 0;
	i = (s32 *)K(ITER_BITS_NEXT, it, 0, 0);
	tap_ok(i && !*i, "that was copied");
	tap_eq(K(ITER_BITS_NEW, it, words, 0), -EINVAL, "of none");
	tap_eq(K(ITER_BITS_NEW, it, words, 512), -E2BIG, "of too many");
	tap_eq(K(ITER_BITS_NEW, it, 4096, 1), -EFAULT, "of nothing");
	tap_eq(K(ITER_BITS_NEXT, it, 0, 0), 0, "there is no bit");
}

static void test_strings(void)
{
	static char endless[70000];
	char *end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char long_text[200];

	munmap(end + 4096, 4096);
	end += 4096;
	memset(endless, 'x', sizeof(endless));
	memset(long_text, 'a', sizeof(long_text));
	strcpy(long_text + 190, "b");
	strcpy(end - 4, "abc");
	tap_eq(K(STRLEN, end - 4, 0, 0), 3, "strlen up to the end of memory");
	end[-1] = 'd';
	tap_eq(K(STRLEN, end - 4, 0, 0), -EFAULT, "and beyond");
	tap_eq(K(STRNLEN, end - 4, 4, 0), 4, "strnlen stops before");
	tap_eq(K(STRNLEN, "ab", 9, 0), 2, "or at the end");
	tap_eq(K(STRLEN, endless, 0, 0), -E2BIG, "a string without end");
	tap_eq(K(STRLEN, 0, 0, 0), -EFAULT, "no string");
	tap_eq(K(STRCMP, "abc", "abc", 0), 0, "strcmp");
	tap_eq(K(STRCMP, "abc", "abd", 0), -1, "less");
	tap_eq(K(STRCMP, "b", "abd", 0), 1, "more");
	tap_eq(K(STRCMP, long_text, long_text, 0), 0, "long ones");
	tap_eq(K(STRCASECMP, "aBc", "AbC", 0), 0, "strcasecmp");
	tap_eq(K(STRCHR, long_text, 'b', 0), 190, "strchr");
	tap_eq(K(STRCHR, "abc", 'x', 0), -ENOENT, "not there");
	tap_eq(K(STRCHR, "abc", 0, 0), 3, "the end is there");
	tap_eq(K(STRCHRNUL, "abc", 'x', 0), 3, "strchrnul");
	tap_eq(K(STRNCHR, "abc", 2, 'c'), -ENOENT, "strnchr");
	tap_eq(K(STRNCHR, "abc", 3, 'c'), 2, "strnchr finds it");
	tap_eq(K(STRRCHR, "abcabc", 'b', 0), 4, "strrchr");
	tap_eq(K(STRSPN, "aabbc", "ab", 0), 4, "strspn");
	tap_eq(K(STRCSPN, "aabbc", "cx", 0), 4, "strcspn");
	tap_eq(K(STRSTR, "aabaac", "aac", 0), 3, "strstr");
	tap_eq(K(STRSTR, "aab", "", 0), 0, "of nothing");
	tap_eq(K(STRSTR, "aab", "abc", 0), -ENOENT, "not there");
	tap_eq(K(STRSTR, long_text, "ab", 0), 189, "far behind");
	tap_eq(K(STRNSTR, "aabaac", "aac", 5), -ENOENT, "strnstr");
	tap_eq(K(STRNSTR, "aabaac", "aac", 6), 3, "strnstr finds it");
	tap_eq(K(STRNSTR, "a", "", 0), 0, "of nothing in nothing");
}

static void test_dynptr(void)
{
	u64 d[2], c[2], e[2] = {0, 0};
	char data[32] = "0123456789abcdef", other[8] = "";

	call5(s->helper[197], (u64)data, 16, 0, (u64)d, 0);
	call5(s->helper[197], (u64)other, 8, 0, (u64)c, 0);
	tap_eq(K(DYNPTR_SIZE, d, 0, 0), 16, "size");
	tap_eq(kcall(EBPF_KFUNC_DYNPTR_COPY, (u64)c, 1, (u64)d, 10, 6), 0, "copy");
	tap_ok(!memcmp(other, "\0abcdef", 7), "of six bytes");
	tap_eq(kcall(EBPF_KFUNC_DYNPTR_COPY, (u64)c, 3, (u64)d, 10, 6), -E2BIG, "where there is no room");
	tap_eq(K(DYNPTR_ADJUST, d, 10, 14), 0, "adjust");
	tap_eq(K(DYNPTR_SIZE, d, 0, 0), 4, "to four bytes");
	tap_eq(K(DYNPTR_ADJUST, d, 3, 2), -EINVAL, "backwards");
	tap_eq(K(DYNPTR_ADJUST, d, 0, 5), -ERANGE, "beyond");
	tap_eq(kcall(EBPF_KFUNC_DYNPTR_SLICE, (u64)d, 1, 0, 3, 0), (s64)(u64)&data[11], "slice");
	tap_eq(kcall(EBPF_KFUNC_DYNPTR_SLICE_RDWR, (u64)d, 1, 0, 4, 0), 0, "a slice that is too long");
	tap_eq(K(DYNPTR_CLONE, d, c, 0), 0, "clone");
	tap_eq(K(DYNPTR_SIZE, c, 0, 0), 4, "is the same");
	tap_eq(kcall(EBPF_KFUNC_DYNPTR_MEMSET, (u64)c, 1, 2, 'x', 0), 0, "memset");
	tap_ok(!strcmp(data, "0123456789axxdef"), "%s", data);
	tap_eq(K(DYNPTR_IS_NULL, d, 0, 0), 0, "is not null");
	tap_eq(K(DYNPTR_IS_RDONLY, d, 0, 0), 0, "is not read-only");
	tap_eq(K(DYNPTR_IS_NULL, e, 0, 0), 1, "is null");
	tap_eq(K(DYNPTR_SIZE, e, 0, 0), -EINVAL, "and has no size");
	tap_eq(kcall(EBPF_KFUNC_DYNPTR_SLICE, (u64)e, 0, 0, 0, 0), 0, "nor a slice");
	tap_eq(kcall(EBPF_KFUNC_PROBE_READ_USER_DYNPTR, (u64)c, 0, 4, (u64) "wxyz", 0), 0, "read into it");
	tap_ok(!strcmp(data, "0123456789wxyzef"), "%s", data);
	tap_eq(kcall(EBPF_KFUNC_PROBE_READ_USER_DYNPTR, (u64)c, 1, 4, (u64) "wxyz", 0), -E2BIG, "too much");
	tap_eq(kcall(EBPF_KFUNC_PROBE_READ_USER_STR_DYNPTR, (u64)c, 0, 4, (u64) "A", 0), 2, "a string");
}

int main(void)
{
	s = subject_new();
	test_num();
	test_bits();
	test_strings();
	test_dynptr();
	return tap_done();
}
