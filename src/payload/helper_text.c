/* SPDX-License-Identifier: MIT */
/* bpf_strncmp, bpf_strtol, bpf_strtoul, bpf_snprintf. */
#include <asm/errno.h>

#include "base/bits.h"
#include "payload/format.h"

#define STRTOX_BASE_MASK 0x1fu
#define STRTOX_CHARS_MAX 63u /* of the number, behind the sign: the kernel's buffer */

/* As strncmp(s1, s2, size), with the kernel's -1, 0, 1. */
u64 helper_strncmp(u64 s1, u64 size, u64 s2, u64 r4, u64 r5)
{
	const u8 *a = (void *)s1, *b = (void *)s2;

	for (u32 i = 0; i < (u32)size; i++) {
		if (a[i] != b[i])
			return a[i] < b[i] ? (u64)-1 : 1;
		if (!a[i])
			break;
	}
	return 0;
}

struct number {
	u64 value;
	bool negative;
	s64 consumed; /* characters, or -errno */
};

static bool is_space(u8 c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0; /* the kernel's ctype is Latin-1 */
}

static u32 digit_of(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10u : 16;
}

/* The base that the text says, and how many characters it takes to say so. */
static u32 skip_prefix(const u8 *s, u32 n, u32 *base)
{
	bool hex = n > 1 && s[0] == '0' && (s[1] | 0x20) == 'x';

	if (*base == 0)
		*base = hex && n > 2 && digit_of(s[2]) < 16 ? 16 : n && s[0] == '0' ? 8 : 10;
	return *base == 16 && hex ? 2 : 0;
}

static s64 parse_digits(const u8 *s, u32 n, u32 base, u64 *ret_value)
{
	u64 v = 0;
	bool overflow = false;
	u32 i;

	for (i = 0; i < n && digit_of(s[i]) < base; i++) {
		u32 d = digit_of(s[i]);

		overflow |= v > (~0ull - d) / base;
		v = v * base + d;
	}
	*ret_value = v;
	return overflow ? -ERANGE : i ? (s64)i : -EINVAL;
}

static struct number parse_number(const u8 *s, u32 size, u64 flags)
{
	struct number r = {.consumed = -EINVAL};
	u32 base = flags & STRTOX_BASE_MASK, i = 0, n;
	s64 digits;

	if (!size || flags & ~(u64)STRTOX_BASE_MASK || (base != 0 && base != 8 && base != 10 && base != 16))
		return r;
	while (i < size && is_space(s[i]))
		i++;
	r.negative = i < size && s[i] == '-';
	i += r.negative;
	n = bits_min(size - i, STRTOX_CHARS_MAX);
	digits = skip_prefix(s + i, n, &base);
	i += (u32)digits;
	digits = parse_digits(s + i, n - (u32)digits, base, &r.value);
	r.consumed = digits < 0 ? digits : (s64)i + digits;
	return r;
}

u64 helper_strtol(u64 buf, u64 size, u64 flags, u64 ret, u64 r5)
{
	struct number n = parse_number((void *)buf, (u32)size, flags);
	u64 limit = (u64)INT64_MAX + n.negative;

	*(s64 *)ret = 0;
	if (n.consumed < 0)
		return (u64)n.consumed;
	if (n.value > limit)
		return (u64)-ERANGE;
	*(u64 *)ret = n.negative ? 0 - n.value : n.value;
	return (u64)n.consumed;
}

u64 helper_strtoul(u64 buf, u64 size, u64 flags, u64 ret, u64 r5)
{
	struct number n = parse_number((void *)buf, (u32)size, flags);

	*(u64 *)ret = 0;
	if (n.consumed < 0)
		return (u64)n.consumed;
	if (n.negative)
		return (u64)-EINVAL;
	*(u64 *)ret = n.value;
	return (u64)n.consumed;
}

/* The whole text's length with its NUL, even if there was room for less. */
u64 helper_snprintf(u64 str, u64 size, u64 fmt, u64 data, u64 data_len)
{
	u32 n = (u32)data_len / sizeof(u64), cap = (u32)size;
	s64 len;

	if ((u32)data_len % sizeof(u64) || n > FORMAT_ARGS_MAX || (n && !data))
		return (u64)-EINVAL;
	len = format_text((void *)str, cap, (void *)fmt, UINT32_MAX, (void *)data, n);
	if (len < 0)
		return (u64)len;
	if (cap)
		((char *)str)[bits_min((u64)len, (u64)cap - 1)] = 0;
	return (u64)len + 1;
}
