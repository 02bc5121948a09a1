/* SPDX-License-Identifier: MIT */
/* The socket: accepts clients of our own user, answers one request at a time. */
#pragma once

#include <sys/types.h>

struct broker;
struct client;
struct server;

/* Listens in b->dir. -errno. */
int server_new(struct broker *b, struct server **ret);
/* The client that is process pid, made when there is none (it has no socket then); NULL: it is gone or not ours. */
struct client *server_client_of(struct broker *b, pid_t pid);
void server_free(struct server *s); /* drops all clients; NULL is fine */
