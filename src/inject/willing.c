/* SPDX-License-Identifier: MIT */
#include "inject/willing.h"

#include <sys/syscall.h>

#include "inject/internal.h"

void inject_willing_begin(struct inject_target *t, const struct inject_willing *w)
{
	t->willing = w;
}

void inject_willing_end(struct inject_target *t)
{
	t->willing = NULL;
	t->borrowed = -1;
	t->stopped = false;
	t->nthreads = 0;
}

int inject_willing_borrow(struct inject_target *t)
{
	int i;

	if (!t->stopped)
		t->nthreads = 0;
	i = inject_thread_add(t, t->pid);
	if (i < 0)
		return i;
	t->thread[i].stopped = t->thread[i].have_regs = true;
	t->thread[i].regs.fs_base = t->willing->thread_pointer;
	t->borrowed = i;
	return 0;
}

void inject_willing_give_back(struct inject_target *t)
{
	t->borrowed = -1;
	t->nthreads = 0;
}

/* It stands in the shim, whose code nobody patches, so nobody has to look where. */
void inject_willing_stop(struct inject_target *t)
{
	t->nthreads = 0;
	t->stop_begin_ns = t->stop_end_ns = inject_now_ns();
	t->stopped = true;
}

void inject_willing_resume(struct inject_target *t)
{
	t->stop_end_ns = inject_now_ns();
	t->stopped = false;
	t->nthreads = 0;
}

int inject_willing_send_fds(struct inject_target *t, const int *fd, u32 n, int *remote)
{
	for (u32 i = 0; i < n; i++) {
		int r = t->willing->take(t->willing->arg, fd[i]);

		if (r < 0) {
			while (i--)
				inject_syscall(t, SYS_close, (u64)remote[i], 0, 0, 0, 0, 0);
			return r;
		}
		remote[i] = r;
	}
	return 0;
}
