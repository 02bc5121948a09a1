/* SPDX-License-Identifier: MIT */
/*
 * Real programs do the same with a probe on the entry and the return of every one of their functions and of libc's.
 * Each waits for its work on standard input, so it is probed before it begins; its output and exit status are compared
 * with those of a run without probes.
 *
 *     programs [NAME...]
 *
 * NT_SOAK in the environment: twenty times the work.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "all.h"
#include "tap.h"

static const char python[] =
	"import json, re, sys, zlib, hashlib, threading, collections, random, functools, itertools, struct\n"
	"random.seed(7)\n"
	"def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
	"def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n"
	"def gen(n):\n"
	"    for i in range(n):\n"
	"        try:\n"
	"            yield 10 // (i % 7)\n"
	"        except ZeroDivisionError:\n"
	"            yield -1\n"
	"def div(i):\n"
	"    try: return 10 // (i % 7)\n"
	"    except ZeroDivisionError: return -1\n"
	"for turn in range(TURNS):\n"
	"    words = [''.join(random.choice('abcde') for _ in range(6)) for _ in range(3000)]\n"
	"    print(collections.Counter(words).most_common(3), fib(16), deep(600), sum(div(i) for i in range(5000)))\n"
	"    text = json.dumps({w: [i, i / 3, None, w * 2] for i, w in enumerate(words)})\n"
	"    print(len(text), len(json.loads(text)), zlib.crc32(text.encode()), hashlib.sha256(text.encode()).hexdigest())\n"
	"    print(len(zlib.compress(text.encode())), len(re.findall(r'(a[bc]+)+d', text)), sorted(words)[:5])\n"
	"    out = []\n"
	"    def work(k):\n"
	"        out.append((k, sum(x * x for x in range(k * 1000))))\n"
	"    ts = [threading.Thread(target=work, args=(k,)) for k in range(4)]\n"
	"    [t.start() for t in ts]; [t.join() for t in ts]\n"
	"    print(sorted(out), '%.6f %s' % (2 ** 0.5, 10 ** 40), struct.pack('<dI', 1.5, 9))\n"
	"sys.exit(3)\n";

static const char perl[] =
	"use strict; my ($turns, %h, @a) = (TURNS);\n"
	"sub fib { my $n = shift; $n < 2 ? $n : fib($n - 1) + fib($n - 2) }\n"
	"for my $t (1 .. $turns) {\n"
	"  srand(7 + $t); %h = ();\n"
	"  for (1 .. 20000) { my $k = join '', map { chr(97 + $_ * 7 % 26) } ($_ % 5, $_ % 7, $_ % 11); $h{$k}++ }\n"
	"  @a = sort { $h{$b} <=> $h{$a} || $a cmp $b } keys %h;\n"
	"  print join(',', @a[0 .. 4]), ' ', scalar(@a), ' ', fib(15), \"\\n\";\n"
	"  my $s = join ' ', @a; my $n = 0; $n++ while $s =~ /([aeiou])(?=[^aeiou]+)/g; print \"$n\\n\";\n"
	"  for (1 .. 500) { eval { die \"no $_\\n\" if $_ % 3; 1 } or $n += length $@ } print \"$n\\n\";\n"
	"  printf \"%.9f %s %x\\n\", sqrt(2), 1e300 * 10, 0xdeadbeef;\n"
	"  print `echo forked $t`;\n"
	"} exit 5;\n";

static const char bash[] =
	"f() { local n=$1; if [ $n -lt 2 ]; then echo $n; else echo $(( $(f $((n-1))) + $(f $((n-2))) )); fi; }\n"
	"for t in $(seq 1 TURNS); do\n"
	"  for i in {1..3000}; do x=$((i * 7 % 13)); case $x in [0-5]) a[$x]=$((${a[$x]:-0} + 1));; *) b=$b$x;; esac; done\n"
	"  echo ${a[@]} ${#b} ${b: -20}; b=\n"
	"  f 6; echo \"a b c\" | { read p q r; echo $r $q $p; }; printf '%s-%05d\\n' x 42\n"
	"  [[ foo123 =~ ([a-z]+)([0-9]+) ]] && echo ${BASH_REMATCH[2]}\n"
	"  trap 'echo caught' USR1; kill -USR1 $$; echo $(/bin/echo from a child)\n"
	"done; exit 7\n";

static const char c[] =
	"typedef unsigned long u; struct s { u a[4]; double d; };\n"
	"#define F(n) u f##n(u x, struct s *p) { for (u i = 0; i < x % 9; i++) switch (x >> i & 7) { \\\n"
	"  case 0: p->a[i & 3] += x * n; break; case 1: x ^= p->a[1]; case 2: p->d *= 1.5 + n; break; \\\n"
	"  case 5: x = x / (n + 1) + p->a[x & 3]; break; default: p->a[2] -= i << (n & 15); } \\\n"
	"  return x + p->a[0] * n + (u)p->d; }\n"
	"#define G(n) F(n##0) F(n##1) F(n##2) F(n##3)\n"
	"G(1) G(2) G(3)\n";

struct program {
	const char *name;
	const char *argv[10];
	const char *input;
	unsigned int turns; /* for TURNS in the input */
};

static const struct program programs[] = {
	{ "python", { "/usr/bin/python3", "-c", "import sys; exec(sys.stdin.read())" }, python, 1 },
	{ "perl", { "/usr/bin/perl", "-e", "eval join('', <STDIN>); print $@" }, perl, 1 },
	{ "bash", { "/bin/bash" }, bash, 1 },
	{ "cc1", { "/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "-quiet", "-O2", "-g", "-", "-o", "-" }, c, 0 },
};

struct run {
	pid_t pid;
	int in, out;
	char *text;
	size_t len;
	int status;
};

static bool run_start(struct run *r, const struct program *p)
{
	int in[2], out[2];

	*r = (struct run){ 0 };
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return false;
	r->pid = fork();
	if (!r->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		victim_env_clear();
		setenv("PYTHONHASHSEED", "0", 1);
		setenv("PERL_HASH_SEED", "0", 1);
		setenv("LC_ALL", "C", 1);
		execv(p->argv[0], (char *const *)p->argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
	return r->pid > 0;
}

/* Until it sleeps in read(0, ...). */
static bool run_waits(const struct run *r)
{
	char path[64], text[64];

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)r->pid);
	for (int i = 0; i < 500; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

		close(fd);
		if (n > 6 && !memcmp(text, "0 0x0 ", 6))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return false;
}

/* Gives it the input, takes the output. */
static bool run_work(struct run *r, const struct program *p, unsigned int factor)
{
	char *input = strdup(p->input), *turns;
	size_t cap = 1 << 20;
	ssize_t n;

	r->text = malloc(cap);
	while ((turns = strstr(input, "TURNS"))) {
		char number[6];

		snprintf(number, sizeof(number), "%5u", p->turns * factor % 100000);
		memcpy(turns, number, 5);
	}
	if (write(r->in, input, strlen(input)) < 0)
		perror("write");
	free(input);
	close(r->in);
	while ((n = read(r->out, r->text + r->len, cap - r->len)) > 0) {
		r->len += (size_t)n;
		if (cap - r->len < 65536)
			r->text = realloc(r->text, cap *= 2);
	}
	close(r->out);
	return waitpid(r->pid, &r->status, 0) == r->pid;
}

static bool same(const struct run *a, const struct run *b)
{
	size_t at = 0;

	if (a->status == b->status && a->len == b->len && !memcmp(a->text, b->text, a->len))
		return a->len > 0;
	while (at < a->len && at < b->len && a->text[at] == b->text[at])
		at++;
	printf("# without probes: status %#x, %zu bytes; with: %#x, %zu bytes; the same up to byte %zu\n", a->status, a->len,
	       b->status, b->len, at);
	return false;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_program(const struct program *p, bool use_hash, unsigned int factor)
{
	struct run plain, probed;
	uint64_t in = 0, out = 0;
	struct all a = { 0 };
	double begin, took;
	bool ok;
	char exe[64];

	if (access(p->argv[0], X_OK)) {
		tap_skip("not installed", "%s", p->name);
		return;
	}
	if (!run_start(&plain, p) || !run_waits(&plain) || !run_start(&probed, p) || !run_waits(&probed)) {
		tap_ok(false, "%s starts", p->name);
		return;
	}
	begin = now();
	run_work(&plain, p, factor);
	took = now() - begin;
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)probed.pid);
	ok = all_open(&a, use_hash) && all_add_unnamed(&a, realpath(exe, NULL)) &&
	     all_add_mapped_unnamed(&a, probed.pid, "libc.so") && all_attach(&a, probed.pid);
	tap_ok(ok, "%s: probes on %u functions", p->name, a.next);
	begin = now();
	tap_ok(run_work(&probed, p, factor) && same(&plain, &probed), "the same output, the same exit status");
	for (unsigned int i = 0; i < a.nfiles; i++) {
		uint64_t e, r;

		all_sum(&a, i, &e, &r);
		in += e;
		out += r;
	}
	printf("# %s: %llu entries, %llu returns in %.2f s instead of %.2f s\n", p->name, (unsigned long long)in,
	       (unsigned long long)out, now() - begin, took);
	tap_ok(in > 100000 && out <= in && out > in / 2, "its functions were seen");
	all_close(&a);
	free(plain.text);
	free(probed.text);
}

int main(int argc, char **argv)
{
	const char *soak = getenv("NT_SOAK");
	unsigned int factor = soak ? 20 : 1;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		bool named = argc < 2;

		for (int k = 1; k < argc; k++)
			named |= !strcmp(argv[k], programs[i].name);
		if (named)
			test_program(&programs[i], i % 2, factor);
	}
	return tap_done();
}
