// SPDX-License-Identifier: GPL-2.0
/* What an option on every segment costs, or one in the handshake, in time of a
 * guest whose clock counts instructions (QEMU -icount shift=0, one CPU): one
 * nanosecond is one.
 *
 * One thread holds both ends of a connection, so that no scheduling gets in
 * between: what it sends has reached the other end when send() returns. A round
 * in which something else ran, or a timer was waited for, is repeated; where
 * that happens again and again the row is an error, not a number.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cost.h"
#include "tcp_extopt_helpers.h"
#include "tcp_opt_cost.h"
#include "tcp_opt_cost.skel.h"
#include "tcp_opt_cost_extopt.skel.h"

#define MPTCP_INFO	1
#define CGROUP		"/sys/fs/cgroup/tcp_opt_cost"
#define AVAILABLE	"/proc/sys/net/ipv4/tcp_available_extopt"
#define CHUNK		65536
#define MB		1000000
#define MAX_DISTURBED	3
#define MAX_KEPT	500	/* MPTCP connections */

enum { NOTHING, SOCKOPS, EXTOPT };

/* What becomes of the option on the benchmark's connections, and by what. */
struct setup {
	const char *name;
	int by;
	bool insert, parse, setsockopt;
	bool syn;	/* on SYN and SYN-ACK only */
};

static const struct setup setups[] = {
	{ "none" },
	{ "sockops-insert", SOCKOPS, true },
	{ "sockops-insert-parse", SOCKOPS, true, true },
	{ "sockops-insert-parse-setsockopt", SOCKOPS, true, true, true },
	{ "sockops-syn", SOCKOPS, true, true, .syn = true },
	{ "extopt-registered", EXTOPT },
	{ "extopt-insert", EXTOPT, true },
	{ "extopt-insert-parse", EXTOPT, true, true },
	{ "extopt-insert-parse-setsockopt", EXTOPT, true, true, true },
	{ "extopt-syn", EXTOPT, true, true, .syn = true },
};

/* mrr, mbulk, mcrr: the same with MPTCP, without options. */
struct row {
	const char *work, *family, *path;
};

static const struct row rows[] = {
	{ "rr", "ipv4", "lo" },	    { "rr", "ipv6", "lo" },
	{ "rr", "ipv4", "veth" },   { "rr", "ipv6", "veth" },
	{ "bulk", "ipv4", "lo" },   { "bulk", "ipv6", "lo" },
	{ "bulk", "ipv4", "veth" }, { "bulk", "ipv6", "veth" },
	{ "crr", "ipv4", "lo" },    { "crr", "ipv6", "lo" },
	{ "conn", "ipv4", "lo" },   { "conn", "ipv6", "lo" },
	{ "mrr", "ipv4", "lo" },    { "mrr", "ipv6", "lo" },
	{ "mbulk", "ipv4", "lo" },  { "mbulk", "ipv6", "lo" },
	{ "mcrr", "ipv4", "lo" },   { "mcrr", "ipv6", "lo" },
};

static const struct setup *setup = &setups[0];
static const volatile struct cost_counts *counts;	/* the program's */
static int namespaces[ENDS];
static char chunk[CHUNK];

static void enter(int end)
{
	if (setns(namespaces[end], CLONE_NEWNET))
		die("setns: %s", strerror(errno));
}

/* Nothing that depends on time or chance: no autotuning, no metrics, no DAD. */
static void settle(void)
{
	static const char * const sysctls[] = {
		"net.ipv4.tcp_no_metrics_save=1",
		"net.ipv4.tcp_moderate_rcvbuf=0",
		"net.ipv4.tcp_autocorking=0",
		"net.ipv4.tcp_congestion_control=cubic",
		"net.ipv4.tcp_wmem='4096 1048576 1048576'",
		"net.ipv4.tcp_rmem='4096 2097152 2097152'",
		"net.ipv6.conf.all.accept_dad=0",
		"net.ipv6.conf.default.accept_dad=0",
		"net.ipv6.conf.all.router_solicitations=0",
		"net.ipv6.conf.default.router_solicitations=0",
	};

	for (size_t i = 0; i < sizeof(sysctls) / sizeof(*sysctls); i++)
		sh("sysctl -qw %s", sysctls[i]);
	sh("ip link set lo up");
}

static void wire_end(int end)
{
	int self = end == CLIENT ? 1 : 2, peer = 3 - self;

	enter(end);
	sh("ip addr add 10.9.0.%d/24 dev v%d", self, self);
	sh("ip -6 addr add fd09::%d/64 dev v%d nodad", self, self);
	sh("ip link set v%d up", self);
	sh("ip neigh replace 10.9.0.%d lladdr 02:00:00:00:00:0%d dev v%d nud permanent",
	   peer, peer, self);
	sh("ip neigh replace fd09::%d lladdr 02:00:00:00:00:0%d dev v%d nud permanent",
	   peer, peer, self);
}

static void wire_namespaces(void)
{
	for (int end = 0; end < ENDS; end++) {
		if (unshare(CLONE_NEWNET))
			die("unshare: %s", strerror(errno));
		settle();
		namespaces[end] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		if (namespaces[end] < 0)
			die("namespace: %s", strerror(errno));
	}
	sh("ip link add v2 address 02:00:00:00:00:02 type veth peer name v1");
	sh("ip link set v1 address 02:00:00:00:00:01 netns /proc/%d/fd/%d",
	   getpid(), namespaces[CLIENT]);
	wire_end(SERVER);
	wire_end(CLIENT);
	sleep(1);
}

static socklen_t address(const struct row *row, struct sockaddr_storage *addr)
{
	struct sockaddr_in6 *in6 = (void *)addr;
	bool lo = !strcmp(row->path, "lo");

	memset(addr, 0, sizeof(*addr));
	if (!strcmp(row->family, "ipv4")) {
		struct sockaddr_in *in = (void *)addr;

		in->sin_family = AF_INET;
		in->sin_port = htons(PORT);
		inet_pton(AF_INET, lo ? "127.0.0.1" : "10.9.0.2", &in->sin_addr);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(PORT);
	inet_pton(AF_INET6, lo ? "::1" : "fd09::2", &in6->sin6_addr);
	return sizeof(*in6);
}

static void option(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		die("setsockopt %d/%d: %s", level, name, strerror(errno));
}

/* Before listen() and connect(); accepted sockets have what the listener has. */
static void select_option(int fd)
{
	if (setup->by == EXTOPT && setup->insert && !setup->syn &&
	    setsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, COST_NAME, strlen(COST_NAME)))
		die("TCP_EXTOPT: %s", strerror(errno));
}

/* For every socket, as the namespaces' default. */
static void select_by_default(void)
{
	for (int end = 0; end < ENDS; end++) {
		enter(end);
		sh("sysctl -qw net.ipv4.tcp_extopt=%s", COST_NAME);
	}
}

static bool is_mptcp(const struct row *row)
{
	return row->work[0] == 'm';
}

/* Without the m of MPTCP */
static const char *work_of(const struct row *row)
{
	return row->work + is_mptcp(row);
}

static int protocol(const struct row *row)
{
	return is_mptcp(row) ? IPPROTO_MPTCP : 0;
}

static int listen_on(const struct row *row)
{
	struct sockaddr_storage addr;
	socklen_t len = address(row, &addr);
	int fd;

	enter(SERVER);
	fd = socket(addr.ss_family, SOCK_STREAM, protocol(row));
	option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	select_option(fd);
	if (bind(fd, (void *)&addr, len) || listen(fd, 16))
		die("listen: %s", strerror(errno));
	return fd;
}

/* From the namespace that the thread is in. */
static void connect_to(const struct row *row, int listener, int fds[ENDS])
{
	struct sockaddr_storage addr;
	socklen_t len = address(row, &addr);

	fds[CLIENT] = socket(addr.ss_family, SOCK_STREAM, protocol(row));
	select_option(fds[CLIENT]);
	if (connect(fds[CLIENT], (void *)&addr, len))
		die("connect: %s", strerror(errno));
	fds[SERVER] = accept(listener, NULL, NULL);
	if (fds[SERVER] < 0)
		die("accept: %s", strerror(errno));
}

static void request_response(int fds[ENDS], long count)
{
	char byte = 0;

	while (count--) {
		if (send(fds[CLIENT], &byte, 1, 0) != 1 || recv(fds[SERVER], &byte, 1, 0) != 1 ||
		    send(fds[SERVER], &byte, 1, 0) != 1 || recv(fds[CLIENT], &byte, 1, 0) != 1)
			die("request/response: %s", strerror(errno));
	}
}

static void transfer(int fds[ENDS], long mb)
{
	long long sent = 0, received = 0, before, total = mb * MB;
	ssize_t n;

	while (received < total) {
		before = sent + received;
		while (sent < total) {
			size_t want = total - sent < CHUNK ? total - sent : CHUNK;

			n = send(fds[CLIENT], chunk, want, MSG_DONTWAIT);
			if (n < 0)
				break;
			sent += n;
			if ((size_t)n < want)
				break;
		}
		while ((n = recv(fds[SERVER], chunk, CHUNK, MSG_DONTWAIT)) > 0)
			received += n;
		if (sent + received == before)
			die("bulk: stuck after %lld of %lld bytes", received, total);
	}
}

static void connections(const struct row *row, int listener, long count, bool rr)
{
	int fds[ENDS];

	while (count--) {
		connect_to(row, listener, fds);
		if (rr)
			request_response(fds, 1);
		disconnect(fds);
	}
}

static int kept[MAX_KEPT][ENDS];

static int by_size(const void *a, const void *b)
{
	long long one = *(const long long *)a, other = *(const long long *)b;

	return (one > other) - (one < other);
}

/* To be closed when the time has been taken: that is a worker's business. The mean has
 * the ticks and the new slabs in it, and those of one kernel differ from the other's by
 * more than a change to be seen: the time that most of them take.
 */
static long long keep_connections(const struct row *row, int listener, long count)
{
	static long long took[MAX_KEPT];
	long long begin;

	for (long i = 0; i < count; i++) {
		begin = now(CLOCK_MONOTONIC);
		connect_to(row, listener, kept[i]);
		request_response(kept[i], 1);
		took[i] = now(CLOCK_MONOTONIC) - begin;
	}
	qsort(took, count, sizeof(*took), by_size);
	return took[count / 2] * count;
}

static void drop_connections(long count)
{
	while (count--)
		disconnect(kept[count]);
	usleep(300000);
}

static void expect_no_loss(const struct row *row, int fds[ENDS])
{
	for (int end = 0; end < ENDS; end++) {
		struct tcp_info info = {};
		__u32 mptcp[64] = {};
		socklen_t size = sizeof(mptcp);

		/* fails for what is not MPTCP, or is not any more */
		if (is_mptcp(row) &&
		    getsockopt(fds[end], SOL_MPTCP, MPTCP_INFO, mptcp, &size))
			die("%s/%s/%s: MPTCP_INFO: %s", row->work, row->family, row->path,
			    strerror(errno));
		socklen_t len = sizeof(info);

		if (getsockopt(fds[end], IPPROTO_TCP, TCP_INFO, &info, &len))
			die("TCP_INFO: %s", strerror(errno));
		if (info.tcpi_total_retrans)
			die("%s/%s/%s: %u segments sent again", row->work, row->family,
			    row->path, info.tcpi_total_retrans);
	}
}

/* The kernel's view: an option without room would be missing without a word. */
static void expect_selection(const struct row *row, int fds[ENDS])
{
	for (int end = 0; end < ENDS; end++) {
		struct extopt_list list = {};
		const struct tcp_extopt_info *info = &list.info[0];
		socklen_t len = sizeof(list);

		if (getsockopt(fds[end], IPPROTO_TCP, TCP_EXTOPT, &list, &len))
			die("TCP_EXTOPT: %s", strerror(errno));
		if (list.head.count != setup->insert)
			die("%s/%s/%s: %u options selected, not %d", row->work, row->family,
			    row->path, list.head.count, setup->insert);
		if (setup->insert && (info->state != TCP_EXTOPT_ST_ACTIVE ||
				      !(setup->syn ? info->parsed : info->written) ||
				      info->no_room || info->malformed))
			die("%s/%s/%s: state %u, %llu written, %llu parsed, no room %u, bad %u",
			    row->work, row->family, row->path, info->state,
			    (unsigned long long)info->written, (unsigned long long)info->parsed,
			    info->no_room, info->malformed);
	}
}

static struct cost_counts counted(void)
{
	return counts ? *counts : (struct cost_counts){};
}

/* ops: requests with their response, megabytes, or connections */
static void expect_counts(const struct row *row, const struct cost_counts *before, long long ops)
{
	bool bulk = !strcmp(row->work, "bulk"), rr = !strcmp(row->work, "rr");
	struct cost_counts c = counted();
	long long segments;
	bool good;

	c.written -= before->written;
	c.synacks -= before->synacks;
	c.parsed -= before->parsed;
	c.set -= before->set;
	/* At the least: two segments a transaction, one for 64 kB. Of segments with
	 * equal options, the backlog of a busy socket makes one: parsed once.
	 */
	segments = !setup->insert ? 0 : ops * (rr ? 2 : bulk ? 15 : 1);
	if (setup->syn)
		good = c.written == segments && c.synacks == segments &&
		       c.parsed == 2 * segments;
	else
		good = c.written >= segments && (setup->insert || !c.written) && !c.synacks &&
		       (!rr || !setup->parse || c.parsed == c.written) &&
		       (!bulk || !setup->parse ||
			(c.parsed <= c.written && c.parsed >= c.written / 20 * 19)) &&
		       (setup->parse || !c.parsed);
	if (!good || c.set != (setup->setsockopt ? c.parsed : 0))
		die("%s/%s/%s: of %lld segments %llu written, %llu SYN-ACKs, %llu parsed, %llu set",
		    row->work, row->family, row->path, segments, c.written, c.synacks,
		    c.parsed, c.set);
}

static void run_row(const struct row *row, int rounds, long ops)
{
	bool bulk = !strcmp(work_of(row), "bulk"), rr = !strcmp(work_of(row), "rr");
	int listener, fds[ENDS], disturbed = 0;
	bool crr = !strcmp(work_of(row), "crr");
	struct cost_counts before;
	long long wall, cpu, took = 0;

	listener = listen_on(row);
	enter(strcmp(row->path, "lo") ? CLIENT : SERVER);
	if (rr || bulk) {
		connect_to(row, listener, fds);
		option(fds[CLIENT], IPPROTO_TCP, TCP_NODELAY, 1);
		option(fds[SERVER], IPPROTO_TCP, TCP_NODELAY, 1);
	}
	/* After the handshake, whose last ACK nobody is there to parse yet. */
	before = counted();
	for (int round = 0; round < rounds; round++) {
		wall = now(CLOCK_MONOTONIC);
		cpu = now(CLOCK_PROCESS_CPUTIME_ID);
		if (rr)
			request_response(fds, ops);
		else if (bulk)
			transfer(fds, ops);
		else if (is_mptcp(row))
			took = keep_connections(row, listener, ops);
		else
			connections(row, listener, ops, crr);
		cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
		wall = now(CLOCK_MONOTONIC) - wall;
		if (is_mptcp(row) && crr)
			drop_connections(ops);
		if (wall - cpu > wall / 50) {
			/* Something else had the CPU, or a timer was waited for. */
			if (++disturbed > MAX_DISTURBED)
				die("%s/%s/%s: waited %lld of %lld ns", row->work,
				    row->family, row->path, wall - cpu, wall);
			round--;
			continue;
		}
		printf("{\"row\": \"%s/%s/%s\", \"setup\": \"%s\", ",
		       row->work, row->family, row->path, setup->name);
		printf("\"round\": %d, \"ops\": %ld, \"ns\": %lld}\n", round, ops,
		       took ?: wall);
	}
	expect_counts(row, &before, (rounds + disturbed) * ops);
	/* The last of the connections, to look at. */
	if (!rr && !bulk) {
		connect_to(row, listener, fds);
		request_response(fds, 1);
	}
	expect_no_loss(row, fds);
	if (setup->by == EXTOPT)
		expect_selection(row, fds);
	disconnect(fds);
	close(listener);
}

/* In a cgroup of our own in all set-ups, so that they differ in nothing else. */
static int join_cgroup(void)
{
	char pid[16];
	int fd;

	mkdir(CGROUP, 0755);
	fd = open(CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	snprintf(pid, sizeof(pid), "%d", getpid());
	if (fd < 0 || write(fd, pid, strlen(pid)) < 0)
		die("cgroup: %s", strerror(errno));
	close(fd);
	fd = open(CGROUP, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("cgroup: %s", strerror(errno));
	return fd;
}

static void expect_programs(int cgroup, unsigned int expected)
{
	unsigned int ids[16], count = 16;

	if (bpf_prog_query(cgroup, BPF_CGROUP_SOCK_OPS, BPF_F_QUERY_EFFECTIVE, NULL, ids, &count))
		die("query of sock_ops programs: %s", strerror(errno));
	if (count != expected)
		die("%u sock_ops programs in effect, not %u", count, expected);
}

static void expect_registered(const char *expected)
{
	char names[64] = "";
	FILE *file;

	/* A kernel without tcp_extopt has none registered. */
	file = fopen(AVAILABLE, "re");
	if (file) {
		if (fgets(names, sizeof(names), file))
			names[strcspn(names, "\n")] = '\0';
		fclose(file);
	}
	if (strcmp(names, expected))
		die("options registered: '%s', not '%s'", names, expected);
}

/* What is measured is there, and nothing else. */
static void expect_programs_of_setup(int cgroup)
{
	expect_programs(cgroup, setup->by == SOCKOPS);
	expect_registered(setup->by == EXTOPT ? COST_NAME : "");
}

static void load_sockops(int cgroup)
{
	struct tcp_opt_cost *skel;

	skel = tcp_opt_cost__open();
	if (!skel)
		die("open: %s", strerror(errno));
	skel->rodata->do_parse = setup->parse;
	skel->rodata->do_setsockopt = setup->setsockopt;
	if (tcp_opt_cost__load(skel))
		die("program: %s", strerror(errno));
	if (!bpf_program__attach_cgroup(setup->syn ? skel->progs.cost_syn : skel->progs.cost,
					cgroup))
		die("no sock_ops program in the cgroup: %s", strerror(errno));
	counts = &skel->bss->counts;
}

static void load_extopt(void)
{
	struct tcp_opt_cost_extopt *skel;

	skel = tcp_opt_cost_extopt__open();
	if (!skel)
		die("open: %s", strerror(errno));
	skel->rodata->do_setsockopt = setup->setsockopt;
	if (setup->insert && !setup->parse)
		skel->struct_ops.cost->parse = NULL;
	if (setup->syn) {
		skel->struct_ops.cost->segments = EXTOPT_SYN | EXTOPT_SYNACK;
		skel->struct_ops.cost->flags = COST_NEGOTIATE;
	} else {
		skel->struct_ops.cost->write_synack = NULL;
	}
	if (tcp_opt_cost_extopt__load(skel))
		die("tcp_extopt program: %s", strerror(errno));
	if (!bpf_map__attach_struct_ops(skel->maps.cost))
		die("tcp_extopt not registered: %s", strerror(errno));
	counts = &skel->bss->counts;
	if (setup->syn)
		select_by_default();
}

/* Those of the handshake and those of every segment have rows of their own. */
static bool has_row(const struct row *row)
{
	if (is_mptcp(row))
		return setup->by == NOTHING;
	return !setup->insert || setup->syn == !strcmp(row->work, "crr");
}

int main(int argc, char **argv)
{
	long rr = 3000, mb = 30, conn = 3000;
	struct rlimit nofile = { 4 * MAX_KEPT, 4 * MAX_KEPT };
	int c, cgroup, rounds = 7;
	const char *only = "*";
	char name[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	if (setrlimit(RLIMIT_NOFILE, &nofile))
		die("setrlimit: %s", strerror(errno));
	while ((c = getopt(argc, argv, "s:k:r:t:m:c:")) != -1) {
		switch (c) {
		case 's':
			setup = NULL;
			for (size_t i = 0; i < sizeof(setups) / sizeof(*setups); i++)
				if (!strcmp(setups[i].name, optarg))
					setup = &setups[i];
			if (!setup)
				die("no set-up %s", optarg);
			break;
		case 'k':
			only = optarg;
			break;
		case 'r':
			rounds = atoi(optarg);
			break;
		case 't':
			rr = atol(optarg);
			break;
		case 'm':
			mb = atol(optarg);
			break;
		case 'c':
			conn = atol(optarg);
			break;
		default:
			die("usage: -s setup -k rows -r rounds -t rr -m MB -c connections");
		}
	}
	wire_namespaces();
	cgroup = join_cgroup();
	expect_programs(cgroup, 0);
	expect_registered("");
	if (setup->by == SOCKOPS)
		load_sockops(cgroup);
	else if (setup->by == EXTOPT)
		load_extopt();
	expect_programs_of_setup(cgroup);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];

		snprintf(name, sizeof(name), "%s/%s/%s", row->work, row->family, row->path);
		if (!has_row(row) || fnmatch(only, name, 0))
			continue;
		run_row(row, rounds, !strcmp(work_of(row), "rr") ? rr :
				     !strcmp(work_of(row), "bulk") ? mb :
				     is_mptcp(row) ? MAX_KEPT : conn);
	}
	expect_programs_of_setup(cgroup);
	printf("{\"done\": \"%s\"}\n", setup->name);
	return 0;
}
