// SPDX-License-Identifier: GPL-2.0

/* TCP extension options of MPTCP sockets: all subflows have them. */

#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "progs/tcp_extopt_syn.h"
#include "tcp_extopt_syn.skel.h"

#define NS_CLIENT	"tcp_extopt_mptcp_c"
#define NS_SERVER	"tcp_extopt_mptcp_s"
#define ADDR_4		"10.77.0."
#define ADDR_6		"fd77::"
#define TIMEOUT_MS	10000

#ifndef MPTCP_INFO
#define MPTCP_INFO	1
#endif

/* One connection, the client's addresses are endpoints. */
struct pair {
	int family;
	int lfd, cfd, afd;
	int nr_addrs;		/* endpoints so far */
};

static struct tcp_extopt_syn *skel;

/* Negotiated, and short enough for the SYN-ACK of a join */
static struct syn_opt *strict(void)
{
	return &skel->bss->opts[OPT_STRICT];
}

static const char *addr(const struct pair *p, int nr)
{
	static char buf[32];

	snprintf(buf, sizeof(buf), "%s%d",
		 p->family == AF_INET ? ADDR_4 : ADDR_6, nr);
	return buf;
}

static int add_addr(struct pair *p, const char *ns, const char *dev, int nr)
{
	SYS(fail, "ip -n %s addr add %s/%d dev %s %s", ns, addr(p, nr),
	    p->family == AF_INET ? 24 : 64, dev,
	    p->family == AF_INET ? "" : "nodad");
	return 0;
fail:
	return -1;
}

static int set_up(struct pair *p)
{
	SYS(fail, "ip -n %s link add m1 type veth peer name m2 netns %s",
	    NS_SERVER, NS_CLIENT);
	SYS(fail, "ip -n %s link set m1 up", NS_SERVER);
	SYS(fail, "ip -n %s link set m2 up", NS_CLIENT);
	SYS(fail, "ip -n %s mptcp limits set subflows 8", NS_SERVER);
	SYS(fail, "ip -n %s mptcp limits set subflows 8", NS_CLIENT);
	return add_addr(p, NS_SERVER, "m1", 1) ?:
	       add_addr(p, NS_CLIENT, "m2", 2);
fail:
	return -1;
}

/* A new address of the client's, and with it a new subflow */
static int add_subflow(struct pair *p)
{
	int i, nr = 3 + p->nr_addrs;
	socklen_t len;
	__u8 subflows;

	if (add_addr(p, NS_CLIENT, "m2", nr))
		return -1;
	SYS(fail, "ip -n %s mptcp endpoint add %s subflow", NS_CLIENT,
	    addr(p, nr));
	p->nr_addrs++;

	for (i = 0; i < TIMEOUT_MS; i++) {
		int both = 0;

		len = sizeof(subflows);
		if (!getsockopt(p->cfd, SOL_MPTCP, MPTCP_INFO, &subflows, &len))
			both += subflows == p->nr_addrs;
		len = sizeof(subflows);
		if (!getsockopt(p->afd, SOL_MPTCP, MPTCP_INFO, &subflows, &len))
			both += subflows == p->nr_addrs;
		if (both == 2)
			return 0;
		usleep(1000);
	}
	ASSERT_EQ(i, 0, "subflow");
fail:
	return -1;
}

static int exchange(struct pair *p)
{
	char out[3000], in[3000];
	int i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = i;
	if (!ASSERT_EQ(send(p->cfd, out, sizeof(out), 0), sizeof(out), "send") ||
	    !ASSERT_EQ(recv(p->afd, in, sizeof(in), MSG_WAITALL), sizeof(in),
		       "recv") ||
	    !ASSERT_OK(memcmp(in, out, sizeof(in)), "data") ||
	    !ASSERT_EQ(send(p->afd, out, sizeof(out), 0), sizeof(out), "send") ||
	    !ASSERT_EQ(recv(p->cfd, in, sizeof(in), MSG_WAITALL), sizeof(in),
		       "recv") ||
	    !ASSERT_OK(memcmp(in, out, sizeof(in)), "data"))
		return -1;
	return 0;
}

static int mptcp_socket(struct pair *p, const char *ns)
{
	struct nstoken *nstoken;
	int fd;

	nstoken = open_netns(ns);
	if (!ASSERT_OK_PTR(nstoken, "netns"))
		return -1;
	fd = socket(p->family, SOCK_STREAM, IPPROTO_MPTCP);
	close_netns(nstoken);
	if (!ASSERT_OK_FD(fd, "socket"))
		return -1;
	ASSERT_OK(settimeo(fd, TIMEOUT_MS), "settimeo");
	return fd;
}

static int connect_pair(struct pair *p, const char *listener,
			const char *client)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (!ASSERT_OK(make_sockaddr(p->family, addr(p, 1), 0, &ss, &len),
		       "address"))
		return -1;
	p->lfd = mptcp_socket(p, NS_SERVER);
	if (p->lfd < 0 ||
	    (listener && !ASSERT_OK(extopt_select(p->lfd, listener),
				    "select")) ||
	    !ASSERT_OK(bind(p->lfd, (void *)&ss, len), "bind") ||
	    !ASSERT_OK(listen(p->lfd, 5), "listen") ||
	    !ASSERT_OK(getsockname(p->lfd, (void *)&ss, &len), "name"))
		return -1;
	p->cfd = mptcp_socket(p, NS_CLIENT);
	if (p->cfd < 0 ||
	    (client && !ASSERT_OK(extopt_select(p->cfd, client), "select")) ||
	    !ASSERT_OK(connect(p->cfd, (void *)&ss, len), "connect"))
		return -1;
	p->afd = accept(p->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(p->afd, "accept") ||
	    !ASSERT_OK(settimeo(p->afd, TIMEOUT_MS), "settimeo"))
		return -1;
	return exchange(p);
}

/* So many subflows have negotiated, at both ends */
static void check_negotiated(int nr, const char *what)
{
	ASSERT_EQ(strict()->writes[SEG_SYN], nr, what);
	ASSERT_EQ(strict()->writes[SEG_SYNACK], nr, what);
	ASSERT_EQ(strict()->parsed[SEG_SYN].calls, nr, what);
	ASSERT_EQ(strict()->parsed[SEG_SYNACK].calls, nr, what);
	ASSERT_EQ(strict()->negotiated, 2 * nr, what);
	ASSERT_EQ(strict()->state, TCP_EXTOPT_ST_ACTIVE, what);
}

static void strict_writes(void)
{
	int seg;

	for (seg = 0; seg < NR_SEGS; seg++) {
		strict()->len[seg] = 2;
		strict()->fill[seg] = 0x10 + 0x10 * seg;
	}
}

/* Selected on the MPTCP sockets, before they connect */
static void test_subflows(struct pair *p)
{
	struct extopt_list list;

	strict_writes();
	if (connect_pair(p, "strict", "strict"))
		return;
	check_negotiated(1, "first");
	ASSERT_OK(extopt_get(p->cfd, &list), "TCP_EXTOPT");
	ASSERT_EQ(list.head.count, 1, "count");
	ASSERT_EQ(list.info[0].state, TCP_EXTOPT_ST_ACTIVE, "state");
	ASSERT_GT(list.info[0].written, 1, "third ACK and more");

	if (add_subflow(p) || exchange(p))
		return;
	check_negotiated(2, "second");
	if (add_subflow(p) || exchange(p))
		return;
	check_negotiated(3, "third");
}

/* In both namespaces */
static int set_default(const char *names)
{
	static const char * const ns[] = { NS_CLIENT, NS_SERVER };
	struct nstoken *nstoken;
	int i, err = 0;

	for (i = 0; i < 2; i++) {
		nstoken = open_netns(ns[i]);
		if (!ASSERT_OK_PTR(nstoken, "netns"))
			return -1;
		err = err ?: extopt_sysctl("tcp_extopt", names);
		close_netns(nstoken);
	}
	return ASSERT_OK(err, "default") ? 0 : -1;
}

/* A connection has what it had from the beginning, whatever is the default now. */
static void test_default(struct pair *p)
{
	strict_writes();
	if (set_default("strict") || connect_pair(p, NULL, NULL))
		return;
	check_negotiated(1, "first");
	ASSERT_STREQ(extopt_names(p->cfd), "strict", "client");
	ASSERT_STREQ(extopt_names(p->afd), "strict", "server");
	if (set_default("plain") || add_subflow(p) || exchange(p))
		return;
	check_negotiated(2, "second");
	ASSERT_EQ(skel->bss->opts[OPT_PLAIN].writes[SEG_SYN], 0, "plain");
	set_default(" ");
}

/* Selected when there are subflows, it reaches them and those to come. */
static void test_later(struct pair *p)
{
	struct syn_opt *plain = &skel->bss->opts[OPT_PLAIN];

	if (connect_pair(p, NULL, NULL) || add_subflow(p))
		return;
	plain->len[SEG_ACK] = 1;
	plain->len[SEG_SYN] = 1;
	ASSERT_EQ(extopt_select(p->cfd, "strict"), -EISCONN, "too late");
	ASSERT_STREQ(extopt_names(p->cfd), "", "as it was");
	ASSERT_OK(extopt_select(p->cfd, "plain"), "plain");
	ASSERT_STREQ(extopt_names(p->cfd), "plain", "client");
	if (exchange(p) || add_subflow(p))
		return;
	ASSERT_EQ(plain->writes[SEG_SYN], 1, "third subflow");
	ASSERT_EQ(plain->parsed[SEG_SYN].calls, 0, "not the server's");
	ASSERT_OK(extopt_select(p->afd, "plain"), "server");
	if (add_subflow(p))
		return;
	ASSERT_EQ(plain->writes[SEG_SYN], 2, "fourth subflow");
	ASSERT_OK(extopt_select(p->cfd, ""), "none");
	if (add_subflow(p))
		return;
	ASSERT_EQ(plain->writes[SEG_SYN], 2, "fifth subflow");
}

/* The peer's listener has none: it is said no to for each. */
static void test_stripped(struct pair *p)
{
	struct nstoken *nstoken;

	strict_writes();
	if (connect_pair(p, NULL, "strict") || add_subflow(p) || exchange(p))
		return;
	ASSERT_EQ(strict()->writes[SEG_SYN], 2, "SYN");
	ASSERT_EQ(strict()->negotiated, 2, "client only");
	ASSERT_EQ(strict()->state, TCP_EXTOPT_ST_NOT_NEGOTIATED, "state");
	nstoken = open_netns(NS_CLIENT);
	if (!ASSERT_OK_PTR(nstoken, "netns"))
		return;
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 2, "counter");
	close_netns(nstoken);
}

static const struct {
	const char *name;
	void (*run)(struct pair *p);
} tests[] = {
	{ "subflows", test_subflows },
	{ "default", test_default },
	{ "later", test_later },
	{ "stripped", test_stripped },
};

static void run_test(int nr, int family)
{
	struct pair p = { .family = family, .lfd = -1, .cfd = -1, .afd = -1 };
	struct netns_obj *client, *server;

	client = netns_new(NS_CLIENT, false);
	server = netns_new(NS_SERVER, false);
	if (!ASSERT_OK_PTR(client, "client") ||
	    !ASSERT_OK_PTR(server, "server"))
		goto out;
	memset(skel->bss->opts, 0, sizeof(skel->bss->opts));
	if (!set_up(&p))
		tests[nr].run(&p);
	if (p.afd >= 0)
		close(p.afd);
	if (p.cfd >= 0)
		close(p.cfd);
	if (p.lfd >= 0)
		close(p.lfd);
out:
	netns_free(client);
	netns_free(server);
}

/* Names of options are global. */
void serial_test_tcp_extopt_mptcp(void)
{
	struct bpf_link *strict, *plain;
	char name[64];
	int i;

	skel = tcp_extopt_syn__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load"))
		return;
	strict = bpf_map__attach_struct_ops(skel->maps.strict);
	plain = bpf_map__attach_struct_ops(skel->maps.plain);
	if (!ASSERT_OK_PTR(strict, "strict") || !ASSERT_OK_PTR(plain, "plain"))
		goto out;

	for (i = 0; i < 2 * ARRAY_SIZE(tests); i++) {
		snprintf(name, sizeof(name), "%s_v%d", tests[i / 2].name,
			 i % 2 ? 6 : 4);
		if (test__start_subtest(name))
			run_test(i / 2, i % 2 ? AF_INET6 : AF_INET);
	}
out:
	bpf_link__destroy(strict);
	bpf_link__destroy(plain);
	tcp_extopt_syn__destroy(skel);
}
