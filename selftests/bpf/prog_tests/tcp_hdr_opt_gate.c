// SPDX-License-Identifier: GPL-2.0

/* The header option callbacks of sock_ops follow the program: they come and go
 * with it on live connections, while the sockets' callback flags stay.
 */

#include "test_progs.h"
#include "cgroup_helpers.h"
#include "network_helpers.h"
#include "progs/tcp_hdr_opt_gate.h"
#include "tcp_hdr_opt_gate.skel.h"

#define NS_NAME		"tcp_hdr_opt_gate"
#define CG_NAME		"/tcp-hdr-opt-gate"
#define OTHER_CG_NAME	"/tcp-hdr-opt-gate-other"

#define F_WRITE		BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
#define F_UNKNOWN	BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG
#define F_ALL		BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG

struct conn {
	int listen_fd;
	int fd[NR_GATE_SIDES];
};

static struct tcp_hdr_opt_gate *skel;
static int cg_fd, other_cg_fd;

static void reset_counts(void)
{
	int side;

	for (side = 0; side < NR_GATE_SIDES; side++) {
		struct gate_stat *gate = &skel->bss->gate[side];
		struct gate_stat *other = &skel->bss->other[side];

		memset(gate, 0, sizeof(*gate));
		memset(other, 0, sizeof(*other));
		memset(&skel->bss->wire[side], 0, sizeof(struct gate_wire));
		gate->out = 0x11110000 + side;
		other->out = 0x22220000 + side;
	}
}

static void conn_close(struct conn *conn)
{
	int i;

	for (i = 0; i < NR_GATE_SIDES; i++)
		if (conn->fd[i] >= 0)
			close(conn->fd[i]);
	if (conn->listen_fd >= 0)
		close(conn->listen_fd);
}

static int conn_open(struct conn *conn, int family)
{
	const char *addr = family == AF_INET ? "127.0.0.1" : "::1";

	memset(conn, -1, sizeof(*conn));
	reset_counts();

	conn->listen_fd = start_server(family, SOCK_STREAM, addr, 0, 0);
	if (!ASSERT_OK_FD(conn->listen_fd, "start_server"))
		return -1;
	skel->bss->server_port = ntohs(get_socket_local_port(conn->listen_fd));

	conn->fd[GATE_ACTIVE] = connect_to_fd(conn->listen_fd, 0);
	if (!ASSERT_OK_FD(conn->fd[GATE_ACTIVE], "connect_to_fd"))
		goto err;

	conn->fd[GATE_PASSIVE] = accept(conn->listen_fd, NULL, NULL);
	if (!ASSERT_OK_FD(conn->fd[GATE_PASSIVE], "accept"))
		goto err;

	if (!ASSERT_OK(settimeo(conn->fd[GATE_PASSIVE], 0), "settimeo"))
		goto err;

	return 0;
err:
	conn_close(conn);
	return -1;
}

/* Wait until all that was sent is acknowledged: nothing is in flight any more,
 * so nothing can be counted late.
 */
static int settle(int fd)
{
	struct tcp_info info;
	socklen_t len;
	int i;

	for (i = 0; i < 5000; i++) {
		len = sizeof(info);
		if (!ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len),
			       "TCP_INFO"))
			return -1;
		if (!info.tcpi_unacked)
			return 0;
		usleep(1000);
	}

	PRINT_FAIL("data not acknowledged\n");
	return -1;
}

/* Send some data each way, and count from zero while doing so */
static int exchange(struct conn *conn)
{
	char out[64], in[64];
	int i, side;

	for (side = 0; side < NR_GATE_SIDES; side++)
		if (settle(conn->fd[side]))
			return -1;

	reset_counts();

	for (i = 0; i < 4; i++) {
		int snd = conn->fd[i % 2], rcv = conn->fd[(i + 1) % 2];

		memset(out, 'a' + i, sizeof(out));
		if (!ASSERT_EQ(send(snd, out, sizeof(out), 0), sizeof(out),
			       "send"))
			return -1;
		if (!ASSERT_EQ(recv(rcv, in, sizeof(in), MSG_WAITALL),
			       sizeof(in), "recv"))
			return -1;
		if (!ASSERT_OK(memcmp(in, out, sizeof(in)), "payload"))
			return -1;
	}

	for (side = 0; side < NR_GATE_SIDES; side++)
		if (settle(conn->fd[side]))
			return -1;

	return 0;
}

/* What both sides sent was sized, written and parsed by this program */
static void check_on(struct gate_stat *stats, const char *who)
{
	int side;

	for (side = 0; side < NR_GATE_SIDES; side++) {
		struct gate_stat *stat = &stats[side], *peer = &stats[!side];
		struct gate_wire *wire = &skel->bss->wire[side];

		ASSERT_GE(stat->nr_write, 2, who);
		ASSERT_GE(stat->nr_len, stat->nr_write, who);
		ASSERT_EQ(wire->nr_opt, stat->nr_write, who);
		ASSERT_EQ(wire->val, stat->out, who);
		/* A spurious retransmission is not parsed again */
		ASSERT_GE(peer->nr_parse, 2, who);
		ASSERT_LE(peer->nr_parse, stat->nr_write, who);
		ASSERT_EQ(peer->nr_parse_opt, peer->nr_parse, who);
		ASSERT_EQ(peer->in, stat->out, who);
		ASSERT_EQ(stat->nr_err, 0, who);
	}
}

/* This program was not called */
static void check_off(struct gate_stat *stats, const char *who)
{
	int side;

	for (side = 0; side < NR_GATE_SIDES; side++) {
		struct gate_stat *stat = &stats[side];

		ASSERT_EQ(stat->nr_len, 0, who);
		ASSERT_EQ(stat->nr_write, 0, who);
		ASSERT_EQ(stat->nr_parse, 0, who);
		ASSERT_EQ(stat->nr_estab, 0, who);
	}
}

/* There was data on the wire, and no option */
static void check_wire_off(const char *who)
{
	int side;

	for (side = 0; side < NR_GATE_SIDES; side++) {
		ASSERT_GE(skel->bss->wire[side].nr_data, 2, who);
		ASSERT_EQ(skel->bss->wire[side].nr_opt, 0, who);
	}
}

static int set_flags(struct conn *conn, int side, int flags)
{
	return setsockopt(conn->fd[side], SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS,
			  &flags, sizeof(flags));
}

static void check_flags(struct conn *conn, int expected, const char *who)
{
	int side, flags;
	socklen_t len;

	for (side = 0; side < NR_GATE_SIDES; side++) {
		len = sizeof(flags);
		if (!ASSERT_OK(getsockopt(conn->fd[side], SOL_TCP,
					  TCP_BPF_SOCK_OPS_CB_FLAGS, &flags,
					  &len), who))
			return;
		ASSERT_EQ(flags, expected, who);
	}
}

static struct bpf_link *attach(struct bpf_program *prog, int fd)
{
	struct bpf_link *link = bpf_program__attach_cgroup(prog, fd);

	return ASSERT_OK_PTR(link, "attach_cgroup") ? link : NULL;
}

static void detach(struct bpf_link **link)
{
	bpf_link__destroy(*link);
	*link = NULL;
}

static void check_estab(struct gate_stat *stats, int passive_err)
{
	struct gate_stat *passive = &stats[GATE_PASSIVE];
	struct gate_stat *active = &stats[GATE_ACTIVE];

	ASSERT_EQ(active->nr_estab, 1, "active nr_estab");
	ASSERT_OK(active->estab_err, "active SYN-ACK option");
	ASSERT_EQ(active->estab_in, passive->out, "active SYN-ACK value");

	ASSERT_EQ(passive->nr_estab, 1, "passive nr_estab");
	ASSERT_EQ(passive->estab_err, passive_err, "passive SYN option");
	if (!passive_err)
		ASSERT_EQ(passive->estab_in, active->out, "passive SYN value");

	ASSERT_EQ(active->nr_err + passive->nr_err, 0, "nr_err");
}

static void test_callbacks(int family)
{
	struct bpf_link *link;
	struct conn conn;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link)
		return;

	if (!conn_open(&conn, family)) {
		check_estab(skel->bss->gate, 0);
		if (!exchange(&conn))
			check_on(skel->bss->gate, "attached");
		conn_close(&conn);
	}

	detach(&link);
}

static void test_syncookie(int family)
{
	struct bpf_link *link;
	struct conn conn;

	if (write_sysctl("/proc/sys/net/ipv4/tcp_syncookies", "2"))
		return;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link)
		return;

	if (!conn_open(&conn, family)) {
		check_estab(skel->bss->gate, -ENOENT);
		if (!exchange(&conn))
			check_on(skel->bss->gate, "attached");
		conn_close(&conn);
	}

	detach(&link);
}

/* Detach and attach again on a live connection */
static void test_reattach(int family)
{
	struct bpf_link *link;
	struct conn conn;
	int i;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link)
		return;

	if (conn_open(&conn, family))
		goto out;
	if (exchange(&conn))
		goto close_conn;
	check_on(skel->bss->gate, "attached");

	for (i = 0; i < 2; i++) {
		detach(&link);
		check_flags(&conn, F_WRITE | F_UNKNOWN, "flags while detached");
		if (exchange(&conn))
			goto close_conn;
		check_off(skel->bss->gate, "detached");
		check_wire_off("detached");

		link = attach(skel->progs.gate_prog, cg_fd);
		if (!link || exchange(&conn))
			goto close_conn;
		check_on(skel->bss->gate, "attached again");
		check_flags(&conn, F_WRITE | F_UNKNOWN, "flags at the end");
	}

close_conn:
	conn_close(&conn);
out:
	detach(&link);
}

/* The first program, on a connection that was made without one */
static void test_late_attach(int family)
{
	struct bpf_link *link = NULL;
	struct conn conn;
	int side;

	if (conn_open(&conn, family))
		return;
	if (exchange(&conn))
		goto close_conn;
	check_wire_off("no flags, no program");

	for (side = 0; side < NR_GATE_SIDES; side++)
		if (!ASSERT_OK(set_flags(&conn, side, F_WRITE | F_UNKNOWN),
			       "set_flags"))
			goto close_conn;
	if (exchange(&conn))
		goto close_conn;
	check_off(skel->bss->gate, "flags, no program");
	check_wire_off("flags, no program");

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link || exchange(&conn))
		goto close_conn;
	check_on(skel->bss->gate, "flags and program");

	for (side = 0; side < NR_GATE_SIDES; side++)
		if (!ASSERT_OK(set_flags(&conn, side, 0), "clear flags"))
			goto close_conn;
	if (exchange(&conn))
		goto close_conn;
	check_off(skel->bss->gate, "program, no flags");
	check_wire_off("program, no flags");

close_conn:
	conn_close(&conn);
	detach(&link);
}

/* Another program takes over a live connection */
static void test_update(int family)
{
	struct bpf_link *link;
	struct conn conn;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link)
		return;

	if (conn_open(&conn, family))
		goto out;
	if (exchange(&conn))
		goto close_conn;
	check_on(skel->bss->gate, "first program");
	check_off(skel->bss->other, "not yet attached");

	if (!ASSERT_OK(bpf_link__update_program(link, skel->progs.other_prog),
		       "update_program") || exchange(&conn))
		goto close_conn;
	check_on(skel->bss->other, "second program");
	check_off(skel->bss->gate, "replaced");

	if (!ASSERT_OK(bpf_link__update_program(link, skel->progs.gate_prog),
		       "update_program back") || exchange(&conn))
		goto close_conn;
	check_on(skel->bss->gate, "first program again");
	check_off(skel->bss->other, "replaced in turn");

close_conn:
	conn_close(&conn);
out:
	detach(&link);
}

/* A program of another cgroup sees its own sockets and none of ours */
static void test_other_cgroup(int family)
{
	struct bpf_link *link = NULL, *other_link;
	struct conn conn, other_conn;
	__u16 port;

	other_link = attach(skel->progs.other_prog, other_cg_fd);
	if (!other_link)
		return;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link || conn_open(&conn, family))
		goto out;
	if (exchange(&conn))
		goto close_conn;
	check_on(skel->bss->gate, "ours");
	check_off(skel->bss->other, "other's, our traffic");

	detach(&link);
	check_flags(&conn, F_WRITE | F_UNKNOWN, "flags while detached");
	if (exchange(&conn))
		goto close_conn;
	check_off(skel->bss->gate, "ours detached");
	check_off(skel->bss->other, "other's, ours detached");
	check_wire_off("ours detached");

	/* The other program is really there */
	port = skel->bss->server_port;
	if (!ASSERT_OK(join_cgroup(OTHER_CG_NAME), "join other cgroup"))
		goto close_conn;
	if (!conn_open(&other_conn, family)) {
		if (!exchange(&other_conn))
			check_on(skel->bss->other, "other's traffic");
		check_off(skel->bss->gate, "ours, other's traffic");
		conn_close(&other_conn);
	}
	skel->bss->server_port = port;
	if (!ASSERT_OK(join_cgroup(CG_NAME), "join our cgroup"))
		goto close_conn;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link || exchange(&conn))
		goto close_conn;
	check_on(skel->bss->gate, "ours again");
	check_off(skel->bss->other, "other's, ours again");

close_conn:
	conn_close(&conn);
out:
	detach(&link);
	detach(&other_link);
}

static const struct {
	const char *name;
	int active;
	int passive;
	bool write;	/* the active side writes the option */
	bool parse;	/* the passive side parses it */
} flags_tests[] = {
	{ "unknown, nothing written", 0, F_UNKNOWN, false, false },
	{ "write only", F_WRITE, 0, true, false },
	{ "write and unknown", F_WRITE, F_UNKNOWN, true, true },
	{ "write and all", F_WRITE, F_ALL, true, true },
	{ "write and both", F_WRITE, F_UNKNOWN | F_ALL, true, true },
};

/* Each flag on its own, on one side only */
static void test_flags(int family)
{
	struct gate_stat *active = &skel->bss->gate[GATE_ACTIVE];
	struct gate_stat *passive = &skel->bss->gate[GATE_PASSIVE];
	struct bpf_link *link;
	struct conn conn;
	const char *who;
	char byte;
	int i;

	link = attach(skel->progs.gate_prog, cg_fd);
	if (!link)
		return;

	skel->bss->init_flags = 0;
	if (conn_open(&conn, family))
		goto out;

	for (i = 0; i < ARRAY_SIZE(flags_tests); i++) {
		who = flags_tests[i].name;
		if (!ASSERT_OK(set_flags(&conn, GATE_ACTIVE,
					 flags_tests[i].active), who) ||
		    !ASSERT_OK(set_flags(&conn, GATE_PASSIVE,
					 flags_tests[i].passive), who) ||
		    exchange(&conn))
			goto close_conn;

		ASSERT_EQ(!!active->nr_len, flags_tests[i].write, who);
		ASSERT_EQ(!!active->nr_write, flags_tests[i].write, who);
		ASSERT_EQ(!!skel->bss->wire[GATE_ACTIVE].nr_opt,
			  flags_tests[i].write, who);
		ASSERT_EQ(!!passive->nr_parse_opt, flags_tests[i].parse, who);
		ASSERT_EQ(passive->nr_parse, passive->nr_parse_opt, who);
		ASSERT_EQ(passive->in, flags_tests[i].parse ? active->out : 0, who);

		ASSERT_EQ(active->nr_parse, 0, who);
		ASSERT_EQ(passive->nr_len, 0, who);
		ASSERT_EQ(passive->nr_write, 0, who);
		ASSERT_EQ(skel->bss->wire[GATE_PASSIVE].nr_opt, 0, who);
	}

	/* Header prediction hides plain data from the parser, but not a FIN */
	if (!ASSERT_OK(set_flags(&conn, GATE_ACTIVE, 0), "clear flags") ||
	    !ASSERT_OK(set_flags(&conn, GATE_PASSIVE, F_ALL), "parse all"))
		goto close_conn;
	reset_counts();
	shutdown(conn.fd[GATE_ACTIVE], SHUT_WR);
	ASSERT_EQ(recv(conn.fd[GATE_PASSIVE], &byte, 1, 0), 0, "recv FIN");
	ASSERT_EQ(passive->nr_parse, 1, "all: FIN parsed");
	ASSERT_EQ(passive->nr_parse_opt, 0, "all: no option");
	ASSERT_EQ(passive->nr_err, 0, "all: no error");

close_conn:
	conn_close(&conn);
out:
	detach(&link);
}

static void run_test(void (*run)(int family), int family)
{
	struct bpf_link *wire_link;
	struct netns_obj *netns;

	netns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;

	wire_link = bpf_program__attach_tcx(skel->progs.watch_wire,
					    if_nametoindex("lo"), NULL);
	if (ASSERT_OK_PTR(wire_link, "attach_tcx")) {
		skel->bss->init_flags = F_WRITE | F_UNKNOWN;
		run(family);
		bpf_link__destroy(wire_link);
	}

	netns_free(netns);
}

void test_tcp_hdr_opt_gate(void)
{
	struct bpf_link *set_link, *get_link;

	skel = tcp_hdr_opt_gate__open_and_load();
	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return;

	cg_fd = test__join_cgroup(CG_NAME);
	if (!ASSERT_OK_FD(cg_fd, "join_cgroup"))
		goto destroy;

	other_cg_fd = create_and_get_cgroup(OTHER_CG_NAME);
	if (!ASSERT_OK_FD(other_cg_fd, "create other cgroup"))
		goto close_cg;

	set_link = attach(skel->progs.set_cb_flags, cg_fd);
	get_link = attach(skel->progs.get_cb_flags, cg_fd);
	if (!set_link || !get_link)
		goto detach;

	if (test__start_subtest("callbacks_v4"))
		run_test(test_callbacks, AF_INET);
	if (test__start_subtest("callbacks_v6"))
		run_test(test_callbacks, AF_INET6);
	if (test__start_subtest("syncookie_v4"))
		run_test(test_syncookie, AF_INET);
	if (test__start_subtest("syncookie_v6"))
		run_test(test_syncookie, AF_INET6);
	if (test__start_subtest("reattach_v4"))
		run_test(test_reattach, AF_INET);
	if (test__start_subtest("reattach_v6"))
		run_test(test_reattach, AF_INET6);
	if (test__start_subtest("late_attach_v4"))
		run_test(test_late_attach, AF_INET);
	if (test__start_subtest("late_attach_v6"))
		run_test(test_late_attach, AF_INET6);
	if (test__start_subtest("update_v4"))
		run_test(test_update, AF_INET);
	if (test__start_subtest("update_v6"))
		run_test(test_update, AF_INET6);
	if (test__start_subtest("other_cgroup_v4"))
		run_test(test_other_cgroup, AF_INET);
	if (test__start_subtest("other_cgroup_v6"))
		run_test(test_other_cgroup, AF_INET6);
	if (test__start_subtest("flags_v4"))
		run_test(test_flags, AF_INET);
	if (test__start_subtest("flags_v6"))
		run_test(test_flags, AF_INET6);

detach:
	detach(&get_link);
	detach(&set_link);
	close(other_cg_fd);
close_cg:
	close(cg_fd);
destroy:
	tcp_hdr_opt_gate__destroy(skel);
}
