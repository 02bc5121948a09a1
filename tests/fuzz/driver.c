/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer:
 *     target FILE|FOLDER...              replays the files, in order; of a NAME.corpus (tools/corpus.py) its inputs
 *     target -r COUNT [SEED]             runs COUNT random inputs; the one that fails is named by its number
 * and the seed target -m COUNT SEED FILE... replays the corpus, then COUNT mutations of it
 * target                                 reads one input from stdin
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1u << 20)
#define CORPUS_MAX 4096u
#define MUTANT_MAX 8192u
#define HANG_S 20

struct input {
	uint8_t *data;
	size_t n;
};

struct corpus {
	struct input in[CORPUS_MAX];
	unsigned int n;
};

static void run(const uint8_t *data, size_t n)
{
	/* exactly as many bytes, so that a sanitizer sees a read behind the end */
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		exit(99);
	memcpy(exact, data, n);
	alarm(HANG_S); /* a hang is a failure */
	LLVMFuzzerTestOneInput(exact, n);
	alarm(0);
	free(exact);
}

static int read_input(FILE *f, const char *name, struct input *ret)
{
	if (!f || !(ret->data = malloc(INPUT_MAX))) {
		fprintf(stderr, "%s: cannot read\n", name);
		return 1;
	}
	ret->n = fread(ret->data, 1, INPUT_MAX, f);
	fclose(f);
	return 0;
}

/* Inputs one behind the other, each with its length in front. */
static int load_pack(const char *path, struct corpus *c)
{
	FILE *f = fopen(path, "rb");
	uint32_t n;
	int bad = !f;

	while (f && !bad && fread(&n, sizeof(n), 1, f) == 1) {
		struct input *in = &c->in[c->n];

		bad = c->n == CORPUS_MAX || n > INPUT_MAX || !(in->data = malloc(n ? n : 1));
		if (bad)
			break;
		in->n = n;
		c->n++;
		bad = fread(in->data, 1, n, f) != n;
	}
	if (bad)
		fprintf(stderr, "%s: cannot read\n", path);
	if (f)
		fclose(f);
	return bad;
}

static bool is_pack(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".corpus");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* path: a file, or a folder of files. */
static int load(const char *path, struct corpus *c)
{
	struct dirent **names;
	char file[1024];
	int n, bad = 0;

	if (is_pack(path))
		return load_pack(path, c);
	n = scandir(path, &names, NULL, by_name);
	if (n < 0) {
		if (c->n == CORPUS_MAX)
			return 1;
		bad = read_input(fopen(path, "rb"), path, &c->in[c->n]);
		c->n += !bad;
		return bad;
	}
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			bad |= load(file, c);
		free(names[i]);
	}
	free(names);
	return bad;
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1dull >> 16;
}

/* Written before the run: after a crash it is the last line. */
static void tell(const char *what, unsigned long i, uint64_t seed)
{
	if (isatty(2) || i % 1024 == 0)
		fprintf(stderr, "\r%s %lu of seed %llu ", what, i, (unsigned long long)seed);
}

static void run_random(unsigned long count, uint64_t seed)
{
	static uint8_t data[4096];

	for (unsigned long i = 0; i < count; i++) {
		uint64_t s = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
		size_t n = next_random(&s) % sizeof(data);

		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)(next_random(&s) >> 24);
		tell("input", i, seed);
		run(data, n);
	}
	printf("\n%lu random inputs, seed %llu: done\n", count, (unsigned long long)seed);
}

static size_t mutate(uint8_t *data, size_t n, const struct input *other, uint64_t *s)
{
	static const uint8_t bytes[] = {0, 1, 2, 4, 7, 8, 16, 31, 32, 63, 64, 127, 128, 255};
	size_t at = n ? next_random(s) % n : 0, len = 1 + next_random(s) % 16, from;

	switch (next_random(s) % 7) {
	case 0: data[at] ^= (uint8_t)(1u << next_random(s) % 8); break;
	case 1: data[at] = bytes[next_random(s) % sizeof(bytes)]; break;
	case 2: data[at] = (uint8_t)next_random(s); break;
	case 3: /* a piece more */
		if (n + len > MUTANT_MAX)
			break;
		memmove(data + at + len, data + at, n - at);
		n += len;
		break;
	case 4: /* a piece less */
		if (at + len > n)
			break;
		memmove(data + at, data + at + len, n - at - len);
		n -= len;
		break;
	case 5: /* a piece of another one, at the same place or elsewhere */
		from = next_random(s) % 2 ? at : other->n ? next_random(s) % other->n : 0;
		len = next_random(s) % 64;
		if (from + len <= other->n && at + len <= n)
			memcpy(data + at, other->data + from, len);
		break;
	default: /* an instruction, a word, twice */
		len = 8;
		at &= ~(size_t)7;
		if (at + len > n || n + len > MUTANT_MAX)
			break;
		memmove(data + at + len, data + at, n - at);
		n += len;
	}
	return n;
}

static void run_mutants(const struct corpus *c, unsigned long count, uint64_t seed)
{
	static uint8_t data[MUTANT_MAX];

	for (unsigned long i = 0; i < count && c->n; i++) {
		uint64_t s = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
		const struct input *base = &c->in[next_random(&s) % c->n];
		size_t n = base->n < MUTANT_MAX ? base->n : MUTANT_MAX;

		memcpy(data, base->data, n);
		for (unsigned int k = 1 + next_random(&s) % 6; k; k--)
			n = mutate(data, n, &c->in[next_random(&s) % c->n], &s);
		tell("mutant", i, seed);
		run(data, n);
	}
	printf("\n%lu mutants, seed %llu: done\n", count, (unsigned long long)seed);
}

int main(int argc, char **argv)
{
	static struct corpus c;
	int bad = 0, first = 1;
	unsigned long mutants = 0;

	if (argc > 2 && !strcmp(argv[1], "-r")) {
		run_random(strtoul(argv[2], NULL, 0), argc > 3 ? strtoull(argv[3], NULL, 0) : 1);
		return 0;
	}
	if (argc > 3 && !strcmp(argv[1], "-m")) {
		mutants = strtoul(argv[2], NULL, 0);
		first = 4;
	}
	if (argc == 1)
		bad = read_input(stdin, "stdin", &c.in[c.n++]);
	for (int i = first; i < argc; i++)
		bad |= load(argv[i], &c);
	for (unsigned int i = 0; i < c.n && !bad; i++) {
		fprintf(stderr, "\rinput %u of %u ", i + 1, c.n);
		run(c.in[i].data, c.in[i].n);
	}
	printf("\n%u inputs of the corpus: %s\n", c.n, bad ? "some cannot be read" : "done");
	if (mutants && !bad)
		run_mutants(&c, mutants, strtoull(argv[3], NULL, 0));
	for (unsigned int i = 0; i < c.n; i++)
		free(c.in[i].data);
	return bad;
}
