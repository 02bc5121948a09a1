/* SPDX-License-Identifier: MIT */
/*
 * seeds FOLDER [OBJECT...]: where fuzzing begins. The hand-written programs of the verifier's tests as inputs of
 * fuzz/insn, the .BTF of object files as inputs of fuzz/btf. What the fuzzers found worth keeping is in
 * tests/fuzz/corpus.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cases.h"

static int put(const char *folder, const char *what, u32 i, const void *data, size_t n)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, what);
	if (mkdir(path, 0777) && errno != EEXIST)
		return 1;
	snprintf(path, sizeof(path), "%s/%s/%04u", folder, what, i);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, n, f) != n || fclose(f)) {
		perror(path);
		return 1;
	}
	return 0;
}

static int put_case(const char *folder, u32 i)
{
	u8 data[2 + sizeof(vcases[0].insn)] = {};
	u32 n = vcase_len(&vcases[i]);

	if (vcases[i].cb && vcases[i].cb < 32)
		data[1] = (u8)(4 | vcases[i].cb << 3);
	memcpy(data + 2, vcases[i].insn, n * sizeof(struct bpf_insn));
	return put(folder, "insn", i, data, 2 + n * sizeof(struct bpf_insn));
}

/* BTF begins with its magic and says how long it is; that is enough to find it in an object file. */
static int put_btf(const char *folder, const char *object, u32 i)
{
	static u8 data[1 << 20];
	FILE *f = fopen(object, "rb");
	size_t n = f ? fread(data, 1, sizeof(data), f) : 0;

	if (f)
		fclose(f);
	for (size_t at = 0; at + 24 < n; at++) {
		u32 h[6];

		memcpy(h, data + at, sizeof(h));
		/* magic, version, flags; header; types from 0; strings behind them */
		if (h[0] == 0x0001eb9f && h[1] == 24 && !h[2] && h[4] == h[3] && 24 + (u64)h[4] + h[5] <= n - at)
			return put(folder, "btf", i, data + at, 24 + h[4] + h[5]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc < 2)
		return 2;
	if (mkdir(argv[1], 0777) && errno != EEXIST) {
		perror(argv[1]);
		return 1;
	}
	for (u32 i = 0; i < vcases_n; i++)
		bad |= put_case(argv[1], i);
	for (int i = 2; i < argc; i++)
		bad |= put_btf(argv[1], argv[i], (u32)i);
	return bad;
}
