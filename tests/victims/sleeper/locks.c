/* SPDX-License-Identifier: MIT */
/* Locks and semaphores. */
#include "sleeper.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void act_futex(struct waker *w)
{
	__atomic_store_n(&w->word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &w->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void act_sem(struct waker *w)
{
	struct sembuf up = {.sem_op = 1};

	semop(w->id, &up, 1);
}

static void act_unlock(struct waker *w)
{
	flock(w->fd, LOCK_UN);
}

static long run_futex(void)
{
	struct waker w = {0};
	long r;

	waker_start(&w, act_futex);
	r = syscall(SYS_futex, &w.word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	if (r == -1 && errno == EAGAIN && __atomic_load_n(&w.word, __ATOMIC_SEQ_CST))
		r = 0; /* a restarted wait looks at the word again: woken, too */
	waker_end(&w);
	return r;
}

static long run_futex_timeout(void)
{
	int word = 0;

	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0);
}

static long run_sem_timedwait(void)
{
	struct timespec ts = later(CLOCK_REALTIME);
	sem_t s;

	sem_init(&s, 0, 0);
	return sem_timedwait(&s, &ts);
}

static long run_semop(void)
{
	struct waker w = {.id = semget(IPC_PRIVATE, 1, 0600)};
	struct sembuf down = {.sem_op = -1};
	long r;
	int err;

	waker_start(&w, act_sem);
	r = semop(w.id, &down, 1);
	waker_end(&w);
	err = errno;
	semctl(w.id, 0, IPC_RMID);
	errno = err;
	return r;
}

static long run_semtimedop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600), err;
	struct sembuf down = {.sem_op = -1};
	long r = semtimedop(id, &down, 1, &wait_time);

	err = errno;
	semctl(id, 0, IPC_RMID);
	errno = err;
	return r;
}

static long run_flock(void)
{
	struct waker w = {.fd = memfd_create("lock", MFD_CLOEXEC)};
	char path[64];
	int other;
	long r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", w.fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	flock(w.fd, LOCK_EX);
	waker_start(&w, act_unlock);
	r = flock(other, LOCK_EX);
	waker_end(&w);
	return close2(r, w.fd, other);
}

/* One file opened twice, locked by the first: a record lock of the process, which only a child has against it, or of the
 * open file. */
static int lock_file(int *ret_other)
{
	char path[64];
	int f = memfd_create("lock", MFD_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f);
	*ret_other = open(path, O_RDWR | O_CLOEXEC);
	return f;
}

static void act_ofd_unlock(struct waker *w)
{
	struct flock l = {.l_type = F_UNLCK};

	fcntl(w->fd, F_OFD_SETLK, &l);
}

static long run_ofd_setlkw(void)
{
	struct flock l = {.l_type = F_WRLCK};
	struct waker w = {0};
	int other;
	long r;

	w.fd = lock_file(&other);
	fcntl(w.fd, F_OFD_SETLK, &l);
	waker_start(&w, act_ofd_unlock);
	r = fcntl(other, F_OFD_SETLKW, &l);
	waker_end(&w);
	return close2(r, w.fd, other);
}

/* A child holds the lock for a while; the pipe tells when it has it. */
static long run_setlkw(void)
{
	struct flock l = {.l_type = F_WRLCK};
	int f = memfd_create("lock", MFD_CLOEXEC), p[2];
	pid_t child;
	char byte;
	long r;

	if (pipe2(p, O_CLOEXEC))
		return -2;
	child = fork();
	if (!child) {
		if (fcntl(f, F_SETLK, &l) || write(p[1], "x", 1) != 1)
			_exit(1);
		pause_exactly();
		_exit(0);
	}
	if (read(p[0], &byte, 1) != 1)
		return -3;
	r = fcntl(f, F_SETLKW, &l);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	close2(0, p[0], p[1]);
	return close2(r, f, -1);
}

static void *hold_pi(void *arg)
{
	struct waker *w = arg;

	w->word = gettid();
	__atomic_store_n(&w->id, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&w->id, __ATOMIC_SEQ_CST) == 1)
		usleep(1000);
	return NULL;
}

/* A lock that hands on priority, held by another thread until the time is up. */
static long run_futex_lock_pi(void)
{
	struct timespec ts = later(CLOCK_REALTIME);
	struct waker w = {0};
	pthread_t holder;
	long r;
	int err;

	pthread_create(&holder, NULL, hold_pi, &w);
	while (!__atomic_load_n(&w.id, __ATOMIC_SEQ_CST))
		usleep(1000);
	r = syscall(SYS_futex, &w.word, FUTEX_LOCK_PI_PRIVATE, 0, &ts, NULL, 0);
	err = errno;
	__atomic_store_n(&w.id, 2, __ATOMIC_SEQ_CST);
	pthread_join(holder, NULL);
	errno = err;
	return r;
}

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static long run_futex_waitv(void)
{
	struct {
		uint64_t val, addr;
		uint32_t flags, reserved;
	} v = {.flags = 2 | FUTEX_PRIVATE_FLAG}; /* a word of 32 bits */
	struct timespec ts = later(CLOCK_MONOTONIC);
	uint32_t word = 0;
	long r;

	v.addr = (uintptr_t)&word;
	r = syscall(SYS_futex_waitv, &v, 1, 0, &ts, CLOCK_MONOTONIC);
	if (r < 0 && errno == ENOSYS) { /* an old system */
		pause_exactly();
		errno = ETIMEDOUT;
	}
	return r;
}

const struct sleep_case sleep_locks[] = {
	{"futex", run_futex, 0, 0},
	{"futex_timeout", run_futex_timeout, -1, ETIMEDOUT, true},
	{"sem_timedwait", run_sem_timedwait, -1, ETIMEDOUT, true},
	{"semop", run_semop, 0, 0},
	{"semtimedop", run_semtimedop, -1, EAGAIN, true},
	{"flock", run_flock, 0, 0},
	{"ofd_setlkw", run_ofd_setlkw, 0, 0},
	{"setlkw", run_setlkw, 0, 0, .child = true},
	{"futex_lock_pi", run_futex_lock_pi, -1, ETIMEDOUT, true},
	{"futex_waitv", run_futex_waitv, -1, ETIMEDOUT, true},
	{0},
};
