/* SPDX-License-Identifier: MIT */
/*
 * The second front end: loaders that nothing can be preloaded into (statically linked, Go). A seccomp filter of theirs
 * hands their bpf(2), perf_event_open(2) and so on to us; we answer in the kernel's place. Same commands, same objects.
 */
#pragma once

#include "abi/types.h"

struct broker;
struct client;

/* Serves the seccomp listener that is descriptor number fd of client c, until all processes of its filter are gone. fd -1:
 * is it a child of a loader with such a filter, which is served already? 0 or -errno. */
int notify_listen(struct broker *b, struct client *c, int fd);
