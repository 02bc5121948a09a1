/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "util/fd.h"

/* One that does not understand us. A signal is the same in all versions. */
static int stop_other(const struct cli_command *c)
{
	int pid = broker_pid();

	if (pid <= 0 || kill(pid, SIGTERM) < 0)
		return cli_error(c, "the broker of another version cannot be ended: %s", strerror(pid < 0 ? -pid : errno));
	return CLI_OK;
}

static int stop_main(int argc, char **argv)
{
	const struct cli_command *c = &cli_stop;
	int sock fd_auto = -1;
	int fd fd_auto = -1;
	bool all = false;
	s64 left;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			cli_help(c, stdout);
			return CLI_OK;
		}
		if (strcmp(argv[i], "-a") && strcmp(argv[i], "--all"))
			return cli_usage_error(c, "unknown argument %s", argv[i]);
		all = true;
	}
	sock = broker_connect(NT_ROLE_CLI);
	if (broker_is_absent(sock)) {
		printf("no broker is running\n");
		return CLI_OK;
	}
	if (sock == -EPROTO && all)
		return stop_other(c);
	if (sock < 0)
		return cli_error(c, "cannot talk to the broker: %s", broker_error(sock));
	left = broker_ask(sock, NT_OP_STOP, all, &fd);
	if (left < 0)
		return cli_error(c, "the broker refuses: %s", strerror((int)-left));
	if (left)
		printf("%lld link%s still attached; the broker leaves when %s\n", (long long)left,
		       left == 1 ? " is" : "s are", left == 1 ? "it is closed" : "they are closed");
	return CLI_OK;
}

const struct cli_command cli_stop = {
    .name = "stop",
    .args = "[-a]",
    .help = "End the broker when nothing is attached any more",
    .details = "  -a, --all  detach everything first\n",
    .fn = stop_main,
};
