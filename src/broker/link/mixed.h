/* SPDX-License-Identifier: MIT */
/*
 * Scripts that are half in the kernel (`notrap run --kernel`, docs/adr/004): which links of ours have to go there, too.
 *
 * A map's elements are in one place. So a link goes to the kernel when its program gets at a map that the kernel owns, when
 * only the kernel's verifier takes its program, or when a link that is there has a target next to one of its own; and all
 * other maps of its program go with it, which may move other links. All of them are moved at once:
 *
 *     twins are made and loaded -> our links are closed -> elements are copied -> kernel uprobes
 *
 * Up to the second step nothing has changed when something fails. Calls between it and the last are not reported.
 */
#pragma once

#include "broker/link/link.h"

/* Has this link, which is about to be opened, to be one in the kernel? */
bool mixed_is_kernels(struct link *l);
/* A link that has just been opened, and all of whose targets we refuse: attached by the kernel, if that can be; else it stays as
 * it is, and notice may say why. */
void mixed_give_up(struct link *l, char *notice, size_t n);
/*
 * Moves what has to be moved after maps became wanted (object/twin.h); with it opens `joining` (may be NULL), which is not
 * in any list yet. 0 or -errno, with words in notice.
 */
int mixed_settle(struct broker *b, struct link *joining, char *notice, size_t n);
