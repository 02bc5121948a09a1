/* SPDX-License-Identifier: MIT */
/* Says that somebody opens one of a few files, at once, but not who, and lets him (inotify: every user may). */
#pragma once

#include "broker/link/engine.h"

struct opened;

/* fn(arg) is called from the event loop, once for many openings in a row. */
int opened_new(struct loop *loop, void (*fn)(void *arg), void *arg, struct opened **ret);
void opened_free(struct opened *o); /* NULL is fine */
/* Watches a file (O_PATH is fine): a number for opened_unmark(), or -errno. */
int opened_mark(struct opened *o, int fd);
void opened_unmark(struct opened *o, int mark);
