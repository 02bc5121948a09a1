/* SPDX-License-Identifier: MIT */
/*
 * Talking to the broker: where its socket is, one packet there, one packet back, with descriptors.
 * Used by the shim (guest in a loader: no malloc, no stdio, errno kept), the cli and the broker.
 * Errors are -errno.
 */
#pragma once

#include "abi/wire.h"

/*
 * The broker's runtime directory: $NOTRAP_DIR, else $XDG_RUNTIME_DIR/notrap, else /run/notrap
 * (root), else /tmp/notrap-UID. Mode 0700 and owned by the caller, else -EPERM. Created when
 * missing. buf is a path buffer.
 */
int ipc_runtime_dir(char *buf, size_t n);
/* SOCK_SEQPACKET connection to the broker in dir: fd, -ENOENT / -ECONNREFUSED nobody there. */
int ipc_connect(const char *dir);
/* The same; neither this nor any answer on it is waited for longer than ms (0: for ever). -EAGAIN: nobody accepts. */
int ipc_connect_within(const char *dir, u32 ms);
void ipc_answer_within(int sock, u32 ms);
/* Can whoever listened for this connection answer, as far as /proc shows: neither gone nor stopped? */
bool ipc_peer_is_well(int sock);
/* Broker's side: bound, listening socket. */
int ipc_listen(const char *dir);

/* One packet with up to one descriptor. fd -1 = none. EINTR is handled. */
int ipc_send(int sock, const void *buf, size_t n, int fd);
/* Returns bytes (0 = closed); *ret_fd is a new CLOEXEC descriptor or -1. */
long ipc_recv(int sock, void *buf, size_t n, int *ret_fd);
/*
 * Request and its answer; *ret_fd as above. 0 or -errno of the transport; -EMFILE: there was an answer with a descriptor, and
 * no free number for it in this process. An answer that has to come within some time may take
 * IPC_PATIENCE times as long while the peer is well: on a machine that is far too busy everything takes its time.
 */
#define IPC_PATIENCE 40
int ipc_call(int sock, const struct nt_request *req, struct nt_reply *rep, int *ret_fd);
