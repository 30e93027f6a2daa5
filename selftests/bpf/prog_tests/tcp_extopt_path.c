// SPDX-License-Identifier: GPL-2.0

/* TCP extension options between two kernel sockets, over a path that drops,
 * strips and changes them: what is on the wire by a capture, what both ends say,
 * and that there is a connection in any case.
 */

#include <pthread.h>
#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "progs/tcp_extopt_path.h"
#include "tcp_extopt_path.skel.h"

#define NS_CLIENT	"tcp_extopt_path_c"
#define NS_SERVER	"tcp_extopt_path_s"
#define CG_NAME		"/tcp-extopt-path"
#define TIMEOUT_MS	20000
#define NR_CONNS	10000
#define NR_CLIENTS	16
/* Eight to a listener: an ACK that has a cookie and comes twice makes a connection
 * that has no client, on which one of them then waits.
 */
#define NR_SERVERS	32
#define PORT		50000	/* the server's: above all of the client's */
#define PORT_DECLINE	50001
#define PORT_CLOSED	50002
#define CLIENT_PORT	20000
#define AVAILABLE	"/proc/sys/net/ipv4/tcp_available_extopt"

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN	0x20000000
#endif

static struct tcp_extopt_path *skel;
static int ns_fd[2];		/* client, server */

static int in_ns(const char *ns, const char *name, const char *value)
{
	struct nstoken *token = open_netns(ns);
	int err;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	err = extopt_sysctl(name, value);
	close_netns(token);
	return ASSERT_OK(err, name) ? 0 : -1;
}

static long counter(const char *ns, const char *name)
{
	struct nstoken *token = open_netns(ns);
	long ret;

	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	ret = extopt_netstat(name);
	close_netns(token);
	return ret;
}

static int set_up(void)
{
	struct bpf_link *link;
	struct nstoken *token;

	SYS(fail, "ip -n %s link add c0 type veth peer name s0 netns %s",
	    NS_CLIENT, NS_SERVER);
	SYS(fail, "ip -n %s addr add 10.78.0.1/24 dev c0", NS_CLIENT);
	SYS(fail, "ip -n %s addr add fd78::1/64 dev c0 nodad", NS_CLIENT);
	SYS(fail, "ip -n %s addr add 10.78.0.2/24 dev s0", NS_SERVER);
	SYS(fail, "ip -n %s addr add fd78::2/64 dev s0 nodad", NS_SERVER);
	SYS(fail, "ip -n %s link set c0 up", NS_CLIENT);
	SYS(fail, "ip -n %s link set s0 up", NS_SERVER);

	/* Any port is free to be bound to, right after. */
	if (in_ns(NS_CLIENT, "ip_local_port_range", "60000 60999") ||
	    in_ns(NS_CLIENT, "tcp_fastopen", "5") ||
	    in_ns(NS_SERVER, "tcp_fastopen", "514"))
		return -1;

	/* On arrival: what is dropped when it is sent, the sender knows of. */
	token = open_netns(NS_SERVER);
	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	link = bpf_program__attach_tcx(skel->progs.to_server,
				       if_nametoindex("s0"), NULL);
	close_netns(token);
	if (!ASSERT_OK_PTR(link, "to the server"))
		return -1;
	skel->links.to_server = link;

	token = open_netns(NS_CLIENT);
	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	link = bpf_program__attach_tcx(skel->progs.to_client,
				       if_nametoindex("c0"), NULL);
	close_netns(token);
	if (!ASSERT_OK_PTR(link, "to the client"))
		return -1;
	skel->links.to_client = link;
	return 0;
fail:
	return -1;
}

static socklen_t address(int family, bool server, int port,
			 struct sockaddr_storage *ss)
{
	socklen_t len = 0;

	make_sockaddr(family, family == AF_INET ?
		      (server ? "10.78.0.2" : "10.78.0.1") :
		      (server ? "fd78::2" : "fd78::1"), port, ss, &len);
	return len;
}

/* A socket in a namespace, for any thread: it goes there and comes not back. */
static int ns_socket(int family, bool server, int port, const char *names)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_storage ss;
	const int one = 1;
	socklen_t len;
	int fd;

	if (setns(ns_fd[server], CLONE_NEWNET))
		return -1;
	fd = socket(family, SOCK_STREAM, 0);
	if (fd < 0)
		return -1;
	len = address(family, server, port, &ss);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) ||
	    (family == AF_INET6 &&
	     setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    settimeo(fd, TIMEOUT_MS) || bind(fd, (void *)&ss, len) ||
	    (names && extopt_select(fd, names))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int state_of(int fd)
{
	struct extopt_list list;
	int i;

	if (extopt_get(fd, &list))
		return -1;
	for (i = 0; i < list.head.count; i++)
		if (!strcmp(list.info[i].name, "conn"))
			return list.info[i].state;
	return 0;
}

static int listener(int family, int port)
{
	const int qlen = 64;
	int fd = ns_socket(family, true, port, "conn plain");

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_TCP, TCP_FASTOPEN, &qlen, sizeof(qlen)) ||
	    listen(fd, 4096)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* 1. One at a time */

static const struct {
	const char *name;
	int client, server;		/* states */
	int fallbacks[2];		/* of either namespace */
	int client_data, server_data;	/* with the option */
} modes[NR_MODES] = {
	[MODE_PASS] = { "pass", TCP_EXTOPT_ST_ACTIVE, TCP_EXTOPT_ST_ACTIVE,
			{ 0, 0 }, 1, 1 },
	[MODE_DROP_SYN] = { "drop_syn", TCP_EXTOPT_ST_FALLBACK,
			    TCP_EXTOPT_ST_NOT_NEGOTIATED, { 1, 0 } },
	[MODE_STRIP_SYN] = { "strip_syn", TCP_EXTOPT_ST_NOT_NEGOTIATED,
			     TCP_EXTOPT_ST_NOT_NEGOTIATED },
	[MODE_DROP_SYNACK] = { "drop_synack", TCP_EXTOPT_ST_FALLBACK,
			       TCP_EXTOPT_ST_FALLBACK, { 1, 1 } },
	/* The server cannot know. */
	[MODE_STRIP_SYNACK] = { "strip_synack", TCP_EXTOPT_ST_NOT_NEGOTIATED,
				TCP_EXTOPT_ST_ACTIVE, { 0, 0 }, 0, 1 },
	/* Dropped: TCP-MD5 and TCP-AO look at all options, and this is none. */
	[MODE_GARBAGE] = { "garbage", TCP_EXTOPT_ST_FALLBACK,
			   TCP_EXTOPT_ST_FALLBACK, { 1, 1 } },
	[MODE_ECHO] = { "echo", TCP_EXTOPT_ST_ECHOED, TCP_EXTOPT_ST_ACTIVE,
			{ 0, 0 }, 0, 1 },
};

static void check_opt(int cap, const char *what)
{
	const __u8 want[OPT_LEN] = {
		254, OPT_LEN, EXID >> 8, EXID & 0xff, VALUE(cap), 1, 2, 3,
	};

	ASSERT_OK(memcmp(skel->bss->caps[cap].opt, want, sizeof(want)), what);
}

static void check_data(int cap, int with, const char *what)
{
	const struct capture *c = &skel->bss->caps[cap];

	ASSERT_GE(c->segs, 1, what);
	ASSERT_EQ(c->with, with ? c->segs : 0, what);
	if (with)
		check_opt(cap, what);
}

static void run_mode(int mode, int family)
{
	const char * const ns[2] = { NS_CLIENT, NS_SERVER };
	int lfd, cfd = -1, afd = -1, i, port, nots = 0;
	long fallback[2], not[2];
	struct sockaddr_storage ss;
	struct capture *caps;
	socklen_t len;
	char buf[4];

	port = CLIENT_PORT - CLIENT_PORT % NR_MODES + mode;
	if (family == AF_INET6)
		port += NR_MODES;
	for (i = 0; i < 2; i++) {
		fallback[i] = counter(ns[i], "TCPExtOptFallback");
		not[i] = counter(ns[i], "TCPExtOptNotNegotiated");
	}
	memset(skel->bss->caps, 0, sizeof(skel->bss->caps));
	skel->bss->watched = port;
	caps = skel->bss->caps;

	lfd = listener(family, PORT);
	if (!ASSERT_OK_FD(lfd, "listener"))
		return;
	cfd = ns_socket(family, false, port, "conn plain");
	len = address(family, true, PORT, &ss);
	if (!ASSERT_OK_FD(cfd, "client") ||
	    !ASSERT_OK(connect(cfd, (void *)&ss, len), "connect"))
		goto out;
	afd = accept(lfd, NULL, NULL);
	if (!ASSERT_OK_FD(afd, "accept") ||
	    !ASSERT_OK(settimeo(afd, TIMEOUT_MS), "timeo") ||
	    !ASSERT_EQ(send(cfd, "ping", 4, 0), 4, "send") ||
	    !ASSERT_EQ(recv(afd, buf, 4, MSG_WAITALL), 4, "recv") ||
	    !ASSERT_OK(memcmp(buf, "ping", 4), "ping") ||
	    !ASSERT_EQ(send(afd, "pong", 4, 0), 4, "send") ||
	    !ASSERT_EQ(recv(cfd, buf, 4, MSG_WAITALL), 4, "recv") ||
	    !ASSERT_OK(memcmp(buf, "pong", 4), "pong"))
		goto out;

	ASSERT_EQ(state_of(cfd), modes[mode].client, "client");
	ASSERT_EQ(state_of(afd), modes[mode].server, "server");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(counter(ns[i], "TCPExtOptFallback") - fallback[i],
			  modes[mode].fallbacks[i], "fallback");
		nots = (i ? modes[mode].server : modes[mode].client) !=
		       TCP_EXTOPT_ST_ACTIVE;
		ASSERT_EQ(counter(ns[i], "TCPExtOptNotNegotiated") - not[i],
			  nots, "not negotiated");
	}

	/* On the wire */
	ASSERT_EQ(caps[CAP_SYN].with, 1, "SYN");
	check_opt(CAP_SYN, "SYN");
	ASSERT_EQ(caps[CAP_SYN].segs > 1, modes[mode].fallbacks[0], "SYN again");
	if (mode == MODE_DROP_SYN || mode == MODE_STRIP_SYN) {
		ASSERT_EQ(caps[CAP_SYNACK].with, 0, "SYN-ACK");
	} else {
		ASSERT_GE(caps[CAP_SYNACK].with, 1, "SYN-ACK");
		check_opt(CAP_SYNACK, "SYN-ACK");
	}
	ASSERT_GE(caps[CAP_ACK].segs, 1, "third ACK");
	ASSERT_EQ(caps[CAP_ACK].with, modes[mode].client_data ?
		  caps[CAP_ACK].segs : 0, "third ACK");
	check_data(CAP_CLIENT, modes[mode].client_data, "client's data");
	check_data(CAP_SERVER, modes[mode].server_data, "server's data");
out:
	if (afd >= 0)
		close(afd);
	if (cfd >= 0)
		close(cfd);
	close(lfd);
	skel->bss->watched = 0;
}

/* 2. Many, and all that can happen to them */

struct many {
	int lfd[4];		/* by family, and PORT or PORT_DECLINE */
	volatile bool done;
	__u32 next;		/* connection */
	__u32 good, refused, aborted;
	__u32 bad;
};

static struct many many;

static void *serve(void *arg)
{
	int lfd = *(int *)arg, fd;
	char buf[4];

	while (!many.done) {
		fd = accept(lfd, NULL, NULL);
		if (fd < 0)
			continue;
		settimeo(fd, TIMEOUT_MS);
		if (recv(fd, buf, 4, MSG_WAITALL) == 4)
			send(fd, buf, 4, MSG_NOSIGNAL);
		/* Until the client has what it waits for */
		recv(fd, buf, 1, 0);
		close(fd);
	}
	return NULL;
}

static void bad(const char *what, __u32 nr)
{
	printf("connection %u: %s: %s\n", nr, what, strerror(errno));
	__sync_fetch_and_add(&many.bad, 1);
}

static void one(__u32 nr)
{
	int family = nr & 1 ? AF_INET6 : AF_INET, port, fd;
	bool fastopen = nr % 8 == 3, abort = nr % 16 == 9;
	bool closed = nr % 64 == 21;
	struct sockaddr_storage ss;
	char out[4], in[4];
	socklen_t len;

	fd = ns_socket(family, false, CLIENT_PORT + nr,
		       nr % 32 == 30 ? NULL : "conn plain");
	if (fd < 0)
		return bad("socket", nr);
	port = closed ? PORT_CLOSED : nr % 4 == 2 ? PORT_DECLINE : PORT;
	len = address(family, true, port, &ss);
	memcpy(out, &nr, 4);

	if (fastopen && !closed) {
		if (sendto(fd, out, 4, MSG_FASTOPEN, (void *)&ss, len) != 4) {
			bad("Fast Open", nr);
			goto out;
		}
	} else if (connect(fd, (void *)&ss, len)) {
		if (closed && errno == ECONNREFUSED)
			__sync_fetch_and_add(&many.refused, 1);
		else
			bad("connect", nr);
		goto out;
	} else if (closed) {
		bad("connect to nobody", nr);
		goto out;
	}
	if (abort) {
		/* With SO_LINGER that is a RST */
		__sync_fetch_and_add(&many.aborted, 1);
		goto out;
	}
	if (!fastopen && send(fd, out, 4, MSG_NOSIGNAL) != 4) {
		bad("send", nr);
		goto out;
	}
	if (recv(fd, in, 4, MSG_WAITALL) != 4) {
		bad("recv", nr);
		goto out;
	}
	if (memcmp(in, out, 4)) {
		bad("bytes", nr);
		goto out;
	}
	__sync_fetch_and_add(&many.good, 1);
out:
	close(fd);
}

static void *connect_all(void *arg)
{
	__u32 nr;

	while ((nr = __sync_fetch_and_add(&many.next, 1)) < NR_CONNS)
		one(nr);
	return NULL;
}

static void run_mixed(int cg_fd)
{
	pthread_t servers[NR_SERVERS], clients[NR_CLIENTS];
	int i, nr_servers = 0, nr_clients = 0;
	bool cookies = false;
	long synrecv;

	memset(&many, 0, sizeof(many));
	for (i = 0; i < 4; i++)
		many.lfd[i] = -1;
	skel->links.timeout = bpf_program__attach_cgroup(skel->progs.timeout,
							 cg_fd);
	if (!ASSERT_OK_PTR(skel->links.timeout, "sockops"))
		return;
	skel->bss->rto_ms = 500;
	skel->bss->declining = PORT_DECLINE;
	memset(skel->bss->negotiated, 0, sizeof(skel->bss->negotiated));
	synrecv = counter(NS_SERVER, "SyncookiesRecv");

	for (i = 0; i < 4; i++) {
		many.lfd[i] = listener(i & 1 ? AF_INET6 : AF_INET,
				       i & 2 ? PORT_DECLINE : PORT);
		if (!ASSERT_OK_FD(many.lfd[i], "listener"))
			goto out;
	}
	for (; nr_servers < NR_SERVERS; nr_servers++) {
		if (!ASSERT_OK(pthread_create(&servers[nr_servers], NULL, serve,
					      &many.lfd[nr_servers % 4]),
			       "server"))
			goto out;
	}
	for (; nr_clients < NR_CLIENTS; nr_clients++) {
		if (!ASSERT_OK(pthread_create(&clients[nr_clients], NULL,
					      connect_all, NULL), "client"))
			goto out;
	}
	/* Cookies come and go. */
	while (many.next < NR_CONNS) {
		cookies = !cookies;
		in_ns(NS_SERVER, "tcp_syncookies", cookies ? "2" : "1");
		usleep(100000);
	}
out:
	while (nr_clients)
		pthread_join(clients[--nr_clients], NULL);
	many.done = true;
	for (i = 0; i < 4 && many.lfd[i] >= 0; i++)
		shutdown(many.lfd[i], SHUT_RDWR);
	while (nr_servers)
		pthread_join(servers[--nr_servers], NULL);
	for (i = 0; i < 4 && many.lfd[i] >= 0; i++)
		close(many.lfd[i]);

	ASSERT_EQ(many.bad, 0, "bad");
	ASSERT_EQ(many.good + many.aborted + many.refused, NR_CONNS, "all");
	ASSERT_EQ(many.refused, (NR_CONNS - 22) / 64 + 1, "refused");
	/* All that there is has been there. */
	ASSERT_GT(skel->bss->dropped, 0, "dropped");
	ASSERT_GT(counter(NS_SERVER, "SyncookiesRecv"), synrecv, "cookies");
	ASSERT_GT(counter(NS_SERVER, "TCPFastOpenPassive"), 0, "Fast Open");
	for (i = TCP_EXTOPT_ST_NOT_NEGOTIATED; i <= TCP_EXTOPT_ST_ECHOED; i++)
		ASSERT_GT(skel->bss->negotiated[i], 0, "state");
	ASSERT_GT(skel->bss->negotiated[TCP_EXTOPT_ST_ACTIVE], 0, "active");

	bpf_link__destroy(skel->links.timeout);
	skel->links.timeout = NULL;
	skel->bss->rto_ms = 0;
	skel->bss->declining = 0;
}

/* Names of options are global. */
void serial_test_tcp_extopt_path(void)
{
	struct netns_obj *client, *server = NULL;
	int i, fd, home, cg_fd = -1;
	char name[64], buf[256];

	ns_fd[0] = -1;
	ns_fd[1] = -1;
	home = open("/proc/thread-self/ns/net", O_RDONLY);
	skel = tcp_extopt_path__open();
	if (!ASSERT_OK_PTR(skel, "open"))
		return;
	bpf_program__set_expected_attach_type(skel->progs.to_server,
					      BPF_TCX_INGRESS);
	bpf_program__set_expected_attach_type(skel->progs.to_client,
					      BPF_TCX_INGRESS);
	client = netns_new(NS_CLIENT, false);
	if (!ASSERT_OK_PTR(client, "client"))
		goto out;
	server = netns_new(NS_SERVER, false);
	if (!ASSERT_OK_PTR(server, "server"))
		goto out;
	ns_fd[0] = open("/var/run/netns/" NS_CLIENT, O_RDONLY);
	ns_fd[1] = open("/var/run/netns/" NS_SERVER, O_RDONLY);
	cg_fd = test__join_cgroup(CG_NAME);
	if (!ASSERT_OK(tcp_extopt_path__load(skel), "load") ||
	    !ASSERT_OK_FD(cg_fd, "cgroup") || set_up())
		goto out;
	skel->links.conn = bpf_map__attach_struct_ops(skel->maps.conn);
	skel->links.plain = bpf_map__attach_struct_ops(skel->maps.plain);
	if (!ASSERT_OK_PTR(skel->links.conn, "conn") ||
	    !ASSERT_OK_PTR(skel->links.plain, "plain"))
		goto out;

	for (i = 0; i < 2 * NR_MODES; i++) {
		snprintf(name, sizeof(name), "%s_v%d", modes[i / 2].name,
			 i % 2 ? 6 : 4);
		if (test__start_subtest(name)) {
			run_mode(i / 2, i % 2 ? AF_INET6 : AF_INET);
			setns(home, CLONE_NEWNET);
		}
	}
	if (test__start_subtest("mixed")) {
		run_mixed(cg_fd);
		setns(home, CLONE_NEWNET);
	}

	bpf_link__destroy(skel->links.conn);
	bpf_link__destroy(skel->links.plain);
	skel->links.conn = NULL;
	skel->links.plain = NULL;
	fd = open(AVAILABLE, O_RDONLY);
	if (ASSERT_OK_FD(fd, "available")) {
		memset(buf, 0, sizeof(buf));
		ASSERT_GE(read(fd, buf, sizeof(buf) - 1), 0, "read");
		ASSERT_NULL(strstr(buf, "conn"), "gone");
		close(fd);
	}
out:
	tcp_extopt_path__destroy(skel);
	if (cg_fd >= 0)
		close(cg_fd);
	close(ns_fd[0]);
	close(ns_fd[1]);
	netns_free(server);
	netns_free(client);
	close(home);
}
