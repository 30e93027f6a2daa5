// SPDX-License-Identifier: GPL-2.0
/* MPTCP path managers in BPF, by effect: which subflows there are at both ends, and
 * which link the bytes take.
 */
#include <net/if.h>
#include <poll.h>
#include <test_progs.h>
#include "network_helpers.h"
#include "mptcp_pm_net.h"
#include "progs/mptcp_pm_delayed.h"
#include "progs/mptcp_pm_recreate.h"
#include "progs/mptcp_pm_refuse.h"
#include "mptcp_pm_delayed.skel.h"
#include "mptcp_pm_fullmesh.skel.h"
#include "mptcp_pm_ndiffports.skel.h"
#include "mptcp_pm_recreate.skel.h"
#include "mptcp_pm_refuse.skel.h"

static struct mptcp_pm_ndiffports *ndiffports;
static struct mptcp_pm_fullmesh *fullmesh;
static struct mptcp_pm_delayed *delayed;
static struct mptcp_pm_recreate *recreate;
static struct mptcp_pm_refuse *refuse;
static struct pm_net net;

static void set_ndiffports(__u32 nr)
{
	__u32 key = 0;

	ASSERT_OK(bpf_map__update_elem(ndiffports->maps.ndiffports_nr, &key,
				       sizeof(key), &nr, sizeof(nr), 0), "nr");
}

/* N subflows, between the same addresses and to the same port */
static void test_ndiffports(void)
{
	struct pm_subflows subflows;
	__u32 n;
	int i;

	for (n = 1; n <= 5; n += 2) {
		set_ndiffports(n);
		/* Not the one that the kernel would take */
		net.from = n == 5 ? pm_addr(net.family, 1, false) : NULL;
		if (pm_pair(&net, "ndiffports", NULL) ||
		    !pm_wait_subflows(net.cfd, n) || !pm_wait_subflows(net.sfd, n))
			return;
		ASSERT_EQ(pm_extra(net.cfd), n - 1, "client's MPTCP_INFO");
		ASSERT_EQ(pm_extra(net.sfd), n - 1, "server's MPTCP_INFO");
		if (net.from)
			ASSERT_EQ(pm_find(net.cfd, net.from,
					  pm_addr(net.family, 0, true)), 0, "bound");
		ASSERT_EQ(pm_diag(PM_CLIENT), n - 1, "client's ss");
		ASSERT_EQ(pm_diag(PM_SERVER), n - 1, "server's ss");
		pm_get_subflows(net.cfd, &subflows);
		for (i = 1; i < subflows.nr; i++) {
			ASSERT_TRUE(pm_same_addr(&subflows.local[i],
						 &subflows.local[0]), "local");
			ASSERT_TRUE(pm_same_addr(&subflows.remote[i],
						 &subflows.remote[0]), "remote");
			ASSERT_EQ(pm_port(&subflows.remote[i]), PM_PORT, "remote port");
			ASSERT_NEQ(pm_port(&subflows.local[i]),
				   pm_port(&subflows.local[0]), "local port");
		}
		pm_transfer(&net, 100000, NULL);
	}
}

/* As many as the namespace allows */
static void test_limit(void)
{
	set_ndiffports(6);
	if (pm_limits(PM_CLIENT, 3, 0) || pm_pair(&net, "ndiffports", NULL) ||
	    !pm_wait_subflows(net.cfd, 4))
		goto out;
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(pm_subflows(net.cfd), 4, "client's");
	ASSERT_EQ(pm_subflows(net.sfd), 4, "server's");

	/* The server's limit: the others are reset. */
	pm_limits(PM_CLIENT, 8, 0);
	pm_limits(PM_SERVER, 2, 0);
	if (pm_pair(&net, "ndiffports", NULL) || !pm_wait_subflows(net.sfd, 3))
		goto out;
	pm_wait_subflows(net.cfd, 3);
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(pm_subflows(net.sfd), 3, "server's");
out:
	pm_limits(PM_CLIENT, 8, 8);
	pm_limits(PM_SERVER, 8, 8);
}

static bool has_pair(int fd, const char *local, const char *remote)
{
	return pm_find(fd, local, remote) >= 0;
}

static void test_fullmesh(void)
{
	int i, j;

	/* Each of ours to the server's first ... */
	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS))
		return;
	for (i = 0; i < PM_LINKS; i++)
		ASSERT_TRUE(has_pair(net.cfd, pm_addr(net.family, i, false),
				     pm_addr(net.family, 0, true)), "mesh");

	/* ... and to what it announces, one after the other. */
	for (j = 1; j < 3; j++)
		SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s signal",
		    pm_addr(net.family, j, true));
	if (!pm_wait_subflows(net.cfd, 3 * PM_LINKS))
		goto out;
	for (i = 0; i < PM_LINKS; i++)
		for (j = 0; j < 3; j++)
			ASSERT_TRUE(has_pair(net.cfd, pm_addr(net.family, i, false),
					     pm_addr(net.family, j, true)), "mesh");
	pm_transfer(&net, 300000, NULL);

	/* Removed: its subflows go, and do not come back. */
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint flush");
	pm_wait_subflows(net.cfd, PM_LINKS);
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(pm_subflows(net.cfd), PM_LINKS, "subflows");
out:
	SYS_NOFAIL("ip -n " PM_SERVER " mptcp endpoint flush");
}

/* One lost again and again: tried again at once each time, for it came to be */
static void test_lost(void)
{
	int i;

	if (pm_pair(&net, "fullmesh", NULL))
		return;
	for (i = 0; i < 12; i++)
		if (!pm_wait_subflows(net.cfd, PM_LINKS) ||
		    !pm_wait_subflows(net.sfd, PM_LINKS) ||
		    pm_reset_subflow(&net, 1) ||
		    !pm_wait_counter(PM_CLIENT, "MPJoinSynTx", PM_LINKS + i))
			return;
	pm_wait_subflows(net.cfd, PM_LINKS);
	pm_transfer(&net, 100000, NULL);
}

/* Links that are slow, also for a guest that is: the bytes are on all of them, with the
 * addresses of each.
 */
static void test_links(void)
{
	__u64 before[PM_LINKS];
	int i;

	for (i = 0; i < PM_LINKS; i++)
		SYS(out, "tc -n " PM_CLIENT " qdisc add dev c%d root netem rate 2mbit", i);
	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS))
		goto out;
	for (i = 0; i < PM_LINKS; i++)
		before[i] = pm_link_bytes(i);
	if (pm_transfer(&net, 2 << 20, NULL))
		goto out;
	for (i = 0; i < PM_LINKS; i++)
		ASSERT_GE(pm_link_bytes(i) - before[i], 200000, "bytes of a link");
out:
	for (i = 0; i < PM_LINKS; i++)
		SYS_NOFAIL("tc -n " PM_CLIENT " qdisc del dev c%d root", i);
}

static void del_addr(int link)
{
	SYS_NOFAIL("ip -n " PM_CLIENT " addr del %s/%d dev c%d",
		   pm_addr(net.family, link, false), net.family == AF_INET ? 24 : 64, link);
}

static void addr_gone(void)
{
	del_addr(1);
}

/* with duplicate address detection */
static void addr_back(void)
{
	SYS_NOFAIL("ip -n " PM_CLIENT " addr add %s/%d dev c1",
		   pm_addr(net.family, 1, false), net.family == AF_INET ? 24 : 64);
	pm_routes(1);
}

/* Connected again, to another address: nothing is left of the first. */
static void test_reconnect(void)
{
	struct sockaddr un = { .sa_family = AF_UNSPEC };
	int i;

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	ASSERT_OK(connect(net.cfd, &un, sizeof(un)), "disconnect");
	close(net.sfd);
	net.sfd = -1;
	if (pm_connect_to(&net, net.cfd, 1))
		return;
	net.sfd = accept(net.lfd, NULL, NULL);
	if (!ASSERT_OK_FD(net.sfd, "accept") || pm_transfer(&net, 1000, NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	/* also when addresses have changed */
	addr_gone();
	pm_wait_subflows(net.cfd, PM_LINKS - 1);
	addr_back();
	pm_wait_subflows(net.cfd, PM_LINKS);
	for (i = 0; i < PM_LINKS; i++) {
		ASSERT_TRUE(has_pair(net.cfd, pm_addr(net.family, i, false),
				     pm_addr(net.family, 1, true)), "second");
		ASSERT_FALSE(has_pair(net.cfd, pm_addr(net.family, i, false),
				      pm_addr(net.family, 0, true)), "first");
	}
	pm_restore(&net);
}

/* IPv6 sockets that are connected by IPv4: subflows of either family */
static void test_mapped(void)
{
	const char *remote = pm_addr(AF_INET, 0, true);
	struct pm_subflows subflows;
	int i;

	net.mapped = true;
	set_ndiffports(3);
	if (pm_pair(&net, "ndiffports", NULL) || !pm_wait_subflows(net.cfd, 3) ||
	    !pm_wait_subflows(net.sfd, 3))
		return;
	pm_get_subflows(net.cfd, &subflows);
	for (i = 0; i < subflows.nr; i++) {
		ASSERT_EQ(subflows.remote[i].ss_family, AF_INET, "family");
		ASSERT_TRUE(pm_same_addr(&subflows.remote[i],
					 &subflows.remote[0]), "remote");
	}
	pm_transfer(&net, 100000, NULL);

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	for (i = 0; i < PM_LINKS; i++)
		ASSERT_TRUE(has_pair(net.cfd, pm_addr(AF_INET, i, false), remote),
			    "IPv4");
	/* The server has an IPv6 address too. */
	remote = pm_addr(AF_INET6, 1, true);
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s signal", remote);
	pm_wait_subflows(net.cfd, 2 * PM_LINKS);
	for (i = 0; i < PM_LINKS; i++)
		ASSERT_TRUE(has_pair(net.cfd, pm_addr(AF_INET6, i, false), remote),
			    "IPv6");
	ASSERT_EQ(pm_extra(net.sfd), 2 * PM_LINKS - 1, "server's");
	pm_transfer(&net, 300000, NULL);
out:
	SYS_NOFAIL("ip -n " PM_SERVER " mptcp endpoint flush");
}

static void link_down(void)
{
	SYS_NOFAIL("ip -n " PM_ROUTER " link set r0 down");
}

static void link_beyond_down(void)
{
	SYS_NOFAIL("ip -n " PM_SERVER " link set s0 down");
}

/* The carrier of the link of the first subflow goes during a transfer: the subflow
 * is closed, what it had is sent on the others. Back, it is added again.
 */
static void test_carrier(void)
{
	__u64 before;

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	pm_transfer(&net, 4 << 20, link_down);
	if (!pm_wait_subflows(net.cfd, PM_LINKS - 1))
		goto out;
	ASSERT_FALSE(has_pair(net.cfd, pm_addr(net.family, 0, false),
			      pm_addr(net.family, 0, true)), "its subflow");
	before = pm_link_bytes(1) + pm_link_bytes(2);
	pm_transfer(&net, 1 << 20, NULL);
	ASSERT_GE(pm_link_bytes(1) + pm_link_bytes(2) - before, 1 << 20,
		  "bytes of the other links");
out:
	pm_restore(&net);
	if (net.cfd >= 0)
		pm_wait_subflows(net.cfd, PM_LINKS);
}

static void own_link_down(void)
{
	SYS_NOFAIL("ip -n " PM_CLIENT " link set c1 down");
}

static void own_link_gone(void)
{
	SYS_NOFAIL("ip -n " PM_CLIENT " link del c1");
}

/* An interface of the client's is set down, and up; then it is no more. */
static void test_down(void)
{
	const char *addr = pm_addr(net.family, 1, false);

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	pm_transfer(&net, 4 << 20, own_link_down);
	if (!pm_wait_subflows(net.cfd, PM_LINKS - 1) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS - 1))
		return;
	ASSERT_FALSE(has_pair(net.cfd, addr, pm_addr(net.family, 0, true)), "down");
	pm_restore(&net);
	if (!pm_wait_subflows(net.cfd, PM_LINKS) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS))
		return;
	ASSERT_TRUE(has_pair(net.cfd, addr, pm_addr(net.family, 0, true)), "up");
	pm_transfer(&net, 4 << 20, own_link_gone);
	if (!pm_wait_subflows(net.cfd, PM_LINKS - 1) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS - 1))
		return;
	ASSERT_FALSE(has_pair(net.cfd, addr, pm_addr(net.family, 0, true)), "gone");
	pm_transfer(&net, 1 << 20, NULL);
}

/* Beyond the router, where nobody tells the client: it completes on the others. */
static void test_beyond(void)
{
	__u64 before;

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	before = pm_link_bytes(1) + pm_link_bytes(2);
	pm_transfer(&net, 4 << 20, link_beyond_down);
	ASSERT_GE(pm_link_bytes(1) + pm_link_bytes(2) - before, 1 << 20,
		  "bytes of the other links");
	pm_restore(&net);
}

/* An address is removed during a transfer, and comes again during another */
static void test_address(void)
{
	const char *addr = pm_addr(net.family, 1, false);
	struct pm_net other = net;

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS))
		return;
	other.lfd = -1;
	/* A session that does nothing gets them too. */
	if (pm_more(&net, &other, "fullmesh") ||
	    !pm_wait_subflows(other.cfd, PM_LINKS))
		goto out;
	pm_transfer(&net, 4 << 20, addr_gone);
	pm_wait_subflows(net.cfd, PM_LINKS - 1);
	pm_wait_subflows(net.sfd, PM_LINKS - 1);
	pm_wait_subflows(other.cfd, PM_LINKS - 1);
	ASSERT_FALSE(has_pair(net.cfd, addr, pm_addr(net.family, 0, true)), "gone");
	pm_transfer(&net, 4 << 20, addr_back);
	if (!pm_wait_subflows(net.cfd, PM_LINKS) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS) ||
	    !pm_wait_subflows(other.cfd, PM_LINKS))
		goto out;
	ASSERT_TRUE(has_pair(net.cfd, addr, pm_addr(net.family, 0, true)), "back");
	ASSERT_TRUE(has_pair(other.cfd, addr, pm_addr(net.family, 0, true)), "back");
	pm_transfer(&net, 1 << 20, NULL);
	pm_transfer(&other, 100000, NULL);
out:
	pm_restore(&net);
	pm_close_pair(&other);
}

/* More addresses of a link go at once than an RM_ADDR has room for. Nothing else tells the
 * server.
 */
static void test_many(void)
{
	FILE *f;
	int i;

	if (pm_limits(PM_CLIENT, 16, 8) || pm_limits(PM_SERVER, 16, 8))
		return;
	f = pm_ip("-n " PM_CLIENT);
	if (!f)
		return;
	for (i = 2; i < 11; i++)
		fprintf(f, net.family == AF_INET ? "addr add 10.78.1.1%d/24 dev c1\n" :
			"addr add fd78:1::1%d/64 dev c1 nodad\n", i);
	if (pm_ip_end(f, "addresses") || pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS + 9) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS + 9))
		return;
	own_link_down();
	if (!pm_wait_subflows(net.cfd, PM_LINKS - 1) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS - 1))
		return;
	pm_wait_counter(PM_SERVER, "RmAddr", 10);
	pm_transfer(&net, 100000, NULL);
}

static void first_addr_gone(void)
{
	del_addr(0);
}

/* The server sends, when the address of the first subflow goes. */
static void test_download(void)
{
	struct pm_net back;

	if (pm_pair(&net, "fullmesh", NULL) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS))
		return;
	back = pm_back(&net);
	if (pm_transfer(&back, 4 << 20, first_addr_gone) ||
	    !pm_wait_subflows(net.cfd, PM_LINKS - 1) ||
	    !pm_wait_subflows(net.sfd, PM_LINKS - 1))
		return;
	ASSERT_FALSE(has_pair(net.cfd, pm_addr(net.family, 0, false),
			      pm_addr(net.family, 0, true)), "the first");
	/* told, and not found out */
	pm_wait_counter(PM_SERVER, "RmAddr", 1);
	pm_transfer(&back, 1 << 20, NULL);
	pm_transfer(&net, 1 << 20, NULL);
}

/* Sessions within the host have no other addresses, and keep the one that they have. */
static void test_local(void)
{
	struct pm_net local = { .family = net.family, .lfd = -1, .cfd = -1, .sfd = -1 };
	const char *lo = net.family == AF_INET ? "127.0.0.1" : "::1";
	struct sockaddr_storage ss;
	socklen_t len;

	local.lfd = pm_listen(&local, NULL);
	local.cfd = pm_socket(&local, PM_SERVER, "fullmesh");
	if (local.lfd < 0 || local.cfd < 0)
		goto out;
	len = pm_sockaddr(&local, lo, PM_PORT, &ss);
	if (!ASSERT_OK(connect(local.cfd, (void *)&ss, len), "connect"))
		goto out;
	local.sfd = accept(local.lfd, NULL, NULL);
	if (!ASSERT_OK_FD(local.sfd, "accept") || pm_byte(local.cfd, local.sfd) ||
	    pm_byte(local.sfd, local.cfd))
		goto out;
	SYS(out, "ip -n " PM_SERVER " addr add 10.74.0.1/24 dev s1");
	usleep(500000);
	ASSERT_EQ(pm_subflows(local.cfd), 1, "subflows");
	ASSERT_TRUE(has_pair(local.cfd, lo, lo), "of lo");
	pm_transfer(&local, 100000, NULL);
out:
	pm_close_pair(&local);
}

static void test_delayed(void)
{
	struct delayed_config *config = &delayed->data_delayed->delayed_config;
	__u64 start;

	/* by bytes */
	config->after_ms = 1000000;
	config->after_bytes = 200000;
	config->look_ms = 20;
	config->subflows = 2;
	if (pm_pair(&net, "delayed", NULL) || pm_transfer(&net, 100000, NULL))
		return;
	usleep(100000);
	ASSERT_EQ(pm_subflows(net.cfd), 1, "before");
	if (pm_transfer(&net, 150000, NULL) || !pm_wait_subflows(net.cfd, 3))
		return;

	/* by time */
	config->after_ms = 300;
	config->after_bytes = 1 << 30;
	config->subflows = 1;
	start = pm_now_ms();
	if (pm_pair(&net, "delayed", NULL))
		return;
	pm_wait_subflows(net.cfd, 2);
	pm_wait_subflows(net.sfd, 2);
	ASSERT_GE(pm_now_ms() - start, 300, "milliseconds");
	pm_transfer(&net, 100000, NULL);
}

static int state_of(int fd, struct recreate_state *state)
{
	return ASSERT_OK(bpf_map__lookup_elem(recreate->maps.recreate_states, &fd,
					      sizeof(fd), state, sizeof(*state), 0),
			 "state") ? 0 : -1;
}

static bool wait_tries(int fd, __u32 tries, struct recreate_state *state)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;

	do {
		usleep(10000);
		if (state_of(fd, state))
			return false;
	} while (state->tries < tries && pm_now_ms() < end);
	return ASSERT_GE(state->tries, tries, "tries");
}

static void test_recreate(void)
{
	struct recreate_config *config = &recreate->data_recreate->recreate_config;
	struct recreate_state state;
	int i;

	config->first_ms = 100;
	config->max_ms = 400;
	if (pm_pair(&net, "recreate", NULL) || !pm_wait_subflows(net.cfd, 2) ||
	    state_of(net.cfd, &state))
		return;
	ASSERT_EQ(state.tries, 1, "tries");

	/* Reset, the one that was added and the first: opened again */
	for (i = 1; i >= 0; i--) {
		if (!pm_wait_subflows(net.sfd, 2) || pm_reset_subflow(&net, i) ||
		    !wait_tries(net.cfd, 3 - i, &state))
			return;
		ASSERT_EQ(state.tries, 3 - i, "tries");
		ASSERT_EQ(state.err, -ECONNRESET, "error");
		pm_wait_subflows(net.cfd, 2);
		pm_transfer(&net, 100000, NULL);
	}

	/* Not wanted: tried again, not without end at once */
	pm_limits(PM_SERVER, 0, 0);
	if (pm_reset_subflow(&net, 1) || !wait_tries(net.cfd, 8, &state))
		goto out;
	ASSERT_EQ(state.wait_ms, 400, "longest");
	ASSERT_LT(state.err, 0, "error");
	pm_limits(PM_SERVER, 8, 8);
	pm_wait_subflows(net.cfd, 2);
	pm_transfer(&net, 100000, NULL);
out:
	pm_limits(PM_SERVER, 8, 8);
}

static void refuse_prefix(int link, bool add)
{
	struct refuse_prefix key = {
		.bits = net.family == AF_INET ? 96 + 24 : 64,
	};
	__u8 val = 1;

	if (net.family == AF_INET) {
		key.addr[2] = htonl(0xffff);
		inet_pton(AF_INET, pm_addr(net.family, link, false), &key.addr[3]);
	} else {
		inet_pton(AF_INET6, pm_addr(net.family, link, false), key.addr);
	}
	if (add)
		ASSERT_OK(bpf_map__update_elem(refuse->maps.refuse_from, &key,
					       sizeof(key), &val, 1, 0), "add");
	else
		ASSERT_OK(bpf_map__delete_elem(refuse->maps.refuse_from, &key,
					       sizeof(key), 0), "delete");
}

static void test_refuse(void)
{
	struct refuse_config *config = &refuse->data_refuse->refuse_config;
	struct refuse_stats *stats = &refuse->bss->refuse_stats;
	int cookies;

	for (cookies = 0; cookies < 2; cookies++) {
		pm_sysctl(PM_SERVER, "/proc/sys/net/ipv4/tcp_syncookies",
			  cookies ? "2" : "1");
		/* by prefix: those of link 1 */
		memset(stats, 0, sizeof(*stats));
		config->max = 255;
		refuse_prefix(1, true);
		if (pm_pair(&net, "fullmesh", "refuse"))
			goto out;
		pm_wait_value(&stats->prefix, 1);
		pm_wait_subflows(net.sfd, PM_LINKS - 1);
		pm_wait_subflows(net.cfd, PM_LINKS - 1);
		ASSERT_FALSE(has_pair(net.sfd, pm_addr(net.family, 0, true),
				      pm_addr(net.family, 1, false)), "refused");
		ASSERT_TRUE(has_pair(net.sfd, pm_addr(net.family, 0, true),
				     pm_addr(net.family, 2, false)), "another");
		refuse_prefix(1, false);
		pm_transfer(&net, 100000, NULL);

		/* by count */
		memset(stats, 0, sizeof(*stats));
		config->max = 1;
		set_ndiffports(4);
		if (pm_pair(&net, "ndiffports", "refuse"))
			goto out;
		pm_wait_value(&stats->too_many, 2);
		pm_wait_counter(PM_SERVER, "SyncookiesRecv", cookies);
		pm_wait_subflows(net.sfd, 2);
		pm_wait_subflows(net.cfd, 2);
		pm_transfer(&net, 100000, NULL);
	}
out:
	pm_sysctl(PM_SERVER, "/proc/sys/net/ipv4/tcp_syncookies", "1");
}

void serial_test_mptcp_pm(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
		bool v4;		/* IPv4 only */
	} tests[] = {
		{ "ndiffports", test_ndiffports },
		{ "limit", test_limit },
		{ "fullmesh", test_fullmesh },
		{ "lost", test_lost },
		{ "links", test_links },
		{ "mapped", test_mapped, true },
		{ "carrier", test_carrier },
		{ "down", test_down },
		{ "beyond", test_beyond },
		{ "address", test_address },
		{ "many", test_many },
		{ "download", test_download },
		{ "local", test_local },
		{ "reconnect", test_reconnect },
		{ "delayed", test_delayed },
		{ "recreate", test_recreate },
		{ "refuse", test_refuse },
	};
	char name[32];
	int i, v6;

	ndiffports = mptcp_pm_ndiffports__open_and_load();
	fullmesh = mptcp_pm_fullmesh__open_and_load();
	delayed = mptcp_pm_delayed__open_and_load();
	recreate = mptcp_pm_recreate__open_and_load();
	refuse = mptcp_pm_refuse__open_and_load();
	if (!ASSERT_OK_PTR(ndiffports, "ndiffports") ||
	    !ASSERT_OK_PTR(fullmesh, "fullmesh") ||
	    !ASSERT_OK_PTR(delayed, "delayed") ||
	    !ASSERT_OK_PTR(recreate, "recreate") ||
	    !ASSERT_OK_PTR(refuse, "refuse") ||
	    !ASSERT_OK(mptcp_pm_ndiffports__attach(ndiffports), "ndiffports") ||
	    !ASSERT_OK(mptcp_pm_fullmesh__attach(fullmesh), "fullmesh") ||
	    !ASSERT_OK(mptcp_pm_delayed__attach(delayed), "delayed") ||
	    !ASSERT_OK(mptcp_pm_recreate__attach(recreate), "recreate") ||
	    !ASSERT_OK(mptcp_pm_refuse__attach(refuse), "refuse"))
		goto out;

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if ((v6 && tests[i].v4) || !test__start_subtest(name))
				continue;
			if (!pm_open_net(&net, v6 ? AF_INET6 : AF_INET))
				tests[i].test();
			pm_close_net(&net);
		}
	}
out:
	mptcp_pm_refuse__destroy(refuse);
	mptcp_pm_recreate__destroy(recreate);
	mptcp_pm_delayed__destroy(delayed);
	mptcp_pm_fullmesh__destroy(fullmesh);
	mptcp_pm_ndiffports__destroy(ndiffports);
}
