/* SPDX-License-Identifier: MIT */
/* The file behind a descriptor of the target, through a copy of that descriptor: asking takes no thread of the target. */
#include "inject/internal.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool inject_peer_open(const struct inject_target *t, u64 fd, struct inject_peer *ret)
{
	struct inject_peer p = {.fd = (int)syscall(SYS_pidfd_getfd, t->pidfd, (int)fd, 0)};
	socklen_t len = sizeof(p.type);
	struct stat st;

	if (p.fd < 0)
		return false;
	p.flags = fcntl(p.fd, F_GETFL);
	if (p.flags < 0 || fstat(p.fd, &st)) {
		close(p.fd);
		return false;
	}
	p.mode = st.st_mode;
	p.rdev = st.st_rdev;
	if (S_ISSOCK(p.mode) && getsockopt(p.fd, SOL_SOCKET, SO_TYPE, &p.type, &len))
		p.type = 0;
	*ret = p;
	return true;
}

void inject_peer_close(struct inject_peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
