/* SPDX-License-Identifier: MIT */
/* bpf_trace_printk: lines in the format of the kernel's trace_pipe, for `notrap trace`. */
#pragma once

#include "abi/payload.h"

struct broker;
struct trace;

int trace_new(struct broker *b, struct trace **ret);
void trace_free(struct trace *t);
/* One line to every reader; without a reader the newest 64 KiB are kept for the first one. text: rec->len bytes, bounded by the caller. */
void trace_emit(struct broker *b, const struct nt_trace_rec *rec);
/* A new reader: descriptor to hand out (the caller closes it), or -errno. */
int trace_subscribe(struct trace *t);
