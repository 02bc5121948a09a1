/* SPDX-License-Identifier: MIT */
/* The build id of an ELF file in memory, found as the kernel finds it (lib/buildid.c): in the segments of notes. */
#pragma once

#include "abi/unwind.h"

/* false: it has none, or is no 64-bit ELF file. Nothing in the bytes is believed. */
bool util_build_id(const u8 *bytes, u64 size, u8 ret[NT_BUILD_ID_SIZE]);
