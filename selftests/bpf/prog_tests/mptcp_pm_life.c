// SPDX-License-Identifier: GPL-2.0
/* Path managers and sessions that come and go, what is told of them, and what a path
 * manager must not do.
 */
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <test_progs.h>
#include "cap_helpers.h"
#include "network_helpers.h"
#include "mptcp_pm_net.h"
#include "progs/extopt_path.h"
#include "progs/mptcp_pm_watch.h"
#include "extopt_path.skel.h"
#include "mptcp_pm_watch.skel.h"
#include "mptcp_pm_ndiffports.skel.h"

static struct mptcp_pm_watch *watch;
static struct mptcp_pm_watch__bss *bss;
static struct bpf_link *reg;
static struct pm_net net;
static struct extopt_path *path;	/* of the first link */

#define EVENT(event) (*(volatile __u64 *)&bss->events[WATCH_##event])

static unsigned int token(int fd)
{
	unsigned char info[512] = {};
	socklen_t len = sizeof(info);
	unsigned int val;

	/* mptcpi_token of struct mptcp_info */
	if (!ASSERT_OK(getsockopt(fd, SOL_MPTCP, 1, info, &len), "MPTCP_INFO"))
		return 0;
	memcpy(&val, info + 12, sizeof(val));
	return val;
}

/* Have the session do what bss->cmd says ... */
static void order(int fd, enum watch_op op)
{
	bss->cmd.token = token(fd);
	bss->cmd.ret = -1000;
	__atomic_store_n(&bss->cmd.op, op, __ATOMIC_SEQ_CST);
}

/* ... until it has done so */
static int done(void)
{
	__u64 end = pm_now_ms() + PM_TIMEOUT_MS;

	while (__atomic_load_n(&bss->cmd.op, __ATOMIC_SEQ_CST) && pm_now_ms() < end)
		usleep(2000);
	ASSERT_EQ(bss->cmd.op, WATCH_NOTHING, "done");
	return bss->cmd.ret;
}

static int obey(int fd, enum watch_op op)
{
	order(fd, op);
	return done();
}

/* Have the session be busy, until bss->hold is cleared. */
static bool hold(int fd)
{
	__u64 was = bss->waiting;

	bss->hold = true;
	return ASSERT_EQ(obey(fd, WATCH_HOLD), 0, "hold") &&
	       pm_wait_value(&bss->waiting, was + 1);
}

static void clear_cmd(void)
{
	memset(&bss->cmd, 0, sizeof(bss->cmd));
}

static void set_end(struct watch_end *end, int family, const char *addr, int port)
{
	end->family = family;
	end->port = htons(port);
	memset(end->addr, 0, sizeof(end->addr));
	if (addr)
		inet_pton(family, addr, end->addr);
}

static void clear_watch(void)
{
	memset(bss->events, 0, sizeof(bss->events));
	memset(bss->tried, 0, sizeof(bss->tried));
	clear_cmd();
}

static int watch_pair(void)
{
	clear_watch();
	return pm_pair(&net, "watch", NULL);
}

static const char *net_addr(int link_nr, bool server)
{
	return pm_addr(net.family, link_nr, server);
}

/* What is told, and in which order */
static void test_events(void)
{
	int id, id2;

	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	ASSERT_EQ(EVENT(INIT), 1, "init");
	ASSERT_EQ(EVENT(ESTABLISHED), 1, "established");
	ASSERT_EQ(EVENT(SUBFLOW_ESTABLISHED), 0, "subflow_established");

	/* opened, from another link; then closed by us */
	set_end(&bss->cmd.local, net.family, net_addr(1, false), 0);
	bss->cmd.has_local = 1;
	id = obey(net.cfd, WATCH_OPEN);
	if (!ASSERT_GT(id, 1, "open") ||
	    !pm_wait_value(&bss->events[WATCH_SUBFLOW_ESTABLISHED], 1) ||
	    !pm_wait_subflows(net.sfd, 2))
		return;
	ASSERT_GE(pm_find(net.cfd, net_addr(1, false), net_addr(0, true)), 0, "local");
	SYS(out, "ip -n " PM_CLIENT " addr add %s dev lo",
	    net.family == AF_INET ? "10.99.0.1/32" : "fd99::1/128");
	ASSERT_EQ(obey(net.cfd, WATCH_LIST), 2, "subflows");
	ASSERT_EQ(bss->cmd.addrs_lo, 1, "an address of lo");
	bss->cmd.id = id;
	ASSERT_EQ(obey(net.cfd, WATCH_CLOSE), 0, "close");
	if (!pm_wait_value(&bss->events[WATCH_SUBFLOW_CLOSED], 1) ||
	    !pm_wait_subflows(net.sfd, 1))
		return;
	ASSERT_EQ(bss->closed_err, 0, "no error");
	ASSERT_EQ(obey(net.cfd, WATCH_CLOSE), -ENOENT, "again");

	/* from a port, to an address and a port, over an interface */
	clear_cmd();
	set_end(&bss->cmd.local, net.family, net_addr(2, false), 7123);
	set_end(&bss->cmd.remote, net.family, net_addr(1, true), PM_PORT);
	bss->cmd.has_local = bss->cmd.has_remote = 1;
	bss->cmd.ifindex = pm_ifindex(2);
	id2 = obey(net.cfd, WATCH_OPEN);
	if (!ASSERT_GT(id2, id, "open") || !pm_wait_subflows(net.sfd, 2))
		return;
	ASSERT_GE(pm_find(net.sfd, net_addr(1, true), net_addr(2, false)), 0, "ends");
	/* an unset address, but a port */
	clear_cmd();
	set_end(&bss->cmd.local, 0, NULL, 7124);
	bss->cmd.has_local = 1;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), id2, "open");
	pm_wait_subflows(net.sfd, 3);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EADDRINUSE, "port in use");

	/* nobody listens: the error is told */
	clear_cmd();
	memset(bss->events, 0, sizeof(bss->events));
	set_end(&bss->cmd.remote, net.family, net_addr(1, true), 7199);
	bss->cmd.has_remote = 1;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), id2, "open");
	pm_wait_value(&bss->events[WATCH_SUBFLOW_CLOSED], 1);
	ASSERT_EQ(bss->closed_err, -ECONNREFUSED, "error");
	ASSERT_EQ(EVENT(SUBFLOW_ESTABLISHED), 0, "not established");

	/* the peer announces and removes an address, by its endpoints */
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 9 signal",
	    net_addr(2, true));
	pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 1);
	clear_cmd();
	set_end(&bss->cmd.remote, net.family, net_addr(2, true), 0);
	bss->cmd.remote.id = 9;
	bss->cmd.has_remote = 1;
	ASSERT_EQ(memcmp(&bss->announced, &bss->cmd.remote, sizeof(bss->announced)), 0,
		  "announced");
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint del id 9");
	pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 1);
	ASSERT_EQ(bss->removed_id, 9, "id");
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "removed ID");

	/* closed: what was told is in order */
	pm_close_pair(&net);
	pm_wait_value(&bss->events[WATCH_RELEASE], 1);
	/* from close(), or from the worker that ends it */
	ASSERT_TRUE(bss->tried[WATCH_RELEASE].open == -EPERM ||
		    bss->tried[WATCH_RELEASE].open == -ENOTCONN, "open from release()");
	ASSERT_EQ(bss->errors, 0, "order");
out:
	SYS_NOFAIL("ip -n " PM_SERVER " mptcp endpoint flush");
}

/* The same on the server: what the peer adds, its priority, announced addresses */
static void test_server(void)
{
	struct pm_net peer = { .family = net.family, .lfd = -1 };
	int id;

	memset(bss->events, 0, sizeof(bss->events));
	clear_cmd();
	pm_close_pair(&net);
	net.lfd = pm_listen(&net, "watch");
	if (net.lfd < 0 || pm_more(&net, &peer, "kernel"))
		goto out;
	if (!pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		goto out;

	/* The client's in-kernel path manager takes what is announced. */
	set_end(&bss->cmd.local, net.family, net_addr(1, true), 0);
	id = obey(peer.sfd, WATCH_ANNOUNCE);
	if (!ASSERT_GT(id, 0, "announce") || !pm_wait_subflows(peer.sfd, 2))
		goto out;
	ASSERT_EQ(EVENT(ACCEPT), 1, "accept");
	pm_wait_value(&bss->events[WATCH_SUBFLOW_ESTABLISHED], 1);
	ASSERT_GE(pm_find(peer.cfd, net_addr(0, false), net_addr(1, true)), 0,
		  "to the announced");
	ASSERT_EQ(obey(peer.sfd, WATCH_ANNOUNCE), -EEXIST, "again");

	/* its endpoint becomes a backup */
	SYS(out, "ip -n " PM_CLIENT " mptcp endpoint add %s id 5 subflow",
	    net_addr(1, false));
	if (!pm_wait_subflows(peer.sfd, 3))
		goto out;
	SYS(out, "ip -n " PM_CLIENT " mptcp endpoint change id 5 backup");
	pm_wait_value(&bss->events[WATCH_SUBFLOW_PRIO], 1);
	ASSERT_EQ(bss->prio, 1, "backup");

	bss->cmd.id = id;
	ASSERT_EQ(obey(peer.sfd, WATCH_WITHDRAW), 0, "withdraw");
	pm_wait_subflows(peer.cfd, 2);
	ASSERT_EQ(obey(peer.sfd, WATCH_WITHDRAW), -ENOENT, "again");
	ASSERT_EQ(bss->errors, 0, "order");
out:
	SYS_NOFAIL("ip -n " PM_CLIENT " mptcp endpoint flush");
	pm_close_pair(&peer);
}

/* An address that is announced with and without a port has two IDs, and is withdrawn by
 * each for itself.
 */
static void test_port(void)
{
	/* either order: of two, the first is found first */
	const int ports[2] = { net.family == AF_INET ? 7200 : 0,
			       net.family == AF_INET ? 0 : 7200 };
	struct watch_cmd *cmd = &bss->cmd;
	int id[2], i;

	/* a listener */
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 9 port 7200 signal",
	    net_addr(1, true));
	clear_watch();
	if (pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		goto out;
	for (i = 0; i < 2; i++) {
		clear_cmd();
		set_end(&cmd->local, net.family, net_addr(1, true), ports[i]);
		id[i] = obey(net.sfd, WATCH_ANNOUNCE);
		if (!ASSERT_GT(id[i], 0, "announce") ||
		    !pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], i + 1) ||
		    !pm_wait_counter(PM_SERVER, "EchoAdd", i + 1))
			goto out;
		clear_cmd();
		set_end(&cmd->remote, net.family, net_addr(1, true), ports[i]);
		cmd->remote.id = id[i];
		cmd->has_remote = 1;
		if (!ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "open") ||
		    !pm_wait_subflows(net.cfd, i + 2) || !pm_wait_subflows(net.sfd, i + 2))
			goto out;
	}
	clear_cmd();
	cmd->id = id[0];
	ASSERT_EQ(obey(net.sfd, WATCH_WITHDRAW), 0, "withdraw");
	if (!pm_wait_subflows(net.cfd, 2) || !pm_wait_subflows(net.sfd, 2))
		goto out;
	ASSERT_EQ(pm_to_port(net.cfd, 7200), !ports[0], "with the port");
	cmd->id = id[1];
	ASSERT_EQ(obey(net.sfd, WATCH_WITHDRAW), 0, "withdraw");
	if (!pm_wait_subflows(net.cfd, 1) || !pm_wait_subflows(net.sfd, 1))
		goto out;
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	SYS_NOFAIL("ip -n " PM_SERVER " mptcp endpoint flush");
}

/* Each of the ends left to the kernel, and what the peer gets to see of it */
static void test_ends(void)
{
	struct watch_cmd *cmd = &bss->cmd;
	int id;

	/* a listener on another port of the same address */
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 9 port 7200 signal",
	    net_addr(0, true));
	memset(bss->events, 0, sizeof(bss->events));
	clear_cmd();
	if (pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		goto out;

	cmd->ifindex = pm_ifindex(1);
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "interface only");
	pm_wait_subflows(net.sfd, 2);
	ASSERT_GE(pm_find(net.cfd, net_addr(1, false), net_addr(0, true)), 0,
		  "its address");
	ASSERT_EQ(bss->join_backup, 0, "no backup");

	/* The port has to be announced. */
	clear_cmd();
	set_end(&cmd->local, net.family, net_addr(0, true), 7200);
	id = obey(net.sfd, WATCH_ANNOUNCE);
	if (!ASSERT_GT(id, 0, "announce") ||
	    !pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 1))
		goto out;
	clear_cmd();
	set_end(&cmd->remote, 0, NULL, 7200);
	cmd->has_remote = 1;
	ASSERT_EQ(bss->announced.port, htons(7200), "announced port");
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "port only");
	pm_wait_subflows(net.sfd, 3);
	ASSERT_EQ(pm_to_port(net.cfd, 7200), 1, "port only");

	/* as the peer announced it */
	set_end(&cmd->remote, net.family, net_addr(0, true), 7200);
	cmd->remote.id = id;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "announced");
	pm_wait_subflows(net.sfd, 4);
	ASSERT_EQ(pm_to_port(net.cfd, 7200), 2, "announced");

	/* the kernel chooses the address, and it is a backup */
	clear_cmd();
	cmd->flags = 1 << 2;	/* MPTCP_PM_ADDR_FLAG_BACKUP */
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "backup");
	pm_wait_subflows(net.sfd, 5);
	ASSERT_EQ(bss->join_backup, 1, "backup");

	/* What is mapped into IPv6 is IPv4. */
	if (net.family == AF_INET) {
		clear_cmd();
		set_end(&cmd->local, AF_INET6, "::ffff:10.78.2.1", 0);
		set_end(&cmd->remote, AF_INET6, "::ffff:10.77.0.2", PM_PORT);
		cmd->has_local = cmd->has_remote = 1;
		ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "mapped");
		pm_wait_subflows(net.sfd, 6);
		ASSERT_GE(pm_find(net.cfd, net_addr(2, false), net_addr(1, true)), 0,
			  "mapped");
	}
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(bss->errors, 0, "order");

	/* The server does not want subflows to the address and port that it has. */
	if (pm_sysctl(PM_SERVER, "/proc/sys/net/mptcp/allow_join_initial_addr_port", "0"))
		goto out;
	memset(bss->events, 0, sizeof(bss->events));
	clear_cmd();
	if (pm_pair(&net, "watch", NULL) ||
	    !pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 1))
		goto out;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EPERM, "flag C");
	set_end(&cmd->remote, net.family, net_addr(0, true), 7200);
	cmd->remote.id = 9;
	cmd->has_remote = 1;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "another port");
	pm_wait_subflows(net.sfd, 2);
	ASSERT_EQ(pm_to_port(net.cfd, 7200), 1, "another port");
out:
	SYS_NOFAIL("ip -n " PM_SERVER " mptcp endpoint flush");
}

/* Nobody answers: removed by the peer, closed by us, and given up */
static void test_silent(void)
{
	const char *nobody = net.family == AF_INET ? "10.77.0.99" : "fd77::99";
	struct watch_cmd *cmd = &bss->cmd;
	int id;

	SYS(out, "ip -n " PM_ROUTER " route add blackhole %s table 100", nobody);
	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	set_end(&cmd->remote, net.family, nobody, 0);
	cmd->has_remote = 1;

	/* The peer announces it, and takes that back. */
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 9 signal", nobody);
	if (!pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 1))
		return;
	cmd->remote.id = 9;
	if (!ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "open"))
		return;
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint del id 9");
	if (!pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 1))
		return;
	ASSERT_EQ(EVENT(SUBFLOW_CLOSED), 1, "subflow_closed");
	ASSERT_EQ(bss->closed_err, 0, "no error");
	ASSERT_EQ(bss->closed_port, htons(PM_PORT), "its end");
	bss->events[WATCH_SUBFLOW_CLOSED] = 0;

	if (pm_sysctl(PM_CLIENT, "/proc/sys/net/ipv4/tcp_syn_retries", "1"))
		return;
	cmd->remote.id = 0;
	id = obey(net.cfd, WATCH_OPEN);
	if (!ASSERT_GT(id, 1, "open"))
		return;
	cmd->id = id;
	ASSERT_EQ(obey(net.cfd, WATCH_BACKUP), -ENOTCONN, "backup");
	ASSERT_EQ(obey(net.cfd, WATCH_CLOSE), 0, "close");
	pm_wait_value(&bss->events[WATCH_SUBFLOW_CLOSED], 1);
	ASSERT_EQ(bss->closed_err, 0, "no error");
	ASSERT_EQ(bss->closed_port, htons(PM_PORT), "its end");

	ASSERT_GT(obey(net.cfd, WATCH_OPEN), id, "open");
	pm_wait_value(&bss->events[WATCH_SUBFLOW_CLOSED], 2);
	ASSERT_EQ(bss->closed_err, -ETIMEDOUT, "error");
	ASSERT_EQ(EVENT(SUBFLOW_ESTABLISHED), 0, "subflow_established");
	pm_transfer(&net, 10000, NULL);
out:
	return;
}

/* The peer removes the address of all subflows. For those that go others are opened, to
 * that address again, while the kernel walks the list of them: these are not of what
 * was removed.
 */
static void test_reopen(void)
{
	int i;

	if (pm_limits(PM_CLIENT, 2, 0) || watch_pair() ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	for (i = 0; i < 2; i++)
		if (!ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "open"))
			return;
	if (!pm_wait_subflows(net.sfd, 3))
		return;
	bss->reopened = 0;
	bss->reopen = true;
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint del id 0 %s", net_addr(0, true));
	pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 1);
	bss->reopen = false;
	ASSERT_EQ(bss->removed_id, 0, "id");
	/* The first was closed when there was no room yet. */
	ASSERT_EQ(EVENT(SUBFLOW_CLOSED), 3, "subflow_closed");
	ASSERT_EQ(bss->reopened, 2, "opened");
	pm_wait_subflows(net.sfd, 2);
	pm_transfer(&net, 10000, NULL);
out:
	bss->reopen = false;
}

/* An IPv6 address that was there, but not yet known to be unique, when the first path
 * manager was registered
 */
static void test_unique(void)
{
	const __u64 end = pm_now_ms() + PM_TIMEOUT_MS;
	__u64 before;
	int addrs;

	bpf_link__destroy(reg);
	reg = NULL;
	/* Seconds, for the connection to be there first */
	if (pm_sysctl(PM_CLIENT, "/proc/sys/net/ipv6/conf/c1/dad_transmits", "5"))
		goto out;
	SYS(out, "ip -n " PM_CLIENT " addr add fd7a::1/64 dev c1");
	usleep(20000);
out:
	reg = bpf_map__attach_struct_ops(watch->maps.watch);
	if (!ASSERT_OK_PTR(reg, "attach") || watch_pair())
		return;
	obey(net.cfd, WATCH_LIST);
	addrs = bss->cmd.addrs;
	do {
		before = EVENT(ADDRS_CHANGED);
		usleep(50000);
		obey(net.cfd, WATCH_LIST);
	} while (bss->cmd.addrs == addrs && pm_now_ms() < end);
	ASSERT_EQ(bss->cmd.addrs, addrs + 1, "addresses");
	/* told since it was last not there */
	pm_wait_value(&bss->events[WATCH_ADDRS_CHANGED], before + 1);

	/* Deprecated, it is only there for those who ask. */
	SYS_NOFAIL("ip -n " PM_CLIENT " addr change fd7a::1/64 dev c1 preferred_lft 0");
	obey(net.cfd, WATCH_LIST);
	ASSERT_EQ(bss->cmd.addrs, addrs, "deprecated");
	bss->cmd.flags = 1;	/* MPTCP_PM_LOCAL_DEPRECATED */
	obey(net.cfd, WATCH_LIST);
	ASSERT_EQ(bss->cmd.addrs, addrs + 1, "with deprecated");
}

/* The path of a subflow that has been established is cut: the bytes take the other, it is
 * given up.
 */
static void test_cut(void)
{
	struct watch_cmd *cmd = &bss->cmd;
	struct pm_subflows subflows;
	__u64 before;
	int i, id;

	/* seconds, not a quarter of an hour */
	if (pm_sysctl(PM_CLIENT, "/proc/sys/net/ipv4/tcp_retries2", "3") ||
	    pm_sysctl(PM_CLIENT, "/proc/sys/net/mptcp/stale_loss_cnt", "1") ||
	    watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	cmd->ifindex = pm_ifindex(1);
	id = obey(net.cfd, WATCH_OPEN);
	if (!ASSERT_GT(id, 1, "open") ||
	    !pm_wait_value(&bss->events[WATCH_SUBFLOW_ESTABLISHED], 1) ||
	    !pm_wait_subflows(net.cfd, 2) || !pm_wait_subflows(net.sfd, 2))
		return;
	/* All there is to send is sent there first. */
	clear_cmd();
	cmd->id = 1;
	cmd->flags = 1;
	ASSERT_EQ(obey(net.cfd, WATCH_BACKUP), 0, "backup");
	if (pm_transfer(&net, 100000, NULL) || pm_cut(&net, 1))
		return;
	ASSERT_EQ(EVENT(SUBFLOW_CLOSED), 0, "before");
	i = pm_find(net.cfd, net_addr(1, false), net_addr(0, true));
	if (!ASSERT_OK(pm_get_subflows(net.cfd, &subflows), "subflows") ||
	    !ASSERT_GE(i, 0, "subflow"))
		return;

	before = pm_link_bytes(0);
	if (pm_transfer(&net, 1 << 20, NULL))
		return;
	ASSERT_GE(pm_link_bytes(0) - before, 1 << 20, "bytes of the other");
	if (!pm_wait_value(&bss->events[WATCH_SUBFLOW_CLOSED], 1))
		return;
	ASSERT_EQ(bss->closed_err, -ETIMEDOUT, "error");
	ASSERT_EQ(bss->closed_id, id, "which");
	ASSERT_EQ(ntohs(bss->closed_from), pm_port(&subflows.local[i]), "from");

	/* The session goes on without. */
	pm_wait_subflows(net.cfd, 1);
	ASSERT_GE(pm_find(net.cfd, net_addr(0, false), net_addr(0, true)), 0, "left");
	ASSERT_EQ(pm_extra(net.cfd), 0, "MPTCP_INFO");
	ASSERT_EQ(pm_diag(PM_CLIENT), 0, "ss");
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(EVENT(SUBFLOW_CLOSED), 1, "subflow_closed");
	ASSERT_EQ(EVENT(RELEASE), 0, "release");
	ASSERT_EQ(bss->errors, 0, "order");
}

/* By a transfer of a megabyte from the server: what it sends on the first link */
static __u64 bytes_of_first(void)
{
	struct pm_net back = pm_back(&net);
	__u64 before = pm_link_bytes_in(0);

	return pm_transfer(&back, 1 << 20, NULL) ? 0 : pm_link_bytes_in(0) - before;
}

/* MP_PRIO reaches the peer, whose scheduler then leaves the subflow alone, as does ours */
static void test_backup(void)
{
	__u64 before;
	int id;

	clear_watch();
	if (pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		return;
	bss->cmd.ifindex = pm_ifindex(1);
	set_end(&bss->cmd.local, net.family, net_addr(1, false), 0);
	bss->cmd.has_local = 1;
	id = obey(net.cfd, WATCH_OPEN);
	if (!ASSERT_GT(id, 1, "open") || !pm_wait_subflows(net.sfd, 2))
		return;
	/* before, it takes its part */
	before = pm_link_bytes(0);
	if (pm_transfer(&net, 1 << 20, NULL))
		return;
	ASSERT_GT(pm_link_bytes(0) - before, 100000, "bytes of the first");
	ASSERT_GT(bytes_of_first(), 100000, "the server's");

	bss->cmd.id = 1;	/* the initial one */
	bss->cmd.flags = 1;
	ASSERT_EQ(obey(net.cfd, WATCH_BACKUP), 0, "backup");
	if (!pm_wait_value(&bss->events[WATCH_SUBFLOW_PRIO], 1))
		return;
	ASSERT_EQ(bss->prio, 1, "backup");
	ASSERT_EQ(bss->prio_id, 1, "the initial one");
	if (pm_transfer(&net, 1000, NULL))
		return;
	before = pm_link_bytes(0);
	pm_transfer(&net, 1 << 20, NULL);
	ASSERT_LT(pm_link_bytes(0) - before, 100000, "bytes of the backup");
	ASSERT_LT(bytes_of_first(), 100000, "the server's");

	bss->cmd.flags = 0;
	ASSERT_EQ(obey(net.cfd, WATCH_BACKUP), 0, "no backup");
	if (!pm_wait_value(&bss->events[WATCH_SUBFLOW_PRIO], 2))
		return;
	ASSERT_EQ(bss->prio, 0, "no backup");
	ASSERT_GT(bytes_of_first(), 100000, "the server's");
	ASSERT_EQ(bss->errors, 0, "order");
}

/* An address beyond the limit is not told of, and cannot be opened to; one that is
 * removed makes room.
 */
static void test_accepted(void)
{
	struct watch_cmd *cmd = &bss->cmd;

	if (pm_limits(PM_CLIENT, 8, 1) || watch_pair() ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 9 signal", net_addr(1, true));
	pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 1);
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 10 signal", net_addr(2, true));
	/* not told, but answered */
	if (!pm_wait_counter(PM_SERVER, "EchoAdd", 2))
		goto out;
	cmd->has_remote = 1;
	set_end(&cmd->remote, net.family, net_addr(2, true), 0);
	cmd->remote.id = 10;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "beyond the limit");
	ASSERT_EQ(EVENT(ADDR_ANNOUNCED), 1, "addr_announced");

	SYS(out, "ip -n " PM_SERVER " mptcp endpoint del id 10");
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint del id 9");
	pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 2);
	SYS(out, "ip -n " PM_SERVER " mptcp endpoint add %s id 11 signal", net_addr(2, true));
	pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 2);
	ASSERT_EQ(bss->announced.id, 11, "id");
	cmd->remote.id = 11;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "open");
	pm_wait_subflows(net.sfd, 2);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	SYS_NOFAIL("ip -n " PM_SERVER " mptcp endpoint flush");
}

static int announce(int link)
{
	set_end(&bss->cmd.local, net.family, net_addr(link, false), 0);
	return obey(net.cfd, WATCH_ANNOUNCE);
}

static void test_misuse(void)
{
	int other = net.family == AF_INET ? AF_INET6 : AF_INET;
	struct watch_cmd *cmd = &bss->cmd;
	int i;

	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;

	/* families */
	cmd->has_local = cmd->has_remote = 1;
	set_end(&cmd->local, other, pm_addr(other, 1, false), 0);
	set_end(&cmd->remote, net.family, net_addr(1, true), 0);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EAFNOSUPPORT, "mixed families");
	set_end(&cmd->local, AF_UNIX, NULL, 0);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EAFNOSUPPORT, "no family of IP");
	clear_cmd();
	cmd->has_remote = 1;
	set_end(&cmd->remote, AF_UNIX, NULL, 0);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EAFNOSUPPORT, "no family of IP");
	set_end(&cmd->remote, other, NULL, 0);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EAFNOSUPPORT, "address of zero");
	/* An IPv6 socket can do IPv4. */
	if (net.family == AF_INET) {
		set_end(&cmd->remote, other, pm_addr(other, 1, true), 0);
		ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EAFNOSUPPORT, "not the socket's");
	}

	/* IDs */
	set_end(&cmd->remote, net.family, net_addr(1, true), 0);
	cmd->remote.id = 77;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "not announced");
	set_end(&cmd->remote, net.family, net_addr(0, true), 0);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "not announced, the initial one");
	clear_cmd();
	cmd->has_local = 1;
	set_end(&cmd->local, net.family, net_addr(1, false), 0);
	cmd->local.id = 200;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "not allocated");

	/* addresses, interfaces, flags */
	clear_cmd();
	cmd->has_local = 1;
	set_end(&cmd->local, net.family, net_addr(1, true), 0);
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EADDRNOTAVAIL, "not ours");
	clear_cmd();
	cmd->ifindex = 12345;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN),
		  net.family == AF_INET ? -ENODEV : -ENETUNREACH, "no such interface");
	cmd->ifindex = -1;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "interface");
	clear_cmd();
	cmd->flags = 1;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EINVAL, "flags");

	/* limits */
	clear_cmd();
	pm_limits(PM_CLIENT, 2, 8);
	for (i = 0; i < 2; i++)
		ASSERT_GT(obey(net.cfd, WATCH_OPEN), 0, "open");
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -ENOSPC, "limit");
	pm_limits(PM_CLIENT, 8, 8);
	pm_wait_subflows(net.sfd, 3);

	/* announcing */
	ASSERT_EQ(obey(net.cfd, WATCH_ANNOUNCE), -EAFNOSUPPORT, "no address");
	set_end(&cmd->local, net.family, NULL, 0);
	ASSERT_EQ(obey(net.cfd, WATCH_ANNOUNCE), -EINVAL, "address of zero");
	cmd->id = 99;
	ASSERT_EQ(obey(net.cfd, WATCH_WITHDRAW), -ENOENT, "unknown ID");
	cmd->id = 86400001;
	ASSERT_EQ(obey(net.cfd, WATCH_TIMER), -EINVAL, "more than a day");

	/* None of that did any harm. */
	ASSERT_EQ(pm_subflows(net.cfd), 3, "subflows");
	pm_transfer(&net, 100000, NULL);

	/* There will be no more to send. */
	ASSERT_OK(shutdown(net.cfd, SHUT_WR), "shutdown");
	clear_cmd();
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -ENOTCONN, "half closed");
	ASSERT_GT(announce(2), 0, "announce");
	ASSERT_EQ(bss->errors, 0, "order");
}

/* One timer: what it is set to replaces what it was. */
static void test_timer(void)
{
	__u64 was;

	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	bss->cmd.id = 3000;
	ASSERT_EQ(obey(net.cfd, WATCH_TIMER), 0, "later");
	was = EVENT(TIMEOUT);
	usleep(10 * 1000 * watch->data->tick_ms);
	ASSERT_EQ(EVENT(TIMEOUT), was, "not before");
	pm_wait_value(&bss->events[WATCH_TIMEOUT], was + 1);

	bss->cmd.id = 0;
	ASSERT_EQ(obey(net.cfd, WATCH_TIMER), 0, "never");
	was = EVENT(TIMEOUT);
	usleep(10 * 1000 * watch->data->tick_ms);
	ASSERT_EQ(EVENT(TIMEOUT), was, "timeout");
	ASSERT_EQ(bss->errors, 0, "order");
}

/* Close the only subflow: there is none that something could be told on. */
static bool close_only(int id)
{
	clear_cmd();
	bss->cmd.id = id;
	return ASSERT_EQ(obey(net.cfd, WATCH_CLOSE), 0, "close") &&
	       pm_wait_subflows(net.cfd, 0) && pm_wait_subflows(net.sfd, 0);
}

/* Another one, and what it can be told on: the ID. NULL: from where the kernel says */
static int open_from(const char *local)
{
	struct pm_net back = pm_back(&net);
	int id;

	clear_cmd();
	set_end(&bss->cmd.local, net.family, local, 0);
	bss->cmd.has_local = !!local;
	id = obey(net.cfd, WATCH_OPEN);
	if (!ASSERT_GT(id, 1, "open") || !pm_wait_subflows(net.cfd, 1) ||
	    !pm_wait_subflows(net.sfd, 1) || pm_transfer(&net, 1000, NULL) ||
	    pm_transfer(&back, 1000, NULL))
		return -1;
	return id;
}

static int withdraw(int id)
{
	bss->cmd.id = id;
	return obey(net.cfd, WATCH_WITHDRAW);
}

/* What the server sends over the first link does not arrive, or does again. */
static int block_server(bool block)
{
	FILE *f = pm_ip(net.family == AF_INET ? "-4 -n " PM_ROUTER : "-6 -n " PM_ROUTER);

	if (!f)
		return -1;
	fprintf(f, "rule %s iif x0 blackhole\n", block ? "add" : "del");
	return pm_ip_end(f, "rule");
}

/* What was to be told the peer before has not been sent yet */
static void test_busy(void)
{
	int id, first, second;

	clear_watch();
	if (pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2) || !close_only(1))
		return;

	/* an announcement */
	first = announce(1);
	ASSERT_GT(first, 0, "announce");
	ASSERT_EQ(announce(2), -EBUSY, "another");
	ASSERT_EQ(announce(1), -EEXIST, "again");
	ASSERT_EQ(withdraw(first), -EBUSY, "withdraw");
	ASSERT_EQ(EVENT(ADDR_ANNOUNCED), 0, "before");
	id = open_from(NULL);
	if (id < 0 || !pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 1))
		return;
	ASSERT_EQ(bss->announced.id, first, "first");
	second = announce(2);
	if (!ASSERT_GT(second, 0, "second") ||
	    !pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], 2))
		return;
	ASSERT_EQ(bss->announced.id, second, "second");
	/* nothing that would be sent again */
	if (!pm_wait_counter(PM_CLIENT, "EchoAdd", 2) || block_server(true) ||
	    !close_only(id))
		return;

	/* The removal of one. With the ACK of its FIN the server would not hear of it. */
	ASSERT_EQ(withdraw(first), 0, "withdraw");
	if (block_server(false))
		return;
	usleep(1000000);
	ASSERT_EQ(withdraw(second), -EBUSY, "another");
	ASSERT_EQ(withdraw(first), -ENOENT, "again");
	ASSERT_EQ(EVENT(ADDR_REMOVED), 0, "before");
	clear_cmd();
	set_end(&bss->cmd.local, net.family,
		net.family == AF_INET ? "10.79.0.9" : "fd79::9", 0);
	bss->cmd.has_local = 1;
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EADDRNOTAVAIL, "not opened");
	if (open_from(NULL) < 0 || !pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 1))
		return;
	ASSERT_EQ(bss->removed_id, first, "first");
	ASSERT_EQ(withdraw(second), 0, "second");
	if (!pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 2))
		return;
	ASSERT_EQ(bss->removed_id, second, "second");
	ASSERT_EQ(EVENT(ADDR_ANNOUNCED), 2, "addr_announced");
	ASSERT_EQ(EVENT(RELEASE), 0, "release");
	ASSERT_EQ(bss->errors, 0, "order");
}

/* Withdrawn, and used again before there was a subflow to tell it on: only what was not
 * used again is told.
 */
static void test_reuse(void)
{
	int i, id = 1, addr[2], events;

	clear_watch();
	if (pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		return;
	for (i = 0; i < 2; i++) {
		addr[i] = announce(i + 1);
		if (!ASSERT_GT(addr[i], 0, "announce") ||
		    !pm_wait_counter(PM_CLIENT, "EchoAdd", i + 1))
			return;
	}

	/* opened from */
	if (!close_only(id))
		return;
	bss->cmd.flags = addr[1];
	ASSERT_EQ(withdraw(addr[0]), 0, "withdraw");
	id = open_from(net_addr(1, false));
	if (id < 0 || !pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 1))
		return;
	ASSERT_EQ(bss->removed_id, addr[1], "the other");

	/* announced, one with the other there */
	clear_cmd();
	addr[0] = announce(1);
	if (!ASSERT_GT(addr[0], 0, "announce") || !pm_wait_counter(PM_CLIENT, "EchoAdd", 3))
		return;
	ASSERT_EQ(announce(2), addr[1], "the same ID");
	if (!pm_wait_counter(PM_CLIENT, "EchoAdd", 4) || !close_only(id))
		return;
	bss->cmd.flags = addr[1];
	ASSERT_EQ(withdraw(addr[0]), 0, "withdraw");
	events = EVENT(ADDR_ANNOUNCED);
	ASSERT_EQ(announce(2), addr[1], "again");
	if (open_from(NULL) < 0 ||
	    !pm_wait_value(&bss->events[WATCH_ADDR_ANNOUNCED], events + 1) ||
	    !pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 2))
		return;
	ASSERT_EQ(bss->announced.id, addr[1], "announced");
	ASSERT_EQ(bss->removed_id, addr[0], "removed");
	usleep(200000);
	ASSERT_EQ(EVENT(ADDR_REMOVED), 2, "no more");
	ASSERT_EQ(pm_subflows(net.sfd), 1, "server's");
	ASSERT_EQ(bss->errors, 0, "order");
}

/* Withdrawn one after the other, while the peer has no time for the first */
static void test_behind(void)
{
	int i, addr[2];

	clear_watch();
	if (pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		return;
	for (i = 0; i < 2; i++) {
		addr[i] = announce(i + 1);
		if (!ASSERT_GT(addr[i], 0, "announce") ||
		    !pm_wait_counter(PM_CLIENT, "EchoAdd", i + 1))
			return;
	}
	if (!hold(net.sfd))
		goto out;
	clear_cmd();
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(withdraw(addr[i]), 0, "withdraw");
		if (!pm_wait_counter(PM_CLIENT, "RmAddrTx", i + 1))
			goto out;
	}
	usleep(200000);
	ASSERT_EQ(EVENT(ADDR_REMOVED), 0, "busy");
	bss->hold = false;
	pm_wait_value(&bss->events[WATCH_ADDR_REMOVED], 2);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	bss->hold = false;
}

/* Two addresses at once: the peer is told of both, on the subflow that is left. */
static void test_drop(void)
{
	struct watch_cmd *cmd = &bss->cmd;
	int i, id = 0;

	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	for (i = 1; i < 3; i++) {
		cmd->id = id;
		cmd->ifindex = pm_ifindex(i);
		id = obey(net.cfd, WATCH_OPEN);
		if (!ASSERT_GT(id, 1, "open") || !pm_wait_subflows(net.cfd, i + 1) ||
		    !pm_wait_subflows(net.sfd, i + 1))
			return;
	}
	/* The initial one, and the first that was added. Nothing else tells the server. */
	if (pm_cut(&net, 0) || pm_cut(&net, 1))
		return;
	ASSERT_EQ(obey(net.cfd, WATCH_DROP), 0, "drop");
	if (!pm_wait_subflows(net.cfd, 1) || !pm_wait_subflows(net.sfd, 1))
		return;
	ASSERT_GE(pm_find(net.cfd, net_addr(2, false), net_addr(0, true)), 0, "left");
	pm_wait_counter(PM_SERVER, "RmAddr", 2);
	pm_transfer(&net, 100000, NULL);
	ASSERT_EQ(bss->errors, 0, "order");
}

/* The only subflow and its address are dropped, the same address is used again: what was
 * told of the first does not meet the second.
 */
static void test_again(void)
{
	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	bss->cmd.id = 1;
	ASSERT_EQ(obey(net.cfd, WATCH_DROP), 0, "drop");
	if (!pm_wait_subflows(net.cfd, 0) || !pm_wait_subflows(net.sfd, 0))
		return;
	clear_cmd();
	set_end(&bss->cmd.local, net.family, net_addr(0, false), 0);
	bss->cmd.has_local = 1;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 1, "open");
	if (!pm_wait_subflows(net.sfd, 1))
		return;
	pm_transfer(&net, 100000, NULL);
	usleep(200000);
	ASSERT_EQ(pm_subflows(net.cfd), 1, "client's");
	ASSERT_EQ(pm_subflows(net.sfd), 1, "server's");
	pm_wait_counter(PM_SERVER, "RmAddr", 1);
	ASSERT_EQ(EVENT(SUBFLOW_CLOSED), 1, "subflow_closed");
}

/* No subflow is left, and none is added: both ends are told that it is over. What the
 * server sent before arrives where nobody reads it any more.
 */
static void test_alone(void)
{
	char buf[1000] = {};

	if (pm_sysctl(PM_CLIENT, "/proc/sys/net/mptcp/close_timeout", "1") ||
	    pm_sysctl(PM_SERVER, "/proc/sys/net/mptcp/close_timeout", "1") ||
	    watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	if (block_server(true))
		return;
	ASSERT_EQ(send(net.sfd, buf, sizeof(buf), 0), sizeof(buf), "send");
	if (!close_only(1) || block_server(false))
		return;
	pm_wait_closed(net.cfd);
	pm_wait_closed(net.sfd);
	ASSERT_LT(recv(net.cfd, buf, 1, MSG_DONTWAIT), 0, "not read");
}

/* setsockopt() and sysctl, by whom and when */
static void test_select(void)
{
	struct pm_net other = { .family = net.family, .lfd = -1, .cfd = -1, .sfd = -1 };
	struct sockaddr un = { .sa_family = AF_UNSPEC };
	struct mptcp_pm_ndiffports *ndiffports = NULL;
	char name[32];
	socklen_t len;
	struct nstoken *ns;
	__u32 key = 0, nr = 3;
	__u64 caps = 0;
	int fd = -1;

	fd = pm_socket(&net, PM_CLIENT, NULL);
	if (fd < 0)
		return;
	ASSERT_EQ(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "nosuch", 6), -1, "nosuch");
	ASSERT_EQ(errno, ENOENT, "errno");
	ASSERT_EQ(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "", 0), -1, "empty");
	ASSERT_EQ(errno, EINVAL, "errno");
	ASSERT_EQ(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "kernel4567890123", 16), -1,
		  "long");
	ASSERT_EQ(errno, EINVAL, "errno");
	ASSERT_EQ(setsockopt(fd, SOL_MPTCP, 99, "watch", 5), -1, "other option");
	len = sizeof(name);
	ASSERT_OK(getsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "kernel", "default");
	ASSERT_OK(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "watch", 5), "watch");
	ASSERT_OK(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "kernel", 6), "kernel");
	ASSERT_OK(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "watch", 5), "watch");
	len = sizeof(name);
	ASSERT_OK(getsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "watch", "chosen");

	/* The namespace's is the administrator's choice. */
	if (!ASSERT_OK(cap_disable_effective(1ULL << CAP_NET_ADMIN, &caps), "drop"))
		goto out;
	ASSERT_OK(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "kernel", 6), "default");
	ASSERT_EQ(setsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, "watch", 5), -1, "another");
	ASSERT_EQ(errno, EPERM, "errno");
	ASSERT_OK(cap_enable_effective(caps, NULL), "restore");
	len = sizeof(name);
	ASSERT_OK(getsockopt(fd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "kernel", "default");
	close(fd);
	fd = -1;
	ns = open_netns(PM_CLIENT);
	fd = open("/proc/sys/net/mptcp/path_manager", O_WRONLY | O_CLOEXEC);
	close_netns(ns);
	ASSERT_EQ(write(fd, "nosuch", 6), -1, "sysctl");
	ASSERT_EQ(errno, ENOENT, "errno");
	close(fd);
	fd = -1;

	/* not once connected or listening */
	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		goto out;
	ASSERT_EQ(setsockopt(net.cfd, SOL_MPTCP, PM_PATH_MANAGER, "watch", 5), -1,
		  "connected");
	ASSERT_EQ(errno, EBUSY, "errno");
	ASSERT_EQ(setsockopt(net.lfd, SOL_MPTCP, PM_PATH_MANAGER, "watch", 5), -1,
		  "listening");
	ASSERT_EQ(errno, EBUSY, "errno");

	/* One for the namespace, another for a socket, a third on the server */
	ndiffports = mptcp_pm_ndiffports__open_and_load();
	if (!ASSERT_OK_PTR(ndiffports, "ndiffports") ||
	    !ASSERT_OK(bpf_map__update_elem(ndiffports->maps.ndiffports_nr, &key,
					    sizeof(key), &nr, sizeof(nr), 0), "nr") ||
	    !ASSERT_OK(mptcp_pm_ndiffports__attach(ndiffports), "attach") ||
	    pm_sysctl(PM_CLIENT, "/proc/sys/net/mptcp/path_manager", "ndiffports"))
		goto out;
	memset(bss->events, 0, sizeof(bss->events));
	if (pm_pair(&net, NULL, "watch") || !pm_wait_subflows(net.sfd, 3))
		goto out;
	len = sizeof(name);
	ASSERT_OK(getsockopt(net.cfd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "ndiffports", "namespace's");
	len = sizeof(name);
	ASSERT_OK(getsockopt(net.sfd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "watch", "inherited");
	pm_wait_value(&bss->events[WATCH_SUBFLOW_ESTABLISHED], 2);
	ASSERT_EQ(EVENT(INIT), 1, "server's");
	if (pm_more(&net, &other, "watch"))
		goto out;
	pm_wait_value(&bss->events[WATCH_ESTABLISHED], 3);
	ASSERT_EQ(pm_subflows(other.cfd), 1, "does nothing by itself");

	/* What is over keeps what it had, until it is disconnected. */
	close(other.sfd);
	other.sfd = -1;
	shutdown(other.cfd, SHUT_RDWR);
	pm_wait_closed(other.cfd);
	ASSERT_EQ(setsockopt(other.cfd, SOL_MPTCP, PM_PATH_MANAGER, "kernel", 6), -1, "over");
	ASSERT_EQ(errno, EBUSY, "errno");
	ASSERT_OK(connect(other.cfd, &un, sizeof(un)), "disconnect");
	ASSERT_OK(setsockopt(other.cfd, SOL_MPTCP, PM_PATH_MANAGER, "kernel", 6),
		  "disconnected");

	/* Unregistered, the name means the kernel's. */
	mptcp_pm_ndiffports__destroy(ndiffports);
	ndiffports = NULL;
	pm_transfer(&net, 100000, NULL);
	pm_close_pair(&other);
	if (pm_more(&net, &other, NULL) ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 4))
		goto out;
	len = sizeof(name);
	ASSERT_OK(getsockopt(other.cfd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "kernel", "gone");
	ASSERT_EQ(pm_sysctl(PM_CLIENT, "/proc/sys/net/mptcp/path_manager", "kernel"), 0,
		  "back");

	/* The namespaces have different ones, which their sockets have. */
	if (pm_sysctl(PM_SERVER, "/proc/sys/net/mptcp/path_manager", "watch"))
		goto out;
	pm_close_pair(&other);
	memset(bss->events, 0, sizeof(bss->events));
	if (pm_pair(&net, NULL, NULL))
		goto out;
	len = sizeof(name);
	ASSERT_OK(getsockopt(net.sfd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "watch", "server's");
	len = sizeof(name);
	ASSERT_OK(getsockopt(net.cfd, SOL_MPTCP, PM_PATH_MANAGER, name, &len), "get");
	ASSERT_STREQ(name, "kernel", "client's");
	pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1);
	ASSERT_EQ(EVENT(INIT), 1, "server's");
out:
	if (fd >= 0)
		close(fd);
	mptcp_pm_ndiffports__destroy(ndiffports);
	pm_close_pair(&other);
}

/* The program once more, by another name: to be destroyed, loaded or not */
static struct mptcp_pm_watch *open_named(const char name[16])
{
	struct mptcp_pm_watch *named = mptcp_pm_watch__open();
	size_t size;

	/* the first member of struct mptcp_pm_ops */
	if (ASSERT_OK_PTR(named, "open"))
		memcpy(bpf_map__initial_value(named->maps.watch, &size), name, 16);
	return named;
}

/* Two of a name; names that cannot be */
static void test_register(void)
{
	static const struct {
		char name[16];
		int err;
	} names[] = {
		{ "watch", EEXIST },
		{ "kernel", EEXIST },
		{ "userspace", EEXIST },
		{ "", EINVAL },
		{ "a b", EINVAL },
		{ "a\n", EINVAL },
		{ { '1', '2', '3', '4', '5', '6', '7', '8',
		    '1', '2', '3', '4', '5', '6', '7', '8' }, EINVAL },
	};
	static const char another[16] = "another";
	struct mptcp_pm_watch *second;
	struct bpf_link *l;
	int i;

	second = open_named(another);
	if (!second)
		return;
	if (ASSERT_OK(mptcp_pm_watch__load(second), "load")) {
		ASSERT_EQ(bpf_link__update_map(reg, second->maps.watch), -EINVAL, "rename");
		ASSERT_OK(bpf_link__update_map(reg, second->maps.watch2), "same name");
	}
	mptcp_pm_watch__destroy(second);

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		second = open_named(names[i].name);
		if (!second)
			return;
		if (ASSERT_OK(mptcp_pm_watch__load(second), "load")) {
			l = bpf_map__attach_struct_ops(second->maps.watch);
			if (!ASSERT_ERR_PTR(l, "attach"))
				bpf_link__destroy(l);
			ASSERT_EQ(errno, names[i].err, names[i].name);
		}
		mptcp_pm_watch__destroy(second);
	}
}

static volatile bool stop;

static void *updater(void *arg)
{
	int i;

	for (i = 0; !stop; i++) {
		if (bpf_link__update_map(reg, i & 1 ? watch->maps.watch :
					 watch->maps.watch2))
			return (void *)1;
		(*(volatile int *)arg)++;
	}
	return NULL;
}

/* The link is updated while sessions are opened, used and closed. */
static void test_update(void)
{
	volatile int updates = 0;
	pthread_t thread;
	int i;
	void *ret;

	if (watch_pair())
		return;
	stop = false;
	if (!ASSERT_OK(pthread_create(&thread, NULL, updater, (void *)&updates), "thread"))
		return;
	for (i = 0; i < 10 || (updates <= 10 && i < 100); i++) {
		struct pm_net other = { .family = net.family, .lfd = -1 };

		pm_transfer(&net, 100000, NULL);
		if (pm_more(&net, &other, "watch"))
			break;
		pm_transfer(&other, 10000, NULL);
		pm_close_pair(&other);
	}
	stop = true;
	pthread_join(thread, &ret);
	ASSERT_NULL(ret, "update");
	ASSERT_GT(updates, 10, "updates");
	ASSERT_EQ(bss->errors, 0, "order");

	/* The other program serves the session that was opened under the first. */
	ASSERT_OK(bpf_link__update_map(reg, watch->maps.watch2), "update");
	i = bss->after_update;
	pm_wait_value(&bss->after_update, i + 3);
	ASSERT_OK(bpf_link__update_map(reg, watch->maps.watch), "update");
}

/* Unregistered with sessions open */
static void test_unregister(void)
{
	__u64 ticks;
	int i;

	for (i = 0; i < 3; i++) {
		if (watch_pair() ||
		    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
			return;
		ASSERT_GT(obey(net.cfd, WATCH_OPEN), 0, "open");
		pm_wait_subflows(net.sfd, 2);
		bpf_link__destroy(reg);
		ticks = EVENT(TIMEOUT);
		pm_transfer(&net, 200000, NULL);
		usleep(10 * 1000 * watch->data->tick_ms);
		ASSERT_EQ(EVENT(TIMEOUT), ticks, "calls after");
		ASSERT_EQ(pm_subflows(net.cfd), 2, "subflows");
		reg = bpf_map__attach_struct_ops(watch->maps.watch);
		if (!ASSERT_OK_PTR(reg, "attach"))
			return;
		/* It is not the one that this session had. */
		pm_transfer(&net, 200000, NULL);
		usleep(10 * 1000 * watch->data->tick_ms);
		ASSERT_EQ(EVENT(TIMEOUT), ticks, "calls after");
		pm_close_pair(&net);
		ASSERT_EQ(EVENT(RELEASE), 0, "release");
	}

	/* A listener that chose it has the one that is registered by now. */
	net.lfd = pm_listen(&net, "watch");
	if (net.lfd < 0)
		return;
	bpf_link__destroy(reg);
	reg = bpf_map__attach_struct_ops(watch->maps.watch);
	memset(bss->events, 0, sizeof(bss->events));
	if (!ASSERT_OK_PTR(reg, "attach") || pm_more(&net, &net, "kernel"))
		return;
	pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1);
}

/* Closed while an open is queued, or under way; disconnected and connected again */
static void test_close(void)
{
	struct sockaddr un = { .sa_family = AF_UNSPEC };
	int i, queued = 0, opened = 0;

	for (i = 0; i < 20; i++) {
		/* not before it is closed, the first time */
		watch->data->tick_ms = i ? WATCH_TICK_MS : 2000;
		if (watch_pair()) {
			watch->data->tick_ms = WATCH_TICK_MS;
			return;
		}
		order(net.cfd, WATCH_OPEN);
		/* until the worker gets to it, and for longer and longer */
		if (i & 1)
			done();
		else
			usleep(i * 1000);
		pm_close_pair(&net);
		pm_wait_value(&bss->events[WATCH_RELEASE], 1);
		queued += bss->cmd.op == WATCH_OPEN;
		opened += bss->cmd.op == WATCH_NOTHING && bss->cmd.ret > 0;
	}
	ASSERT_GT(queued, 0, "closed before");
	ASSERT_GE(opened, 10, "closed after");
	ASSERT_EQ(bss->errors, 0, "order");

	if (watch_pair() || !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		return;
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 0, "open");
	if (!pm_wait_subflows(net.cfd, 2))
		return;
	ASSERT_OK(connect(net.cfd, &un, sizeof(un)), "disconnect");
	ASSERT_EQ(EVENT(RELEASE), 1, "release");
	close(net.sfd);
	if (pm_connect(&net, net.cfd))
		return;
	net.sfd = accept(net.lfd, NULL, NULL);
	if (!ASSERT_OK_FD(net.sfd, "accept") || pm_transfer(&net, 10000, NULL))
		return;
	pm_wait_value(&bss->events[WATCH_INIT], 2);
	pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2);
	clear_cmd();
	ASSERT_GT(obey(net.cfd, WATCH_OPEN), 0, "open");
	pm_wait_subflows(net.cfd, 2);
	pm_transfer(&net, 10000, NULL);
	ASSERT_EQ(bss->errors, 0, "order");
}

/* A connection that is TCP: the server's side does not do MPTCP */
static void test_fallback(void)
{
	struct sockaddr_storage ss;
	struct nstoken *ns;
	const int one = 1;
	char c = 'x';
	socklen_t len;

	memset(bss->events, 0, sizeof(bss->events));
	pm_close_pair(&net);
	ns = open_netns(PM_SERVER);
	if (!ASSERT_OK_PTR(ns, "netns"))
		return;
	net.lfd = socket(net.family, SOCK_STREAM, 0);
	close_netns(ns);
	setsockopt(net.lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	make_sockaddr(net.family, NULL, PM_PORT, &ss, &len);
	if (!ASSERT_OK(bind(net.lfd, (void *)&ss, len), "bind") ||
	    !ASSERT_OK(listen(net.lfd, 1), "listen"))
		return;
	net.cfd = pm_socket(&net, PM_CLIENT, "watch");
	if (net.cfd < 0 || pm_connect(&net, net.cfd))
		return;
	net.sfd = accept(net.lfd, NULL, NULL);
	if (!ASSERT_OK_FD(net.sfd, "accept") ||
	    !ASSERT_EQ(send(net.cfd, &c, 1, 0), 1, "send") ||
	    !ASSERT_EQ(recv(net.sfd, &c, 1, 0), 1, "recv"))
		return;
	pm_transfer(&net, 100000, NULL);
	SYS_NOFAIL("ip -n " PM_CLIENT " addr add 10.70.0.1/24 dev c1");
	usleep(100000);
	pm_close_pair(&net);
	ASSERT_EQ(EVENT(INIT), 0, "init");
	ASSERT_EQ(EVENT(ESTABLISHED), 0, "established");
	ASSERT_EQ(EVENT(ADDRS_CHANGED), 0, "addrs_changed");
	ASSERT_EQ(EVENT(RELEASE), 0, "release");
}

static int open_path(int mode)
{
	path = extopt_path__open_and_load();
	if (!ASSERT_OK_PTR(path, "extopt_path"))
		return -1;
	path->bss->port = PM_PORT;
	path->bss->kind = 30;	/* MPTCP */
	path->bss->mode = mode;
	path->links.to_server = ns_attach_tcx(path->progs.to_server, PM_ROUTER, "r0");
	path->links.to_client = ns_attach_tcx(path->progs.to_client, PM_ROUTER, "x0");
	if (!path->links.to_server || !path->links.to_client)
		return -1;
	/* Nothing is lost. What is sent again by MPTCP could not be followed by TCP. */
	return pm_sysctl(PM_CLIENT, "/proc/sys/net/ipv4/tcp_rto_min_us", "5000000") ?:
	       pm_sysctl(PM_SERVER, "/proc/sys/net/ipv4/tcp_rto_min_us", "5000000");
}

static void close_path(void)
{
	extopt_path__destroy(path);
	path = NULL;
}

/* of either end, 0 if it has no storage */
static struct watch_session session(int fd)
{
	struct watch_session s = {};

	bpf_map__lookup_elem(watch->maps.watch_sessions, &fd, sizeof(fd), &s,
			     sizeof(s), 0);
	return s;
}

static void check_tried(enum watch_event event, int err, int subflows)
{
	const struct watch_tried *t = &bss->tried[event];

	ASSERT_EQ(t->open, err, "open");
	ASSERT_EQ(t->announce, err, "announce");
	ASSERT_EQ(t->withdraw, err, "withdraw");
	ASSERT_EQ(t->timer, err, "timer");
	ASSERT_EQ(t->subflows, subflows, "subflows");
	ASSERT_EQ(t->close, subflows ? err : 0, "close");
	ASSERT_EQ(t->backup, subflows ? err : 0, "backup");
}

/* Both ends are TCP: no more options, the bytes are those that were sent, and of the
 * sessions that have it nothing more is told, whatever happens to others.
 */
static bool check_tcp(int sessions)
{
	struct pm_net back = pm_back(&net);
	struct pm_net other = { .family = net.family, .lfd = -1, .cfd = -1, .sfd = -1 };
	const struct path_way *ways = path->bss->ways;
	__u64 was = EVENT(ESTABLISHED);
	unsigned int calls;
	bool ok = false;
	int i;

	path->bss->mode = PATH_PASS;
	if (!pm_wait_tcp(net.cfd) || !pm_wait_tcp(net.sfd) ||
	    pm_transfer(&net, 1000, NULL) || pm_transfer(&back, 1000, NULL))
		return false;
	calls = session(net.cfd).calls + session(net.sfd).calls;
	memset(path->bss->ways, 0, sizeof(path->bss->ways));
	if (pm_transfer(&net, 300000, NULL) || pm_transfer(&back, 300000, NULL))
		return false;
	for (i = 0; i < NR_WAYS; i++) {
		ASSERT_GT(ways[i].data, 0, "data");
		ASSERT_EQ(ways[i].with_data, 0, "data with MPTCP");
		ASSERT_EQ(ways[i].with_ack, 0, "ACKs with MPTCP");
	}
	ASSERT_HAS_SUBSTR(pm_ss(PM_CLIENT), " fallback", "client's ss");
	ASSERT_HAS_SUBSTR(pm_ss(PM_SERVER), " fallback", "server's ss");

	/* One more session, to see that things are told */
	if (pm_more(&net, &other, "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], was + 1))
		goto out;
	ASSERT_FALSE(pm_is_tcp(other.cfd), "the other");
	was = EVENT(ADDRS_CHANGED);
	SYS(out, "ip -n " PM_CLIENT " addr add 10.70.0.1/24 dev c1");
	SYS(out, "ip -n " PM_SERVER " addr add 10.70.0.2/24 dev s1");
	if (!pm_wait_value(&bss->events[WATCH_ADDRS_CHANGED], was + sessions))
		goto out;
	was = EVENT(TIMEOUT);
	ok = pm_wait_value(&bss->events[WATCH_TIMEOUT], was + 5 * sessions);
	ASSERT_EQ(session(net.cfd).calls + session(net.sfd).calls, calls, "calls");
	ASSERT_EQ(EVENT(RELEASE), 0, "release");
out:
	pm_close_pair(&other);
	return pm_wait_value(&bss->events[WATCH_RELEASE], sessions) && ok;
}

/* Closed, it is ended by its worker when the peer closes, too. */
static bool check_release(int *fd, int peer)
{
	__u64 was = EVENT(RELEASE);

	memset(bss->tried, 0, sizeof(bss->tried));
	close(*fd);
	*fd = -1;
	shutdown(peer, SHUT_WR);
	if (!pm_wait_value(&bss->events[WATCH_RELEASE], was + 1))
		return false;
	check_tried(WATCH_RELEASE, -EOPNOTSUPP, 0);
	return true;
}

/* A middlebox removes the options once the session was created. The server had the
 * third ACK, the client did not hear of that.
 */
static void test_stripped(void)
{
	struct sockaddr un = { .sa_family = AF_UNSPEC };

	clear_watch();
	pm_close_pair(&net);
	if (open_path(PATH_PASS))
		goto out;
	net.lfd = pm_listen(&net, "watch");
	if (net.lfd < 0 || pm_accept(&net, &net, "watch") ||
	    !pm_wait_value(&bss->events[WATCH_INIT], 2) ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 1))
		goto out;
	ASSERT_FALSE(pm_is_tcp(net.cfd), "client");
	ASSERT_FALSE(pm_is_tcp(net.sfd), "server");
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -ENOTCONN, "not fully established");

	path->bss->mode = PATH_STRIP;
	if (pm_byte(net.cfd, net.sfd) || !check_tcp(2))
		goto out;
	ASSERT_EQ(session(net.cfd).established, 0, "client's");
	ASSERT_EQ(session(net.sfd).established, 1, "server's");

	if (!check_release(&net.cfd, net.sfd))
		goto out;
	ASSERT_OK(connect(net.sfd, &un, sizeof(un)), "disconnect");
	ASSERT_EQ(EVENT(RELEASE), 4, "server's");
	check_tried(WATCH_RELEASE, -EPERM, 0);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	close_path();
}

/* A middlebox changes what the checksum is of: the receiver says so, the sender
 * announces that all that follows is TCP.
 */
static void test_infinite(void)
{
	clear_watch();
	if (pm_sysctl(PM_CLIENT, "/proc/sys/net/mptcp/checksum_enabled", "1") ||
	    open_path(PATH_PASS) || pm_pair(&net, "watch", "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		goto out;

	path->bss->mode = PATH_SPOIL;
	if (pm_byte(net.cfd, net.sfd))
		goto out;
	path->bss->mode = PATH_PASS;
	if (pm_byte(net.sfd, net.cfd) || !pm_wait_counter(PM_CLIENT, "MPFailRx", 1))
		goto out;
	ASSERT_FALSE(pm_is_tcp(net.cfd), "client");
	ASSERT_FALSE(pm_is_tcp(net.sfd), "server");
	ASSERT_EQ(obey(net.cfd, WATCH_OPEN), -EPERM, "under way");

	if (pm_byte(net.cfd, net.sfd) || !check_tcp(2))
		goto out;
	pm_wait_counter(PM_CLIENT, "InfiniteMapTx", 1);
	pm_wait_counter(PM_SERVER, "InfiniteMapRx", 1);
	ASSERT_EQ(session(net.cfd).established, 1, "client's");
	ASSERT_EQ(session(net.sfd).established, 1, "server's");
	check_release(&net.cfd, net.sfd);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	close_path();
}

/* It becomes TCP while the path manager is being called. */
static void test_meanwhile(void)
{
	__u64 was = bss->waiting;
	char c = 'x';

	clear_watch();
	pm_close_pair(&net);
	if (open_path(PATH_PASS))
		goto out;
	net.lfd = pm_listen(&net, "kernel");
	if (net.lfd < 0 || pm_accept(&net, &net, "watch") ||
	    !pm_wait_value(&bss->events[WATCH_INIT], 1))
		goto out;
	path->bss->mode = PATH_STRIP;
	order(net.cfd, WATCH_WAIT_TCP);
	if (!pm_wait_value(&bss->waiting, was + 1) ||
	    !ASSERT_EQ(send(net.sfd, &c, 1, 0), 1, "send"))
		goto out;
	if (!ASSERT_EQ(done(), 0, "TCP meanwhile"))
		goto out;
	check_tried(WATCH_TIMEOUT, -EOPNOTSUPP, 1);
	if (!ASSERT_EQ(recv(net.cfd, &c, 1, 0), 1, "recv") ||
	    pm_byte(net.cfd, net.sfd) || !check_tcp(1))
		goto out;
	ASSERT_EQ(EVENT(INIT), 2, "init");
	check_release(&net.cfd, net.sfd);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	close_path();
}

/* It is TCP before init() is called: the data that the session is created by, there was
 * no third ACK, have a checksum that is wrong.
 */
static void test_late(void)
{
	int seconds = 30;
	char c = 'x';

	clear_watch();
	pm_close_pair(&net);
	if (pm_sysctl(PM_CLIENT, "/proc/sys/net/mptcp/checksum_enabled", "1") ||
	    open_path(PATH_SPOIL))
		goto out;
	net.lfd = pm_listen(&net, "watch");
	if (net.lfd < 0)
		goto out;
	ASSERT_OK(setsockopt(net.lfd, SOL_TCP, TCP_DEFER_ACCEPT, &seconds,
			     sizeof(seconds)), "TCP_DEFER_ACCEPT");
	net.cfd = pm_socket(&net, PM_CLIENT, "kernel");
	if (net.cfd < 0 || pm_connect(&net, net.cfd))
		goto out;
	ASSERT_EQ(EVENT(INIT), 0, "no third ACK");
	if (!ASSERT_EQ(send(net.cfd, &c, 1, 0), 1, "send"))
		goto out;
	net.sfd = accept(net.lfd, NULL, NULL);
	if (!ASSERT_OK_FD(net.sfd, "accept") ||
	    !ASSERT_OK(settimeo(net.sfd, PM_TIMEOUT_MS), "settimeo") ||
	    !ASSERT_EQ(recv(net.sfd, &c, 1, 0), 1, "recv") ||
	    !pm_wait_value(&bss->events[WATCH_INIT], 1))
		goto out;
	check_tried(WATCH_INIT, -EOPNOTSUPP, 1);
	ASSERT_EQ(session(net.sfd).calls, 1, "calls");

	seconds = 0;
	ASSERT_OK(setsockopt(net.lfd, SOL_TCP, TCP_DEFER_ACCEPT, &seconds,
			     sizeof(seconds)), "TCP_DEFER_ACCEPT");
	if (!check_tcp(2))
		goto out;
	ASSERT_EQ(session(net.sfd).calls, 1, "calls");
	check_release(&net.sfd, net.cfd);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	close_path();
}

#define STORM_SESSIONS	200
#define STORM_CHANGES	1000

static long slab_kb(void)
{
	char line[128];
	long kb = -1;
	FILE *f;

	f = fopen("/proc/meminfo", "r");
	if (!ASSERT_OK_PTR(f, "meminfo"))
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

/* Has each of them been told of the last change? By then there are so many addresses. */
static bool all_told(const struct pm_net *sessions, unsigned int addrs)
{
	int i;

	for (i = 0; i < STORM_SESSIONS; i++)
		if (session(sessions[i].cfd).addrs != addrs)
			return false;
	return true;
}

/* Addresses change while a session is busy, and another is told: it is told of them
 * together. The last may only be noted once it is busy no more.
 */
static void test_together(void)
{
	struct pm_net other = { .family = net.family, .lfd = -1, .cfd = -1, .sfd = -1 };
	const unsigned int addrs = 2 * PM_LINKS + 20;
	unsigned int changes;
	__u64 end;
	FILE *f;
	int i;

	if (watch_pair() || pm_more(&net, &other, "watch") ||
	    !pm_wait_value(&bss->events[WATCH_ESTABLISHED], 2))
		goto out;
	if (!hold(net.cfd))
		goto out;
	changes = session(net.cfd).changes;
	f = pm_ip("-n " PM_CLIENT);
	if (!f)
		goto out;
	for (i = 0; i < 20; i++)
		fprintf(f, net.family == AF_INET ? "addr add 10.71.%d.1/24 dev c1\n" :
			"addr add fd71:%d::1/64 dev c1 nodad\n", i);
	if (pm_ip_end(f, "addresses"))
		goto out;
	end = pm_now_ms() + PM_TIMEOUT_MS;
	while (session(other.cfd).addrs != addrs && pm_now_ms() < end)
		usleep(1000);
	ASSERT_EQ(session(other.cfd).addrs, addrs, "the other's");
	ASSERT_EQ(session(net.cfd).changes, changes, "while busy");
	bss->hold = false;
	while (session(net.cfd).addrs != addrs && pm_now_ms() < end)
		usleep(1000);
	ASSERT_EQ(session(net.cfd).addrs, addrs, "its");
	usleep(200000);
	ASSERT_LE(session(net.cfd).changes, changes + 2, "told");
	ASSERT_EQ(bss->errors, 0, "order");
out:
	bss->hold = false;
	pm_close_pair(&other);
}

/* Many changes of addresses with many sessions: told, not each of them */
static void test_storm(void)
{
	const unsigned int addrs = 2 * PM_LINKS + 1;
	struct pm_net *sessions = NULL;
	struct rlimit nofile = { 4096, 4096 }, old;
	long before, after, most;
	__u64 told, end;
	int i, n = 0;
	char c;
	FILE *f;

	if (!ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old), "rlimit") ||
	    !ASSERT_OK(setrlimit(RLIMIT_NOFILE, &nofile), "rlimit"))
		return;
	watch->data->tick_ms = 0;
	sessions = calloc(STORM_SESSIONS, sizeof(*sessions));
	if (!ASSERT_OK_PTR(sessions, "calloc"))
		goto out;
	memset(bss->events, 0, sizeof(bss->events));
	pm_close_pair(&net);
	net.lfd = pm_listen(&net, NULL);
	for (n = 0; n < STORM_SESSIONS; n++) {
		sessions[n].lfd = -1;
		if (net.lfd < 0 || pm_more(&net, &sessions[n], "watch"))
			goto out;
	}
	pm_wait_value(&bss->events[WATCH_ESTABLISHED], STORM_SESSIONS);
	usleep(500000);
	told = EVENT(ADDRS_CHANGED);

	f = fopen("/tmp/pm_storm", "w");
	if (!ASSERT_OK_PTR(f, "batch"))
		goto out;
	for (i = 0; i < STORM_CHANGES; i++) {
		if (net.family == AF_INET)
			fprintf(f, "addr %s 10.71.%d.1/24 dev c1\n",
				i & 1 ? "del" : "add", i / 2 % 200);
		else
			fprintf(f, "addr %s fd71:%d::1/64 dev c1%s\n",
				i & 1 ? "del" : "add", i / 2 % 200,
				i & 1 ? "" : " nodad");
	}
	/* and one more, the last */
	fprintf(f, "addr add %s dev c1%s\n",
		net.family == AF_INET ? "10.72.0.1/24" : "fd72::1/64",
		net.family == AF_INET ? "" : " nodad");
	fclose(f);
	before = most = slab_kb();
	f = popen("ip -n " PM_CLIENT " -batch /tmp/pm_storm; echo $?", "r");
	if (!ASSERT_OK_PTR(f, "ip"))
		goto out;
	fcntl(fileno(f), F_SETFL, O_NONBLOCK);
	while (read(fileno(f), &c, 1) < 0) {
		after = slab_kb();
		most = after > most ? after : most;
		usleep(1000);
	}
	ASSERT_EQ(c, '0', "ip");
	pclose(f);

	/* All have been told after the last change ... */
	end = pm_now_ms() + PM_TIMEOUT_MS;
	while (!all_told(sessions, addrs) && pm_now_ms() < end)
		usleep(50000);
	ASSERT_TRUE(all_told(sessions, addrs), "told of the last");
	/* ... and not more often than there were changes. */
	told = EVENT(ADDRS_CHANGED) - told;
	ASSERT_LE(told, STORM_SESSIONS * (STORM_CHANGES + 1), "calls");
	/* What looks for bugs keeps what was freed. */
	ASSERT_LT(most - before, access("/sys/kernel/debug/kmemleak", F_OK) ? 2048 : 65536,
		  "kB of slab");
	for (i = 0; i < STORM_SESSIONS; i += 50)
		pm_transfer(&sessions[i], 10000, NULL);
	ASSERT_EQ(bss->errors, 0, "order");
out:
	unlink("/tmp/pm_storm");
	while (sessions && n-- > 0)
		pm_close_pair(&sessions[n]);
	free(sessions);
	watch->data->tick_ms = WATCH_TICK_MS;
	setrlimit(RLIMIT_NOFILE, &old);
}

void serial_test_mptcp_pm_life(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "events", test_events },
		{ "server", test_server },
		{ "port", test_port },
		{ "ends", test_ends },
		{ "silent", test_silent },
		{ "reopen", test_reopen },
		{ "unique", test_unique },
		{ "cut", test_cut },
		{ "backup", test_backup },
		{ "accepted", test_accepted },
		{ "misuse", test_misuse },
		{ "timer", test_timer },
		{ "busy", test_busy },
		{ "drop", test_drop },
		{ "again", test_again },
		{ "reuse", test_reuse },
		{ "behind", test_behind },
		{ "alone", test_alone },
		{ "select", test_select },
		{ "register", test_register },
		{ "update", test_update },
		{ "unregister", test_unregister },
		{ "close", test_close },
		{ "fallback", test_fallback },
		{ "stripped", test_stripped },
		{ "infinite", test_infinite },
		{ "meanwhile", test_meanwhile },
		{ "late", test_late },
		{ "together", test_together },
		{ "storm", test_storm },
	};
	char name[32];
	int i, v6;

	watch = mptcp_pm_watch__open_and_load();
	if (!ASSERT_OK_PTR(watch, "open_and_load"))
		return;
	bss = watch->bss;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (!test__start_subtest(name))
				continue;
			/* Anew: sessions of the test before may end later. */
			bss->errors = 0;
			reg = bpf_map__attach_struct_ops(watch->maps.watch);
			if (!ASSERT_OK_PTR(reg, "attach"))
				goto out;
			if (!pm_open_net(&net, v6 ? AF_INET6 : AF_INET))
				tests[i].test();
			pm_close_net(&net);
			bpf_link__destroy(reg);
		}
	}
out:
	mptcp_pm_watch__destroy(watch);
}
