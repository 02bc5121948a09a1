/* SPDX-License-Identifier: MIT */
/* The keeper's process (keeper_main.c), and what it and the broker say to each other. For keeper.c. */
#pragma once

#include "broker/link/engine.h"
#include "broker/watch/keeper.h"

#define KEEPER_GUESTS_MAX 64u

enum { KEEPER_MARK = 1, KEEPER_UNMARK, KEEPER_ALLOW, KEEPER_ALLOW_ALL, KEEPER_DONE, KEEPER_PING, KEEPER_LATE };

struct keeper_order { /* broker to keeper; marks come with a descriptor */
	u32 op;
	struct keeper_guest guest;
};

struct keeper_door {
	int fan, sock; /* fanotify group; its end of the socket. Both above 4 */
	const u32 *gates;
	struct nt_bell *bell;
	pid_t broker;
};

/* In a forked child: closes what it does not need, answers questions until the socket is closed. */
_Noreturn void keeper_main(const struct keeper_door *k);
