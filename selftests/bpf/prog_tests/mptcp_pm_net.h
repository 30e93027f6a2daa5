/* SPDX-License-Identifier: GPL-2.0 */
/* For the mptcp_pm* tests: a client and a server, each in a namespace, joined by
 * links. The server can be reached at each of its addresses over each link, of which
 * its ends are the next hops.
 */
#ifndef __MPTCP_PM_NET_H
#define __MPTCP_PM_NET_H

#include <ifaddrs.h>
#include <netinet/tcp.h>
#include "tcp_extopt_helpers.h"

#define PM_INFO			1	/* MPTCP_INFO */
#define PM_TCPINFO		2	/* MPTCP_TCPINFO */
#define PM_SUBFLOW_ADDRS	3	/* MPTCP_SUBFLOW_ADDRS */
#define PM_PATH_MANAGER		16	/* MPTCP_PATH_MANAGER */

#define PM_CLIENT		"pm_client"
#define PM_ROUTER		"pm_router"
#define PM_SERVER		"pm_server"
#define PM_PORT			7100
#define PM_LINKS		3
#define PM_MAX_SUBFLOWS		32
#define PM_TIMEOUT_MS		60000

struct pm_net {
	int family;
	bool mapped;		/* IPv6 sockets for IPv4 addresses */
	const char *from;	/* address that clients are bound to, if any */
	int lfd, cfd, sfd;	/* listener, client, server */
};

struct pm_subflows {
	int nr;
	struct sockaddr_storage local[PM_MAX_SUBFLOWS];
	struct sockaddr_storage remote[PM_MAX_SUBFLOWS];
};

static inline __u64 pm_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* The client's on a link, or one of the server's, which are those of no link */
static inline const char *pm_addr(int family, int link, bool server)
{
	static char buf[8][INET6_ADDRSTRLEN];
	static int next;
	char *s = buf[next++ % 8];

	if (server)
		snprintf(s, INET6_ADDRSTRLEN,
			 family == AF_INET ? "10.77.0.%d" : "fd77::%d", link + 1);
	else
		snprintf(s, INET6_ADDRSTRLEN,
			 family == AF_INET ? "10.78.%d.1" : "fd78:%d::1", link);
	return s;
}

static inline int pm_sysctl(const char *ns, const char *name, const char *value)
{
	struct nstoken *token = open_netns(ns);
	int err;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	err = write_sysctl(name, value);
	close_netns(token);
	return ASSERT_OK(err, name) ? 0 : -1;
}

static inline int pm_limits(const char *ns, int subflows, int addrs)
{
	SYS(fail, "ip -n %s mptcp limits set subflows %d add_addr_accepted %d", ns,
	    subflows, addrs);
	return 0;
fail:
	return -1;
}

/* Many commands of ip at once: to start it takes long in a guest. */
static inline FILE *pm_ip(const char *args)
{
	char cmd[64];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ip %s -batch -", args);
	f = popen(cmd, "w");
	ASSERT_OK_PTR(f, cmd);
	return f;
}

static inline int pm_ip_end(FILE *f, const char *what)
{
	return ASSERT_OK(pclose(f), what) ? 0 : -1;
}

/* What goes with the address of a link when that is removed */
static inline void pm_add_routes(FILE *f, int i)
{
	fprintf(f, "route replace 0.0.0.0/0 via 10.78.%d.2 dev c%d metric %d\n"
		"route replace ::/0 via fd78:%d::2 dev c%d metric %d\n",
		i, i, 100 + i, i, i, 100 + i);
}

static inline int pm_routes(int i)
{
	FILE *f = pm_ip("-n " PM_CLIENT);

	if (!f)
		return -1;
	pm_add_routes(f, i);
	return pm_ip_end(f, "routes");
}

/* What goes when its end of a link goes down: the way back */
static inline void pm_add_server_routes(FILE *f, int i)
{
	fprintf(f, "route replace 10.78.%d.0/24 via 10.79.%d.1 dev s%d\n"
		"route replace fd78:%d::/64 via fd79:%d::1 dev s%d\n",
		i, i, i, i, i, i);
}

static inline void pm_close_pair(struct pm_net *n)
{
	if (n->sfd >= 0)
		close(n->sfd);
	if (n->cfd >= 0)
		close(n->cfd);
	if (n->lfd >= 0)
		close(n->lfd);
	n->lfd = n->cfd = n->sfd = -1;
}

/* The first to be made goes last: where it is not, none is left. */
static inline void pm_delete_net(void)
{
	SYS_NOFAIL("printf 'netns del " PM_SERVER "\nnetns del " PM_ROUTER
		   "\nnetns del " PM_CLIENT "\n' | ip -force -batch -");
}

static inline void pm_close_net(struct pm_net *n)
{
	pm_close_pair(n);
	pm_delete_net();
}

/* A router between, with a link to either side for each of the client's: what came over
 * one goes on over its own.
 */
static inline int pm_open_router(void)
{
	FILE *f = pm_ip("-n " PM_ROUTER), *v6;
	int i, err;

	if (!f)
		return -1;
	for (i = 0; i < PM_LINKS; i++)
		fprintf(f, "link add r%d type veth peer name c%d netns " PM_CLIENT "\n"
			"link add x%d type veth peer name s%d netns " PM_SERVER "\n"
			"addr add 10.78.%d.2/24 dev r%d\n"
			"addr add 10.79.%d.1/24 dev x%d\n"
			"addr add fd78:%d::2/64 dev r%d nodad\n"
			"addr add fd79:%d::1/64 dev x%d nodad\n"
			"link set r%d up\nlink set x%d up\n"
			"rule add iif r%d lookup %d\n"
			"route add 10.77.0.0/24 via 10.79.%d.2 dev x%d table %d\n"
			"route add fd77::/64 via fd79:%d::2 dev x%d table %d\n",
			i, i, i, i, i, i, i, i, i, i, i, i, i, i,
			i, 100 + i, i, i, 100 + i, i, i, 100 + i);
	err = pm_ip_end(f, PM_ROUTER);
	v6 = pm_ip("-6 -n " PM_ROUTER);
	if (!v6)
		return -1;
	for (i = 0; i < PM_LINKS; i++)
		fprintf(v6, "rule add iif r%d lookup %d\n", i, 100 + i);
	return pm_ip_end(v6, PM_ROUTER) ?: err;
}

static inline int pm_open_ends(void)
{
	FILE *c = pm_ip("-n " PM_CLIENT), *s = pm_ip("-n " PM_SERVER);
	int i, err;

	if (!c || !s)
		return -1;
	fprintf(c, "link set lo up\nmptcp limits set subflows 8 add_addr_accepted 8\n");
	fprintf(s, "link set lo up\nmptcp limits set subflows 8 add_addr_accepted 8\n");
	for (i = 0; i < PM_LINKS; i++) {
		fprintf(c, "addr add 10.78.%d.1/24 dev c%d\n"
			"addr add fd78:%d::1/64 dev c%d nodad\n"
			"link set c%d up\n", i, i, i, i, i);
		pm_add_routes(c, i);
		fprintf(s, "addr add 10.79.%d.2/24 dev s%d\n"
			"addr add fd79:%d::2/64 dev s%d nodad\n"
			"link set s%d up\n"
			"addr add 10.77.0.%d/32 dev lo\n"
			"addr add fd77::%d/128 dev lo nodad\n",
			i, i, i, i, i, i + 1, i + 1);
		pm_add_server_routes(s, i);
	}
	err = pm_ip_end(c, PM_CLIENT);
	return pm_ip_end(s, PM_SERVER) ?: err;
}

/* A link that was set up drops what is sent before the kernel has noticed, and each
 * neighbour is looked for three times, a second apart.
 */
static inline int pm_wait_links(const char *ns)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;
	struct nstoken *token = open_netns(ns);
	struct ifaddrs *addrs, *a;
	bool ready = false;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	while (!ready && pm_now_ms() < end && !getifaddrs(&addrs)) {
		ready = true;
		for (a = addrs; a; a = a->ifa_next)
			ready &= !(a->ifa_flags & IFF_UP) || a->ifa_flags & IFF_RUNNING;
		freeifaddrs(addrs);
		if (!ready)
			usleep(10000);
	}
	close_netns(token);
	return ASSERT_TRUE(ready, ns) ? 0 : -1;
}

static inline int pm_open_net(struct pm_net *n, int family)
{
	static const char * const names[] = { PM_CLIENT, PM_ROUTER, PM_SERVER };
	int i;

	n->family = family;
	n->mapped = false;
	n->from = NULL;
	n->lfd = n->cfd = n->sfd = -1;
	/* of a run that was ended */
	if (!access("/var/run/netns/" PM_CLIENT, F_OK))
		pm_delete_net();
	SYS(fail, "printf 'netns add " PM_CLIENT "\nnetns add " PM_ROUTER
	    "\nnetns add " PM_SERVER "\n' | ip -batch -");
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		/* Addresses stay when a link goes down. */
		if (pm_sysctl(names[i], "/proc/sys/net/ipv6/conf/all/keep_addr_on_down", "1"))
			goto fail;
	}
	/* A router asks for neighbours from its link-local address, and not at all while that
	 * is still to be found unique: three times in vain, and the packet is answered with
	 * an error.
	 */
	if (pm_sysctl(PM_ROUTER, "/proc/sys/net/ipv6/conf/default/accept_dad", "0") ||
	    pm_sysctl(PM_SERVER, "/proc/sys/net/ipv6/conf/default/accept_dad", "0") ||
	    pm_sysctl(PM_ROUTER, "/proc/sys/net/ipv6/conf/all/forwarding", "1") ||
	    pm_sysctl(PM_ROUTER, "/proc/sys/net/ipv4/ip_forward", "1") ||
	    pm_sysctl(PM_SERVER, "/proc/sys/net/ipv6/conf/all/forwarding", "1") ||
	    pm_open_router() || pm_open_ends() || pm_wait_links(PM_ROUTER) ||
	    pm_wait_links(PM_CLIENT) || pm_wait_links(PM_SERVER))
		goto fail;
	return 0;
fail:
	pm_close_net(n);
	return -1;
}

/* After links went down */
static inline void pm_restore(struct pm_net *n)
{
	FILE *r = pm_ip("-n " PM_ROUTER), *s = pm_ip("-n " PM_SERVER);
	FILE *c = pm_ip("-n " PM_CLIENT);
	int i;

	if (!r || !s || !c)
		return;
	for (i = 0; i < PM_LINKS; i++) {
		fprintf(r, "link set r%d up\n", i);
		fprintf(s, "link set s%d up\n", i);
		pm_add_server_routes(s, i);
		fprintf(c, "link set c%d up\n", i);
		pm_add_routes(c, i);
	}
	pm_ip_end(r, PM_ROUTER);
	pm_ip_end(s, PM_SERVER);
	pm_ip_end(c, PM_CLIENT);
}

static inline int pm_socket(struct pm_net *n, const char *ns, const char *pm)
{
	struct nstoken *token = open_netns(ns);
	const int one = 1;
	int fd;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	fd = socket(n->mapped ? AF_INET6 : n->family, SOCK_STREAM, IPPROTO_MPTCP);
	close_netns(token);
	if (!ASSERT_OK_FD(fd, "socket"))
		return -1;
	if (!ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				  sizeof(one)), "SO_REUSEADDR") ||
	    !ASSERT_OK(settimeo(fd, PM_TIMEOUT_MS), "settimeo") ||
	    (pm && !ASSERT_OK(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, pm,
					 strlen(pm)), pm))) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int pm_listen(struct pm_net *n, const char *pm)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	fd = pm_socket(n, PM_SERVER, pm);
	if (fd < 0)
		return -1;
	make_sockaddr(n->mapped ? AF_INET6 : n->family, NULL, PM_PORT, &ss, &len);
	if (!ASSERT_OK(bind(fd, (void *)&ss, len), "bind") ||
	    !ASSERT_OK(listen(fd, 1024), "listen")) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline socklen_t pm_sockaddr(struct pm_net *n, const char *addr, int port,
				    struct sockaddr_storage *ss)
{
	char name[INET6_ADDRSTRLEN];
	socklen_t len = 0;

	snprintf(name, sizeof(name), "%s%s", n->mapped ? "::ffff:" : "", addr);
	make_sockaddr(n->mapped ? AF_INET6 : n->family, name, port, ss, &len);
	return len;
}

/* To that of the server's addresses */
static inline int pm_connect_to(struct pm_net *n, int fd, int addr)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (n->from) {
		len = pm_sockaddr(n, n->from, 0, &ss);
		if (!ASSERT_OK(bind(fd, (void *)&ss, len), "bind"))
			return -1;
	}
	len = pm_sockaddr(n, pm_addr(n->family, addr, true), PM_PORT, &ss);
	return ASSERT_OK(connect(fd, (void *)&ss, len), "connect") ? 0 : -1;
}

static inline int pm_connect(struct pm_net *n, int fd)
{
	return pm_connect_to(n, fd, 0);
}

/* The ends the other way round, for a transfer */
static inline struct pm_net pm_back(const struct pm_net *n)
{
	return (struct pm_net){ .cfd = n->sfd, .sfd = n->cfd };
}

/* length bytes from the client to the server; half-way, half() is called */
static inline int pm_transfer(struct pm_net *n, int length, void (*half)(void))
{
	static char out[65536], in[65536];
	int sent = 0, got = 0, ret, i;
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;
	struct pollfd pfd[2];

	while (got < length) {
		if (!ASSERT_LT(pm_now_ms(), end, "transfer"))
			return -1;
		if (half && got >= length / 2) {
			half();
			half = NULL;
		}
		pfd[0].fd = n->cfd;
		pfd[0].events = sent < length ? POLLOUT : 0;
		pfd[1].fd = n->sfd;
		pfd[1].events = POLLIN;
		if (!ASSERT_GE(poll(pfd, 2, 1000), 0, "poll"))
			return -1;
		if (sent < length) {
			int want = length - sent > (int)sizeof(out) ?
				   (int)sizeof(out) : length - sent;

			for (i = 0; i < want; i++)
				out[i] = (sent + i) * 31 >> 3;
			ret = send(n->cfd, out, want, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (ret < 0 && !ASSERT_EQ(errno, EAGAIN, "send"))
				return -1;
			if (ret > 0)
				sent += ret;
		}
		ret = recv(n->sfd, in, sizeof(in), MSG_DONTWAIT);
		if (ret < 0 && !ASSERT_EQ(errno, EAGAIN, "recv"))
			return -1;
		if (!ret && !ASSERT_TRUE(false, "end of file"))
			return -1;
		for (i = 0; i < ret; i++)
			if (in[i] != (char)((got + i) * 31 >> 3))
				return ASSERT_TRUE(false, "bytes") ? 0 : -1;
		if (ret > 0)
			got += ret;
	}
	return 0;
}

/* One more connection to the listener of n, on which nothing was sent yet */
static inline int pm_accept(struct pm_net *n, struct pm_net *other, const char *pm)
{
	other->family = n->family;
	other->mapped = n->mapped;
	other->from = n->from;
	other->sfd = -1;
	other->cfd = pm_socket(n, PM_CLIENT, pm);
	if (other->cfd < 0 || pm_connect(other, other->cfd))
		return -1;
	other->sfd = accept(n->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(other->sfd, "accept") ||
	    !ASSERT_OK(settimeo(other->sfd, PM_TIMEOUT_MS), "settimeo"))
		return -1;
	return 0;
}

/* A byte from one end to the other */
static inline int pm_byte(int from, int to)
{
	char c = 'x';

	if (!ASSERT_EQ(send(from, &c, 1, 0), 1, "send") ||
	    !ASSERT_EQ(recv(to, &c, 1, 0), 1, "recv"))
		return -1;
	return 0;
}

/* The same. The server sends too, then both know that there can be more subflows. */
static inline int pm_more(struct pm_net *n, struct pm_net *other, const char *pm)
{
	if (pm_accept(n, other, pm) || pm_byte(other->cfd, other->sfd))
		return -1;
	return pm_byte(other->sfd, other->cfd);
}

/* A new connection, with the path managers named, NULL for the namespace's */
static inline int pm_pair(struct pm_net *n, const char *client, const char *server)
{
	pm_close_pair(n);
	n->lfd = pm_listen(n, server);
	return n->lfd < 0 ? -1 : pm_more(n, n, client);
}

/* What is IPv4 mapped into IPv6, as IPv4. The port stays where it is. */
static inline struct sockaddr_storage pm_unmap(struct sockaddr_storage ss)
{
	const struct in6_addr addr = ((struct sockaddr_in6 *)&ss)->sin6_addr;

	if (ss.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr)) {
		ss.ss_family = AF_INET;
		memcpy(&((struct sockaddr_in *)&ss)->sin_addr, &addr.s6_addr[12], 4);
	}
	return ss;
}

struct pm_data {
	__u32 size_subflow_data, num_subflows, size_kernel, size_user;
};

/* The subflows that are established: the first is also listed when it is closed. */
static inline int pm_get_subflows(int fd, struct pm_subflows *subflows)
{
	struct {
		struct pm_data head;
		struct {
			struct sockaddr_storage local, remote;
		} addrs[PM_MAX_SUBFLOWS];
	} __attribute__((aligned(8))) data = {};
	struct {
		struct pm_data head;
		struct tcp_info info[PM_MAX_SUBFLOWS];
	} __attribute__((aligned(8))) tcp = {};
	socklen_t len;
	int i;

	memset(subflows, 0, sizeof(*subflows));
	do {
		data.head = (struct pm_data) {
			.size_subflow_data = sizeof(data.head),
			.size_user = sizeof(data.addrs[0]),
		};
		len = sizeof(data);
		if (getsockopt(fd, SOL_MPTCP, PM_SUBFLOW_ADDRS, &data, &len))
			return -errno;
		tcp.head = (struct pm_data) {
			.size_subflow_data = sizeof(tcp.head),
			.size_user = sizeof(tcp.info[0]),
		};
		len = sizeof(tcp);
		if (getsockopt(fd, SOL_MPTCP, PM_TCPINFO, &tcp, &len))
			return -errno;
	} while (data.head.num_subflows != tcp.head.num_subflows);

	for (i = 0; i < tcp.head.num_subflows && i < PM_MAX_SUBFLOWS; i++) {
		if (tcp.info[i].tcpi_state != TCP_ESTABLISHED)
			continue;
		subflows->local[subflows->nr] = pm_unmap(data.addrs[i].local);
		subflows->remote[subflows->nr++] = pm_unmap(data.addrs[i].remote);
	}
	return 0;
}

static inline bool pm_same_addr(const struct sockaddr_storage *a,
				const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((struct sockaddr_in *)b)->sin_addr.s_addr;
	return !memcmp(&((struct sockaddr_in6 *)a)->sin6_addr,
		       &((struct sockaddr_in6 *)b)->sin6_addr, 16);
}

static inline int pm_port(const struct sockaddr_storage *ss)
{
	return ntohs(((struct sockaddr_in *)ss)->sin_port);
}

static inline int pm_subflows(int fd)
{
	struct pm_subflows subflows;

	return pm_get_subflows(fd, &subflows) ? -1 : subflows.nr;
}

/* Subflows beside the first, as MPTCP_INFO has them */
static inline int pm_extra(int fd)
{
	__u8 subflows;		/* the first of struct mptcp_info */
	socklen_t len = sizeof(subflows);

	return getsockopt(fd, SOL_MPTCP, PM_INFO, &subflows, &len) ? -errno : subflows;
}

/* Is it TCP by now? It has no options of MPTCP then. */
static inline bool pm_is_tcp(int fd)
{
	int ret = pm_extra(fd);

	return ret == -EOPNOTSUPP || ret == -ENOPROTOOPT;	/* IPv4, IPv6 */
}

static inline bool pm_wait_tcp(int fd)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;

	while (!pm_is_tcp(fd) && pm_now_ms() < end)
		usleep(10000);
	return ASSERT_TRUE(pm_is_tcp(fd), "TCP");
}

/* What ss has of the only session that is established there */
static inline const char *pm_ss(const char *ns)
{
	static char line[1024];
	char cmd[128];
	FILE *f;

	line[0] = 0;
	snprintf(cmd, sizeof(cmd), "ip netns exec %s ss -OMHin state established", ns);
	f = popen(cmd, "r");
	if (!ASSERT_OK_PTR(f, "popen"))
		return line;
	if (!ASSERT_OK_PTR(fgets(line, sizeof(line), f), "ss"))
		line[0] = 0;
	ASSERT_NULL(fgets(cmd, sizeof(cmd), f), "sessions");
	pclose(f);
	return line;
}

/* Subflows beside the first, as ss has them */
static inline int pm_diag(const char *ns)
{
	const char *found = strstr(pm_ss(ns), " subflows:");

	return found ? atoi(found + strlen(" subflows:")) : 0;
}

/* Which one it is, -1 if there is none */
static inline int pm_find(int fd, const char *local, const char *remote)
{
	struct sockaddr_storage l, r;
	struct pm_subflows subflows;
	int i, family = strchr(local, ':') ? AF_INET6 : AF_INET;

	make_sockaddr(family, local, 0, &l, NULL);
	make_sockaddr(family, remote, 0, &r, NULL);
	pm_get_subflows(fd, &subflows);
	for (i = 0; i < subflows.nr; i++)
		if (pm_same_addr(&subflows.local[i], &l) &&
		    pm_same_addr(&subflows.remote[i], &r))
			return i;
	return -1;
}

/* How many are to that port */
static inline int pm_to_port(int fd, int port)
{
	struct pm_subflows subflows;
	int i, nr = 0;

	pm_get_subflows(fd, &subflows);
	for (i = 0; i < subflows.nr; i++)
		nr += pm_port(&subflows.remote[i]) == port;
	return nr;
}

/* Until there are so many subflows */
static inline bool pm_wait_subflows(int fd, int nr)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;

	while (pm_subflows(fd) != nr && pm_now_ms() < end)
		usleep(10000);
	return ASSERT_EQ(pm_subflows(fd), nr, "subflows");
}

/* Until the session is over: nothing comes of it but the end */
static inline void pm_wait_closed(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };

	poll(&pfd, 1, PM_TIMEOUT_MS);
	ASSERT_TRUE(pfd.revents & POLLHUP, "over");
}

/* Until a counter of the namespace is so high */
static inline bool pm_wait_counter(const char *ns, const char *name, long least)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;
	struct nstoken *token = open_netns(ns);
	long nr;

	if (!ASSERT_OK_PTR(token, "netns"))
		return false;
	while ((nr = extopt_netstat(name)) < least && nr >= 0 && pm_now_ms() < end)
		usleep(10000);
	close_netns(token);
	return ASSERT_GE(nr, least, name);
}

static inline bool pm_wait_value(const __u64 *value, __u64 least)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;

	while (*(volatile const __u64 *)value < least && pm_now_ms() < end)
		usleep(10000);
	return ASSERT_GE(*value, least, "value");
}

/* Of the client's end of a link */
static inline int pm_ifindex(int link)
{
	struct nstoken *token = open_netns(PM_CLIENT);
	char name[8];
	int index;

	if (!ASSERT_OK_PTR(token, "netns"))
		return 0;
	snprintf(name, sizeof(name), "c%d", link);
	index = if_nametoindex(name);
	close_netns(token);
	ASSERT_GT(index, 0, name);
	return index;
}

static inline __u64 pm_link_count(int link, const char *name)
{
	char buf[32] = {}, cmd[128];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ip netns exec " PM_CLIENT
		 " cat /sys/class/net/c%d/statistics/%s", link, name);
	f = popen(cmd, "r");
	if (!ASSERT_OK_PTR(f, "popen"))
		return 0;
	if (!ASSERT_OK_PTR(fgets(buf, sizeof(buf), f), name))
		buf[0] = 0;
	pclose(f);
	return strtoull(buf, NULL, 10);
}

/* Sent by the client on a link */
static inline __u64 pm_link_bytes(int link)
{
	return pm_link_count(link, "tx_bytes");
}

/* Sent to it */
static inline __u64 pm_link_bytes_in(int link)
{
	return pm_link_count(link, "rx_bytes");
}

/* The router passes nothing of a link on any more, and tells nobody. */
static inline int pm_cut(struct pm_net *n, int link)
{
	FILE *f = pm_ip(n->family == AF_INET ? "-4 -n " PM_ROUTER : "-6 -n " PM_ROUTER);

	if (!f)
		return -1;
	fprintf(f, "rule add iif r%d blackhole\nrule add iif x%d blackhole\n", link, link);
	return pm_ip_end(f, "rules");
}

/* As a middlebox would, or the peer: subflow i of the server's end is gone. */
static inline int pm_reset_subflow(struct pm_net *n, int i)
{
	struct pm_subflows subflows;

	if (!ASSERT_OK(pm_get_subflows(n->cfd, &subflows), "subflows") ||
	    !ASSERT_GT(subflows.nr, i, "subflows"))
		return -1;
	SYS(fail, "ip netns exec " PM_SERVER " ss -K -t sport = :%d dport = :%d >/dev/null",
	    PM_PORT, pm_port(&subflows.local[i]));
	return 0;
fail:
	return -1;
}

#endif
