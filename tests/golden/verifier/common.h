/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder share. Maps are plain structs in section "maps", which
 * tests/unit/verifier/object.c reads.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

struct map_def {
	u32 type, key_size, value_size, max_entries, flags;
};

#define PROG __attribute__((section("prog"), used))
#define MAP __attribute__((section("maps"), used)) struct map_def
#define NOINLINE static __attribute__((noinline))
