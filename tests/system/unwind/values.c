/* SPDX-License-Identifier: MIT */
/*
 * Values on their way in and out, wherever the ABI puts them: result registers, the x87 stack, memory, arguments on the
 * stack, registers that a callee must keep, and jumps from one function into another.
 */
#include <complex.h>
#include <immintrin.h>
#include <stdarg.h>

#include "scenario.h"

#define EACH(x) for (uint64_t x = 1; x <= n; x++)

struct pair {
	uint64_t a, b;
};
struct mixed {
	uint64_t a;
	double b;
};
struct floats {
	double a, b;
};
struct big {
	uint64_t v[12];
};

enum {
	R_U8, R_U64, R_I128, R_FLOAT, R_DOUBLE, R_LONG, R_CLONG, R_CDOUBLE, R_CFLOAT, R_PAIR, R_MIXED, R_FLOATS, R_BIG,
	R_VECTOR, R_SUM20, R_VARIADIC, R_RBX, R_HEAD, R_TAIL, R_FIB
};

SCENARIO_FN uint8_t r_u8(uint64_t x)
{
	SCENARIO_IN(R_U8);
	return SCENARIO_OUT(R_U8, (uint8_t)(x * 7));
}

SCENARIO_FN uint64_t r_u64(uint64_t x)
{
	SCENARIO_IN(R_U64);
	return SCENARIO_OUT(R_U64, x * 0x9e3779b97f4a7c15ull);
}

SCENARIO_FN __int128 r_i128(uint64_t x)
{
	SCENARIO_IN(R_I128);
	return SCENARIO_OUT(R_I128, (__int128)x << 64 | ~x);
}

SCENARIO_FN float r_float(float x)
{
	SCENARIO_IN(R_FLOAT);
	return SCENARIO_OUT(R_FLOAT, x * 1.5f);
}

SCENARIO_FN double r_double(double x, uint64_t y)
{
	SCENARIO_IN(R_DOUBLE);
	return SCENARIO_OUT(R_DOUBLE, x * 0.25 + (double)y);
}

SCENARIO_FN long double r_long(long double x)
{
	SCENARIO_IN(R_LONG);
	return SCENARIO_OUT(R_LONG, x / 3);
}

SCENARIO_FN long double complex r_clong(long double x)
{
	SCENARIO_IN(R_CLONG);
	return SCENARIO_OUT(R_CLONG, x + x * 2 * I);
}

SCENARIO_FN double complex r_cdouble(double x)
{
	SCENARIO_IN(R_CDOUBLE);
	return SCENARIO_OUT(R_CDOUBLE, x - x * 4 * I);
}

SCENARIO_FN float complex r_cfloat(float x)
{
	SCENARIO_IN(R_CFLOAT);
	return SCENARIO_OUT(R_CFLOAT, x - x * 4 * I);
}

SCENARIO_FN struct pair r_pair(uint64_t x)
{
	SCENARIO_IN(R_PAIR);
	return SCENARIO_OUT(R_PAIR, ((struct pair){ x, ~x }));
}

SCENARIO_FN struct mixed r_mixed(uint64_t x)
{
	SCENARIO_IN(R_MIXED);
	return SCENARIO_OUT(R_MIXED, ((struct mixed){ x, (double)x / 2 }));
}

SCENARIO_FN struct floats r_floats(double x)
{
	SCENARIO_IN(R_FLOATS);
	return SCENARIO_OUT(R_FLOATS, ((struct floats){ x, x / 2 }));
}

SCENARIO_FN struct big r_big(uint64_t x)
{
	struct big b;

	SCENARIO_IN(R_BIG);
	for (uint64_t i = 0; i < 12; i++)
		b.v[i] = x + i;
	return SCENARIO_OUT(R_BIG, b);
}

SCENARIO_FN __m128i r_vector(__m128i a, __m128i b, __m128d c)
{
	SCENARIO_IN(R_VECTOR);
	return SCENARIO_OUT(R_VECTOR, _mm_add_epi64(_mm_add_epi64(a, b), _mm_castpd_si128(c)));
}

SCENARIO_FN uint64_t r_sum20(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h,
			     uint64_t i, uint64_t j, double x, double y, long double z, uint64_t k, uint64_t l, uint64_t m,
			     struct big s, uint64_t o, double p, uint8_t q)
{
	SCENARIO_IN(R_SUM20);
	return SCENARIO_OUT(R_SUM20, a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j +
					     (uint64_t)x + (uint64_t)y + (uint64_t)z + 11 * k + 12 * l + 13 * m + s.v[0] +
					     s.v[11] + o + (uint64_t)p + q);
}

/* al tells how many vector registers hold arguments: printf and this save them only when there are some. */
SCENARIO_FN double r_variadic(int n, ...)
{
	double sum = 0;
	va_list ap;

	SCENARIO_IN(R_VARIADIC);
	va_start(ap, n);
	for (int i = 0; i < n; i++)
		sum += i & 1 ? va_arg(ap, double) : (double)va_arg(ap, int);
	va_end(ap);
	return SCENARIO_OUT(R_VARIADIC, sum);
}

/* Uses rbx and the other registers that a callee must restore. */
SCENARIO_FN uint64_t r_rbx(uint64_t x)
{
	SCENARIO_IN(R_RBX);
	__asm__ volatile("mov %0, %%rbx; mov %0, %%r12; mov %0, %%r13; mov %0, %%r14; mov %0, %%r15"
			 :
			 : "r"(x * 11)
			 : "rbx", "r12", "r13", "r14", "r15");
	return SCENARIO_OUT(R_RBX, r_u64(x));
}

SCENARIO_FN uint64_t r_fib(uint64_t x)
{
	SCENARIO_IN(R_FIB);
	return SCENARIO_OUT(R_FIB, x < 2 ? x : r_fib(x - 1) + r_fib(x - 2));
}

/* Jumps: one return, reported for both. */
SCENARIO_FN uint64_t r_tail(uint64_t x)
{
	SCENARIO_IN(R_TAIL);
	return SCENARIO_OUT(R_TAIL, x ^ 0x55);
}

SCENARIO_FN uint64_t r_head(uint64_t x)
{
	SCENARIO_IN(R_HEAD);
	scenario_add(&scenario_counts[R_HEAD].out);
	return r_tail(x + 3);
}

static void run_integers(uint64_t n)
{
	EACH(x)
	{
		struct pair p = r_pair(x);
		struct big b = r_big(x);

		if (r_u8(x) != (uint8_t)(x * 7) || r_u64(x) != x * 0x9e3779b97f4a7c15ull ||
		    r_i128(x) != ((__int128)x << 64 | ~x) || p.a != x || p.b != ~x)
			victim_wrong("an integer");
		for (uint64_t i = 0; i < 12; i++)
			if (b.v[i] != x + i)
				victim_wrong("a struct in memory");
	}
}

static void run_floats(uint64_t n)
{
	EACH(x)
	{
		struct mixed m = r_mixed(x);
		struct floats f = r_floats((double)x);
		volatile long double third = (long double)x / 3;

		if (r_float((float)x) != (float)x * 1.5f || r_double((double)x, x) != (double)x * 1.25)
			victim_wrong("a float");
		if (r_long((long double)x) != third)
			victim_wrong("a long double");
		if (r_clong((long double)x) != (long double)x + (long double)x * 2 * I)
			victim_wrong("a long double complex");
		if (r_cdouble((double)x) != (double)x - (double)x * 4 * I ||
		    r_cfloat((float)x) != (float)x - (float)x * 4 * I)
			victim_wrong("a complex");
		if (m.a != x || m.b != (double)x / 2 || f.a != (double)x || f.b != (double)x / 2)
			victim_wrong("a struct in two registers");
	}
}

static void run_vectors(uint64_t n)
{
	EACH(x)
	{
		__m128i a = _mm_set_epi64x((long long)x, (long long)x + 1), b = _mm_set1_epi64x(5);
		__m128i want = _mm_add_epi64(_mm_add_epi64(a, b), _mm_set1_epi64x(7));
		__m128i got = r_vector(a, b, _mm_castsi128_pd(_mm_set1_epi64x(7)));

		if (_mm_movemask_epi8(_mm_cmpeq_epi8(want, got)) != 0xffff)
			victim_wrong("a vector");
	}
}

static void run_arguments(uint64_t n)
{
	EACH(x)
	{
		struct big s = { { x, [11] = x + 1 } };
		char text[80];

		if (r_sum20(x, x, x, x, x, x, x, x, x, x, (double)x, (double)x, (long double)x, x, x, x, s, x, (double)x, 9) !=
		    55 * x + 3 * x + 36 * x + 2 * x + 1 + 2 * x + 9)
			victim_wrong("20 arguments");
		if (r_variadic(6, (int)x, 0.5, 2, 0.25, 3, 0.125) != (double)(int)x + 5.875 || r_variadic(1, 4) != 4)
			victim_wrong("variable arguments");
		snprintf(text, sizeof(text), "%lu %.3f %Lf %s", (unsigned long)x, 0.125, (long double)0.5, "s");
		if (!strstr(text, " 0.125 0.500000 s"))
			victim_wrong("snprintf: %s", text);
	}
}

/* r_rbx(x) with x, x + 1 ... in the registers that a callee keeps; what is in them afterwards. */
uint64_t call_with_registers(uint64_t x, uint64_t ret[6]);
__asm__(".text\n"
	".type call_with_registers, @function\n"
	"call_with_registers:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	push %rsi\n" /* 7 words and the return address: the stack is aligned */
	"	mov %rdi, %rbx\n	lea 1(%rdi), %r12\n	lea 2(%rdi), %r13\n	lea 3(%rdi), %r14\n"
	"	lea 4(%rdi), %r15\n	lea 5(%rdi), %rbp\n"
	"	call r_rbx\n"
	"	pop %rsi\n"
	"	mov %rbx, (%rsi)\n	mov %r12, 8(%rsi)\n	mov %r13, 16(%rsi)\n	mov %r14, 24(%rsi)\n"
	"	mov %r15, 32(%rsi)\n	mov %rbp, 40(%rsi)\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	".size call_with_registers, . - call_with_registers\n");

static void check_registers(uint64_t x)
{
	uint64_t after[6] = { 0 };

	if (call_with_registers(x, after) != x * 0x9e3779b97f4a7c15ull)
		victim_wrong("r_rbx");
	for (uint64_t i = 0; i < 6; i++)
		if (after[i] != x + i)
			victim_wrong("callee-saved register %lu", (unsigned long)i);
}

static void run_registers(uint64_t n)
{
	EACH(x)
	check_registers(x);
}

static void run_recursion(uint64_t n)
{
	EACH(x)
	if (r_fib(12) != 144)
		victim_wrong("r_fib");
}

static void run_tail(uint64_t n)
{
	EACH(x)
	if (r_head(x) != ((x + 3) ^ 0x55))
		victim_wrong("r_head");
}

static const struct scenario scenarios[] = {
	{ "integers", run_integers },	{ "floats", run_floats },     { "vectors", run_vectors }, { "arguments", run_arguments },
	{ "registers", run_registers }, { "recursion", run_recursion }, { "tail", run_tail },	  { NULL, NULL },
};

int main(void)
{
	static const char *const names[] = { "r_u8", "r_u64", "r_i128", "r_float", "r_double", "r_long", "r_clong",
					     "r_cdouble", "r_cfloat", "r_pair", "r_mixed", "r_floats", "r_big", "r_vector",
					     "r_sum20", "r_variadic", "r_rbx", "r_head", "r_tail", "r_fib" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		scenario_counts[i].name = names[i];
	return scenario_main(scenarios);
}
