/* SPDX-License-Identifier: MIT */
/*
 * What the interposed functions (interpose.c) ask: each call is either answered by the broker, or
 * SHIM_NATIVE: make it yourself. Return values are the system call's, negative errno included.
 */
#pragma once

#include "abi/types.h"

#define SHIM_NATIVE INT64_MIN

/* Once, before main(). */
void shim_start(void);

s64 shim_bpf(u64 cmd, u64 attr, u64 size);
s64 shim_perf_open(u64 attr, u64 pid, u64 cpu, u64 group_fd, u64 flags);
/* Before the real ioctl for descriptors of ours, after it failed for others. */
bool shim_knows_fd(int fd);
s64 shim_ioctl(int fd, u64 request, u64 argument);
/* Before the real epoll_ctl for descriptors of ours, after it said EPERM for others: maps and perf buffers are replaced
 * by something that can be polled. event: struct epoll_event or 0. */
s64 shim_epoll_ctl(int epfd, int op, int fd, u64 event);

/* For poll(2): the eventfd to wait for instead of fd, or -1: fd itself. After it was found readable: as the kernel's
 * perf_poll() does, being told takes the news away. */
int shim_poll_fd(int fd);
void shim_poll_took(int event_fd);
/* Before the real mmap for descriptors of ours, after it said ENODEV for others. */
s64 shim_mmap(u64 addr, u64 length, u64 prot, u64 flags, int fd, u64 offset);

/* A child has ended: what it alone had open is closed. Returns after the broker has taken note. */
void shim_child_ended(void);
/* Names may have gone from our tree of pins (bpffs.h): returns after the broker has taken note. */
void shim_unpinned(void);
/* What /proc/self/fdinfo/FD says of a descriptor of ours: a descriptor to read it from, or -1. */
int shim_fdinfo(int fd);

/* Our own connection, which the application must not close: pretend that the number is not open. */
bool shim_hides_fd(int fd);
/* fd was closed (was_ours: shim_knows_fd() before). Returns after the broker has taken note. */
void shim_closed(int fd, bool was_ours);
void shim_closed_range(u32 first, u32 last);
/* to is now a duplicate of from; to_was_ours: what it was before. */
void shim_duplicated(int from, int to, bool to_was_ours);
