// SPDX-License-Identifier: GPL-2.0

/* U1: the TCP User Timeout option. When the path is cut, an end gives up after the
 * time that the other has announced, and neither before nor after.
 */

#include "test_progs.h"
#include "progs/extopt_path.h"
#include "progs/extopt_uto.h"
#include "extopt_path.skel.h"
#include "extopt_uto.skel.h"
#include "extopt_net.h"

#define KIND		28

static struct extopt_net net;
/* The two ends have programs of their own, of different names */
static struct extopt_uto *client, *server;

static void config(struct extopt_uto *skel, int adv, int lower, int upper)
{
	skel->data_uto->uto_config.adv = adv;
	skel->data_uto->uto_config.lower = lower;
	skel->data_uto->uto_config.upper = upper;
	memset(&skel->bss->uto_stats, 0, sizeof(skel->bss->uto_stats));
}

static struct extopt_uto *load(const char *name)
{
	struct extopt_uto *skel = extopt_uto__open();

	if (!ASSERT_OK_PTR(skel, "open"))
		return NULL;
	net_rename(skel->maps.uto, "uto", name);
	if (!ASSERT_OK(extopt_uto__load(skel), "load"))
		goto destroy;
	skel->links.uto = bpf_map__attach_struct_ops(skel->maps.uto);
	if (ASSERT_OK_PTR(skel->links.uto, "register"))
		return skel;
destroy:
	extopt_uto__destroy(skel);
	return NULL;
}

static void test_server(void)
{
	int s;

	for (s = 1; s <= 3; s += 2) {
		config(client, s, 1, 3600);
		config(server, 0, 1, 3600);
		if (net_pair(&net, "uto", "uto2") || net_ping(&net))
			return;
		ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, 1, "SYN");
		ASSERT_EQ(net_way(&net, TO_CLIENT)->with_syn, 0, "SYN-ACK");
		ASSERT_GE(net_way(&net, TO_SERVER)->with_ack, 1, "third ACK");
		ASSERT_EQ(net_int(net.cfd, TCP_USER_TIMEOUT), 0, "client's own");
		net_give_up(&net, net.sfd, s);
	}
}

static void test_client(void)
{
	int s;

	for (s = 1; s <= 3; s += 2) {
		config(client, 0, 1, 3600);
		config(server, s, 1, 3600);
		if (net_pair(&net, "uto", "uto2") || net_ping(&net))
			return;
		ASSERT_EQ(net_way(&net, TO_CLIENT)->with_syn, 1, "SYN-ACK");
		ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), 0, "server's own");
		net_give_up(&net, net.cfd, s);
	}
}

/* min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)), at both ends of it */
static void test_limits(void)
{
	static const struct {
		int remote, adv, lower, upper, want;
	} cases[] = {
		{ 5, 0, 2, 60, 5 },
		{ 1, 0, 2, 60, 2 },
		{ 90, 0, 2, 60, 60 },
		{ 5, 8, 2, 60, 8 },
		{ 0x7fff, 0, 100, 100000, 0x7fff },
		/* in minutes, rounded down */
		{ 0x8000, 0, 100, 100000, 0x8000 / 60 * 60 },
		{ 0x7fffffff, 0, 100, 2000000, 0x7fff * 60 },
		{ 0x7fffffff, 0, 100, 3600, 3600 },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		config(client, cases[i].remote, 100, 3600);
		config(server, cases[i].adv, cases[i].lower, cases[i].upper);
		if (net_pair(&net, "uto", "uto2") || net_ping(&net))
			return;
		ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT),
			  1000 * cases[i].want, "user timeout");
		ASSERT_GE(server->bss->uto_stats.applied, 1, "applied");
	}

	/* And that it is so */
	config(client, 1, 1, 3600);
	config(server, 0, 3, 3600);
	if (!net_pair(&net, "uto", "uto2"))
		net_give_up(&net, net.sfd, 3);
	config(client, 100, 1, 3600);
	config(server, 0, 1, 2);
	if (!net_pair(&net, "uto", "uto2"))
		net_give_up(&net, net.sfd, 2);
}

/* On later segments, when what is announced has changed */
static void test_later(void)
{
	struct path_way *way;
	int i, acks;

	config(client, 10, 1, 3600);
	config(server, 0, 1, 3600);
	if (net_pair(&net, "uto", "uto2"))
		return;
	way = net_way(&net, TO_SERVER);
	/* The client has received more than it has sent: pure ACKs */
	for (i = 0; i < 10; i++)
		if (net_send(net.sfd, net.cfd, 50000))
			return;
	ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), 10000, "of the SYN");
	ASSERT_GE(way->with_ack, 1, "again after the handshake");
	ASSERT_LE(way->with_ack, 3, "but not for ever");
	ASSERT_EQ(way->with_data, 0, "data");

	acks = way->with_ack;
	client->data_uto->uto_config.adv = 2;
	for (i = 0; i < 10; i++)
		if (net_send(net.sfd, net.cfd, 50000))
			return;
	ASSERT_EQ(way->with_ack, acks + 3, "the new one");
	ASSERT_EQ(way->opt[3], 2, "the new one");
	/* An end that only sends data, too */
	acks = way->with_ack;
	client->data_uto->uto_config.adv = 3;
	for (i = 0; i < 10; i++)
		if (net_send(net.cfd, net.sfd, 50000))
			return;
	ASSERT_GE(way->with_data + way->with_ack - acks, 3, "on data");
	ASSERT_GE(way->with_data, 1, "on data");
	ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), 3000, "of the data");
	net_give_up(&net, net.sfd, 3);
}

/* A SYN cookie forgets what was on the SYN, the third ACK says it again. */
static void test_cookie(void)
{
	config(client, 2, 1, 3600);
	config(server, 0, 1, 3600);
	if (net_sysctl(NET_SERVER, "tcp_syncookies", "2") ||
	    net_pair(&net, "uto", "uto2"))
		return;
	ASSERT_GE(net_counter(NET_SERVER, "SyncookiesRecv"), 1, "cookies");
	net_give_up(&net, net.sfd, 2);
}

/* However little is asked for: data is to be sent again once before it is given up. */
static void test_rto(void)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);
	int ms;

	config(client, 1, 1, 3600);
	config(server, 0, 1, 3600);
	if (net_rtt(800) || net_pair(&net, "uto", "uto2"))
		return;
	ASSERT_OK(getsockopt(net.sfd, SOL_TCP, TCP_INFO, &info, &len), "TCP_INFO");
	ASSERT_GT(info.tcpi_rto, 1000000, "RTO");
	ms = net_int(net.sfd, TCP_USER_TIMEOUT);
	ASSERT_GT(ms, info.tcpi_rto / 1000, "longer than the RTO");
	ASSERT_LE(ms, info.tcpi_rto / 1000 + 1000, "by a second at most");
	ASSERT_GE(server->bss->uto_stats.applied, 1, "applied");

	/* The upper limit holds all the same. */
	config(server, 0, 1, 1);
	if (!net_pair(&net, "uto", "uto2"))
		ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), 1000, "the most");
}

/* What the application has set for its listener is announced from the SYN-ACK on. */
static void test_listener(void)
{
	const int own = 6001;

	config(client, 2, 1, 3600);
	config(server, 9, 1, 3600);
	memset(net.path->bss->ways, 0, sizeof(net.path->bss->ways));
	net.lfd = net_listen(&net, "uto2");
	net.cfd = net_socket(&net, false, "uto");
	if (net.lfd < 0 || net.cfd < 0 ||
	    !ASSERT_OK(setsockopt(net.lfd, SOL_TCP, TCP_USER_TIMEOUT, &own,
				  sizeof(own)), "TCP_USER_TIMEOUT") ||
	    net_connect(&net, net.cfd))
		return;
	ASSERT_EQ(net_way(&net, TO_CLIENT)->with_syn, 1, "SYN-ACK");
	ASSERT_EQ(net_way(&net, TO_CLIENT)->with_data +
		  net_way(&net, TO_CLIENT)->with_ack, 0, "nothing else");
	ASSERT_EQ(net_int(net.cfd, TCP_USER_TIMEOUT), 7000, "rounded up");
	net.sfd = net_accept(net.lfd);
	if (net.sfd < 0 || net_ping(&net))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), own, "its own");
	ASSERT_EQ(net_int(net.cfd, TCP_USER_TIMEOUT), 7000, "still");
}

/* An application that has set its own timeout keeps it, and that is announced. */
static void test_fixed(void)
{
	const int own = 7000;

	config(client, 2, 1, 3600);
	config(server, 0, 1, 3600);
	net.lfd = -1;
	if (net_pair(&net, "uto", "uto2") || net_ping(&net))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), 2000, "of the option");
	ASSERT_OK(setsockopt(net.sfd, SOL_TCP, TCP_USER_TIMEOUT, &own,
			     sizeof(own)), "TCP_USER_TIMEOUT");
	client->data_uto->uto_config.adv = 3;
	if (net_send(net.sfd, net.cfd, 100000))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), own, "its own");
	ASSERT_GE(server->bss->uto_stats.fixed, 1, "counted");
	/* The larger of that and the client's 3 s */
	ASSERT_EQ(net_int(net.cfd, TCP_USER_TIMEOUT), own, "announced");
}

void serial_test_extopt_uto(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "server", test_server },
		{ "client", test_client },
		{ "limits", test_limits },
		{ "later", test_later },
		{ "cookie", test_cookie },
		{ "fixed", test_fixed },
		{ "rto", test_rto },
		{ "listener", test_listener },
	};
	char name[32];
	int i, v6;

	client = load("uto");
	server = load("uto2");
	if (!client || !server)
		goto destroy;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (!test__start_subtest(name) ||
			    net_open(&net, v6 ? AF_INET6 : AF_INET))
				continue;
			net_watch(&net, KIND, 0);
			tests[i].test();
			net_close(&net);
		}
	}
destroy:
	extopt_uto__destroy(client);
	extopt_uto__destroy(server);
}
