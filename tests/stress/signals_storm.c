/* SPDX-License-Identifier: MIT */
/*
 * A storm of signals over a process with a probe on everything, while other probes come and go on the same functions:
 *
 *     signals_storm VICTIM
 *
 * NT_SOAK in the environment: 40 s of each.
 */
#include "all.h"
#include "tap.h"

static void storm(char *victim, const char *libraries, bool use_hash, unsigned int rounds, unsigned int ms)
{
	struct victim_io v = { 0 };
	struct all steady, passing;
	char command[64];
	bool ok = true, done = false;
	unsigned int i;

	if (!tap_ok(!victim_start(&v, (char *[]){ victim, NULL }) && all_open(&steady, use_hash) &&
			    all_add(&steady, victim) && all_open(&passing, !use_hash) && all_add(&passing, victim) &&
			    (!libraries || all_add_mapped(&passing, v.pid, libraries)) && all_attach(&steady, v.pid),
		    "a process with a probe on everything"))
		return;
	snprintf(command, sizeof(command), "storm %u", ms);
	setvbuf(v.out, NULL, _IONBF, 0);
	victim_tell(&v, command);
	for (i = 0; i < rounds && ok && !done; i++) {
		struct pollfd p = { .fd = fileno(v.out), .events = POLLIN };

		ok = all_attach(&passing, v.pid);
		all_detach(&passing);
		done = poll(&p, 1, 0) > 0;
	}
	tap_ok(ok, "others came and went %u times%s%s", i, libraries ? ", also on " : "", libraries ? libraries : "");
	tap_ok(all_answer(&steady, &v, command), "all counts are right");
	all_close(&passing);
	all_close(&steady);
	tap_eq(victim_end(&v), 0, "it goes on, and ends well");
}

int main(int argc, char **argv)
{
	const char *soak = getenv("NT_SOAK");
	unsigned int ms = soak ? 40000 : 3000;

	if (argc < 2)
		return 99;
	storm(argv[1], NULL, false, soak ? 4000 : 200, ms);
	storm(argv[1], "libc.so", true, soak ? 4000 : 200, ms);
	return tap_done();
}
