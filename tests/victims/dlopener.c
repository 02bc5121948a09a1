/* SPDX-License-Identifier: MIT */
/*
 * dlopener [LIBRARY [ROUNDS]]: loads libvictim.so (by default the one beside this program), calls its functions ROUNDS
 * times, unloads it, in a loop. At the end: "loads N", "calls NAME N".
 */
#include "victim.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>

static uint64_t thrice(uint64_t x)
{
	return 3 * x;
}

/* One load; returns after rounds calls of each function. */
static void visit(const char *path, int rounds)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	uint64_t (*add)(uint64_t, uint64_t);
	uint64_t (*fact)(uint64_t);
	uint64_t (*apply)(uint64_t (*)(uint64_t), uint64_t);

	if (!lib)
		victim_wrong("%s", dlerror());
	*(void **)&add = dlsym(lib, "l_add");
	*(void **)&fact = dlsym(lib, "l_fact");
	*(void **)&apply = dlsym(lib, "l_apply");
	if (!add || !fact || !apply)
		victim_wrong("%s", dlerror());
	for (int i = 0; i < rounds; i++) {
		uint64_t x = (uint64_t)i;

		if (add(x, 40) != x + 40)
			victim_wrong("l_add");
		if (fact(10) != 3628800)
			victim_wrong("l_fact");
		if (apply(thrice, x) != 3 * x + 1)
			victim_wrong("l_apply");
	}
	if (dlclose(lib))
		victim_wrong("%s", dlerror());
}

int main(int argc, char **argv)
{
	char path[PATH_MAX + 32] = "";
	int rounds = argc > 2 ? atoi(argv[2]) : 100;
	uint64_t loads = 0;
	ssize_t n;

	victim_begin();
	if (argc > 1) {
		snprintf(path, sizeof(path), "%s", argv[1]);
	} else {
		n = readlink("/proc/self/exe", path, PATH_MAX);
		if (n <= 0)
			return 2;
		path[n] = 0;
		strcpy(strrchr(path, '/') + 1, "libvictim.so");
	}
	victim_ready();
	while (!victim_wait(1)) {
		visit(path, rounds);
		loads++;
	}
	printf("loads %lu\n", loads);
	printf("calls l_add %lu\n", loads * (uint64_t)rounds);
	printf("calls l_fact %lu\n", loads * (uint64_t)rounds * 10);
	printf("calls l_apply %lu\n", loads * (uint64_t)rounds);
	return 0;
}
