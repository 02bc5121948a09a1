/* SPDX-License-Identifier: MIT */
/* Signals: those that are waited for, those that interrupt, those that carry something. */
#include "sleeper.h"

#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

static long run_sigtimedwait(void)
{
	sigset_t s = usr1();

	return sigtimedwait(&s, NULL, &wait_time);
}

static long run_sigwaitinfo(void)
{
	struct waker w = {0};
	sigset_t s = usr1();
	long r;

	waker_start(&w, act_signal);
	r = sigwaitinfo(&s, NULL);
	waker_end(&w);
	return r;
}

static long run_read_signalfd(void)
{
	struct waker w = {0};
	struct signalfd_siginfo si;
	sigset_t s = usr1();
	int f = signalfd(-1, &s, SFD_CLOEXEC);
	long r;

	waker_start(&w, act_signal);
	r = read(f, &si, sizeof(si));
	waker_end(&w);
	return close2(r, f, -1);
}

static void on_usr2(int sig)
{
	(void)sig;
}

/* Is the waiter in its call? A signal that comes earlier is one that no call will tell of. */
static bool waiter_sleeps(const struct waker *w)
{
	char path[64], text[32] = "";
	long call;
	int f, n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)w->tid);
	f = open(path, O_RDONLY | O_CLOEXEC);
	n = f < 0 ? -1 : (int)read(f, text, sizeof(text) - 1);
	if (f >= 0)
		close(f);
	call = strtol(text, NULL, 10);
	return n < 0 || call == w->call || call == SYS_restart_syscall; /* where nobody may look: as it comes */
}

static void act_usr2(struct waker *w)
{
	while (!waiter_sleeps(w))
		usleep(100);
	pthread_kill(w->waiter, SIGUSR2);
}

/* A signal with a handler must still be told: here EINTR is right. */
static long run_epoll_wait_signal(void)
{
	struct waker w = {.call = SYS_epoll_wait};
	struct epoll_event ev;
	int e = epoll_create1(EPOLL_CLOEXEC);
	long r;

	waker_start(&w, act_usr2);
	r = epoll_wait(e, &ev, 1, 20000);
	waker_end(&w);
	return close2(r, e, -1);
}

/* As fast as can be, so that the signal often comes when a stop has just ended: it must find the call, and not the
 * moment before the call begins again. */
static long signal_often(long call, long (*wait)(int fd))
{
	long r = 0;

	for (int i = 0; i < SIGNALS && !victim_stop(); i++) {
		struct waker w = {.call = call, .hurry = true};
		time_t begin = time(NULL);
		int p[2];

		if (pipe2(p, O_CLOEXEC))
			return -2;
		waker_start(&w, act_usr2);
		r = wait(p[0]);
		waker_end(&w);
		if (close2(r, p[0], p[1]) != -1 || errno != EINTR || time(NULL) - begin > 4)
			victim_wrong("call %ld: %ld errno %d after %ld s", call, r, errno, (long)(time(NULL) - begin));
	}
	pause_exactly();
	return 0;
}

static long wait_in_epoll(int fd)
{
	struct epoll_event ev;
	int e = epoll_create1(EPOLL_CLOEXEC);

	return close2(epoll_wait(e, &ev, 1, 5000), e, -1);
}

static long wait_in_poll(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 5000);
}

static long wait_in_select(int fd)
{
	struct timeval tv = {.tv_sec = 5};

	return select(0, NULL, NULL, NULL, &tv);
}

static long wait_in_nanosleep(int fd)
{
	struct timespec ts = {.tv_sec = 5};

	return nanosleep(&ts, NULL);
}

static long run_epoll_wait_signals(void)
{
	return signal_often(SYS_epoll_wait, wait_in_epoll);
}

static long run_poll_signals(void)
{
	return signal_often(SYS_poll, wait_in_poll);
}

static long run_select_signals(void)
{
	return signal_often(SYS_pselect6, wait_in_select);
}

static long run_nanosleep_signals(void)
{
	return signal_often(SYS_clock_nanosleep, wait_in_nanosleep);
}

/* The mask that the call puts in place is not the one that stays. */
static long run_ppoll_signal(void)
{
	struct waker w = {.call = SYS_ppoll};
	struct timespec ts = {.tv_sec = 20};
	sigset_t none, block = usr1();
	long r;

	sigaddset(&block, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &block, NULL);
	sigemptyset(&none);
	waker_start(&w, act_usr2);
	r = ppoll(NULL, 0, &ts, &none);
	waker_end(&w);
	pthread_sigmask(SIG_SETMASK, NULL, &none);
	if (!sigismember(&none, SIGUSR2) || !sigismember(&none, SIGUSR1) || sigismember(&none, SIGALRM))
		victim_wrong("ppoll_signal: the signal mask has changed");
	return r;
}

static long wait_in_pause(int fd)
{
	return pause();
}

static long run_pause_signals(void)
{
	return signal_often(SYS_pause, wait_in_pause);
}

static long wait_in_sigsuspend(int fd)
{
	sigset_t none;

	sigemptyset(&none);
	return sigsuspend(&none);
}

static long run_sigsuspend_signals(void)
{
	return signal_often(SYS_rt_sigsuspend, wait_in_sigsuspend);
}

/* Queued signals come all, in order, with what was sent with them. */
static _Thread_local volatile int values_seen, values_wrong;

static void on_value(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	values_wrong += si->si_value.sival_int != values_seen || si->si_code != SI_QUEUE || si->si_pid != getpid();
	values_seen++;
}

#define VALUES 200

static void act_values(struct waker *w)
{
	for (int i = 0; i < VALUES; i++) {
		siginfo_t si = {.si_code = SI_QUEUE, .si_value.sival_int = i};

		si.si_pid = getpid();
		si.si_uid = getuid();
		while (syscall(SYS_rt_tgsigqueueinfo, getpid(), w->tid, SIGRTMIN + 3, &si) && errno == EAGAIN)
			usleep(1000);
		if (i % 10 == 9)
			usleep(5000);
	}
}

static long run_values(void)
{
	struct waker w = {.hurry = true};

	values_seen = values_wrong = 0;
	waker_start(&w, act_values);
	while (values_seen < VALUES && !values_wrong)
		usleep(300);
	waker_end(&w);
	return values_wrong;
}

void sleep_signals_begin(void)
{
	struct sigaction sa = {.sa_handler = on_usr2};

	sigaction(SIGUSR2, &sa, NULL);
	sa = (struct sigaction){.sa_sigaction = on_value, .sa_flags = SA_SIGINFO};
	sigaction(SIGRTMIN + 3, &sa, NULL);
}

const struct sleep_case sleep_signals[] = {
	{"sigtimedwait", run_sigtimedwait, -1, EAGAIN, true},
	{"sigwaitinfo", run_sigwaitinfo, SIGUSR1, 0},
	{"read_signalfd", run_read_signalfd, 128, 0},
	{"epoll_wait_signal", run_epoll_wait_signal, -1, EINTR},
	{"pause_signals", run_pause_signals, 0, 0},
	{"sigsuspend_signals", run_sigsuspend_signals, 0, 0},
	{"ppoll_signal", run_ppoll_signal, -1, EINTR},
	{"epoll_wait_signals", run_epoll_wait_signals, 0, 0},
	{"poll_signals", run_poll_signals, 0, 0},
	{"select_signals", run_select_signals, 0, 0},
	{"nanosleep_signals", run_nanosleep_signals, 0, 0},
	{"values", run_values, 0, 0},
	{0},
};
