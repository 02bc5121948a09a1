/* SPDX-License-Identifier: MIT */
/*
 * A loader is killed in every state: at the beginning or the end of any of its system calls, `notrap run` and the dynamic
 * linker included, as a dynamically linked program and as a static one. Each time what it had is gone, another loader on the
 * same functions has counted everything, and the victim found every result right. A few of them by chance; all with
 * NT_SOAK=1, or one with its number as argument.
 */
#include "stage.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#define CHANCES 12
#define ROUNDS 20
#define SOON_MS 10000 /* on a machine as busy as it may be */

struct scene {
	struct victim_io victim, steady;
	char file[PATH_MAX], notrap[PATH_MAX], pid[16], offsets[2][32];
	unsigned long long rounds;
	int objects; /* of the loader that stays */
};

/* File offset of a function, from the symbol table. */
static uint64_t offset_of(const char *file, const char *name)
{
	int fd = open(file, O_RDONLY);
	struct stat st;
	const char *image = fd < 0 || fstat(fd, &st) ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	const Elf64_Ehdr *eh = (const void *)image;
	const Elf64_Shdr *sh = image == MAP_FAILED ? NULL : (const void *)(image + eh->e_shoff);

	close(fd);
	for (int i = 0; sh && i < eh->e_shnum; i++) {
		const Elf64_Sym *sym = (const void *)(image + sh[i].sh_offset);
		const char *names = image + sh[sh[i].sh_link].sh_offset;

		if (sh[i].sh_type != SHT_SYMTAB)
			continue;
		for (uint64_t n = 0; n < sh[i].sh_size / sizeof(*sym); n++) {
			const Elf64_Shdr *in = &sh[sym[n].st_shndx];

			if (!strcmp(names + sym[n].st_name, name) && sym[n].st_shndx < eh->e_shnum)
				return sym[n].st_value - in->sh_addr + in->sh_offset;
		}
	}
	return 0;
}

static pid_t start(const struct scene *s, const char *loader)
{
	pid_t pid = fork();

	if (!pid) {
		int err = open("/dev/null", O_WRONLY);

		dup2(err, 1);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(98);
		execl(s->notrap, s->notrap, "run", "--", loader, s->file, s->pid, s->offsets[0], s->offsets[1], (char *)NULL);
		_exit(97);
	}
	return pid;
}

/* Lets it go on to its stop number n, and kills it there. Its number of stops if it has ended before, 0: killed, -1: it failed. */
static int run_to(const struct scene *s, const char *loader, int n)
{
	int status, signal = 0, stops = 0;
	pid_t pid = start(s, loader);

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC))
		return -1;
	while (!ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)signal)) {
		if (waitpid(pid, &status, 0) != pid)
			return -1;
		signal = 0;
		if (!WIFSTOPPED(status)) {
			if (WIFEXITED(status) && !WEXITSTATUS(status))
				return stops;
			printf("# it ended with status %#x after %d stops\n", status, stops);
			return -1;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) && ++stops == n)
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80) && status >> 16 == 0)
			signal = WSTOPSIG(status);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 0;
}

static bool only_steady(void *arg)
{
	const struct scene *s = arg;

	return ps_links() == 1 && ps_objects() == s->objects;
}

/* What a loader that was killed there has left; says it. */
static bool all_is_well(struct scene *s, const char *loader, int n)
{
	bool ok = within(SOON_MS, only_steady, s);

	if (!ok)
		printf("# %s, stop %d: %d links, %d programs and maps, before %d\n", loader, n, ps_links(), ps_objects(), s->objects);
	s->rounds += ROUNDS;
	if (!victim_do(&s->victim, "run 1 20") || !loader_counts(&s->steady, "in", s->rounds)) {
		printf("# %s, stop %d: the victim or the other loader\n", loader, n);
		ok = false;
	}
	return ok;
}

static void test_front_end(struct scene *s, const char *name, int only)
{
	const char *build = getenv("ROBUST_STEPS");
	int all, bad = 0, tried = 0;
	char loader[PATH_MAX];

	snprintf(loader, sizeof(loader), "%s%s", build ? build : "steps", name);
	all = run_to(s, loader, INT_MAX);
	tap_ok(all > 50 && all_is_well(s, loader, 0), "steps%s: makes %d stops when it is left alone", name, all);
	for (int n = 1; n <= all; n++) {
		if (only ? n != only : !getenv("NT_SOAK") && random() % all >= CHANCES)
			continue;
		tried++;
		bad += run_to(s, loader, n) < 0 || !all_is_well(s, loader, n);
	}
	tap_eq(bad, 0, "killed in %d of them: nothing is left of it, nobody is harmed", tried);
}

int main(int argc, char **argv)
{
	struct scene s = {.victim = {0}};

	stage_begin();
	stage_seed();
	s.victim = victim_make("counter", NULL, NULL);
	snprintf(s.file, sizeof(s.file), "%s", stage_victim("counter"));
	snprintf(s.notrap, sizeof(s.notrap), "%s", stage_tool("notrap"));
	snprintf(s.pid, sizeof(s.pid), "%d", (int)s.victim.pid);
	snprintf(s.offsets[0], sizeof(s.offsets[0]), "%llx", (unsigned long long)offset_of(s.file, "v_push"));
	snprintf(s.offsets[1], sizeof(s.offsets[1]), "%llx", (unsigned long long)offset_of(s.file, "v_call"));
	tap_ok(loader_start(&s.steady) && loader_does(&s.steady, "attach 0 in %s all %d", s.file, (int)s.victim.pid), "a loader that stays");
	s.objects = ps_objects();
	test_front_end(&s, "", argc > 1 ? atoi(argv[1]) : 0);
	test_front_end(&s, "_static", argc > 1 ? atoi(argv[1]) : 0);
	tap_eq(loader_end(&s.steady), 0, "the one that stays ends");
	tap_ok(no_sites(s.victim.pid, SOON_MS) && !code_differs(s.victim.pid), "the original bytes are back");
	tap_eq(victim_end(&s.victim), 0, "the victim found every result right");
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
