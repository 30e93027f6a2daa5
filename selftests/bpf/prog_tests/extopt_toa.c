// SPDX-License-Identifier: GPL-2.0

/* U5: a proxy tells the server who its client is, and a server that knows nothing of
 * it has the client's address from accept() and getpeername().
 */

#include <pthread.h>
#include "test_progs.h"
#include "tcp_wire.h"
#include "progs/extopt_path.h"
#include "progs/extopt_toa.h"
#include "extopt_path.skel.h"
#include "extopt_toa.skel.h"
#include "extopt_toa_peer.skel.h"
#include "extopt_net.h"

#define USER_NS		"extopt_user"	/* the proxy is in extopt_net.h's client */
#define CG_NAME		"/extopt-toa"
#define PROXY_PORT	8000
#define NAMES		"toa4 toa6 toa254 toa200"
#define KIND		254
#define EXID4		0xeb05
#define EXID6		0xeb06

static struct extopt_net net;
static struct extopt_toa *toa;
static bool lose_ack;		/* the third, if it is pure */
static int user_fd = -1, front_fd = -1, inner_fd = -1;

static int trust(const char *addr, int len, bool on)
{
	struct extopt_prefix key = { .len = len };
	int fd = bpf_map__fd(toa->maps.toa_trusted);
	__u8 one = 1;

	if (!ASSERT_EQ(inet_pton(AF_INET6, addr, &key.addr), 1, "inet_pton"))
		return -1;
	return ASSERT_OK(on ? bpf_map_update_elem(fd, &key, &one, BPF_ANY) :
			 bpf_map_delete_elem(fd, &key), addr) ? 0 : -1;
}

static int trust_proxy(bool on)
{
	return trust("::ffff:10.79.0.1", 128, on) || trust("fd79::1", 128, on);
}

static const char *proxy_addr(void)
{
	return net.family == AF_INET ? "10.80.0.1" : "fd80::1";
}

/* A third namespace, of those who use the proxy */
static int add_user(void)
{
	SYS_NOFAIL("ip netns del " USER_NS);
	SYS(fail, "ip netns add " USER_NS);
	NET_BATCH(fail, USER_NS,
		  "link add u0 type veth peer name p0 netns " NET_CLIENT "\n"
		  "addr add 10.80.0.9/24 dev u0\n"
		  "addr add fd80::9/64 dev u0 nodad\n"
		  "link set u0 up\n");
	NET_BATCH(fail, NET_CLIENT,
		  "addr add 10.80.0.1/24 dev p0\n"
		  "addr add fd80::1/64 dev p0 nodad\n"
		  "link set p0 up\n");
	return net_wait_up(net.family, USER_NS, NET_CLIENT, proxy_addr());
fail:
	return -1;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_all(void)
{
	close_fd(&user_fd);
	close_fd(&front_fd);
	close_fd(&inner_fd);
	net_close_pair(&net);
}

/* What a proxy does before it connects to the server */
static int tell(int fd, const struct sockaddr_storage *from)
{
	struct toa_client client = {};

	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *sin = (void *)from;

		memset(&client.addr.b[10], 0xff, 2);
		memcpy(&client.addr.b[12], &sin->sin_addr, 4);
		client.port = sin->sin_port;
	} else {
		const struct sockaddr_in6 *sin6 = (void *)from;

		memcpy(&client.addr, &sin6->sin6_addr, 16);
		client.port = sin6->sin6_port;
	}
	client.family = from->ss_family;
	return bpf_map_update_elem(bpf_map__fd(toa->maps.toa_send), &fd, &client,
				   BPF_ANY);
}

/* An address is that of the user, or of the proxy. */
static void check_addr(const struct sockaddr_storage *ss, bool of_user,
		       const char *what)
{
	struct sockaddr_storage want;
	socklen_t len;

	if (of_user) {
		len = sizeof(want);
		ASSERT_OK(getsockname(user_fd, (void *)&want, &len), "user");
	} else {
		len = sizeof(want);
		ASSERT_OK(getsockname(net.cfd, (void *)&want, &len), "proxy");
	}
	ASSERT_EQ(ss->ss_family, want.ss_family, what);
	if (want.ss_family == AF_INET) {
		const struct sockaddr_in *a = (void *)ss, *b = (void *)&want;

		ASSERT_EQ(a->sin_addr.s_addr, b->sin_addr.s_addr, what);
		ASSERT_EQ(a->sin_port, b->sin_port, what);
	} else {
		const struct sockaddr_in6 *a = (void *)ss, *b = (void *)&want;

		ASSERT_OK(memcmp(&a->sin6_addr, &b->sin6_addr, 16), what);
		ASSERT_EQ(a->sin6_port, b->sin6_port, what);
	}
}

/* A user's connection to the proxy, and then the proxy's to the server. With told the
 * server is told. Its address of the user, by accept(), is in peer.
 */
static int through_proxy(bool told, struct sockaddr_storage *peer)
{
	struct sockaddr_storage from;
	struct nstoken *token;
	socklen_t len;
	int lfd;

	close_all();
	memset(net.path->bss->ways, 0, sizeof(net.path->bss->ways));
	memset(&toa->bss->toa_stats, 0, sizeof(toa->bss->toa_stats));

	token = open_netns(NET_CLIENT);
	net.path->bss->mode = lose_ack ? PATH_LOSE_ACKS : PATH_PASS;
	lfd = start_server(net.family, SOCK_STREAM, proxy_addr(), PROXY_PORT,
			   NET_TIMEOUT_MS);
	close_netns(token);
	if (!ASSERT_OK_FD(lfd, "proxy"))
		return -1;
	token = open_netns(USER_NS);
	user_fd = connect_to_fd(lfd, NET_TIMEOUT_MS);
	close_netns(token);
	if (ASSERT_OK_FD(user_fd, "user")) {
		len = sizeof(from);
		front_fd = accept(lfd, (void *)&from, &len);
	}
	close(lfd);
	if (!ASSERT_OK_FD(front_fd, "proxy's accept"))
		return -1;

	net.lfd = net_listen(&net, NAMES);
	if (net.lfd < 0)
		return -1;
	net.cfd = net_socket(&net, false, net.family == AF_INET ? "toa4" : "toa6");
	if (net.cfd < 0 ||
	    (told && !ASSERT_OK(tell(net.cfd, &from), "tell")) ||
	    net_connect(&net, net.cfd))
		return -1;
	if (lose_ack && !ASSERT_EQ(send(net.cfd, "x", 1, 0), 1, "first data"))
		return -1;
	len = sizeof(*peer);
	net.sfd = accept(net.lfd, (void *)peer, &len);
	if (!ASSERT_OK_FD(net.sfd, "server's accept"))
		return -1;
	settimeo(net.sfd, NET_TIMEOUT_MS);
	net.path->bss->mode = PATH_PASS;
	return 0;
}

/* Bytes from the user to the server and back, by the proxy */
static int relay(int bytes)
{
	return net_send(user_fd, front_fd, bytes) ||
	       net_send(net.cfd, net.sfd, bytes) ||
	       net_send(net.sfd, net.cfd, bytes) ||
	       net_send(front_fd, user_fd, bytes) ? -1 : 0;
}

static void check_peer(bool of_user)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (ASSERT_OK(getpeername(net.sfd, (void *)&peer, &len), "getpeername"))
		check_addr(&peer, of_user, "getpeername");
}

static void test_proxy(void)
{
	bool v4 = net.family == AF_INET;
	struct path_way *way = net_way(&net, TO_SERVER);
	struct sockaddr_storage peer, user;
	int i, with;
	socklen_t len = sizeof(user);

	net_watch(&net, KIND, v4 ? EXID4 : EXID6);
	if (trust_proxy(true))
		return;
	for (i = 0; i < 3; i++) {
		if (through_proxy(true, &peer))
			return;
		/* IPv6 has to wait for the third ACK. */
		ASSERT_EQ(way->with_syn, v4, "SYN");
		check_addr(&peer, true, "accept");
		if (relay(5000))
			return;
		ASSERT_GE(way->with_ack, 1, "third ACK");
		ASSERT_EQ(way->opt_len, v4 ? 10 : 22, "length");
		ASSERT_OK(getsockname(user_fd, (void *)&user, &len), "user");
		if (v4) {
			struct sockaddr_in *sin = (void *)&user;

			ASSERT_OK(memcmp(way->opt + 4, &sin->sin_port, 2), "port");
			ASSERT_OK(memcmp(way->opt + 6, &sin->sin_addr, 4), "addr");
		} else {
			struct sockaddr_in6 *sin6 = (void *)&user;

			ASSERT_OK(memcmp(way->opt + 4, &sin6->sin6_port, 2),
				  "port");
			ASSERT_OK(memcmp(way->opt + 6, &sin6->sin6_addr, 16),
				  "addr");
		}
		ASSERT_GE(way->with_data, 1, "first data");
		check_peer(true);
		ASSERT_GE(toa->bss->toa_stats.applied, 1, "applied");

		/* Once data was acknowledged that is it. */
		with = way->with_data + way->with_ack;
		for (int j = 0; j < 5; j++)
			if (relay(5000))
				return;
		ASSERT_EQ(way->with_data + way->with_ack, with, "no more");
		check_peer(true);
	}

	/* Not told, on the same listener: the proxy is who it is. */
	if (through_proxy(false, &peer))
		return;
	ASSERT_EQ(way->with_syn, 0, "SYN");
	check_addr(&peer, false, "accept");
	if (relay(5000))
		return;
	ASSERT_EQ(way->with_ack + way->with_data, 0, "later");
	check_peer(false);
	trust_proxy(false);
}

/* The same words of one who is not trusted */
static void test_forged(void)
{
	struct sockaddr_storage peer;

	net_watch(&net, KIND, net.family == AF_INET ? EXID4 : EXID6);
	if (trust("::ffff:10.79.0.0", 127, true) ||	/* .0 and .1 */
	    trust("fd79::", 127, true) || through_proxy(true, &peer) ||
	    relay(5000))
		return;
	check_peer(true);
	trust("::ffff:10.79.0.0", 127, false);
	trust("fd79::", 127, false);

	if (trust("::ffff:10.79.0.4", 126, true) || trust("fd79::4", 126, true) ||
	    through_proxy(true, &peer) || relay(5000))
		return;
	check_addr(&peer, false, "accept");
	check_peer(false);
	ASSERT_GE(toa->bss->toa_stats.untrusted, 1, "untrusted");
	ASSERT_EQ(toa->bss->toa_stats.applied, 0, "applied");
	trust("::ffff:10.79.0.4", 126, false);
	trust("fd79::4", 126, false);
}

/* A SYN cookie forgets it, and the third ACK says it again; if that is lost, the first
 * data.
 */
static void test_cookie(void)
{
	struct sockaddr_storage peer;
	char byte;

	net_watch(&net, KIND, net.family == AF_INET ? EXID4 : EXID6);
	if (net_sysctl(NET_SERVER, "tcp_syncookies", "2") || trust_proxy(true) ||
	    through_proxy(true, &peer))
		return;
	ASSERT_GE(net_counter(NET_SERVER, "SyncookiesRecv"), 1, "cookies");
	check_addr(&peer, true, "accept");
	check_peer(true);

	lose_ack = true;
	if (!through_proxy(true, &peer) &&
	    ASSERT_EQ(recv(net.sfd, &byte, 1, 0), 1, "first data")) {
		ASSERT_EQ(net_way(&net, TO_SERVER)->with_ack, 0, "lost");
		ASSERT_GE(net_counter(NET_SERVER, "SyncookiesRecv"), 2, "cookies");
		check_addr(&peer, true, "accept");
		check_peer(true);
		relay(5000);
	}
	lose_ack = false;
	trust_proxy(false);
}

/* The proxy's socket once more, for the same user: the server is told once more. */
static void test_reconnect(void)
{
	struct path_way *way = net_way(&net, TO_SERVER);
	struct sockaddr any = { .sa_family = AF_UNSPEC };
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	net_watch(&net, KIND, net.family == AF_INET ? EXID4 : EXID6);
	if (trust_proxy(true) || through_proxy(true, &peer) || relay(5000) ||
	    relay(5000))
		return;
	close_fd(&net.sfd);
	memset(way, 0, sizeof(*way));
	if (!ASSERT_OK(connect(net.cfd, &any, sizeof(any)), "disconnect") ||
	    net_connect(&net, net.cfd))
		return;
	net.sfd = accept(net.lfd, (void *)&peer, &len);
	if (!ASSERT_OK_FD(net.sfd, "accept") || relay(5000))
		return;
	ASSERT_GE(way->with_ack, 1, "third ACK");
	check_addr(&peer, true, "accept");
	check_peer(true);
	trust_proxy(false);
}

/* With MPTCP: IPv4 addresses on the handshake; those of IPv6 have no room. */
static void test_mptcp(void)
{
	struct sockaddr_storage peer;
	bool v4 = net.family == AF_INET;

	net.proto = IPPROTO_MPTCP;
	net_watch(&net, KIND, v4 ? EXID4 : EXID6);
	if (trust_proxy(true) || through_proxy(true, &peer))
		return;
	check_addr(&peer, v4, "accept");
	if (relay(5000))
		return;
	check_peer(v4);
	ASSERT_EQ(toa->bss->toa_stats.applied >= 1, v4, "applied");
	trust_proxy(false);
}

/* What the server has been told, {} if nothing */
static struct toa_client received(void)
{
	struct toa_client client = {};

	bpf_map_lookup_elem(bpf_map__fd(toa->maps.toa_received), &net.sfd, &client);
	return client;
}

/* A SYN with data, whose source may be anybody who knows a proxy's address: nothing is
 * believed before the third ACK. That and the first data have another address.
 */
static void test_fastopen(void)
{
	struct sockaddr_in from = { AF_INET, htons(666), { htonl(0x09080706) } };
	struct toa_client client;
	struct sockaddr_storage ss;
	socklen_t len;
	char buf;

	/* Both ends, without cookies */
	if (net_sysctl(NET_CLIENT, "tcp_fastopen", "1543") ||
	    net_sysctl(NET_SERVER, "tcp_fastopen", "1543") || trust_proxy(true))
		return;
	net_watch(&net, KIND, EXID4);
	memset(net.path->bss->ways, 0, sizeof(net.path->bss->ways));
	memset(&toa->bss->toa_stats, 0, sizeof(toa->bss->toa_stats));
	net.path->bss->mode = PATH_LOSE_ACKS;
	net.lfd = net_listen(&net, NAMES);
	net.cfd = net_socket(&net, false, "toa4");
	make_sockaddr(net.family, net_addr(net.family, true), net.port, &ss, &len);
	if (net.lfd < 0 || net.cfd < 0 ||
	    !ASSERT_OK(tell(net.cfd, (void *)&from), "tell") ||
	    !ASSERT_EQ(sendto(net.cfd, "x", 1, MSG_FASTOPEN, (void *)&ss, len), 1,
		       "sendto"))
		goto pass;
	net.sfd = net_accept(net.lfd);
	if (net.sfd < 0 || !ASSERT_EQ(recv(net.sfd, &buf, 1, 0), 1, "recv"))
		goto pass;
	ASSERT_EQ(net_counter(NET_SERVER, "TCPFastOpenPassive"), 1, "Fast Open");
	ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, 1, "SYN");
	ASSERT_EQ(toa->bss->toa_stats.untrusted, 1, "untrusted");
	ASSERT_EQ(toa->bss->toa_stats.applied, 0, "applied");
	ASSERT_EQ(received().family, 0, "not believed");
	check_peer(false);

	from.sin_port = htons(777);
	if (!ASSERT_OK(tell(net.cfd, (void *)&from), "tell another"))
		goto pass;
	net.path->bss->mode = PATH_PASS;
	if (net_ping(&net))
		goto pass;
	client = received();
	ASSERT_EQ(client.family, AF_INET, "believed");
	ASSERT_EQ(client.port, htons(777), "the other");
	ASSERT_OK(memcmp(&client.addr.b[12], &from.sin_addr, 4), "address");
	ASSERT_GE(toa->bss->toa_stats.applied, 1, "applied");
	ASSERT_EQ(toa->bss->toa_stats.untrusted, 1, "untrusted");
pass:
	net.path->bss->mode = PATH_PASS;
	trust_proxy(false);
}

/* The layouts that are in use: without ExID, on SYN or later */
static const struct legacy {
	const char *what;
	int family;
	__u8 opt[24];
	bool good;
} legacy[] = {
	{ "254 IPv4", AF_INET, { 254, 8, 0x12, 0x34, 9, 8, 7, 6 }, true },
	{ "200 IPv4", AF_INET, { 200, 8, 0x12, 0x34, 9, 8, 7, 6 }, true },
	{ "254 IPv6", AF_INET6, { 254, 20, 0x12, 0x34, 0x20, 1, 0xd, 0xb8, [19] = 7 },
	  true },
	{ "200 IPv6", AF_INET6, { 200, 20, 0x12, 0x34, 0x20, 1, 0xd, 0xb8, [19] = 7 },
	  true },
	/* A server that has IPv6 sockets sees clients of IPv4. */
	{ "254 IPv4 to IPv6", AF_INET6, { 254, 8, 0x12, 0x34, 9, 8, 7, 6 }, true },
	{ "254 port 0", AF_INET, { 254, 8, 0, 0, 9, 8, 7, 6 } },
	{ "254 short", AF_INET, { 254, 7, 0x12, 0x34, 9, 8, 7 } },
	{ "200 empty", AF_INET, { 200, 2 } },
	{ "200 in between", AF_INET6, { 200, 12, 0x12, 0x34, 0x20, 1, 0xd, 0xb8 } },
	/* toa254 has what no ExID selected claims, and this is toa4's: bad length */
	{ "254 of toa4", AF_INET, { 254, 8, EXID4 >> 8, EXID4 & 0xff, 9, 8, 7, 6 } },
};

static void check_legacy(int fd, const struct legacy *l, bool good)
{
	struct sockaddr_storage peer = {};
	socklen_t len = sizeof(peer);
	__u8 mapped[16] = {};
	const void *addr;
	__u16 port;

	ASSERT_OK(getpeername(fd, (void *)&peer, &len), "getpeername");
	if (peer.ss_family == AF_INET) {
		addr = &((struct sockaddr_in *)&peer)->sin_addr;
		port = ((struct sockaddr_in *)&peer)->sin_port;
	} else {
		addr = &((struct sockaddr_in6 *)&peer)->sin6_addr;
		port = ((struct sockaddr_in6 *)&peer)->sin6_port;
	}
	ASSERT_EQ(ntohs(port) == 0x1234, good, l->what);
	if (l->family == AF_INET6 && l->opt[1] == 8) {
		memset(mapped + 10, 0xff, 2);
		memcpy(mapped + 12, l->opt + 4, 4);
		ASSERT_EQ(!memcmp(addr, mapped, 16), good, l->what);
	} else {
		ASSERT_EQ(!memcmp(addr, l->opt + 4, l->family == AF_INET ? 4 : 16),
			  good, l->what);
	}
}

static void run_legacy(int family, bool trusted)
{
	struct wire_conn c;
	struct netns_obj *netns;
	const struct legacy *l;
	int lfd = -1, fd, i, later;
	struct wire w;
	__u64 applied;
	char buf;

	netns = netns_new("extopt_toa_wire", true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;
	if (!ASSERT_OK(wire_open(&w, family, 0), "wire_open"))
		goto free;
	lfd = wire_sk(&w);
	/* Or a prefix that is somebody else's */
	if (trust(trusted ? "::" : "fd99::", trusted ? 0 : 16, true) ||
	    !ASSERT_OK_FD(lfd, "listener") ||
	    !ASSERT_OK(extopt_select(lfd, NAMES), "select"))
		goto close;
	wire_conn_init(&c, &w, wire_sk_listen(&w, lfd));
	for (later = 0; later < 2; later++) {
		for (i = 0; i < ARRAY_SIZE(legacy); i++) {
			l = &legacy[i];
			if (l->family != family)
				continue;
			applied = toa->bss->toa_stats.applied;
			wire_conn_init(&c, &w, c.kport);
			if (!ASSERT_OK(wire_connect(&c, later ? NULL : l->opt,
						    later ? 0 : l->opt[1], NULL),
				       "connect"))
				goto close;
			fd = accept(lfd, NULL, NULL);
			if (!ASSERT_OK_FD(fd, "accept"))
				goto close;
			if (later) {
				check_legacy(fd, l, false);
				ASSERT_OK(wire_send(&c, .flags = WIRE_ACK,
						    .opt = l->opt,
						    .opt_len = l->opt[1],
						    .data = "x", .len = 1),
					  "send");
				ASSERT_EQ(recv(fd, &buf, 1, 0), 1, "recv");
			}
			check_legacy(fd, l, l->good && trusted);
			ASSERT_EQ(toa->bss->toa_stats.applied - applied,
				  l->good && trusted, l->what);
			close(fd);
		}
	}
close:
	trust(trusted ? "::" : "fd99::", trusted ? 0 : 16, false);
	if (lfd >= 0)
		close(lfd);
	wire_close(&w);
free:
	netns_free(netns);
}

void serial_test_extopt_toa(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "proxy", test_proxy },
		{ "forged", test_forged },
		{ "cookie", test_cookie },
		{ "reconnect", test_reconnect },
		{ "mptcp", test_mptcp },
		{ "fastopen", test_fastopen },
		{ "legacy", NULL },
	};
	struct extopt_toa_peer *peer = NULL;
	int i, v6, cg_fd = -1, family;
	char name[32];

	toa = extopt_toa__open_and_load();
	if (!ASSERT_OK_PTR(toa, "open_and_load") ||
	    !ASSERT_OK(extopt_toa__attach(toa), "register"))
		goto destroy;
	/* It finds toa_received where that is pinned. */
	peer = extopt_toa_peer__open_and_load();
	cg_fd = test__join_cgroup(CG_NAME);
	if (!ASSERT_OK_PTR(peer, "extopt_toa_peer") ||
	    !ASSERT_OK_FD(cg_fd, "cgroup"))
		goto destroy;
	peer->links.toa_peer4 = bpf_program__attach_cgroup(peer->progs.toa_peer4,
							   cg_fd);
	peer->links.toa_peer6 = bpf_program__attach_cgroup(peer->progs.toa_peer6,
							   cg_fd);
	if (!ASSERT_OK_PTR(peer->links.toa_peer4, "getpeername4") ||
	    !ASSERT_OK_PTR(peer->links.toa_peer6, "getpeername6"))
		goto destroy;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (!test__start_subtest(name))
				continue;
			family = v6 ? AF_INET6 : AF_INET;
			if (!tests[i].test) {
				run_legacy(family, true);
				run_legacy(family, false);
				continue;
			}
			if (net_open(&net, family))
				continue;
			if (!add_user())
				tests[i].test();
			close_all();
			SYS_NOFAIL("ip netns del " USER_NS);
			net_close(&net);
		}
	}
destroy:
	if (toa) {
		bpf_map__unpin(toa->maps.toa_send, NULL);
		bpf_map__unpin(toa->maps.toa_received, NULL);
	}
	extopt_toa_peer__destroy(peer);
	extopt_toa__destroy(toa);
	if (cg_fd >= 0)
		close(cg_fd);
}
