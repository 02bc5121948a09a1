/* SPDX-License-Identifier: MIT */
/* What `notrap ps` shows: links and processes as the engine tells, plus the broker's own numbers.
 */
#pragma once

struct broker;

/* A memfd with JSON text, position 0; the caller closes it. -errno. */
int query_ps(struct broker *b);
