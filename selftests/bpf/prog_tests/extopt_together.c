// SPDX-License-Identifier: GPL-2.0

/* The extopt_* programs over paths that strip, drop and copy back what they send, more
 * than one of them on a connection, and on MPTCP sockets.
 */

#include "test_progs.h"
#include "progs/extopt.h"
#include "progs/extopt_path.h"
#include "progs/extopt_look.h"
#include "progs/extopt_uto.h"
#include "progs/extopt_cc.h"
#include "progs/extopt_iw.h"
#include "progs/extopt_delack.h"
#include "progs/extopt_toa.h"
#include "extopt_path.skel.h"
#include "extopt_look.skel.h"
#include "extopt_uto.skel.h"
#include "extopt_cc.skel.h"
#include "extopt_iw.skel.h"
#include "extopt_delack.skel.h"
#include "extopt_toa.skel.h"
#include "extopt_net.h"
#include "extopt_all.h"

#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP	43
#endif

#define CC		"reno"
#define CC_DEFAULT	"cubic"
#define UTO_S		9
#define IW		5
#define SEGS		7
#define SEG_LEN		1400
#define NR_SEGS		160
#define CLIENT_PORT	1234	/* of the proxy's client, 9.8.7.6 */

enum { UTO = 1, CCTRL = 2, IWIN = 4, DELACK = 8, TOA = 16 };

static struct extopt_net net;

static const struct use {
	int bit;
	const char *name;
	int kind, exid;
	bool syn;		/* on the SYN */
	bool later;		/* on segments after the SYN */
	bool agreed;		/* in the handshake */
} uses[] = {
	{ UTO, "uto", 28, 0, true, true },
	{ CCTRL, "cc", 254, 0xeb02, true, false, true },
	{ IWIN, "iw", 254, 0xeb03, true, false, true },
	{ DELACK, "delack", 254, 0xeb04, true, true },
	{ TOA, "toa4", 254, 0xeb05, true, true },
	{ TOA, "toa6", 254, 0xeb06, false, true },
};

static void configure(void)
{
	skel.uto->data_uto->uto_config.adv = UTO_S;
	skel.uto->data_uto->uto_config.lower = 1;
	strcpy(skel.cc->data_cc->cc_wanted.s, CC);
	skel.iw->data_iw->iw_config.want = IW;
	skel.delack->data_delack->delack_config.segs = SEGS;
}

/* The client is to be trusted, the server is not. */
static int trust(void)
{
	struct extopt_prefix p = { .len = 128 };

	inet_pton(AF_INET6, "::ffff:10.79.0.1", &p.addr);
	if (all_trust(&p))
		return -1;
	inet_pton(AF_INET6, "fd79::1", &p.addr);
	return all_trust(&p);
}

static int tell_client(int fd, bool v6)
{
	const struct toa_client tell = {
		.addr = { { [0] = v6 ? 0xfd : 0, [10] = 0xff, 0xff, 9, 8, 7, 6 } },
		.port = htons(CLIENT_PORT),
		.family = v6 ? AF_INET6 : AF_INET,
	};

	return ASSERT_OK(bpf_map_update_elem(bpf_map__fd(skel.toa->maps.toa_send),
					     &fd, &tell, BPF_ANY), "toa_send") ?
	       0 : -1;
}

/* net_pair(), with an address to tell the server */
static int pair(const char *names)
{
	net_close_pair(&net);
	memset(net.path->bss->ways, 0, sizeof(net.path->bss->ways));
	net.lfd = net_listen(&net, names);
	if (net.lfd < 0)
		return -1;
	net.cfd = net_socket(&net, false, names);
	if (net.cfd < 0 || tell_client(net.cfd, !strcmp(names, "toa6")) ||
	    net_connect(&net, net.cfd))
		return -1;
	net.sfd = net_accept(net.lfd);
	return net.sfd < 0 ? -1 : 0;
}

/* What is as the client has asked; the rest is as always. */
static int as_asked(const struct conn_state *st)
{
	int got = 0;

	if (st->user_timeout == 1000 * UTO_S)
		got |= UTO;
	else
		ASSERT_EQ(st->user_timeout, 0, "user timeout");
	if (!strcmp(st->cc, CC))
		got |= CCTRL;
	else
		ASSERT_STREQ(st->cc, CC_DEFAULT, "congestion control");
	if (st->cwnd == IW)
		got |= IWIN;
	else if (st->cwnd != 1)	/* SYN-ACKs were lost */
		ASSERT_EQ(st->cwnd, 10, "window");
	if (st->delack_segs == SEGS)
		got |= DELACK;
	else
		ASSERT_EQ(st->delack_segs, 2, "segments to an ACK");
	if (st->client.family) {
		ASSERT_EQ(st->client.port, htons(CLIENT_PORT), "port");
		got |= TOA;
	}
	return got;
}

static int effects(void)
{
	struct conn_state st = state_of(net.sfd);

	return as_asked(&st);
}

/* What the client, which has asked, can see */
static void check_state(const struct use *u, int mode)
{
	static const int agreed[] = {
		[PATH_PASS] = TCP_EXTOPT_ST_ACTIVE,
		[PATH_STRIP] = TCP_EXTOPT_ST_NOT_NEGOTIATED,
		[PATH_DROP] = TCP_EXTOPT_ST_FALLBACK,
		[PATH_ECHO] = TCP_EXTOPT_ST_ECHOED,
	};
	struct tcp_extopt_info info = net_info(net.cfd, u->name);
	struct conn_state st = state_of(net.cfd);

	ASSERT_EQ(info.state, u->agreed ? agreed[mode] : TCP_EXTOPT_ST_ACTIVE,
		  u->name);
	ASSERT_GE(info.written, 1, u->name);
	/* Its own is as it was. User timeout: the server announces the same. Delayed
	 * ACKs: what comes back is what a server that wants the same would say.
	 */
	ASSERT_STREQ(st.cc, CC_DEFAULT, u->name);
	ASSERT_EQ(st.client.family, 0, u->name);
	if (u->bit != UTO || mode == PATH_STRIP)
		ASSERT_EQ(st.user_timeout, 0, u->name);
	if (mode == PATH_STRIP)
		ASSERT_EQ(info.parsed, 0, u->name);
	if (u->bit == DELACK)
		ASSERT_EQ(st.delack_segs, mode == PATH_STRIP || mode == PATH_DROP ?
			  2 : SEGS, u->name);
	else
		ASSERT_EQ(st.delack_segs, 2, u->name);
	if (mode == PATH_ECHO && !u->agreed && u->syn)
		ASSERT_GE(info.parsed, 1, u->name);
}

static void test_path(int mode)
{
	const struct use *u;
	long fallbacks;
	int i, want;

	for (i = 0; i < ARRAY_SIZE(uses); i++) {
		u = &uses[i];
		if (!u->syn && (mode == PATH_DROP || mode == PATH_ECHO))
			continue;
		net_watch(&net, u->kind, u->exid);
		net.path->bss->mode = mode;
		fallbacks = net_counter(NET_CLIENT, "TCPExtOptFallback");
		if (pair(u->name))
			return;
		ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, u->syn, "SYN");
		/* Before the window grows */
		want = effects() & IWIN;
		if (net_send(net.cfd, net.sfd, 5000))
			return;
		want |= effects() & ~IWIN;
		fallbacks = net_counter(NET_CLIENT, "TCPExtOptFallback") -
			    fallbacks;
		ASSERT_EQ(fallbacks, mode == PATH_DROP, "fallbacks");
		/* What a server says that wants the same looks like it. */
		ASSERT_EQ(!!net_way(&net, TO_CLIENT)->echoed, mode == PATH_ECHO,
			  "echo");
		switch (mode) {
		case PATH_STRIP:
			ASSERT_EQ(want, 0, u->name);
			ASSERT_EQ(net_info(net.sfd, u->name).parsed, 0, u->name);
			break;
		case PATH_DROP:
			/* Back once there is a connection */
			ASSERT_EQ(want, u->later ? u->bit : 0, u->name);
			break;
		default:
			ASSERT_EQ(want, u->bit, u->name);
		}
		check_state(u, mode);
		if (mode == PATH_PASS)
			ASSERT_GE(net_info(net.sfd, u->name).parsed, 1, "parsed");
		net_ping(&net);
	}
}

static void test_pass(void)
{
	test_path(PATH_PASS);
}

static void test_strip(void)
{
	test_path(PATH_STRIP);
}

static void test_drop(void)
{
	test_path(PATH_DROP);
}

static void test_echo(void)
{
	test_path(PATH_ECHO);
}

/* As many as a SYN has room for, and more where later segments have it */
static void test_many(void)
{
	static const struct {
		const char *names;
		int want;
	} sets[] = {
		{ "uto cc", UTO | CCTRL },
		{ "uto iw delack", UTO | IWIN | DELACK },
		{ "iw toa4", IWIN | TOA },
		{ "cc uto delack toa4", CCTRL | UTO | DELACK | TOA },
		{ "toa4 delack uto toa254 toa200", TOA | DELACK | UTO },
		{ "uto iw delack toa4 toa6 toa254 toa200 cc",
		  UTO | IWIN | DELACK | TOA },
	};
	int i, got;

	for (i = 0; i < ARRAY_SIZE(sets); i++) {
		if (pair(sets[i].names))
			return;
		got = effects() & IWIN;
		if (net_send(net.cfd, net.sfd, 5000))
			return;
		got |= effects() & ~IWIN;
		ASSERT_EQ(got, sets[i].want, sets[i].names);
		net_ping(&net);
	}
}

/* What the server's subflow is set to, in the form of a socket that can be asked. By the
 * client's port: the subflow of the connection before may still be about to end.
 */
static int look_at_subflow(struct conn_state *st)
{
	struct extopt_sock sock;
	struct nstoken *token;
	int err;

	memset(st, 0, sizeof(*st));
	token = open_netns(NET_SERVER);
	if (!ASSERT_OK_PTR(token, "netns"))
		return -1;
	err = look_for(0, get_socket_local_port(net.cfd), &sock);
	close_netns(token);
	if (err)
		return -1;
	ASSERT_EQ(sock.is_mptcp, 1, "MPTCP");
	st->user_timeout = sock.user_timeout;
	st->delack_segs = sock.delack_segs;
	st->delack_us = sock.delack_max;
	st->cwnd = sock.cwnd;
	strcpy(st->cc, sock.cc);
	return 0;
}

/* Each alone, for an MPTCP SYN has 16 bytes left. What is asked for is of the subflow,
 * the address of the connection. IPv6 addresses have no room on any segment.
 */
static void test_mptcp(void)
{
	struct conn_state st;
	const struct use *u;
	int i;

	net.proto = IPPROTO_MPTCP;
	for (i = 0; i < ARRAY_SIZE(uses); i++) {
		u = &uses[i];
		net_watch(&net, u->kind, u->exid);
		if (pair(u->name))
			return;
		ASSERT_EQ(net_int(net.cfd, TCP_IS_MPTCP), 1, "MPTCP");
		ASSERT_EQ(net_int(net.sfd, TCP_IS_MPTCP), 1, "MPTCP");
		ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, u->syn, u->name);
		if (!u->syn && net_ping(&net))
			return;
		if (look_at_subflow(&st))
			return;
		st.client = client_of(net.sfd);
		ASSERT_EQ(as_asked(&st), u->syn ? u->bit : 0, u->name);
		net_ping(&net);
	}
}

/* The segments that the server sends before any of them is acknowledged. A guest that
 * has to wait meanwhile may get an ACK before the last is sent: tried again.
 */
static int first_flight(int ask, int want)
{
	struct path_way *way = net_way(&net, TO_CLIENT);
	static char buf[60000];
	int i;

	skel.iw->data_iw->iw_config.want = ask;
	for (i = 0; i < 3; i++) {
		if (net_pair(&net, "iw", "iw") ||
		    !ASSERT_EQ(send(net.sfd, buf, sizeof(buf), 0), sizeof(buf),
			       "send") ||
		    !ASSERT_EQ(recv(net.cfd, buf, sizeof(buf), MSG_WAITALL),
			       sizeof(buf), "recv"))
			return -1;
		if (way->flight >= want)
			break;
	}
	ASSERT_EQ(net_int(net.sfd, TCP_IS_MPTCP), 1, "MPTCP");
	return way->flight;
}

static void test_mptcp_iw(void)
{
	net.proto = IPPROTO_MPTCP;
	if (!net_sysctl(NET_CLIENT, "tcp_rmem", "4096 4000000 8000000") &&
	    !net_sysctl(NET_SERVER, "tcp_wmem", "4096 4000000 8000000") &&
	    !net_rtt(150)) {
		ASSERT_EQ(first_flight(IW, IW), IW, "first flight");
		ASSERT_EQ(first_flight(0, 10), 10, "nothing asked for");
	}
	skel.iw->data_iw->iw_config.want = IW;
}

/* The ACKs for so many segments, each of them read before the next is sent */
static int count_acks(int segs)
{
	struct path_way *way = net_way(&net, TO_CLIENT);
	const int one = 1;
	int i, before = 0;

	skel.delack->data_delack->delack_config.segs = segs;
	if (net_pair(&net, "delack", "delack"))
		return -1;
	ASSERT_EQ(net_int(net.sfd, TCP_IS_MPTCP), 1, "MPTCP");
	ASSERT_OK(setsockopt(net.cfd, SOL_TCP, TCP_NODELAY, &one, sizeof(one)),
		  "TCP_NODELAY");
	for (i = -NR_SEGS; i < NR_SEGS; i++) {
		if (!i)	/* past the quick ACKs of the start */
			before = way->acks;
		if (net_send(net.cfd, net.sfd, SEG_LEN))
			return -1;
	}
	return way->acks - before;
}

static void test_mptcp_delack(void)
{
	int each, few, tries;

	net.proto = IPPROTO_MPTCP;
	/* A receive buffer that grows has ACKs of its own. */
	if (!net_sysctl(NET_SERVER, "tcp_rmem", "4096 131072 131072")) {
		each = count_acks(1);
		/* A guest that has to wait for a CPU has ACKs by the timer too. */
		for (tries = 0; tries < 5; tries++) {
			few = count_acks(8);
			if (few <= NR_SEGS / 4)
				break;
		}
		ASSERT_GE(each, NR_SEGS * 9 / 10, "an ACK each");
		ASSERT_GE(few, NR_SEGS / 16, "an ACK for eight");
		ASSERT_LE(few, NR_SEGS / 4, "an ACK for eight");
	}
	skel.delack->data_delack->delack_config.segs = SEGS;
}

/* The user timeout is the subflow's: it is given up in time. The connection is not told,
 * for it could have others; without any it ends net.mptcp.close_timeout later.
 */
static void test_mptcp_uto(void)
{
	const int seconds = 2, close_ms = 1000;
	struct tcp_info info = {};
	socklen_t len = sizeof(info);
	struct nstoken *token = NULL;
	struct pollfd pfd = {};
	int ms, rto, port, left = 1;
	__u64 start;

	net.proto = IPPROTO_MPTCP;
	skel.uto->data_uto->uto_config.adv = seconds;
	SYS(restore, "ip netns exec " NET_SERVER
	    " sysctl -qw net.mptcp.close_timeout=%d", close_ms / 1000);
	if (net_pair(&net, "uto", "uto") || net_ping(&net))
		goto restore;
	ASSERT_OK(getsockopt(net.sfd, SOL_TCP, TCP_INFO, &info, &len), "TCP_INFO");
	rto = info.tcpi_rto / 1000;
	port = get_socket_local_port(net.cfd);
	token = open_netns(NET_SERVER);
	if (!ASSERT_OK_PTR(token, "netns"))
		goto restore;
	net.path->bss->mode = PATH_CUT;
	start = net_now_ms();
	if (!ASSERT_EQ(send(net.sfd, "lost", 4, 0), 4, "send"))
		goto restore;
	do {
		usleep(10000);
		left = look_count(0, port);
		ms = net_now_ms() - start;
	} while (left == 1 && ms < NET_TIMEOUT_MS);
	ASSERT_EQ(left, 0, "subflows");
	/* As in net_give_up() */
	ASSERT_GE(ms, 1000 * seconds - 20, "subflow, not before");
	ASSERT_LE(ms, 1000 * seconds + 2 * rto + NET_SLACK_MS, "subflow, not after");

	pfd.fd = net.sfd;
	ASSERT_EQ(poll(&pfd, 1, NET_TIMEOUT_MS), 1, "poll");
	ASSERT_TRUE(pfd.revents & POLLHUP, "connection ended");
	ms = net_now_ms() - start - ms;
	ASSERT_GE(ms, close_ms - 100, "connection, not before");
	ASSERT_LE(ms, close_ms + NET_SLACK_MS, "connection, not after");
restore:
	if (token)
		close_netns(token);
	net.path->bss->mode = PATH_PASS;
	skel.uto->data_uto->uto_config.adv = UTO_S;
}

void serial_test_extopt_together(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "pass", test_pass },
		{ "strip", test_strip },
		{ "drop", test_drop },
		{ "echo", test_echo },
		{ "many", test_many },
		{ "mptcp", test_mptcp },
		{ "mptcp_iw", test_mptcp_iw },
		{ "mptcp_delack", test_mptcp_delack },
		{ "mptcp_uto", test_mptcp_uto },
	};
	char name[32];
	int i, v6;

	if (all_open())
		return;
	configure();
	if (trust() || all_allow_cc(CC))
		goto close;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (!test__start_subtest(name) ||
			    net_open(&net, v6 ? AF_INET6 : AF_INET))
				continue;
			tests[i].test();
			net_close(&net);
		}
	}
close:
	all_close();
}
