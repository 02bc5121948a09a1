/* SPDX-License-Identifier: MIT */
#pragma once

#pragma GCC visibility push(hidden)
/* Has the broker look at this process (whose nt_state says what there is to see), and waits until it has, though not for
 * long. */
void rbrk_ask(void);
#pragma GCC visibility pop
