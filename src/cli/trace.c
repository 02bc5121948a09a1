/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "util/fd.h"

static int trace_copy(int from)
{
	char buf[16384];
	ssize_t n;

	for (;;) {
		n = read(from, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		n = fd_write_all(STDOUT_FILENO, buf, (size_t)n);
		if (n < 0)
			return (int)n;
	}
}

static int trace_main(int argc, char **argv)
{
	const struct cli_command *c = &cli_trace;
	int sock fd_auto = -1;
	int lines fd_auto = -1;
	s64 r;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		cli_help(c, stdout);
		return CLI_OK;
	}
	if (argc > 1)
		return cli_usage_error(c, "unknown argument %s", argv[1]);
	sock = broker_connect(NT_ROLE_CLI);
	if (broker_is_absent(sock)) {
		printf("no broker is running\n");
		return CLI_OK;
	}
	if (sock < 0)
		return cli_error(c, "cannot talk to the broker: %s", broker_error(sock));
	r = broker_ask(sock, NT_OP_TRACE, 0, &lines);
	if (r < 0 || lines < 0)
		return cli_error(c, "the broker refuses: %s", strerror(r < 0 ? (int)-r : EPROTO));
	r = trace_copy(lines);
	return r < 0 && r != -EPIPE ? cli_error(c, "%s", strerror((int)-r)) : CLI_OK;
}

const struct cli_command cli_trace = {
    .name = "trace",
    .args = "",
    .help = "Show what programs print with bpf_trace_printk, until interrupted",
    .details = "One line per call, in the format of the kernel's trace_pipe.\n",
    .fn = trace_main,
};
