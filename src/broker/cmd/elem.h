/* SPDX-License-Identifier: MIT */
/* What the commands on map elements share. */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/object/map.h"

#define ELEM_READ 1u
#define ELEM_WRITE 2u

/* The map behind fd when the system call may use it so: -EBADF, -EINVAL, -EPERM (frozen,
 * or the descriptor was given out for the other direction only). */
int elem_map(struct call *k, u32 fd, u32 may, struct object_map **ret);
/* Copies a key in; the caller frees it. */
int elem_read_key(struct call *k, const struct object_map *m, u64 addr, void **ret);
