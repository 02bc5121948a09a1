/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of maps and perf buffers in epoll sets and in poll(2). A memfd cannot be polled, so an eventfd that the broker writes
 * takes its place, with the application's own data; this table says which eventfd stands for which
 * map in which set.
 */
#pragma once

#include "abi/types.h"

#define POLLED_MAX 1024
#define POLLED_BY_POLL (-1) /* epfd of an entry that poll(2) uses */

struct polled {
	u32 lock;
	u32 n; /* entries in use: zero spares everybody the look */
	struct polled_entry {
		int epfd, fd, event_fd; /* epfd 0 = free: nobody polls with standard input */
	} entry[POLLED_MAX];
};

/* The eventfd, or -1. */
int polled_find(struct polled *p, int epfd, int fd);
/* False: the table is full. */
bool polled_add(struct polled *p, int epfd, int fd, int event_fd);
/* A descriptor was closed: takes one entry that names it as map or as set. False: there is none
 * (any more). */
bool polled_take(struct polled *p, int fd, struct polled_entry *ret);
bool polled_take_pair(struct polled *p, int epfd, int fd, struct polled_entry *ret);
