/* SPDX-License-Identifier: MIT */
/*
 * The tag of a program: the first 8 bytes of the SHA-256 of its instructions with map references
 * zeroed, as the kernel computes it since 6.18 (bpf_prog_calc_tag). SHA-256: FIPS 180-4.
 */
#include "broker/object/prog.h"

#include <stdlib.h>
#include <string.h>

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS
 * 180-4, 4.2.2). */
static const u32 round_const[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 ror(u32 x, int n)
{
	return x >> n | x << (32 - n);
}

static void sha256_block(u32 h[8], const u8 *p)
{
	u32 w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (u32)p[4 * i] << 24 | (u32)p[4 * i + 1] << 16 | (u32)p[4 * i + 2] << 8 |
		       p[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		u32 s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
		u32 s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	memcpy(v, h, sizeof(v));
	for (int i = 0; i < 64; i++) {
		u32 s1 = ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25);
		u32 s0 = ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22);
		u32 choose = (v[4] & v[5]) ^ (~v[4] & v[6]);
		u32 majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
		u32 t = v[7] + s1 + choose + round_const[i] + w[i];

		memmove(v + 1, v, 7 * sizeof(u32));
		v[4] += t;
		v[0] = t + s0 + majority;
	}
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

static void sha256_head(const u8 *data, size_t n, u8 ret[PROG_TAG_LEN])
{
	u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	size_t whole = n / 64 * 64, rest = n - whole, total = rest < 56 ? 64 : 128;
	u8 tail[128] = {};

	for (size_t i = 0; i < whole; i += 64)
		sha256_block(h, data + i);
	memcpy(tail, data + whole, rest);
	tail[rest] = 0x80;
	for (int i = 0; i < 8; i++)
		tail[total - 1 - i] = (u8)((u64)n * 8 >> 8 * i);
	for (size_t i = 0; i < total; i += 64)
		sha256_block(h, tail + i);
	for (int i = 0; i < PROG_TAG_LEN; i++)
		ret[i] = (u8)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void prog_tag(const struct bpf_insn *insns, u32 n, u8 ret[PROG_TAG_LEN])
{
	struct bpf_insn *copy = malloc((size_t)n * sizeof(*copy));
	bool second = false;

	memset(ret, 0, PROG_TAG_LEN);
	if (!copy)
		return; /* a tag is only for the eyes */
	memcpy(copy, insns, (size_t)n * sizeof(*copy));
	for (u32 i = 0; i < n; i++) {
		bool map = copy[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
			   copy[i].src_reg >= BPF_PSEUDO_MAP_FD && copy[i].src_reg <= 2;

		if (map || second)
			copy[i].imm = 0;
		second = map;
	}
	sha256_head((const u8 *)copy, (size_t)n * sizeof(*copy), ret);
	free(copy);
}
