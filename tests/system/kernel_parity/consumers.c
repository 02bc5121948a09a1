/* SPDX-License-Identifier: MIT */
/* Who is called, in which order, and what counts when consumers come and go inside of a call. */
#include "parity.h"

#define N 3

static void close_all(int *fd, int n)
{
	for (int i = 0; i < n; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

void order_cases(struct parity *p)
{
	const struct target twice[] = { { p_1, 1, 0 }, { p_1, 2, 0 }, { p_2, 3, 0 }, { p_1, 4, 0 } };
	int fd[16], n = 0;

	fd[n++] = link_one(p->entry, 0, p_0, 1);
	fd[n++] = link_one(p->entry, 0, p_0, 2);
	fd[n++] = link_one(p->leave, FLAG_RETURN, p_0, 3);
	fd[n++] = perf_one(p->single_entry, false, p_0, 4);
	fd[n++] = perf_one(p->single_leave, true, p_0, 5);
	fd[n++] = session_one(p, p_0, 6, 0);
	fd[n++] = link_one(p->entry_1, 0, p_0, 7);
	fd[n++] = link_one(p->leave, FLAG_RETURN, p_0, 8);
	for (int i = 0; i < n; i++)
		show("attach", fd[i]);
	printf("value: %llu\n", (unsigned long long)p_0(NULL, NULL));
	show_events(p, "newest first");
	p_0(NULL, NULL);
	show_events(p, "again, though one returned 1");
	close(fd[1]);
	close(fd[4]);
	p_0(NULL, NULL);
	show_events(p, "two fewer");
	fd[1] = link_one(p->entry, 0, p_0, 2);
	fd[4] = perf_one(p->single_leave, true, p_0, 5);
	p_0(NULL, NULL);
	show_events(p, "and back as the newest");
	close_all(fd, n);
	p_0(NULL, NULL);
	show_events(p, "none");
	fd[0] = link_targets(p->entry, LINK_MULTI, 0, getpid(), twice, 4);
	fd[1] = link_targets(p->leave, LINK_MULTI, FLAG_RETURN, getpid(), twice, 4);
	fd[2] = link_targets(p->session, LINK_SESSION, 0, getpid(), twice, 4);
	p_1(NULL, NULL);
	show_events(p, "the same function three times in a link");
	p_2(NULL, NULL);
	show_events(p, "and once");
	close_all(fd, N);
	fd[0] = link_one(p->leave, FLAG_RETURN, p_jump_2, 1);
	fd[1] = link_one(p->leave, FLAG_RETURN, p_jump, 2);
	fd[2] = link_one(p->leave, FLAG_RETURN, p_5, 3);
	printf("value: %llu\n", (unsigned long long)p_jump_2(NULL, NULL));
	show_events(p, "reached by jumps");
	for (int i = 0; i < 3; i++)
		p_jump(NULL, NULL);
	show_events(p, "again");
	close_all(fd, N);
}

struct change {
	struct parity *p;
	int *fd;
	unsigned before, after;
};

/* The kinds of the kernel's own test: entry, return, session that answers 0, session that answers 1. */
static int attach_kind(struct parity *p, unsigned kind)
{
	switch (kind) {
	case 0: return link_one(p->entry, 0, p_3, 0);
	case 1: return link_one(p->leave, FLAG_RETURN, p_3, 1);
	default: return session_one(p, p_3, kind, kind == 3);
	}
}

static void change_inside(void *arg)
{
	struct change *c = arg;

	for (unsigned k = 0; k < 4; k++)
		if ((c->before & ~c->after) >> k & 1) {
			close(c->fd[k]);
			c->fd[k] = -1;
		}
	for (unsigned k = 0; k < 4; k++)
		if ((c->after & ~c->before) >> k & 1)
			c->fd[k] = attach_kind(c->p, k);
}

/* When all consumers go inside of a call and others come, the kernel may or may not know the call any more: that depends
 * on how many milliseconds it has been pending. */
static bool is_matter_of_luck(unsigned before, unsigned after)
{
	return !(before & after) && before & 14 && after & 2;
}

static void consumer_case(struct parity *p, unsigned before, unsigned after)
{
	int fd[4] = { -1, -1, -1, -1 };
	struct change c = { p, fd, before, after };

	for (unsigned k = 0; k < 4; k++)
		if (before >> k & 1)
			fd[k] = attach_kind(p, k);
	p_3(change_inside, &c);
	printf("%u to %u: %llu %llu %llu %llu\n", before, after, (unsigned long long)count_events(p, 0, -1),
	       (unsigned long long)count_events(p, 1, -1), (unsigned long long)count_events(p, 2, -1),
	       (unsigned long long)count_events(p, 3, -1));
	drop_events(p);
	close_all(fd, 4);
}

/* Every fifth of them: closing takes the kernel its time. */
void consumer_cases(struct parity *p)
{
	for (unsigned i = 0; i < 256; i += 5)
		if (!is_matter_of_luck(i >> 4, i & 15))
			consumer_case(p, i >> 4, i & 15);
}

struct inside {
	struct parity *p;
	int fd[8];
	int depth;
};

static void close_inside(void *arg)
{
	struct inside *in = arg;

	close(in->fd[0]);
	in->fd[0] = -1;
}

static void attach_inside(void *arg)
{
	struct inside *in = arg;

	in->fd[2] = link_one(in->p->leave, FLAG_RETURN, p_4, 99);
	in->fd[3] = link_one(in->p->entry, 0, p_4, 98);
}

/* Several lists one after the other while the call is pending. */
static void churn_inside(void *arg)
{
	struct inside *in = arg;

	for (int i = 0; i < 3; i++) {
		int fd = link_one(in->p->leave, FLAG_RETURN, p_4, 50);

		close(fd);
		fd = link_one(in->p->entry, 0, p_4, 51);
		close(fd);
	}
	in->fd[2] = link_one(in->p->leave, FLAG_RETURN, p_4, 52);
}

static void deeper(void *arg)
{
	struct inside *in = arg;

	if (in->depth--)
		p_4(deeper, in);
	else
		attach_inside(in);
}

void inside_cases(struct parity *p)
{
	struct inside in = { .p = p };

	in.fd[0] = link_one(p->leave, FLAG_RETURN, p_4, 1);
	in.fd[1] = link_one(p->leave, FLAG_RETURN, p_4, 2);
	p_4(close_inside, &in);
	show_events(p, "one of two closed inside");
	p_4(attach_inside, &in);
	show_events(p, "two attached inside");
	p_4(NULL, NULL);
	show_events(p, "next call");
	close_all(in.fd + 1, 3);
	p_4(attach_inside, &in);
	show_events(p, "attached inside, nobody before");
	close_all(in.fd + 2, 2);
	in.fd[0] = link_one(p->leave, FLAG_RETURN, p_4, 3);
	p_4(close_inside, &in);
	show_events(p, "the only one closed inside");
	in.fd[0] = link_one(p->leave, FLAG_RETURN, p_4, 5);
	p_4(churn_inside, &in);
	show_events(p, "others come and go inside");
	close(in.fd[0]);
	close(in.fd[2]);
	in.fd[0] = link_one(p->leave, FLAG_RETURN, p_4, 6);
	in.depth = 3;
	p_4(deeper, &in);
	show_events(p, "attached four calls deep");
	close(in.fd[0]);
	close_all(in.fd + 2, 2);
}
