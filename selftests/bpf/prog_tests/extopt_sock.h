/* SPDX-License-Identifier: GPL-2.0 */
/* What progs/extopt_look.c sees of a socket. The test includes "progs/extopt_look.h"
 * and "extopt_look.skel.h" first.
 */
#ifndef __EXTOPT_SOCK_H
#define __EXTOPT_SOCK_H

#include <sched.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

static struct extopt_look *look;

static inline int look_open(void)
{
	look = extopt_look__open_and_load();
	return ASSERT_OK_PTR(look, "extopt_look") &&
	       ASSERT_OK(extopt_look__attach(look), "attach") ? 0 : -1;
}

static inline void look_close(void)
{
	extopt_look__destroy(look);
	look = NULL;
}

/* How many connections of the namespace have that cookie, or, if it is 0, a peer of
 * that port, in network order; -1 on failure
 */
static inline int look_count(__u64 cookie, int port)
{
	char buf[16];
	int fd;

	memset(&look->bss->seen, 0, sizeof(look->bss->seen));
	look->bss->cookie = cookie;
	look->bss->port = port;
	look->bss->found = 0;
	fd = bpf_iter_create(bpf_link__fd(look->links.look));
	if (!ASSERT_OK_FD(fd, "bpf_iter_create"))
		return -1;
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
	return look->bss->found;
}

/* The same, of which there is to be one */
static inline int look_for(__u64 cookie, int port, struct extopt_sock *sock)
{
	memset(sock, 0, sizeof(*sock));
	if (!ASSERT_EQ(look_count(cookie, port), 1, "sockets found"))
		return -1;
	*sock = look->bss->seen;
	return 0;
}

/* A connected socket, in its own namespace */
static inline int look_at(int fd, struct extopt_sock *sock)
{
	int here, there, err = -1;
	socklen_t len;
	__u64 cookie;

	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (!ASSERT_OK_FD(here, "own namespace"))
		return -1;
	there = ioctl(fd, SIOCGSKNS);
	if (!ASSERT_OK_FD(there, "SIOCGSKNS"))
		goto close_here;
	len = sizeof(cookie);
	if (!ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len),
		       "SO_COOKIE") ||
	    !ASSERT_OK(setns(there, CLONE_NEWNET), "setns"))
		goto close_there;
	err = look_for(cookie, 0, sock);
	ASSERT_OK(setns(here, CLONE_NEWNET), "setns back");
close_there:
	close(there);
close_here:
	close(here);
	return err;
}

/* The longest that an ACK is delayed, in microseconds, -1 on failure: 6.12 has no
 * socket option that says it.
 */
static inline int look_delack_us(int fd)
{
	struct extopt_sock sock;

	return look_at(fd, &sock) ? -1 : sock.delack_max;
}

#endif
