/* SPDX-License-Identifier: MIT */
/*
 * bpf(2) on map elements without asking the broker: the map's memory is mapped once per descriptor, and the maps
 * library does here what it does in the broker. What is not plain (a flag, a bad pointer, a type whose elements are
 * objects, a map that is frozen) goes the usual way, so errors and their order stay the broker's.
 */
#pragma once

#include "abi/wire.h"

#define FASTMAP_ASK INT64_MIN /* not done here: make the call */

/* Asks the broker for a descriptor's view and, where *ret_fd is wanted, for the page of news. */
typedef int fastmap_open(int fd, struct nt_map_answer *ret, int *ret_news_fd);

/* bpf(cmd, attr, size) on the elements of a map whose descriptor is known to come from the broker. Result or -errno as
 * the kernel's, or FASTMAP_ASK. */
s64 fastmap_bpf(u64 cmd, u64 attr, u64 size, fastmap_open *open);
/* fd was closed or became another file: nothing of it is mapped any more when this returns and nobody else uses it. */
void fastmap_closed(int fd);
