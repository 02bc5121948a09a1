/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL of producers at any instruction: the lock is never held for ever, the ring stays
 * readable, unfinished records of the dead are discarded by the reaper, and who lives is not
 * disturbed.
 */
#include <errno.h>
#include <sched.h>

#include "ringread.h"
#include "tap.h"
#include "torture.h"

#define PRODUCERS 3u

struct job {
	struct nt_map_view v;
	u64 *sent;
	u32 id;
};

static int produce(void *arg)
{
	struct job *j = arg;
	struct nt_caller c = mapfile_caller(0);
	u64 n = 0;

	for (;;) {
		u64 size = 16 + n % 128, *rec = ring_reserve(&j->v, &c, size);

		if (rec) {
			rec[0] = c.tid;
			rec[1] = size;
			/* Often die with an unfinished record. */
			for (u32 i = 0; i < 300; i++)
				__atomic_store_n(&j->sent[j->id], n, __ATOMIC_RELAXED);
			n++;
			ring_submit(&j->v, rec, 0, n % 8 == 0);
		} else {
			sched_yield();
		}
	}
	return 0;
}

struct got {
	u64 n, bad;
};

static void see(void *arg, u8 *data, u32 len)
{
	struct got *g = arg;
	u64 rec[2];

	memcpy(rec, data, sizeof(rec));
	g->n++;
	g->bad += rec[1] != len || !rec[0];
}

static bool is_dead(u32 tid, void *arg)
{
	return kill((pid_t)tid, 0) < 0 && errno == ESRCH;
}

int main(int argc, char **argv)
{
	struct torture t = torture_start(argc, argv, 3000);
	struct job j = {.sent = torture_shared(4096)};
	u64 until = torture_now_ms() + t.ms, rnd = t.seed, last_progress = torture_now_ms(),
	    worst = 0;
	u32 kills = 0, reaped = 0, broken = 0, taken = 0;
	struct nt_ring_ctl *ctl;
	struct got g = {0};
	pid_t pid[PRODUCERS];

	j.v = mapfile_new(BPF_MAP_TYPE_RINGBUF, 0, 0, 8192, 0, 1);
	ctl = (struct nt_ring_ctl *)(void *)(j.v.base + j.v.ctl_off);
	for (j.id = 0; j.id < PRODUCERS; j.id++)
		pid[j.id] = torture_fork(produce, &j);
	while (torture_now_ms() < until && !broken) {
		u64 next_kill = torture_now_ms() + mapfile_rand(&rnd) % 3, before = g.n;
		u32 victim = (u32)(mapfile_rand(&rnd) % PRODUCERS);
		bool owned;

		do {
			broken += ringread(&j.v, see, &g) < 0;
			if (g.n != before)
				last_progress = torture_now_ms();
		} while (torture_now_ms() < next_kill);
		kill(pid[victim], SIGKILL);
		owned = __atomic_load_n(&ctl->lock.owner, __ATOMIC_RELAXED) == (u32)pid[victim];
		/* Sometimes it stays a zombie for a while: its lock has to be taken over all the
		 * same. */
		if (mapfile_rand(&rnd) % 4 == 0)
			usleep(2000);
		waitpid(pid[victim], NULL, 0);
		taken += owned;
		kills++;
		reaped += ring_reap(&j.v, is_dead, NULL);
		j.id = victim;
		pid[victim] = torture_fork(produce, &j);
		if (torture_now_ms() - last_progress > worst)
			worst = torture_now_ms() - last_progress;
	}
	for (u32 i = 0; i < PRODUCERS; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	reaped += ring_reap(&j.v, is_dead, NULL);
	broken += ringread(&j.v, see, &g) < 0;
	tap_eq(broken, 0, "the ring stays readable (%u kills)", kills);
	tap_eq(g.bad, 0, "every record is whole (%llu)", (unsigned long long)g.n);
	tap_ok(worst < 500, "records keep coming (longest pause %llu ms)",
	       (unsigned long long)worst);
	tap_eq(ring_query(&j.v, BPF_RB_AVAIL_DATA), 0,
	       "nothing unfinished stays (%u discarded, %u died with the lock)", reaped, taken);
	tap_ok(reaped > 0, "there was something to discard");
	return tap_done();
}
