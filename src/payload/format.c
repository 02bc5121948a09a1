/* SPDX-License-Identifier: MIT */
#include "payload/format.h"

#include <asm/errno.h>

#include "base/bits.h"
#include "base/mem.h"
#include "payload/safe_read.h"

#define WIDTH_MAX ((1u << 23) - 1) /* the kernel's */
#define STRING_MAX 512u /* of one %s, NUL included: the kernel's buffer for all of them */

struct text {
	char *buf;
	u32 cap; /* one byte stays free for the NUL that safe_read_str() writes */
	u32 len; /* of the whole text, written or not */
};

struct spec {
	bool left, plus, space, zero, wide;
	u32 width;
	char kind; /* one of "dux Xcsp": i is d, x and X differ in their digits; "46": an IP address; "S": a symbol */
	bool colons; /* or dots without leading zeros: %pI4, %pI6 */
};

static bool is_print(char c)
{
	return c >= 0x20 && c < 0x7f;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* May stand behind a conversion whose name could be longer. */
static bool ends_name(char c)
{
	return !c || is_space(c) || (is_print(c) && !is_alnum(c));
}

static u32 text_room(const struct text *t)
{
	return t->len + 1 < t->cap ? t->cap - 1 - t->len : 0;
}

static void put_char(struct text *t, char c)
{
	if (text_room(t))
		t->buf[t->len] = c;
	t->len++;
}

static void put_fill(struct text *t, char c, u32 n)
{
	u32 room = text_room(t);

	for (u32 i = 0; i < bits_min(n, room); i++)
		t->buf[t->len + i] = c;
	t->len += n;
}

static void put_number(struct text *t, const struct spec *s, u64 v, char sign)
{
	const char *digits = s->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	u32 base = s->kind == 'd' || s->kind == 'u' ? 10 : 16;
	char out[20];
	u32 n = 0, len, pad;

	do
		out[n++] = digits[v % base];
	while (v /= base);
	len = n + !!sign;
	pad = s->width > len ? s->width - len : 0;
	if (!s->left && !s->zero)
		put_fill(t, ' ', pad);
	if (sign)
		put_char(t, sign);
	if (!s->left && s->zero)
		put_fill(t, '0', pad);
	while (n)
		put_char(t, out[--n]);
	if (s->left)
		put_fill(t, ' ', pad);
}

static void put_integer(struct text *t, const struct spec *s, u64 arg)
{
	s64 v = s->wide ? (s64)arg : (s32)arg;
	char sign = s->plus ? '+' : s->space ? ' ' : 0;

	if (s->kind != 'd')
		put_number(t, s, s->wide ? arg : (u32)arg, 0);
	else if (v < 0)
		put_number(t, s, 0 - (u64)v, '-');
	else
		put_number(t, s, (u64)v, sign);
}

/* Read once for its length, then once more to its place. If it changed in between, the gap is
 * filled. */
static void put_string(struct text *t, const struct spec *s, u64 addr)
{
	s64 r = safe_read_str(NULL, addr, STRING_MAX);
	u32 n = r > 0 ? (u32)r - 1 : 0;
	u32 pad = s->width > n ? s->width - n : 0;
	u32 room, got = 0;

	if (!s->left)
		put_fill(t, ' ', pad);
	room = text_room(t);
	if (room && n) {
		r = safe_read_str(t->buf + t->len, addr, bits_min(n, room) + 1);
		got = r > 0 ? (u32)r - 1 : 0;
	}
	t->len += got;
	put_fill(t, ' ', n - got);
	if (s->left)
		put_fill(t, ' ', pad);
}

/* As the kernel writes an address that has no symbol. */
static void put_symbol(struct text *t, u64 addr)
{
	put_char(t, '0');
	put_char(t, 'x');
	put_number(t, &(struct spec){.kind = 'x', .wide = true}, addr, 0);
}

static void put_ip(struct text *t, const struct spec *s, u64 addr)
{
	u32 n = s->kind == '4' ? 4 : 16;
	struct spec byte = {.kind = s->kind == '4' ? 'u' : 'x', .zero = true};
	u8 ip[16];

	if (safe_read(ip, addr, n))
		mem_zero(ip, sizeof(ip));
	byte.width = s->kind == '6' ? 2 : s->colons ? 0 : 3;
	for (u32 i = 0; i < n; i++) {
		if (i && s->kind == '4')
			put_char(t, '.');
		else if (i && s->colons && i % 2 == 0)
			put_char(t, ':');
		put_number(t, &byte, ip[i], 0);
	}
}

static void put_arg(struct text *t, struct spec *s, u64 arg)
{
	u32 pad = s->width > 1 ? s->width - 1 : 0;

	switch (s->kind) {
	case 's': put_string(t, s, arg); return;
	case 'c':
		put_fill(t, ' ', s->left ? 0 : pad);
		put_char(t, (char)arg);
		put_fill(t, ' ', s->left ? pad : 0);
		return;
	case 'p':
		if (!s->width) {
			s->width = 2 * sizeof(void *);
			s->zero = true;
		}
		put_number(t, s, arg, 0);
		return;
	case 'S': put_symbol(t, arg); return;
	case '4':
	case '6': put_ip(t, s, arg); return;
	default: put_integer(t, s, arg);
	}
}

/* p is behind "%p"; returns the end of the conversion or NULL. */
static const char *parse_pointer(const char *p, struct spec *s)
{
	s->kind = 'p';
	if (ends_name(p[0]))
		return p;
	if ((p[0] == 'k' || p[0] == 'u') && p[1] == 's' && ends_name(p[2])) {
		s->kind = 's';
		return p + 2;
	}
	if ((p[0] == 'i' || p[0] == 'I') && (p[1] == '4' || p[1] == '6')) {
		s->kind = p[1];
		s->colons = p[0] == 'I';
		return p + 2;
	}
	if (p[0] == 's' || p[0] == 'S' || p[0] == 'B')
		s->kind = 'S';
	else if (p[0] != 'x' && p[0] != 'K')
		return NULL;
	return p + 1;
}

static const char *parse_integer(const char *p, struct spec *s)
{
	if (*p == 'l') {
		s->wide = true;
		p++;
		if (*p == 'l')
			p++;
	}
	s->kind = *p == 'i' ? 'd' : *p;
	if (s->kind != 'd' && s->kind != 'u' && s->kind != 'x' && s->kind != 'X')
		return NULL;
	return p + 1;
}

/* p is behind the '%'; returns the end of the conversion or NULL. */
static const char *parse_spec(const char *p, struct spec *s)
{
	*s = (struct spec){0};
	for (;; p++) {
		if (*p == '0')
			s->zero = true;
		else if (*p == '+')
			s->plus = true;
		else if (*p == '-')
			s->left = true;
		else if (*p == ' ')
			s->space = true;
		else
			break;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		s->width = bits_min(s->width * 10 + (u32)(*p - '0'), WIDTH_MAX);
	if (*p == 'p')
		return parse_pointer(p + 1, s);
	if (*p == 's') {
		s->kind = 's';
		return ends_name(p[1]) ? p + 1 : NULL;
	}
	if (*p == 'c') {
		s->kind = 'c';
		return p + 1;
	}
	return parse_integer(p, s);
}

static bool is_text(const char *s, u32 size)
{
	for (u32 i = 0; i < size; i++) {
		if (!s[i])
			return true;
		if (!is_print(s[i]) && !is_space(s[i]) && (u8)s[i] < 0x80) /* UTF-8 is welcome */
			return false;
	}
	return false;
}

s64 format_text(char *buf, u32 cap, const char *fmt, u32 fmt_size, const u64 *arg, u32 nargs)
{
	struct text t = {buf, cap, 0};
	u32 used = 0;

	if (!is_text(fmt, fmt_size))
		return -EINVAL;
	while (*fmt) {
		struct spec s;

		if (*fmt != '%') {
			put_char(&t, *fmt++);
			continue;
		}
		if (fmt[1] == '%') {
			put_char(&t, '%');
			fmt += 2;
			continue;
		}
		fmt = parse_spec(fmt + 1, &s);
		if (!fmt || used == nargs)
			return -EINVAL;
		put_arg(&t, &s, arg[used++]);
	}
	return t.len;
}
