/* SPDX-License-Identifier: MIT */
/* Why a link could not be made, or not all of it: the errno is all that the loader hears, the user gets the reason in words. */
#pragma once

#include "broker/link/engine.h"

/* Functions that cannot be patched, by reason; "" if there are none. */
void link_notice_refused(const struct link *l, char *notice, size_t n);
void link_notice_failed(const struct link *l, int err, char *notice, size_t n);
