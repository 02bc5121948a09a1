/* SPDX-License-Identifier: MIT */
/*
 * Targets that cannot be patched, or whose file changes: a clear refusal, or correct work, never harm.
 */
#include "stage.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

static const char *acrobat(void)
{
	return stage_victim("acrobat");
}

static bool error_is(const char *answer, int err)
{
	char want[32];

	snprintf(want, sizeof(want), "error %d ", err);
	if (!strncmp(answer, want, strlen(want)))
		return true;
	printf("# loader: %s\n", answer);
	return false;
}

/* Unharmed: right results, its own code, no memory of ours. */
static bool has_block(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	return file_says(path, "/memfd:notrap");
}

/* --- no room --- */

static void test_no_room(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;

	tap_ok(victim_do(&v, "reserve"), "a victim takes all address space near its code");
	tap_ok(loader_start(&l), "a loader");
	tap_ok(error_is(loader_ask(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid), ENOMEM), "cannot attach to it: ENOMEM");
	tap_ok(loaders_heard("no free address space within 2 GiB of its code"), "and it is said why");
	tap_eq(code_differs(v.pid), 0, "its code is as it was");
	tap_ok(victim_do(&v, "run 100"), "it goes on");
	tap_ok(loader_does(&l, "attach 0 in %s all -1", acrobat()), "a link for all processes is possible");
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 0), "which leaves it alone");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static int map_limit(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	int n = 0;

	if (f && fscanf(f, "%d", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

static void test_map_count(void)
{
	struct victim_io v, l;
	int n = map_limit();
	const char *r;

	if (n <= 0 || n > 300000) {
		tap_skip("a process with as many mappings as it may have", "the limit is too high to be reached here");
		return;
	}
	v = victim_make("acrobat", NULL, NULL);
	tap_ok(victim_do(&v, "mappings"), "a victim has as many mappings as it may");
	tap_ok(loader_start(&l), "a loader");
	r = loader_ask(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid);
	tap_ok(error_is(r, ENOMEM), "cannot attach to it: ENOMEM");
	tap_ok(loaders_heard("that a process may have (vm.max_map_count)"), "and it is said why");
	tap_eq(code_differs(v.pid), 0, "its code is as it was");
	tap_ok(!has_block(v.pid), "and nothing of ours is in it");
	tap_ok(victim_do(&v, "run 100"), "it goes on");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- limits of the target --- */

static void test_target_limits(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;

	tap_ok(victim_do(&v, "limit files"), "a victim that may not open one more file");
	tap_ok(loader_start(&l), "a loader");
	tap_ok(error_is(loader_ask(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid), EMFILE), "cannot attach: EMFILE");
	tap_ok(!has_block(v.pid) && code_differs(v.pid) == 0 && victim_do(&v, "run 100"), "it goes on as before");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	v = victim_make("acrobat", NULL, NULL);
	tap_ok(victim_do(&v, "limit memory"), "a victim that may not map one more page");
	tap_ok(error_is(loader_ask(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid), ENOMEM), "cannot attach: ENOMEM");
	tap_ok(loaders_heard("MiB that it may map (ulimit -v)"), "and it is said why");
	tap_ok(!has_block(v.pid) && code_differs(v.pid) == 0 && victim_do(&v, "run 100"), "it goes on as before");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	tap_eq(loader_end(&l), 0, "the loader ends");
}

/* --- seccomp --- */

static void test_seccomp(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	const char *r;

	tap_ok(victim_do(&v, "filter") && loader_start(&l), "a victim under a seccomp filter that kills");
	r = loader_ask(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid);
	/* A privileged broker may suspend filters; nobody else. Either way it must live. */
	if (!strcmp(r, "ok"))
		tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 100), "attached, and counts exactly");
	else
		tap_ok(error_is(r, EACCES), "refused: EACCES");
	tap_ok(victim_do(&v, "run 100"), "the victim lives");
	loader_does(&l, "detach 0");
	tap_ok(victim_do(&v, "run 100"), "also afterwards");
	tap_eq(code_differs(v.pid), 0, "with its own code");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- 32 bits --- */

/* pause() for ever, as an ELF file of 32 bits; nothing here can compile one. */
static bool write_i386(const char *path)
{
	static const unsigned char code[] = {0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7};
	struct {
		Elf32_Ehdr eh;
		Elf32_Phdr ph;
		unsigned char code[sizeof(code)];
	} file = {.eh = {.e_type = ET_EXEC, .e_machine = EM_386, .e_version = EV_CURRENT, .e_entry = 0x8048000 + 84,
			 .e_phoff = sizeof(Elf32_Ehdr), .e_ehsize = sizeof(Elf32_Ehdr), .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 1},
		  .ph = {.p_type = PT_LOAD, .p_vaddr = 0x8048000, .p_paddr = 0x8048000, .p_filesz = sizeof(file),
			 .p_memsz = sizeof(file), .p_flags = PF_R | PF_X, .p_align = 4096}};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	bool ok;

	memcpy(file.eh.e_ident, ELFMAG, SELFMAG);
	file.eh.e_ident[EI_CLASS] = ELFCLASS32;
	file.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	file.eh.e_ident[EI_VERSION] = EV_CURRENT;
	memcpy(file.code, code, sizeof(code));
	ok = fd >= 0 && write(fd, &file, sizeof(file)) == sizeof(file);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void test_i386(void)
{
	char path[128];
	struct victim_io l;
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/i386", stage_dir());
	if (!write_i386(path)) {
		tap_skip("a 32-bit process", "cannot write one");
		return;
	}
	pid = fork();
	if (!pid) {
		execl(path, "i386", (char *)NULL);
		_exit(99);
	}
	nap_ms(100);
	if (waitpid(pid, &status, WNOHANG)) {
		tap_skip("a 32-bit process", "this kernel runs none");
		return;
	}
	tap_ok(loader_start(&l), "a loader and a 32-bit process");
	tap_ok(error_is(loader_ask(&l, "attach 0 in %s all %d", acrobat(), (int)pid), ENOEXEC), "cannot attach: ENOEXEC");
	tap_ok(loader_does(&l, "attach 0 in %s all -1", acrobat()), "a link for all leaves it out");
	tap_eq(waitpid(pid, &status, WNOHANG), 0, "it goes on");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	tap_eq(loader_end(&l), 0, "the loader ends");
}

/* --- the file changes --- */

static bool copy(const char *from, const char *to)
{
	char command[2 * PATH_MAX + 64];

	snprintf(command, sizeof(command), "cp %s %s.new && mv -f %s.new %s", from, to, to, to);
	return !system(command);
}

/* A new file by the same name (as package managers do): the running process keeps the old one. */
static void test_replaced(void)
{
	struct victim_io v = {0}, late = {0}, l;
	char path[128];

	snprintf(path, sizeof(path), "%s/copy", stage_dir());
	tap_ok(copy(acrobat(), path) && !victim_start(&v, (char *[]){path, NULL}), "a victim with a file of its own");
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all -1", path), "is attached");
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 100), "and counted");
	tap_ok(copy(acrobat(), path), "another file takes the name");
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 200), "the process goes on with the old one, and is counted");
	tap_ok(!victim_start(&late, (char *[]){path, NULL}), "a process of the new file");
	nap_ms(300);
	tap_ok(victim_do(&late, "run 100") && loader_counts(&l, "in", 200), "is not: it is another file");
	tap_ok(loader_does(&l, "attach 1 in %s all -1", path), "a new link takes the new file");
	tap_ok(victim_do(&late, "run 100") && victim_do(&v, "run 100") && loader_counts(&l, "in", 400), "both are counted, once");
	tap_ok(loader_does(&l, "detach 0") && loader_does(&l, "detach 1"), "detached");
	tap_ok(victim_do(&v, "run 100") && victim_do(&late, "run 100") && loader_counts(&l, "in", 400), "none is");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	tap_eq(victim_end(&late), 0, "the late one, too");
	unlink(path);
}

/* Written in place while attached. The kernel forbids it for programs (ETXTBSY), not for libraries. */
static void test_overwritten(void)
{
	char path[128], command[PATH_MAX + 256];
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	snprintf(path, sizeof(path), "%s/lib.so", stage_dir());
	snprintf(command, sizeof(command), "cp %s/libvictim.so %s", getenv("ROBUST_VICTIMS"), path);
	tap_ok(!system(command) && loader_start(&l) && loader_does(&l, "attach 0 in %s l_* %d", path, (int)v.pid),
	       "a link on a library");
	snprintf(command, sizeof(command), "load %s 100", path);
	tap_ok(victim_do(&v, command), "which the victim loads");
	snprintf(command, sizeof(command), "printf x | dd of=%s bs=1 seek=$(($(stat -c %%s %s) - 1)) conv=notrunc 2>/dev/null", path,
		 path);
	tap_ok(!system(command), "its file is written to");
	snprintf(command, sizeof(command), "load %s 100", path);
	tap_ok(victim_do(&v, command), "the victim goes on");
	tap_ok(error_is(loader_ask(&l, "attach 1 in %s l_* %d", path, (int)v.pid), ETXTBSY),
	       "a second link would mix old plans with new code: ETXTBSY");
	tap_ok(loader_does(&l, "detach 0") && loader_does(&l, "attach 1 in %s l_* %d", path, (int)v.pid),
	       "when the first is gone it is possible");
	tap_ok(victim_do(&v, command), "the victim goes on");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

int main(void)
{
	stage_begin();
	test_no_room();
	test_map_count();
	test_target_limits();
	test_seccomp();
	test_i386();
	test_replaced();
	test_overwritten();
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
