/* SPDX-License-Identifier: MIT */
/* Copies of instructions of Go that may fault on a nil pointer (guard.c). Internal to src/patch/x86_64. */
#pragma once

#include "isa/x86_64/reader.h"
#include "isa/x86_64/writer.h"

/* Can this instruction have one? */
bool guard_possible(const u8 *bytes, const struct x86_insn *i);
/* The copy, guarded. words: of the thread, distance from its thread pointer; pc: where the original stands. */
void guard_write(struct x86_writer *w, u32 words, const u8 *bytes, const struct x86_insn *i, u64 pc);
