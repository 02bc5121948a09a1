/* SPDX-License-Identifier: MIT */
/* One link whose program's twin runs in the kernel, reached by a kernel uprobe (mixed.h says when). */
#pragma once

#include "broker/link/engine.h"

/* Known before anything is changed: the kernel does not take one of l's targets. 0 or -EOPNOTSUPP, in words. */
int in_kernel_check(const struct link *l, char *notice, size_t n);
/* Attaches the twin of l's program, which is loaded, to l's targets. 0, the kernel's -errno, or -EBUSY: some process has a
 * jump of ours so near to a target that a breakpoint there would hit its middle. */
int in_kernel_open(struct link *l, char *notice, size_t n);
void in_kernel_close(struct link *l);
/* Are targets of the two so close to each other that one cannot have a jump where the other has a breakpoint? */
bool in_kernel_is_near(const struct link *a, const struct link *b);
