/* SPDX-License-Identifier: MIT */
/* The socket: accepts clients of our own user, answers one request at a time. */
#pragma once

struct broker;
struct server;

/* Listens in b->dir. -errno. */
int server_new(struct broker *b, struct server **ret);
void server_free(struct server *s); /* drops all clients; NULL is fine */
