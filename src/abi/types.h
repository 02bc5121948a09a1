/* SPDX-License-Identifier: MIT */
/* The fixed-width names used everywhere, and nothing else. Freestanding. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define NT_PAGE 4096u
/* The kernel's internal ENOTSUPP leaks to user space in several bpf(2) answers; libc has no name for it. */
#define NT_ENOTSUPP 524
