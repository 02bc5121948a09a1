/* SPDX-License-Identifier: MIT */
/*
 * What the tests of failure share: a broker of their own, loaders that do as they are told (loader.c), a look from
 * outside at what is written into a process.
 *
 *     ROBUST_BUILD     build folder (notrap, notrapd, the shim)
 *     ROBUST_VICTIMS   folder of the victims
 *     ROBUST_LOADER    loader.c
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tap.h"
#include "victim_io.h"

#define STAGE_NFUNCS 18 /* functions of funcs.S */

/* Where things are, from the environment that meson sets. */
const char *stage_tool(const char *name);   /* in the build folder */
const char *stage_victim(const char *name); /* path of a victim: a copy in the stage's directory */

/* A runtime directory of its own under /tmp, in NOTRAP_DIR. Ends the program when there is none. */
void stage_begin(void);
/* Ends the broker, removes the directory. False: a process of the broker is left. failed: show the log. */
bool stage_end(bool failed);
const char *stage_dir(void);
/* The broker's log as comments; for a test that fails. */
void stage_show_log(void);

uint64_t now_ms(void);
void nap_ms(unsigned ms);
/* True as soon as check(arg) is; false after ms milliseconds. */
bool within(unsigned ms, bool (*check)(void *arg), void *arg);

/* `notrap ps --json`. */
struct ps_process {
	int found, links, sites, regions;
	long long hits;
};
struct ps_process ps_of(pid_t pid);
int ps_links(void);	   /* -1: no answer */
int ps_objects(void);	   /* programs and maps that are there; -1: no answer */
pid_t ps_broker(void);	   /* 0: none runs */
bool no_sites(pid_t pid, unsigned ms); /* within this time */
/* Processes of this test's broker: by environment, so others' are not counted. Includes guardians and helpers. */
int broker_processes(void);
bool brokers_end(unsigned ms);

/* Bytes in which the file-backed code of a process differs from the files. -1: cannot be read. */
long code_differs(pid_t pid);
bool process_exists(pid_t pid);
bool file_says(const char *path, const char *text); /* in one line of it */
/* What each thread waits for, as comments; for one that should have ended. */
void show_threads(pid_t pid);

/* A loader under `notrap run`. */
bool loader_start(struct victim_io *l);
/* Has a loader been told this, in words (on its standard error)? */
bool loaders_heard(const char *text);
/* Sends a command, returns the answer (valid until the next one); "" = it has ended or is silent for 60 s. */
const char *loader_ask(struct victim_io *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool loader_does(struct victim_io *l, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* it says ok */
/* All counters of "in" or "out" are n; says which are not. */
bool loader_counts(struct victim_io *l, const char *which, unsigned long long n);
void loader_kill(struct victim_io *l);
int loader_end(struct victim_io *l); /* as victim_end() */

/* The counter victim, or any other with up to three arguments. */
struct victim_io victim_make(const char *name, const char *a1, const char *a2);

/* A process that has traced the victim since this returned, as a debugger does, until it is killed. */
pid_t stage_trace(pid_t victim);

/* A seed from the environment (ROBUST_SEED) or the clock, printed. */
unsigned stage_seed(void);
