/* SPDX-License-Identifier: MIT */
/*
 * TAP for C tests: header only, no dependency. A test is a plain program:
 *     int main(void) { tap_ok(x == 1, "x is one"); return tap_done(); }
 * tap_skip_all("why") ends a program that cannot run here.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5), unused)) static bool tap_check(bool ok, const char *file, int line,
								    const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", ok ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!ok) {
		tap_failed++;
		printf("# failed at %s:%d\n", file, line);
	}
	fflush(stdout);
	return ok;
}

#define tap_ok(cond, ...) tap_check(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define tap_eq(a, b, ...)                                                                                     \
	({                                                                                                    \
		long long tap_a = (long long)(a), tap_b = (long long)(b);                                     \
		bool tap_r = tap_check(tap_a == tap_b, __FILE__, __LINE__, __VA_ARGS__);                       \
		if (!tap_r)                                                                                   \
			printf("# got %lld (%#llx), want %lld (%#llx)\n", tap_a, tap_a, tap_b, tap_b);         \
		tap_r;                                                                                        \
	})
#define tap_skip(why, ...)                                                                                    \
	do {                                                                                                  \
		printf("ok %d - ", ++tap_count);                                                              \
		printf(__VA_ARGS__);                                                                          \
		printf(" # SKIP %s\n", why);                                                                  \
	} while (0)

__attribute__((unused, noreturn)) static void tap_skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

__attribute__((unused)) static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}
