/* SPDX-License-Identifier: MIT */
/*
 * Pins: names for objects in a tree of files that looks like bpffs. A pinned object lives until its name is gone,
 * whoever has loaded it.
 *
 * The tree is a real directory, PIN_DIR in the broker's runtime directory, that stands for /sys/fs/bpf: the shim sends
 * a loader's stat(), mkdir(), unlink() ... there (shim/bpffs.h), so all of them work as in any directory. A pin is an
 * empty file in it, known by its inode; a pin whose file has no link any more is dropped.
 */
#pragma once

#include "broker/object/object.h"

struct broker;
struct client;
struct pins;

/* Empties what an earlier broker left: its objects are gone. */
int pins_new(struct broker *b, struct pins **ret);
void pins_free(struct pins *p);

/* BPF_OBJ_PIN: takes a reference on o. Errors of bpf_obj_do_pin(): EEXIST, ENOENT, EPERM (not our tree, or a dot in the
 * name) ... */
int pin_create(struct broker *b, struct client *c, const char *path, struct object *o);
/* BPF_OBJ_GET: no reference is taken. ENOENT, EPERM, EACCES: not a pin. */
int pin_find(struct broker *b, struct client *c, const char *path, struct object **ret);

/* Drops the pins whose names are gone. */
void pins_reap(struct pins *p);
bool pins_any(const struct pins *p);
