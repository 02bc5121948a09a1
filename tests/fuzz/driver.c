/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer:
 *     target FILE...            replays the files, in order
 *     target -r COUNT [SEED]    runs COUNT random inputs; the one that fails is named by its number
 * and the seed target                    reads one input from stdin
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1u << 20)

static int replay(FILE *f, const char *name)
{
	uint8_t *data = malloc(INPUT_MAX), *exact;
	size_t n;

	if (!f || !data) {
		fprintf(stderr, "%s: cannot read\n", name);
		free(data);
		return 1;
	}
	n = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	exact = malloc(n ? n : 1); /* so that a sanitizer sees a read behind the end */
	if (exact) {
		memcpy(exact, data, n);
		LLVMFuzzerTestOneInput(exact, n);
	}
	free(exact);
	free(data);
	printf("%s: %zu bytes, done\n", name, n);
	return 0;
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static int run_random(unsigned long count, uint64_t seed)
{
	static uint8_t data[4096];
	char line[96];

	for (unsigned long i = 0; i < count; i++) {
		uint64_t s = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
		size_t n = next_random(&s) % sizeof(data);

		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)(next_random(&s) >> 24);
		/* Written before the run: after a crash it is the last line. */
		snprintf(line, sizeof(line), "\rinput %lu of seed %llu ", i,
			 (unsigned long long)seed);
		if (isatty(2) || i % 1024 == 0)
			fputs(line, stderr);
		alarm(20); /* a hang is a failure */
		LLVMFuzzerTestOneInput(data, n);
	}
	alarm(0);
	printf("\n%lu random inputs, seed %llu: done\n", count, (unsigned long long)seed);
	return 0;
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc == 1)
		return replay(stdin, "stdin");
	if (!strcmp(argv[1], "-r") && argc > 2)
		return run_random(strtoul(argv[2], NULL, 0),
				  argc > 3 ? strtoull(argv[3], NULL, 0) : 1);
	for (int i = 1; i < argc; i++)
		bad |= replay(fopen(argv[i], "rb"), argv[i]);
	return bad;
}
