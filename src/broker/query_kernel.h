/* SPDX-License-Identifier: MIT */
/* What `notrap ps` shows of programs that are the kernel's: those that loaders have loaded with --kernel, and where they are
 * attached, as far as the kernel can tell by links. */
#pragma once

#include "broker/broker.h"

struct json_t;

/* [{"prog", "type", "pid", "links"}]; the caller owns the reference. Forgets programs that are gone. */
struct json_t *query_kernel(struct broker *b);
/* Those that are gone, or all. */
void kernel_progs_forget(struct broker *b, bool all);
