/* SPDX-License-Identifier: MIT */
/* System calls on elements of task storage: the key is a pidfd of the caller's (kernel/bpf/bpf_task_storage.c). */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/object/map.h"

/* 0; -EBADF no such descriptor, or it is no pidfd; -ENOENT nobody is behind it any more, or he has no value; others as
 * map_task_*(). */
int tasks_lookup(struct call *k, struct object_map *m, const int *pidfd, void *value);
int tasks_update(struct call *k, struct object_map *m, const int *pidfd, const void *value, u64 flags);
int tasks_delete(struct call *k, struct object_map *m, const int *pidfd);
