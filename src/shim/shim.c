/* SPDX-License-Identifier: MIT */
#include "ipc/ipc.h"
