/* SPDX-License-Identifier: MIT */
/*
 * A program that is its own target and prints what it sees, one line per fact. It runs on the kernel and under notrap;
 * kernel_parity.sh compares the lines.
 */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parity_events.h"
#include "parity.skel.h" /* needs the one above */

typedef uint64_t u64;
typedef uint32_t u32;

typedef u64 parity_fn(void (*callback)(void *), void *arg);
parity_fn p_0, p_1, p_2, p_3, p_4, p_5, p_6, p_7, p_broken, p_jump, p_jump_2;
u64 p_regs(void), p_red(void), p_usdt(u64 a, u64 b), p_combo(u64 a, u64 b);
extern unsigned short usdt_semaphore;
void call_regs(u64 after[24]);
extern char call_regs_back[], p_red_mid[], p_combo_5[], p_many[], p_many_end[];

#define LINK_MULTI 48
#define LINK_SESSION 57
#define FLAG_RETURN 1u

struct parity {
	struct parity_bpf *skel;
	int entry, entry_1, leave, single_entry, single_leave, session, session_cookie; /* programs */
	int tally, tally_single, tally_session, signaller, many, many_leave, busy;
};

/* Loads everything; ends the process with a line when that fails. */
void parity_load(struct parity *p);

/* File offset of an address in this executable. */
u64 offset_of(const void *addr);

struct target {
	const void *fn;
	u64 cookie, ref_ctr;
};

/* One uprobe_multi link of this process; -errno. */
int link_targets(int prog, u32 attach_type, u32 flags, int pid, const struct target *t, u32 n);
int link_one(int prog, u32 flags, const void *fn, u64 cookie);
int session_link(int prog, const struct parity *p, const void *fn, u64 cookie, u32 answer);
int session_one(const struct parity *p, const void *fn, u64 cookie, u32 answer);
/* A perf event uprobe with a link on it: the link's descriptor. */
int perf_one(int prog, bool retprobe, const void *fn, u64 cookie);
int perf_event(bool retprobe, const char *path, u64 offset, int pid, int cpu, u64 ref_ctr);

/* What has been noted since the last call: "name: c1:in c2:out ...". */
void show_events(struct parity *p, const char *name);
void drop_events(struct parity *p);
u64 count_events(const struct parity *p, u64 cookie, int what); /* what -1: all */
const char *error_name(long r);
/* "name: ok" or the error's name. */
void show(const char *name, long r);

void order_cases(struct parity *p);
void inside_cases(struct parity *p);
void consumer_cases(struct parity *p);
void session_cases(struct parity *p);
void depth_cases(struct parity *p);
void thread_cases(struct parity *p);
void differs_cases(struct parity *p);
void regs_cases(struct parity *p);
void life_cases(struct parity *p);
void pin_cases(struct parity *p);
void info_cases(struct parity *p);
void perf_cases(struct parity *p);
void usdt_cases(struct parity *p);
void usdt_late_cases(struct parity *p);
void usdt_child(void);
void create_cases(struct parity *p);
void errno_cases(struct parity *p);
void many_cases(struct parity *p);
void place_cases(struct parity *p);
void state_cases(struct parity *p);
void cookie_cases(struct parity *p);
void speed_cases(struct parity *p);
void signal_cases(struct parity *p);
