// SPDX-License-Identifier: GPL-2.0

/* U3: a client asks for the server's initial window, and gets it if it is trusted:
 * the segments that the server sends before any of them is acknowledged.
 */

#include "test_progs.h"
#include "progs/extopt.h"
#include "progs/extopt_path.h"
#include "progs/extopt_iw.h"
#include "extopt_path.skel.h"
#include "extopt_iw.skel.h"
#include "extopt_net.h"

#define KIND		254
#define EXID		0xeb03
#define IW_DEFAULT	10
#define RTT_MS		150
#define BYTES		250000	/* more than any window asked for */

static struct extopt_net net;
static struct extopt_iw *skel;

static int prefix(const char *addr, int len, bool trusted)
{
	struct extopt_prefix key = { .len = len };
	int fd = bpf_map__fd(skel->maps.iw_trusted);
	__u8 one = 1;

	if (!ASSERT_EQ(inet_pton(AF_INET6, addr, &key.addr), 1, "inet_pton"))
		return -1;
	return ASSERT_OK(trusted ? bpf_map_update_elem(fd, &key, &one, BPF_ANY) :
			 bpf_map_delete_elem(fd, &key), addr) ? 0 : -1;
}

/* The segments of the server's first flight, for a client that asks for some. A guest
 * that has to wait in the middle of it may get an ACK before it is sent: tried again.
 */
static int one_flight(int ask)
{
	struct path_way *way = net_way(&net, TO_CLIENT);
	char buf[4096];
	int left;

	skel->data_iw->iw_config.want = ask;
	memset(&skel->bss->iw_stats, 0, sizeof(skel->bss->iw_stats));
	if (net_pair(&net, "iw", "iw"))
		return -1;
	ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, !!ask, "SYN");
	memset(buf, 1, sizeof(buf));
	for (left = BYTES; left > 0; left -= sizeof(buf))
		if (!ASSERT_EQ(send(net.sfd, buf, sizeof(buf), 0), sizeof(buf),
			       "send"))
			return -1;
	for (left = BYTES; left > 0; left -= sizeof(buf))
		if (!ASSERT_EQ(recv(net.cfd, buf, sizeof(buf), MSG_WAITALL),
			       sizeof(buf), "recv"))
			return -1;
	ASSERT_EQ(way->flight_over, 1, "acknowledged");
	return way->flight;
}

static int flight(int ask, int want)
{
	int i, got;

	for (i = 0; i < 3; i++) {
		got = one_flight(ask);
		if (got < 0 || got >= want)
			break;
	}
	return got;
}

/* Room for all of it, or the receiver's window is what is measured */
static int roomy(void)
{
	return net_sysctl(NET_CLIENT, "tcp_rmem", "4096 4000000 8000000") ||
	       net_sysctl(NET_SERVER, "tcp_wmem", "4096 4000000 8000000") ||
	       net_rtt(RTT_MS) ? -1 : 0;
}

static const char *client_prefix(int *len)
{
	*len = net.family == AF_INET ? 96 + 24 : 64;
	return net.family == AF_INET ? "::ffff:10.79.0.0" : "fd79::";
}

static void test_trusted(void)
{
	static const int asked[] = { 1, 4, 25, 40 };
	const char *addr;
	int i, len;

	addr = client_prefix(&len);
	if (roomy() || prefix(addr, len, true))
		return;
	ASSERT_EQ(flight(0, IW_DEFAULT), IW_DEFAULT, "nothing asked for");
	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		ASSERT_EQ(flight(asked[i], asked[i]), asked[i], "first flight");
		ASSERT_EQ(skel->bss->iw_stats.applied, 1, "applied");
		ASSERT_EQ(skel->bss->iw_stats.limited, 0, "limited");
	}
	/* At most what the server has set */
	skel->data_iw->iw_config.max = 20;
	ASSERT_EQ(flight(20, 20), 20, "the most");
	ASSERT_EQ(skel->bss->iw_stats.limited, 0, "limited");
	ASSERT_EQ(flight(21, 20), 20, "more");
	ASSERT_EQ(flight(4000, 20), 20, "much more");
	ASSERT_EQ(skel->bss->iw_stats.limited, 1, "limited");
	skel->data_iw->iw_config.max = 100;
	prefix(addr, len, false);
}

static void test_untrusted(void)
{
	/* The neighbours', and the other family's that looks alike */
	static const struct {
		const char *addr;
		int len;
	} others[] = {
		{ "::ffff:10.79.0.2", 128 }, { "::ffff:10.79.1.0", 96 + 24 },
		{ "::ffff:10.78.0.0", 96 + 16 }, { "::10.79.0.0", 96 + 24 },
		{ "fd79::2", 128 }, { "fd79:0:0:1::", 64 }, { "fd78::", 16 },
	};
	const char *addr;
	int i, len;

	if (roomy())
		return;
	ASSERT_EQ(flight(40, IW_DEFAULT), IW_DEFAULT, "nobody is trusted");
	ASSERT_EQ(skel->bss->iw_stats.untrusted, 1, "untrusted");
	for (i = 0; i < ARRAY_SIZE(others); i++)
		if (prefix(others[i].addr, others[i].len, true))
			return;
	ASSERT_EQ(flight(40, IW_DEFAULT), IW_DEFAULT, "others are");
	ASSERT_EQ(skel->bss->iw_stats.untrusted, 1, "untrusted");
	ASSERT_EQ(skel->bss->iw_stats.applied, 0, "applied");

	/* And with the same list and the client's own */
	addr = client_prefix(&len);
	if (prefix(addr, len, true))
		return;
	ASSERT_EQ(flight(40, 40), 40, "trusted");
	prefix(addr, len, false);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		prefix(others[i].addr, others[i].len, false);
}

/* A SYN with data proves no address, and gets no window either, trusted or not. */
static void test_fastopen(void)
{
	struct sockaddr_storage ss;
	const char *addr;
	socklen_t slen;
	char buf;
	int len;

	addr = client_prefix(&len);
	/* Both ends, without cookies */
	if (net_sysctl(NET_CLIENT, "tcp_fastopen", "1543") ||
	    net_sysctl(NET_SERVER, "tcp_fastopen", "1543") ||
	    prefix(addr, len, true))
		return;
	skel->data_iw->iw_config.want = 40;
	memset(&skel->bss->iw_stats, 0, sizeof(skel->bss->iw_stats));
	net.lfd = net_listen(&net, "iw");
	net.cfd = net_socket(&net, false, "iw");
	if (net.lfd < 0 || net.cfd < 0)
		goto untrust;
	make_sockaddr(net.family, net_addr(net.family, true), net.port, &ss, &slen);
	if (!ASSERT_EQ(sendto(net.cfd, "x", 1, MSG_FASTOPEN, (void *)&ss, slen), 1,
		       "sendto"))
		goto untrust;
	net.sfd = net_accept(net.lfd);
	if (net.sfd < 0 || !ASSERT_EQ(recv(net.sfd, &buf, 1, 0), 1, "recv"))
		goto untrust;
	ASSERT_EQ(net_counter(NET_SERVER, "TCPFastOpenPassive"), 1, "Fast Open");
	ASSERT_EQ(skel->bss->iw_stats.applied, 0, "applied");
	ASSERT_EQ(skel->bss->iw_stats.untrusted, 1, "untrusted");
	net_ping(&net);
untrust:
	prefix(addr, len, false);
}

void serial_test_extopt_iw(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "trusted", test_trusted },
		{ "untrusted", test_untrusted },
		{ "fastopen", test_fastopen },
	};
	char name[32];
	int i, v6;

	skel = extopt_iw__open_and_load();
	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK(extopt_iw__attach(skel), "register"))
		goto destroy;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (!test__start_subtest(name) ||
			    net_open(&net, v6 ? AF_INET6 : AF_INET))
				continue;
			net_watch(&net, KIND, EXID);
			tests[i].test();
			net_close(&net);
		}
	}
destroy:
	extopt_iw__destroy(skel);
}
