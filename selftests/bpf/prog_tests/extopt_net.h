/* SPDX-License-Identifier: GPL-2.0 */
/* For the extopt_* tests: a client and a server, each in a namespace, joined by a
 * veth pair with a delay, and the path of progs/extopt_path.c between them. The test
 * includes "progs/extopt_path.h" and "extopt_path.skel.h" first.
 */
#ifndef __EXTOPT_NET_H
#define __EXTOPT_NET_H

#include <poll.h>
#include <netinet/tcp.h>
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"

#define NET_CLIENT	"extopt_client"
#define NET_SERVER	"extopt_server"
#define NET_PORT	7000
#define NET_PROBE_PORT	7001	/* of UDP */
#define NET_TIMEOUT_MS	60000
/* What a user timeout may be late in a guest that shares its processors, besides what
 * the kernel says; less than what there is between those that are told apart
 */
#define NET_SLACK_MS	1500

struct extopt_net {
	struct extopt_path *path;
	int family;
	int proto;		/* 0 or IPPROTO_MPTCP */
	int port;
	int lfd, cfd, sfd;	/* of the last net_pair(): listener, client, server */
};

static inline const char *net_addr(int family, bool server)
{
	if (family == AF_INET)
		return server ? "10.79.0.2" : "10.79.0.1";
	return server ? "fd79::2" : "fd79::1";
}

static inline __u64 net_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* A setting of net.ipv4 */
static inline int net_sysctl(const char *ns, const char *name, const char *value)
{
	struct nstoken *token = open_netns(ns);
	int err;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	err = extopt_sysctl(name, value);
	close_netns(token);
	return ASSERT_OK(err, name) ? 0 : -1;
}

static inline long net_counter(const char *ns, const char *name)
{
	struct nstoken *token = open_netns(ns);
	long ret;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	ret = extopt_netstat(name);
	close_netns(token);
	return ret;
}

/* Another name for an option that is not loaded yet, so that two programs can be
 * had for it, one for each end.
 */
static inline void net_rename(struct bpf_map *map, const char *from, const char *to)
{
	size_t size;
	char *data = bpf_map__initial_value(map, &size), *name;

	name = memmem(data, size, from, strlen(from) + 1);
	if (ASSERT_OK_PTR(name, "name in the map"))
		strcpy(name, to);
}

/* Lines for ip in one go: to start it takes long in a guest. */
#define NET_BATCH(fail, ns, lines)					\
	SYS(fail, "printf '" lines "' | ip -n " ns " -batch -")

/* The first to be made goes last: where it is not, none is left. */
static inline void net_delete(void)
{
	SYS_NOFAIL("printf 'netns del " NET_SERVER "\nnetns del " NET_CLIENT
		   "\n' | ip -force -batch -");
}

/* The round-trip time from now on; the second half is the server's. */
static inline int net_rtt(int ms)
{
	SYS(fail, "tc -n %s qdisc replace dev c0 root netem delay %dus limit 10000",
	    NET_CLIENT, ms * 500);
	SYS(fail, "tc -n %s qdisc replace dev s0 root netem delay %dus limit 10000",
	    NET_SERVER, ms * 500);
	return 0;
fail:
	return -1;
}

static inline int net_udp(const char *ns, int family, int port)
{
	struct sockaddr_storage any;
	struct nstoken *token;
	socklen_t len;
	int fd;

	token = open_netns(ns);
	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	close_netns(token);
	make_sockaddr(family, NULL, port, &any, &len);
	if (!ASSERT_OK_FD(fd, "UDP socket") ||
	    !ASSERT_OK(bind(fd, (void *)&any, len), "bind")) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Until there is a way from one namespace to an address of the other and back. A link
 * that was set up drops what is sent before the kernel has noticed, at either end, and
 * the neighbour is looked for again after a second only: in the round-trip time of a
 * SYN that would be most of it, and so in the RTO.
 */
static inline int net_wait_up(int family, const char *from, const char *to,
			      const char *addr)
{
	struct sockaddr_storage ss, peer;
	struct pollfd pfd = { .events = POLLIN };
	int here, there, i, err = -1;
	socklen_t len, peer_len;
	char byte = 0;

	here = net_udp(from, family, 0);
	there = net_udp(to, family, NET_PROBE_PORT);
	if (here < 0 || there < 0)
		goto close;
	make_sockaddr(family, addr, NET_PROBE_PORT, &ss, &len);
	for (i = 0; i < NET_TIMEOUT_MS / 20; i++) {
		sendto(here, &byte, 1, 0, (void *)&ss, len);
		pfd.fd = there;
		poll(&pfd, 1, 10);
		peer_len = sizeof(peer);
		if (recvfrom(there, &byte, 1, 0, (void *)&peer, &peer_len) == 1)
			sendto(there, &byte, 1, 0, (void *)&peer, peer_len);
		pfd.fd = here;
		poll(&pfd, 1, 10);
		if (recv(here, &byte, 1, 0) == 1) {
			err = 0;
			break;
		}
	}
	ASSERT_OK(err, "path");
close:
	if (here >= 0)
		close(here);
	if (there >= 0)
		close(there);
	return err;
}

static inline void net_close_pair(struct extopt_net *n)
{
	if (n->sfd >= 0)
		close(n->sfd);
	if (n->cfd >= 0)
		close(n->cfd);
	if (n->lfd >= 0)
		close(n->lfd);
	n->lfd = n->cfd = n->sfd = -1;
}

static inline void net_close(struct extopt_net *n)
{
	net_close_pair(n);
	extopt_path__destroy(n->path);
	net_delete();
}

/* The option whose segments the path watches; exid 0: none */
static inline void net_watch(struct extopt_net *n, int kind, int exid)
{
	n->path->bss->kind = kind;
	n->path->bss->exid = exid;
}

static inline int net_open(struct extopt_net *n, int family)
{
	struct extopt_path *path;

	memset(n, 0, sizeof(*n));
	n->family = family;
	n->port = NET_PORT;
	n->lfd = n->cfd = n->sfd = -1;
	/* of a run that was ended */
	if (!access("/var/run/netns/" NET_CLIENT, F_OK))
		net_delete();

	path = extopt_path__open_and_load();
	if (!ASSERT_OK_PTR(path, "extopt_path"))
		return -1;
	n->path = path;
	path->bss->port = NET_PORT;

	SYS(fail, "printf 'netns add " NET_CLIENT "\nnetns add " NET_SERVER
	    "\n' | ip -batch -");
	NET_BATCH(fail, NET_CLIENT,
		  "link add c0 type veth peer name s0 netns " NET_SERVER "\n"
		  "addr add 10.79.0.1/24 dev c0\n"
		  "addr add fd79::1/64 dev c0 nodad\n"
		  "link set lo up\n"
		  "link set c0 up\n");
	NET_BATCH(fail, NET_SERVER,
		  "addr add 10.79.0.2/24 dev s0\n"
		  "addr add fd79::2/64 dev s0 nodad\n"
		  "link set lo up\n"
		  "link set s0 up\n");

	path->links.to_server = ns_attach_tcx(path->progs.to_server, NET_SERVER,
					      "s0");
	path->links.to_client = ns_attach_tcx(path->progs.to_client, NET_CLIENT,
					      "c0");
	path->links.from_server = ns_attach_tcx(path->progs.from_server, NET_SERVER,
						"s0");
	path->links.from_client = ns_attach_tcx(path->progs.from_client, NET_CLIENT,
						"c0");
	if (!path->links.to_server || !path->links.to_client ||
	    !path->links.from_server || !path->links.from_client ||
	    net_wait_up(family, NET_CLIENT, NET_SERVER, net_addr(family, true)))
		goto fail;
	return 0;
fail:
	net_close(n);
	return -1;
}

/* names: the options to select, NULL for none */
static inline int net_socket(struct extopt_net *n, bool server, const char *names)
{
	struct nstoken *token;
	const int one = 1;
	int fd, err = 0;

	token = open_netns(server ? NET_SERVER : NET_CLIENT);
	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	fd = socket(n->family, SOCK_STREAM, n->proto);
	close_netns(token);
	if (!ASSERT_OK_FD(fd, "socket"))
		return -1;
	if (names)
		err = extopt_select(fd, names);
	if (!ASSERT_OK(err, "select") ||
	    !ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				  sizeof(one)), "SO_REUSEADDR") ||
	    !ASSERT_OK(settimeo(fd, NET_TIMEOUT_MS), "settimeo")) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int net_listen(struct extopt_net *n, const char *names)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	fd = net_socket(n, true, names);
	if (fd < 0)
		return -1;
	make_sockaddr(n->family, net_addr(n->family, true), n->port, &ss, &len);
	if (!ASSERT_OK(bind(fd, (void *)&ss, len), "bind") ||
	    !ASSERT_OK(listen(fd, 128), "listen")) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int net_connect(struct extopt_net *n, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len;

	make_sockaddr(n->family, net_addr(n->family, true), n->port, &ss, &len);
	return ASSERT_OK(connect(fd, (void *)&ss, len), "connect") ? 0 : -1;
}

static inline int net_accept(int lfd)
{
	int fd = accept(lfd, NULL, NULL);

	if (!ASSERT_OK_FD(fd, "accept"))
		return -1;
	settimeo(fd, NET_TIMEOUT_MS);
	return fd;
}

/* A new connection, in n->lfd, cfd and sfd, and what the path has seen anew */
static inline int net_pair(struct extopt_net *n, const char *client,
			   const char *server)
{
	net_close_pair(n);
	memset(n->path->bss->ways, 0, sizeof(n->path->bss->ways));
	n->lfd = net_listen(n, server);
	if (n->lfd < 0)
		return -1;
	n->cfd = net_socket(n, false, client);
	if (n->cfd < 0 || net_connect(n, n->cfd))
		return -1;
	n->sfd = net_accept(n->lfd);
	return n->sfd < 0 ? -1 : 0;
}

/* len bytes from one to the other, at most 4096 at a time */
static inline int net_send(int from, int to, int len)
{
	char out[4096], in[4096];
	int i, now;

	for (; len > 0; len -= now) {
		now = len < (int)sizeof(out) ? len : (int)sizeof(out);
		for (i = 0; i < now; i++)
			out[i] = len + i;
		if (!ASSERT_EQ(send(from, out, now, MSG_NOSIGNAL), now, "send") ||
		    !ASSERT_EQ(recv(to, in, now, MSG_WAITALL), now, "recv") ||
		    !ASSERT_OK(memcmp(in, out, now), "bytes"))
			return -1;
	}
	return 0;
}

/* A request and its answer */
static inline int net_ping(struct extopt_net *n)
{
	return net_send(n->cfd, n->sfd, 100) || net_send(n->sfd, n->cfd, 100) ?
	       -1 : 0;
}

static inline int net_int(int fd, int opt)
{
	socklen_t len = sizeof(int);
	int val = -1;

	ASSERT_OK(getsockopt(fd, SOL_TCP, opt, &val, &len), "getsockopt");
	return val;
}

/* The path is cut, and data that nobody acknowledges given up after the user timeout:
 * milliseconds
 */
static inline int net_give_up(struct extopt_net *n, int fd, int seconds)
{
	struct pollfd pfd = { .fd = fd };
	struct tcp_info info = {};
	int err = 0, ms = -1, rto;
	__u64 start;
	socklen_t len;

	ASSERT_EQ(net_int(fd, TCP_USER_TIMEOUT), 1000 * seconds, "user timeout");
	len = sizeof(info);
	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len), "TCP_INFO");
	rto = info.tcpi_rto / 1000;
	n->path->bss->mode = PATH_CUT;
	start = net_now_ms();
	if (!ASSERT_EQ(send(fd, "lost", 4, 0), 4, "send") ||
	    !ASSERT_EQ(poll(&pfd, 1, NET_TIMEOUT_MS), 1, "poll"))
		goto pass;
	ms = net_now_ms() - start;
	len = sizeof(err);
	ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len), "SO_ERROR");
	ASSERT_EQ(err, ETIMEDOUT, "error");
	/* It counts from the first retransmission by the timer, and before that
	 * there is a loss probe, each after the RTO at the latest.
	 */
	ASSERT_GE(ms, 1000 * seconds - 20, "not before");
	ASSERT_LE(ms, 1000 * seconds + 2 * rto + NET_SLACK_MS, "not after");
pass:
	n->path->bss->mode = PATH_PASS;
	return ms;
}

/* What getsockopt(TCP_EXTOPT) says of one option; state 0 if it is not there */
static inline struct tcp_extopt_info net_info(int fd, const char *name)
{
	struct tcp_extopt_info none = {};
	struct extopt_list list;
	int i;

	if (!ASSERT_OK(extopt_get(fd, &list), "getsockopt(TCP_EXTOPT)"))
		return none;
	for (i = 0; i < list.head.count; i++)
		if (!strcmp(list.info[i].name, name))
			return list.info[i];
	return none;
}

static inline struct path_way *net_way(struct extopt_net *n, int way)
{
	return &n->path->bss->ways[way];
}

#endif
