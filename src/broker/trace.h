/* SPDX-License-Identifier: MIT */
/* bpf_trace_printk: lines in the format of the kernel's trace_pipe, for `notrap trace`. */
#pragma once

#include "abi/map.h"
#include "abi/payload.h"

struct broker;
struct trace;

int trace_new(struct broker *b, struct trace **ret);
void trace_free(struct trace *t); /* NULL is fine */
/* Takes all finished records out of the ring that targets write to; the next one rings the
 * doorbell. */
void trace_drain(struct trace *t, const struct nt_map_view *ring);
/* One line to every reader; without a reader the newest 64 KiB are kept for the first one. */
void trace_emit(struct trace *t, const struct nt_trace_rec *rec, const char *text, u32 len);
/* A new reader: descriptor of a stream of lines to hand out (the caller closes it), or -errno. */
int trace_subscribe(struct trace *t);
