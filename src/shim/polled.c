/* SPDX-License-Identifier: MIT */
#include "shim/polled.h"

#include "base/atomic.h"
#include "shim/lock.h"
#include "shim/session.h"

static int polled_index(const struct polled *p, int epfd, int fd)
{
	for (int i = 0; i < POLLED_MAX; i++)
		if (p->entry[i].epfd && p->entry[i].epfd == epfd && p->entry[i].fd == fd)
			return i;
	return -1;
}

int polled_find(struct polled *p, int epfd, int fd)
{
	u64 old;
	int i, ret;

	if (!at_load(&p->n))
		return -1;
	old = signals_block();
	lock_take(&p->lock);
	i = polled_index(p, epfd, fd);
	ret = i < 0 ? -1 : p->entry[i].event_fd;
	lock_drop(&p->lock);
	signals_restore(old);
	return ret;
}

bool polled_add(struct polled *p, int epfd, int fd, int event_fd)
{
	u64 old = signals_block();
	bool ok = false;

	lock_take(&p->lock);
	for (int i = 0; i < POLLED_MAX && !ok; i++) {
		if (p->entry[i].epfd)
			continue;
		p->entry[i] = (struct polled_entry){epfd, fd, event_fd};
		at_add(&p->n, 1u);
		ok = true;
	}
	lock_drop(&p->lock);
	signals_restore(old);
	return ok;
}

static bool polled_remove(struct polled *p, int i, struct polled_entry *ret)
{
	if (i < 0)
		return false;
	*ret = p->entry[i];
	p->entry[i].epfd = 0;
	at_add(&p->n, -1u);
	return true;
}

bool polled_take(struct polled *p, int fd, struct polled_entry *ret)
{
	bool ok = false;
	u64 old;

	if (!at_load(&p->n))
		return false;
	old = signals_block();
	lock_take(&p->lock);
	for (int i = 0; i < POLLED_MAX && !ok; i++)
		if (p->entry[i].epfd && (p->entry[i].fd == fd || p->entry[i].epfd == fd))
			ok = polled_remove(p, i, ret);
	lock_drop(&p->lock);
	signals_restore(old);
	return ok;
}

bool polled_take_pair(struct polled *p, int epfd, int fd, struct polled_entry *ret)
{
	u64 old = signals_block();
	bool ok;

	lock_take(&p->lock);
	ok = polled_remove(p, polled_index(p, epfd, fd), ret);
	lock_drop(&p->lock);
	signals_restore(old);
	return ok;
}
