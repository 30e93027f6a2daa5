// SPDX-License-Identifier: GPL-2.0
/* What it takes until a path manager in BPF is called, in time of a guest whose
 * clock counts instructions (QEMU -icount shift=0, one CPU): one nanosecond is one.
 *
 *   pm-work/FAMILY	from an event that was noted to the open of a subflow, per event: the
 *			session's timer, when there is nothing else to do
 *   pm-busy/FAMILY	the same for a session that is established, which is noted in the
 *			middle of what the one CPU has to do for the other end first
 *   pm-walk/N		from the start of the walk after an address change until the
 *			last of N sessions has been told, per session
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "cost.h"
#include "mptcp_pm_cost.h"
#include "mptcp_pm_cost.skel.h"

#define PATH_MANAGER	16	/* MPTCP_PATH_MANAGER */
#define MAX_SESSIONS	1000
#define EVENTS		50	/* of a round */
#define PATIENCE	2000	/* times a millisecond */

static volatile struct pm_cost *cost;
static int sessions[MAX_SESSIONS][ENDS];

static socklen_t address(bool v6, struct sockaddr_storage *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->ss_family = v6 ? AF_INET6 : AF_INET;
	if (v6) {
		((struct sockaddr_in6 *)addr)->sin6_port = htons(PORT);
		((struct sockaddr_in6 *)addr)->sin6_addr = in6addr_loopback;
		return sizeof(struct sockaddr_in6);
	}
	((struct sockaddr_in *)addr)->sin_port = htons(PORT);
	((struct sockaddr_in *)addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(struct sockaddr_in);
}

static int listen_on(bool v6)
{
	struct sockaddr_storage addr;
	socklen_t len = address(v6, &addr);
	const int one = 1;
	int fd;

	fd = socket(addr.ss_family, SOCK_STREAM, IPPROTO_MPTCP);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&addr, len) || listen(fd, 16))
		die("listen: %s", strerror(errno));
	return fd;
}

/* Established: the peer is known to have both keys */
static void session(bool v6, int listener, int fds[ENDS])
{
	struct sockaddr_storage addr;
	socklen_t len = address(v6, &addr);
	char byte = 0;

	fds[CLIENT] = socket(addr.ss_family, SOCK_STREAM, IPPROTO_MPTCP);
	if (setsockopt(fds[CLIENT], SOL_MPTCP, PATH_MANAGER, COST_PM, strlen(COST_PM)))
		die("MPTCP_PATH_MANAGER: %s", strerror(errno));
	if (connect(fds[CLIENT], (void *)&addr, len))
		die("connect: %s", strerror(errno));
	fds[SERVER] = accept(listener, NULL, NULL);
	if (send(fds[CLIENT], &byte, 1, 0) != 1 || recv(fds[SERVER], &byte, 1, 0) != 1 ||
	    send(fds[SERVER], &byte, 1, 0) != 1 || recv(fds[CLIENT], &byte, 1, 0) != 1)
		die("request/response: %s", strerror(errno));
}

static void wait_until(bool (*over)(int n), int n, const char *what)
{
	int i;

	for (i = 0; i < PATIENCE && !over(n); i++)
		usleep(1000);
	if (!over(n))
		die("%s: never of %d, told %u", what, n, cost->sessions);
}

static bool is_opened(int n)
{
	return cost->opened;
}

static bool are_told(int n)
{
	return cost->sessions >= (unsigned int)n;
}

static void print(const char *row, int round, long ops, long long ns)
{
	printf("{\"row\": \"%s\", \"setup\": \"pm\", \"round\": %d, \"ops\": %ld, \"ns\": %lld}\n",
	       row, round, ops, ns);
}

static void run_work(const char *row, bool busy, bool v6, int rounds)
{
	int listener = listen_on(v6), fds[ENDS], round, i;
	long long ns;

	cost->busy = busy;
	for (round = 0; round < rounds; round++) {
		ns = 0;
		for (i = 0; i < EVENTS; i++) {
			cost->queued = 0;
			cost->opened = 0;
			session(v6, listener, fds);
			wait_until(is_opened, 1, row);
			if (cost->err < 0)
				die("%s: open: %s", row, strerror(-cost->err));
			ns += cost->opened - cost->queued;
			disconnect(fds);
			usleep(10000);
		}
		print(row, round, EVENTS, ns);
	}
	close(listener);
}

static void run_walk(const char *row, int n, int rounds)
{
	int listener = listen_on(false), round, i;

	/* No events but the address: nothing is opened. */
	cost->queued = cost->opened = 1;
	for (i = 0; i < n; i++)
		session(false, listener, sessions[i]);
	usleep(200000);
	for (round = 0; round < rounds; round++) {
		cost->sessions = 0;
		sh("ip addr %s 10.99.0.1/32 dev lo", round & 1 ? "del" : "add");
		wait_until(are_told, n, row);
		/* Told once. */
		usleep(200000);
		if (cost->sessions != (unsigned int)n)
			die("%s: %u sessions were told", row, cost->sessions);
		print(row, round, n, cost->told - cost->walked);
	}
	sh("ip addr flush dev lo to 10.99.0.0/16");
	for (i = 0; i < n; i++)
		disconnect(sessions[i]);
	close(listener);
	usleep(500000);
}

/* A kernel without path managers in BPF has no rows. */
static bool has_path_managers(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool found;

	if (!btf)
		die("BTF: %s", strerror(errno));
	found = btf__find_by_name_kind(btf, "bpf_mptcp_pm_open", BTF_KIND_FUNC) > 0;
	btf__free(btf);
	return found;
}

int main(int argc, char **argv)
{
	struct rlimit nofile = { 4 * MAX_SESSIONS, 4 * MAX_SESSIONS };
	static const int walks[] = { 125, 250, 500, MAX_SESSIONS };
	struct mptcp_pm_cost *skel;
	const char *only = "*";
	char row[32];
	int c, i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	while ((c = getopt(argc, argv, "s:k:")) != -1) {
		if (c == 'k')
			only = optarg;
		else if (c != 's' || strcmp(optarg, "pm"))
			die("usage: -s pm -k rows");
	}
	if (!has_path_managers())
		goto done;
	if (setrlimit(RLIMIT_NOFILE, &nofile) || unshare(CLONE_NEWNET))
		die("set-up: %s", strerror(errno));
	sh("ip link set lo up");
	sh("ip mptcp limits set subflows 8");
	skel = mptcp_pm_cost__open_and_load();
	if (!skel || mptcp_pm_cost__attach(skel))
		die("program: %s", strerror(errno));
	cost = &skel->bss->cost;

	for (i = 0; i < 4; i++) {
		snprintf(row, sizeof(row), "%s/%s", i & 2 ? "pm-busy" : "pm-work",
			 i & 1 ? "ipv6" : "ipv4");
		if (!fnmatch(only, row, 0))
			run_work(row, i & 2, i & 1, 7);
	}
	for (i = 0; i < (int)(sizeof(walks) / sizeof(*walks)); i++) {
		snprintf(row, sizeof(row), "pm-walk/%d", walks[i]);
		if (!fnmatch(only, row, 0))
			run_walk(row, walks[i], 8);
	}
done:
	printf("{\"done\": \"pm\"}\n");
	return 0;
}
