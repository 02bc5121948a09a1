/* SPDX-License-Identifier: MIT */
/* One link and one process. */
#pragma once

#include "broker/link/process.h"

bool join_wants(const struct link *l, const struct process *p);
/* Attaches the link to the process. Modules found or -errno. */
int join_attach(struct process *p, struct link *l);
/* Is a module of the link's file in this process that does not have the link's sites yet? */
bool join_is_missing(struct process *p, struct link *l);
