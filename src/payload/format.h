/* SPDX-License-Identifier: MIT */
/* Text of bpf_trace_printk and bpf_trace_vprintk. */
#pragma once

#include "payload/payload.h"

#define FORMAT_ARGS_MAX 12u /* the kernel's MAX_BPRINTF_VARARGS */

#pragma GCC visibility push(hidden)
/*
 * Writes at most cap - 1 bytes and no NUL behind them unless there is room (buf may be NULL with
 * cap 0: only counts). Returns the length of the whole text, or -EINVAL: no NUL within fmt_size
 * bytes, an ASCII byte that is not printable, a conversion that is not known, more conversions than
 * arguments.
 *
 * Conversions, as bpf_bprintf_prepare() of kernel/bpf/helpers.c takes them: %% and, with flags "0+-
 * " and a width, %d %i %u %x %X with l and ll, %c, %s (an address, read safely; unreadable =
 * empty), %pks %pus (the same), %p %px %pK (16 hex digits), %ps %pS %pB (no symbols
 * here: 0x and the address), %pi4 %pI4 %pi6 %pI6 (the address of one).
 */
s64 format_text(char *buf, u32 cap, const char *fmt, u32 fmt_size, const u64 *arg, u32 nargs);
#pragma GCC visibility pop
