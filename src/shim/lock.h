/* SPDX-License-Identifier: MIT */
/*
 * A mutex that survives fork: the word names the process that holds it, so a child that inherits it
 * locked (by a thread it does not have) takes it over. Signals are blocked by the holder's caller,
 * so no handler finds it held by its own thread.
 */
#pragma once

#include "abi/types.h"

void lock_take(u32 *word);
void lock_drop(u32 *word);
