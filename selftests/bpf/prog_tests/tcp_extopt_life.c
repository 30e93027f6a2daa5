// SPDX-License-Identifier: GPL-2.0
/* The life of extension options under traffic: this CPU selects, updates and
 * unregisters, another one sends and receives. After each test the registry is
 * looked into: no socket left a reference behind.
 */
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include "test_progs.h"
#include "cgroup_helpers.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "progs/tcp_extopt.h"
#include "progs/tcp_extopt_life.h"
#include "tcp_extopt.skel.h"
#include "tcp_extopt_life.skel.h"

#define NS_NAME		"tcp_extopt_life"
#define NS_OTHER	"tcp_extopt_lif2"
#define CG_NAME		"/tcp-extopt-life"
#define CG_OTHER	"/tcp-extopt-life-other"
#define DEFAULT		"/proc/sys/net/ipv4/tcp_extopt"
#define SYNCOOKIES	"/proc/sys/net/ipv4/tcp_syncookies"

#define LIMIT		30000		/* ms, for anything to happen */
#define PERIOD		65521		/* of the stream */
#define CHUNK		65536
#define SOME		(256 << 10)
#define NR_MANY		1000		/* connections */
#define NR_RACE		150
#define NR_CHURN	12

#define HOLDER		9		/* an option that nobody selects */
#define VALUE		0x11121314	/* what opt_0 writes */
#define VALUE_UPDATE	0xaabbccdd

#define until(cond) ({							\
	int __i;							\
									\
	for (__i = 0; __i < LIMIT && !(cond); __i++)			\
		usleep(1000);						\
	__i < LIMIT;							\
})

struct conn {
	int lfd, fd[2];			/* client, server */
};

enum mode { BULK, PING_PONG, SWEEP, CONNECT };

struct traffic {
	enum mode mode;
	struct conn *conn;
	int nr_conns;			/* SWEEP */
	bool may_break;			/* BULK: the connection may be reset */
	int todo;			/* CONNECT: connections to make */
	int (*check)(int fd, struct traffic *t);
	unsigned int seen;		/* by check() */
	const char *names;		/* CONNECT: to select, fails or not */

	pthread_t thread;
	volatile bool stop, done;
	volatile __u64 moved;		/* bytes; CONNECT: connections */
	const char *err;
	int err_no;
	char buf[CHUNK];
};

static struct tcp_extopt *skel;
static struct tcp_extopt_life *life;
static struct bpf_link *links[EXTOPT_NR];
static char pattern[PERIOD + CHUNK];
static int cg_fd, nr_watched;

static const int families[] = { AF_INET, AF_INET6 };

/* --- options --- */

static struct bpf_map *opt_map(int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "opt_%d", nr);
	return bpf_object__find_map_by_name(skel->obj, name);
}

static int reg(int nr)
{
	skel->bss->opts[nr].len = nr ? 1 : 4;
	skel->bss->opts[nr].fill = VALUE >> 24;
	links[nr] = bpf_map__attach_struct_ops(opt_map(nr));
	return ASSERT_OK_PTR(links[nr], "register") ? 0 : -1;
}

static __u64 slot_addr(const char *name);

/* From now on we wait for the slot to be freed, in finish() at the latest. */
static void unreg(int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "opt_%d", nr);
	if (ASSERT_LT(nr_watched, LIFE_WATCH, "slots watched"))
		life->bss->watch[nr_watched++] = slot_addr(name);
	ASSERT_OK(bpf_link__destroy(links[nr]), "unregister");
	links[nr] = NULL;
}

/* QEMU without KVM, before 8.1, may go on executing the breakpoint of a jump
 * that is being patched, which the kernel does not survive. There we let no
 * traffic run while the static key changes: another option keeps it on.
 */
static int hold_key(void)
{
	bool emulated = false;
	char line[256];
	FILE *f;

	f = fopen("/proc/cpuinfo", "r");
	while (f && !emulated && fgets(line, sizeof(line), f))
		emulated = strstr(line, "QEMU") || strstr(line, "TCG");
	if (f)
		fclose(f);
	return emulated ? reg(HOLDER) : 0;
}

static void release_key(void)
{
	if (links[HOLDER])
		unreg(HOLDER);
}

static int nr_opts(int fd)
{
	struct extopt_list list;

	return extopt_get(fd, &list) ? -1 : list.head.count;
}

static __u64 written(int fd)
{
	struct extopt_list list;

	return extopt_get(fd, &list) ? 0 : list.info[0].written;
}

/* --- segments --- */

static void expect(__u32 what, __u32 value)
{
	life->bss->expect = EXPECT_ANY;
	life->bss->seg_with = 0;
	life->bss->seg_without = 0;
	life->bss->seg_wrong = 0;
	life->bss->seg_max = 0;
	life->bss->expect_value = value;
	life->bss->expect = what;
}

/* Who holds the socket's lock has nothing on its way to the device. */
static void barrier_conn(struct conn *conn)
{
	nr_opts(conn->fd[0]);
	nr_opts(conn->fd[1]);
}

/* --- connections --- */

static void conn_close(struct conn *conn)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (conn->fd[i] >= 0)
			close(conn->fd[i]);
		conn->fd[i] = -1;
	}
	if (conn->lfd >= 0)
		close(conn->lfd);
	conn->lfd = -1;
}

static int start_listener(int family, const char *names)
{
	static const struct network_helper_opts opts = {
		.timeout_ms = LIMIT,
		.backlog = 1024,
	};
	int fd;

	fd = start_server_str(family, SOCK_STREAM, family == AF_INET ?
			      "127.0.0.1" : "::1", 0, &opts);
	if (!ASSERT_OK_FD(fd, "listen"))
		return -1;
	if (names && !ASSERT_OK(extopt_select(fd, names), "select, listener")) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Another connection to a listener that belongs to somebody else */
static int conn_to(struct conn *conn, int lfd, const char *names)
{
	memset(conn, -1, sizeof(*conn));
	conn->fd[0] = connect_to_fd(lfd, LIMIT);
	if (!ASSERT_OK_FD(conn->fd[0], "connect") ||
	    (names && !ASSERT_OK(extopt_select(conn->fd[0], names),
				 "select, client")))
		goto err;
	conn->fd[1] = accept(lfd, NULL, NULL);
	if (!ASSERT_OK_FD(conn->fd[1], "accept") ||
	    !ASSERT_OK(settimeo(conn->fd[1], LIMIT), "settimeo"))
		goto err;
	return 0;
err:
	conn_close(conn);
	return -1;
}

static int conn_open(struct conn *conn, int family, const char *names)
{
	int lfd = start_listener(family, names);

	if (lfd < 0)
		return -1;
	if (conn_to(conn, lfd, names)) {
		close(lfd);
		return -1;
	}
	conn->lfd = lfd;
	return 0;
}

static int disconnect(int fd)
{
	struct sockaddr addr = { .sa_family = AF_UNSPEC };

	return connect(fd, &addr, sizeof(addr));
}

static void linger0(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* --- traffic, in a thread and without ASSERTs --- */

static const char *stream(int end, __u64 pos)
{
	return pattern + (pos + end * 31337) % PERIOD;
}

static void fill_pattern(void)
{
	__u64 x = 0x9e3779b97f4a7c15;
	int i;

	for (i = 0; i < PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		pattern[i] = x >> 32;
	}
	for (; i < PERIOD + CHUNK; i++)
		pattern[i] = pattern[i - PERIOD];
}

static int failed(struct traffic *t, const char *what)
{
	t->err = what;
	t->err_no = errno;
	return -1;
}

/* Both ways at once; after stop until all is received. */
static int run_bulk(struct traffic *t)
{
	__u64 sent[2] = {}, got[2] = {};
	int idle = 0, end;
	bool moved;
	ssize_t n;

	while (!t->stop || got[0] < sent[0] || got[1] < sent[1]) {
		moved = false;
		for (end = 0; end < 2; end++) {
			n = t->stop ? 0 :
			    send(t->conn->fd[end], stream(end, sent[end]),
				 CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				return failed(t, "send");
			if (n > 0) {
				sent[end] += n;
				moved = true;
			}

			n = recv(t->conn->fd[!end], t->buf, CHUNK,
				 MSG_DONTWAIT);
			if (n < 0 && errno != EAGAIN)
				return failed(t, "recv");
			if (!n)
				return failed(t, "EOF");
			if (n > 0) {
				if (memcmp(t->buf, stream(end, got[end]), n))
					return failed(t, "wrong byte");
				got[end] += n;
				t->moved += n;
				moved = true;
			}
		}
		idle = moved ? 0 : idle + 1;
		if (idle > LIMIT)
			return failed(t, "stalled");
		if (idle)
			usleep(1000);
	}
	return 0;
}

static int xfer(struct traffic *t, int from, int to, const char *data, int len)
{
	if (send(from, data, len, MSG_NOSIGNAL) != len)
		return failed(t, "send");
	if (recv(to, t->buf, len, MSG_WAITALL) != len)
		return failed(t, "recv");
	if (memcmp(t->buf, data, len))
		return failed(t, "wrong byte");
	return 0;
}

/* Bytes, or -1 */
static int round_trip(struct traffic *t, struct conn *conn, int i)
{
	int len = 1 + i * 37 % 900;

	if (xfer(t, conn->fd[0], conn->fd[1], stream(0, i), len) ||
	    xfer(t, conn->fd[1], conn->fd[0], stream(1, i), len))
		return -1;
	return 2 * len;
}

static int run_sweep(struct traffic *t)
{
	int i, n, round = 0;

	do {
		for (i = 0; i < t->nr_conns && (!i || !t->stop); i++) {
			n = round_trip(t, &t->conn[i], round + i);
			if (n < 0)
				return -1;
			t->moved += n;
		}
		round++;
	} while (!t->stop);
	return 0;
}

/* Connections that are made, used and closed */
static int run_connect(struct traffic *t)
{
	struct conn conn;
	int i, err = 0;

	for (i = 0; !err && (t->todo ? i < t->todo : !t->stop); i++) {
		memset(&conn, -1, sizeof(conn));
		conn.fd[0] = connect_to_fd(t->conn[i & 1].lfd, LIMIT);
		if (conn.fd[0] < 0)
			return failed(t, "connect");
		/* May not be registered just now. */
		if (t->names && extopt_select(conn.fd[0], t->names) &&
		    errno != ENOENT)
			err = failed(t, "select");
		conn.fd[1] = accept(t->conn[i & 1].lfd, NULL, NULL);
		if (conn.fd[1] < 0)
			err = failed(t, "accept");
		else if (t->check)
			err = t->check(conn.fd[1], t);
		if (!err && settimeo(conn.fd[1], LIMIT))
			err = failed(t, "settimeo");
		if (!err)
			err = round_trip(t, &conn, i) < 0 ||
			      round_trip(t, &conn, i + 1) < 0;
		if (i & 2)
			linger0(conn.fd[0]);
		conn_close(&conn);
		t->moved++;
	}
	return err;
}

static void *run_traffic(void *arg)
{
	struct traffic *t = arg;

	switch (t->mode) {
	case BULK:
		run_bulk(t);
		break;
	case PING_PONG:
		t->nr_conns = 1;
		run_sweep(t);
		break;
	case SWEEP:
		run_sweep(t);
		break;
	case CONNECT:
		run_connect(t);
		break;
	}
	t->done = true;
	return NULL;
}

static struct traffic *traffic_new(enum mode mode, struct conn *conn)
{
	struct traffic *t = calloc(1, sizeof(*t));

	if (!ASSERT_OK_PTR(t, "calloc"))
		return NULL;
	t->mode = mode;
	t->conn = conn;
	return t;
}

static int traffic_start(struct traffic *t)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int err;

	CPU_ZERO(&cpus);
	CPU_SET(get_nprocs() > 1, &cpus);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	err = pthread_create(&t->thread, &attr, run_traffic, t);
	pthread_attr_destroy(&attr);
	if (!ASSERT_OK(err, "pthread_create")) {
		free(t);
		return -1;
	}
	return 0;
}

static struct traffic *traffic(enum mode mode, struct conn *conn)
{
	struct traffic *t = traffic_new(mode, conn);

	return t && !traffic_start(t) ? t : NULL;
}

static int traffic_wait(struct traffic *t, __u64 more)
{
	__u64 target = t->moved + more;

	until(t->moved >= target || t->done);
	return ASSERT_GE(t->moved, target, "traffic goes on") ? 0 : -1;
}

static void traffic_end(struct traffic *t)
{
	if (!t)
		return;
	t->stop = true;
	pthread_join(t->thread, NULL);
	if (t->err && !t->may_break)
		PRINT_FAIL("traffic: %s, errno %d, after %llu\n", t->err,
			   t->err_no, (unsigned long long)t->moved);
	ASSERT_GT(t->moved, 0, "traffic");
	free(t);
}

static int ping_pong(struct conn *conn)
{
	static struct traffic t;

	if (round_trip(&t, conn, 1) < 0) {
		PRINT_FAIL("%s, errno %d\n", t.err, t.err_no);
		return -1;
	}
	return 0;
}

/* --- what is left --- */

static int look(int prog_fd)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	/* Polled: no line for each success */
	if (!bpf_prog_test_run_opts(prog_fd, &opts))
		return 0;
	PRINT_FAIL("look: errno %d\n", errno);
	return -1;
}

static int registry(void)
{
	return look(bpf_program__fd(life->progs.registry));
}

static int refcnt(const char *name)
{
	int i;

	if (registry())
		return -1;
	for (i = 0; i < life->bss->nr_seen; i++) {
		if (!strcmp(life->bss->slot_name[i], name))
			return life->bss->slot_refcnt[i];
	}
	return 0;
}

/* How many have the same selection, and not only an equal one */
static int sharing(int fd)
{
	life->bss->set_refcnt = -1;
	extopt_names(fd);
	return life->bss->set_refcnt;
}

static __u64 slot_addr(const char *name)
{
	int i;

	if (!registry())
		for (i = 0; i < life->bss->nr_seen; i++) {
			if (!strcmp(life->bss->slot_name[i], name))
				return life->bss->slot_addr[i];
		}
	return 0;
}

static bool only_registry(void)
{
	int i;

	if (registry())
		return true;
	for (i = 0; i < life->bss->nr_seen; i++) {
		if (life->bss->slot_refcnt[i] != 1)
			return false;
	}
	return true;
}

/* All sockets are closed: the registry's references are the only ones, and
 * without registrations there is nothing any more.
 */
static void finish(void)
{
	int i, nr = 0;

	life->bss->expect = EXPECT_ANY;
	for (i = 0; i < EXTOPT_NR; i++)
		nr += !!links[i];

	if (!ASSERT_TRUE(until(only_registry()), "no references left")) {
		for (i = 0; i < life->bss->nr_seen; i++)
			printf("%s: %d\n", life->bss->slot_name[i],
			       life->bss->slot_refcnt[i]);
	}
	ASSERT_EQ(life->bss->nr_seen, nr, "slots");
	ASSERT_EQ(life->bss->nr_slots, nr, "nr_slots");
	ASSERT_EQ(life->bss->key, nr, "static key");

	for (i = 0; i < EXTOPT_NR; i++) {
		if (links[i])
			unreg(i);
	}
	ASSERT_TRUE(until(life->bss->freed == nr_watched), "slots freed");
	memset(life->bss->watch, 0, sizeof(life->bss->watch));
	life->bss->freed = 0;
	nr_watched = 0;

	registry();
	ASSERT_EQ(life->bss->nr_seen, 0, "no slots");
	ASSERT_EQ(life->bss->nr_slots, 0, "nr_slots is 0");
	ASSERT_EQ(life->bss->key, 0, "static key is off");

	memset(skel->bss->opts, 0, sizeof(skel->bss->opts));
}

/* --- tests --- */

/* Options come and go in the middle of a transfer, at both ends. */
static void test_select(int family)
{
	static const char * const names[] = {
		"opt_0", "opt_0 opt_6", "opt_6 opt_0", "opt_6 opt_0 opt_8",
	};
	struct traffic *t;
	__u64 before[2];
	struct conn conn;
	int i, j;

	if (reg(0) || reg(6) || reg(8) || conn_open(&conn, family, NULL))
		return;
	t = traffic(BULK, &conn);
	if (!t)
		goto out;

	for (i = 0; i < 8; i++) {
		for (j = 0; j < 2; j++) {
			if (!ASSERT_OK(extopt_select(conn.fd[j], names[i % 4]),
				       "select"))
				goto end;
		}
		for (j = 0; j < 2; j++) {
			ASSERT_STREQ(extopt_names(conn.fd[j]), names[i % 4],
				     "selected");
			ASSERT_TRUE(until(written(conn.fd[j]) > 3), "written");
			before[j] = written(conn.fd[j]);
		}
		if (traffic_wait(t, SOME))
			goto end;

		/* Others, and the first of them stays. */
		for (j = 0; j < 2; j++) {
			const char *more = i % 4 < 2 ? "opt_0 opt_8" : "opt_6";

			ASSERT_OK(extopt_select(conn.fd[j], more), "reselect");
			ASSERT_GE(written(conn.fd[j]), before[j],
				  "counts stay");
		}
		if (traffic_wait(t, SOME))
			goto end;

		/* One end only, then none. */
		ASSERT_OK(extopt_select(conn.fd[i & 1], ""), "unselect");
		ASSERT_EQ(nr_opts(conn.fd[i & 1]), 0, "unselected");
		if (traffic_wait(t, SOME))
			goto end;
		ASSERT_OK(extopt_select(conn.fd[!(i & 1)], ""), "unselect");
		expect(EXPECT_NONE, 0);
		if (traffic_wait(t, SOME))
			goto end;
		ASSERT_EQ(life->bss->seg_wrong, 0, "no option any more");
		ASSERT_GT(life->bss->seg_without, 0, "segments");
		expect(EXPECT_ANY, 0);
	}
	ASSERT_GT(skel->bss->opts[0].parse_calls, 0, "parsed");
	ASSERT_GT(skel->bss->opts[6].parse_calls, 0, "parsed");
end:
	traffic_end(t);
out:
	conn_close(&conn);
}

/* Each update reaches all sockets before it returns; counts go on. */
static void test_update(int family)
{
	struct bpf_map *maps[] = { skel->maps.opt_0, skel->maps.opt_update };
	static const __u32 values[] = { VALUE, VALUE_UPDATE };
	static const int nrs[] = { 0, EXTOPT_UPDATE };
	struct extopt_list list[2][2], now;
	struct traffic *t[2] = {};
	struct conn conn[2];
	int i, j, k;
	__u64 stale;

	memset(conn, -1, sizeof(conn));
	if (reg(0) || conn_open(&conn[0], family, "opt_0") ||
	    conn_open(&conn[1], family, "opt_0"))
		goto out;
	t[0] = traffic(BULK, &conn[0]);
	t[1] = traffic(PING_PONG, &conn[1]);
	if (!t[0] || !t[1])
		goto end;

	memset(list, 0, sizeof(list));
	for (i = 0; i < 16; i++) {
		if (i && !ASSERT_OK(bpf_link__update_map(links[0], maps[i & 1]),
				    "update"))
			goto end;
		stale = skel->bss->opts[nrs[!(i & 1)]].write_calls;
		barrier_conn(&conn[0]);
		barrier_conn(&conn[1]);
		expect(EXPECT_VALUE, values[i & 1]);
		if (traffic_wait(t[0], SOME) || traffic_wait(t[1], 2000))
			goto end;
		ASSERT_EQ(life->bss->seg_wrong, 0, "all have the new value");
		ASSERT_GT(life->bss->seg_with, 0, "segments");
		expect(EXPECT_ANY, 0);
		ASSERT_EQ(skel->bss->opts[nrs[!(i & 1)]].write_calls, stale,
			  "the old program does not run");

		for (j = 0; j < 2; j++) {
			for (k = 0; k < 2; k++) {
				struct tcp_extopt_info *old, *new = now.info;

				old = list[j][k].info;
				if (!ASSERT_OK(extopt_get(conn[j].fd[k], &now),
					       "getsockopt"))
					goto end;
				ASSERT_GT(new->written, old->written,
					  "written goes on");
				ASSERT_GT(new->parsed, old->parsed,
					  "parsed goes on");
				ASSERT_EQ(new->state, TCP_EXTOPT_ST_ACTIVE,
					  "state");
				ASSERT_EQ(new->no_room, 0, "no_room");
				list[j][k] = now;
			}
		}
	}
	ASSERT_EQ(refcnt("opt_0"), 1 + 2 * 2, "one slot all the time");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(sharing(conn[i].fd[1]), 2, "child and listener");
		ASSERT_EQ(sharing(conn[i].fd[0]), 1, "client");
	}
end:
	traffic_end(t[0]);
	traffic_end(t[1]);
out:
	conn_close(&conn[0]);
	conn_close(&conn[1]);
}

static int set_mtu(int mtu)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = mtu };
	int fd, err;

	fd = socket(AF_INET, SOCK_DGRAM, 0);
	err = ioctl(fd, SIOCSIFMTU, &ifr);
	close(fd);
	return ASSERT_OK(err, "MTU") ? 0 : -1;
}

/* The largest segment, of as much traffic as it takes to have one */
static void check_largest(struct conn *conn, __u64 want, const char *what)
{
	struct traffic *t;

	expect(EXPECT_ANY, 0);
	t = traffic(BULK, conn);
	if (!t)
		return;
	until(life->bss->seg_max >= want || t->done);
	traffic_wait(t, SOME);
	traffic_end(t);
	ASSERT_EQ(life->bss->seg_max, want, what);
}

/* Connections go on without the option once it is unregistered, for good. */
static void test_unregister(void)
{
	struct rlimit old, rlim = { 4096, 4096 };
	struct extopt_state *st = skel->bss->opts;
	struct traffic *sweep = NULL, *bulk = NULL;
	struct extopt_list list;
	struct conn *conns, extra;
	__u64 calls, addr, addr2;
	int lfd[2] = { -1, -1 };
	int i, j, gone = 0, with = 0;
	__u32 freed;

	conns = malloc(NR_MANY * sizeof(*conns));
	if (!ASSERT_OK_PTR(conns, "malloc"))
		return;
	memset(conns, -1, NR_MANY * sizeof(*conns));
	getrlimit(RLIMIT_NOFILE, &old);
	if (!ASSERT_OK(setrlimit(RLIMIT_NOFILE, &rlim), "RLIMIT_NOFILE") ||
	    set_mtu(1500) || reg(0) || hold_key())
		goto out;

	for (i = 0; i < 2; i++) {
		lfd[i] = start_listener(families[i], "opt_0");
		if (lfd[i] < 0)
			goto out;
	}
	for (i = 0; i < NR_MANY; i++) {
		if (conn_to(&conns[i], lfd[i & 1], "opt_0") ||
		    ping_pong(&conns[i]))
			goto out;
	}
	ASSERT_EQ(refcnt("opt_0"), 1 + 2 + NR_MANY, "references");
	for (i = 0; i < 2; i++)
		ASSERT_EQ(sharing(lfd[i]), 1 + NR_MANY / 2, "all children");
	addr = slot_addr("opt_0");
	check_largest(&conns[0], 1500 - 40 - 12 - 8, "with option, IPv4");
	check_largest(&conns[1], 1500 - 60 - 12 - 8, "with option, IPv6");

	expect(EXPECT_VALUE, VALUE);
	sweep = traffic_new(SWEEP, conns + 1);
	if (!sweep)
		goto out;
	sweep->nr_conns = NR_MANY - 1;
	if (traffic_start(sweep)) {
		sweep = NULL;
		goto out;
	}
	bulk = traffic(BULK, &conns[0]);
	if (!bulk || traffic_wait(bulk, SOME) || traffic_wait(sweep, 50000))
		goto end;
	ASSERT_EQ(life->bss->seg_wrong, 0, "all have the option");
	ASSERT_GT(life->bss->seg_with, 0, "segments");

	life->bss->expect = EXPECT_ANY;
	unreg(0);
	calls = st->write_calls;

	/* As a barrier too */
	for (i = 0; i < NR_MANY; i++) {
		for (j = 0; j < 2; j++) {
			extopt_get(conns[i].fd[j], &list);
			gone += list.head.count == 1 &&
				list.info[0].state == TCP_EXTOPT_ST_GONE;
			with += list.info[0].written > 0;
		}
	}
	ASSERT_EQ(gone, 2 * NR_MANY, "gone");
	ASSERT_EQ(with, 2 * NR_MANY, "counts stay");
	expect(EXPECT_NONE, 0);
	if (traffic_wait(bulk, SOME) || traffic_wait(sweep, 50000))
		goto end;
	traffic_end(bulk);
	traffic_end(sweep);
	bulk = NULL;
	sweep = NULL;
	for (i = 0; i < NR_MANY; i++) {
		if (ping_pong(&conns[i]))
			goto end;
	}
	ASSERT_EQ(life->bss->seg_wrong, 0, "none has the option");
	ASSERT_EQ(st->write_calls, calls, "not called");
	check_largest(&conns[0], 1500 - 40 - 12, "without, IPv4");
	check_largest(&conns[1], 1500 - 60 - 12, "without, IPv6");

	release_key();
	registry();
	ASSERT_EQ(life->bss->nr_seen, 0, "not in the registry");
	ASSERT_EQ(life->bss->key, 0, "static key is off");
	life->bss->peek_addr = addr;
	look(bpf_program__fd(life->progs.peek));
	ASSERT_EQ(life->bss->peek_refcnt, 2 + NR_MANY, "references");

	/* Listeners have it to show, and so have their children. */
	for (i = 0; i < 2; i++) {
		extopt_get(lfd[i], &list);
		ASSERT_EQ(list.info[0].state, TCP_EXTOPT_ST_GONE, "listener");
		if (conn_to(&extra, lfd[i], NULL))
			goto end;
		extopt_get(extra.fd[1], &list);
		ASSERT_EQ(list.head.count, 1, "new child");
		ASSERT_EQ(list.info[0].state, TCP_EXTOPT_ST_GONE, "new child");
		ASSERT_EQ(list.info[0].written, 0, "not written");
		conn_close(&extra);
	}
	ASSERT_ERR(extopt_select(conns[0].fd[0], "opt_0"), "cannot be had");
	ASSERT_EQ(errno, ENOENT, "errno");

	/* Another option, if of the same name. */
	if (reg(0))
		goto end;
	addr2 = slot_addr("opt_0");
	ASSERT_NEQ(addr2, addr, "another slot");
	ASSERT_EQ(refcnt("opt_0"), 1, "nobody has it");
	expect(EXPECT_NONE, 0);
	calls = st->write_calls;
	gone = 0;
	for (i = 0; i < NR_MANY; i++) {
		if ((i % 16 == 0 && ping_pong(&conns[i])) ||
		    extopt_get(conns[i].fd[1], &list))
			goto end;
		gone += list.info[0].state == TCP_EXTOPT_ST_GONE;
	}
	ASSERT_EQ(gone, NR_MANY, "still gone");
	ASSERT_EQ(life->bss->seg_wrong, 0, "still without");
	ASSERT_EQ(st->write_calls, calls, "not called");

	ASSERT_OK(extopt_select(conns[1].fd[0], "opt_0"), "select again");
	ASSERT_OK(extopt_select(conns[1].fd[1], "opt_0"), "select again");
	extopt_get(conns[1].fd[0], &list);
	ASSERT_EQ(list.head.count, 1, "count");
	ASSERT_EQ(list.info[0].state, TCP_EXTOPT_ST_ACTIVE, "state");
	ASSERT_EQ(list.info[0].written, 0, "not the old one's count");
	ASSERT_EQ(refcnt("opt_0"), 3, "both ends");
	expect(EXPECT_VALUE, VALUE);
	if (ping_pong(&conns[1]))
		goto end;
	ASSERT_EQ(life->bss->seg_wrong, 0, "with it again");
	ASSERT_GT(written(conns[1].fd[0]), 0, "written");
	/* The old one lives as long as any socket has it. */
	expect(EXPECT_ANY, 0);
	freed = life->bss->freed;
	for (i = 1; i < NR_MANY; i++)
		conn_close(&conns[i]);
	close(lfd[0]);
	close(lfd[1]);
	memset(lfd, -1, sizeof(lfd));
	ASSERT_TRUE(until(({
		look(bpf_program__fd(life->progs.peek));
		life->bss->peek_refcnt == 2; })), "the last two");
	ASSERT_EQ(life->bss->freed, freed, "not yet");
	conn_close(&conns[0]);
	ASSERT_TRUE(until(life->bss->freed == freed + 1), "freed");
end:
	traffic_end(bulk);
	traffic_end(sweep);
out:
	expect(EXPECT_ANY, 0);
	for (i = 0; i < NR_MANY; i++)
		conn_close(&conns[i]);
	for (i = 0; i < 2; i++) {
		if (lfd[i] >= 0)
			close(lfd[i]);
	}
	free(conns);
	setrlimit(RLIMIT_NOFILE, &old);
	set_mtu(65536);
}

static const char * const race_names[] = {
	"opt_0", "opt_6 opt_0 opt_8", "", "opt_8 opt_6",
};

/* A child has one of the selections, as a whole, and starts at zero. */
static int check_child(int fd, struct traffic *t)
{
	const char *names = extopt_names(fd);
	struct extopt_list list;
	int i, n;

	for (n = 0; n < ARRAY_SIZE(race_names); n++) {
		if (!strcmp(names, race_names[n]))
			break;
	}
	if (n == ARRAY_SIZE(race_names))
		return failed(t, "a selection that never was");
	t->seen |= 1 << n;
	if (extopt_get(fd, &list))
		return failed(t, "getsockopt");
	for (i = 0; i < list.head.count; i++) {
		if (list.info[i].written || list.info[i].parsed ||
		    list.info[i].no_room || list.info[i].malformed ||
		    list.info[i].state != TCP_EXTOPT_ST_ACTIVE)
			return failed(t, "not zero");
	}
	return 0;
}

/* Listeners' selections change while connections come in. */
static void test_inherit(const char *cookies)
{
	struct conn conn, listeners[2];
	struct extopt_list list;
	long before, selects = 0, errs = 0;
	struct traffic *t;
	int i, j;

	memset(listeners, -1, sizeof(listeners));
	before = extopt_netstat("SyncookiesRecv");
	if (!ASSERT_GE(before, 0, "SyncookiesRecv") ||
	    !ASSERT_OK(write_sysctl(SYNCOOKIES, cookies), "tcp_syncookies") ||
	    reg(0) || reg(6) || reg(8))
		goto out;

	for (i = 0; i < 2; i++) {
		listeners[i].lfd = start_listener(families[i],
						  "opt_6 opt_0 opt_8");
		if (listeners[i].lfd < 0 ||
		    conn_to(&conn, listeners[i].lfd, NULL))
			goto out;
		ASSERT_STREQ(extopt_names(conn.fd[1]), "opt_6 opt_0 opt_8",
			     "in order");
		extopt_get(conn.fd[1], &list);
		for (j = 0; j < 3; j++) {
			ASSERT_EQ(list.info[j].written, 0, "written");
			ASSERT_EQ(list.info[j].parsed, 0, "parsed");
		}
		if (!ping_pong(&conn))
			ASSERT_GT(written(conn.fd[1]), 0, "the child writes");
		ASSERT_EQ(written(listeners[i].lfd), 0, "the listener not");
		conn_close(&conn);
	}

	t = traffic_new(CONNECT, listeners);
	if (!t)
		goto out;
	t->todo = NR_RACE;
	t->check = check_child;
	if (traffic_start(t))
		goto out;
	while (!t->done) {
		for (i = 0; i < 2; i++)
			errs += !!extopt_select(listeners[i].lfd,
					      race_names[selects & 3]);
		selects++;
	}
	ASSERT_EQ(errs, 0, "select");
	ASSERT_EQ(t->moved, NR_RACE, "connections");
	if (get_nprocs() > 1)
		ASSERT_EQ(t->seen, 15, "all selections were seen");
	ASSERT_GT(selects, NR_RACE, "changes");
	traffic_end(t);

	if (*cookies == '2')
		ASSERT_GE(extopt_netstat("SyncookiesRecv") - before, NR_RACE,
			  "by cookies");
	else
		ASSERT_EQ(extopt_netstat("SyncookiesRecv"), before,
			  "no cookies");
out:
	for (i = 0; i < 2; i++)
		conn_close(&listeners[i]);
	write_sysctl(SYNCOOKIES, "1");
}

/* The client sends, so that it tries again if there is no child yet. */
static int conn_late(struct conn *conn, int family)
{
	char out = 'x', in = 0;

	memset(conn, -1, sizeof(*conn));
	conn->lfd = start_listener(family, "opt_0");
	if (conn->lfd < 0)
		return -1;
	conn->fd[0] = connect_to_fd(conn->lfd, LIMIT);
	if (!ASSERT_OK_FD(conn->fd[0], "connect") ||
	    !ASSERT_OK(extopt_select(conn->fd[0], "opt_0"), "select") ||
	    !ASSERT_EQ(send(conn->fd[0], &out, 1, 0), 1, "send"))
		goto err;
	conn->fd[1] = accept(conn->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(conn->fd[1], "accept") ||
	    !ASSERT_OK(settimeo(conn->fd[1], LIMIT), "settimeo") ||
	    !ASSERT_EQ(recv(conn->fd[1], &in, 1, 0), 1, "recv") ||
	    !ASSERT_EQ(in, out, "byte"))
		goto err;
	return 0;
err:
	conn_close(conn);
	return -1;
}

/* The child cannot be made for want of memory: the peer tries again. Or there
 * is none to count with: the option is on all segments, and counted later.
 */
static void test_no_memory(void)
{
	static const __u32 where[] = { FAIL_SOCK, FAIL_CONN };
	struct bpf_program *progs[] = {
		life->progs.conn_enter, life->progs.conn_exit,
		life->progs.sock_enter, life->progs.sock_exit,
		life->progs.failslab,
	};
	struct bpf_link *prog_links[ARRAY_SIZE(progs)] = {};
	struct conn conn;
	int i, j, k, c;

	for (i = 0; i < ARRAY_SIZE(progs); i++) {
		if (!bpf_program__autoload(progs[i])) {
			printf("%s:SKIP: no CONFIG_FAILSLAB with CONFIG_FUNCTION_ERROR_INJECTION\n",
			       __func__);
			test__skip();
			return;
		}
	}
	if (reg(0))
		return;
	for (i = 0; i < ARRAY_SIZE(progs); i++) {
		prog_links[i] = bpf_program__attach(progs[i]);
		if (!ASSERT_OK_PTR(prog_links[i], "attach"))
			goto out;
	}

	for (i = 0; i < 2; i++) {
		for (j = 0; j < ARRAY_SIZE(where); j++) {
			for (c = 0; c < 2; c++) {
				write_sysctl(SYNCOOKIES, c ? "2" : "1");
				life->bss->fail_done = 0;
				life->bss->fail_nr = 2;
				life->bss->fail_where = where[j];
				if (conn_late(&conn, families[i]))
					goto out;
				ASSERT_STREQ(extopt_names(conn.fd[1]), "opt_0",
					     "inherited");
				barrier_conn(&conn);
				expect(EXPECT_VALUE, VALUE);
				for (k = 0; k < 8; k++)
					ping_pong(&conn);
				ASSERT_EQ(life->bss->seg_wrong, 0, "with option");
				ASSERT_GT(life->bss->seg_with, 0, "segments");
				expect(EXPECT_ANY, 0);
				ASSERT_EQ(life->bss->fail_done, 2, "failures");
				life->bss->fail_where = 0;
				for (k = 0; k < 2; k++)
					ASSERT_GT(written(conn.fd[k]), 2,
						  "counted");
				ASSERT_EQ(refcnt("opt_0"), 3, "references");
				ASSERT_EQ(sharing(conn.lfd), 2, "one child");
				conn_close(&conn);
			}
		}
	}
out:
	life->bss->fail_where = 0;
	life->bss->fail_nr = 0;
	for (i = 0; i < ARRAY_SIZE(progs); i++)
		bpf_link__destroy(prog_links[i]);
	write_sysctl(SYNCOOKIES, "1");
}

/* The selection outlives connections, the counts do not. */
static void test_disconnect(int family)
{
	struct extopt_list list;
	struct traffic *t;
	struct conn conn;
	int i, lfd;

	if (reg(0) || reg(6) || conn_open(&conn, family, "opt_6 opt_0"))
		return;

	for (i = 0; i < 6; i++) {
		t = traffic_new(BULK, &conn);
		if (!t)
			goto out;
		t->may_break = true;
		if (traffic_start(t))
			goto out;
		traffic_wait(t, SOME);
		ASSERT_GT(written(conn.fd[0]), 0, "before");
		ASSERT_OK(disconnect(conn.fd[0]), "disconnect");

		ASSERT_OK(extopt_get(conn.fd[0], &list), "getsockopt");
		ASSERT_STREQ(extopt_names(conn.fd[0]), "opt_6 opt_0", "kept");
		ASSERT_EQ(list.info[0].written, 0, "written");
		ASSERT_EQ(list.info[0].parsed, 0, "parsed");
		ASSERT_EQ(list.info[1].written, 0, "written");
		ASSERT_EQ(list.info[1].parsed, 0, "parsed");
		traffic_end(t);
		ASSERT_GT(written(conn.fd[1]), 0, "the other end's counts");
		close(conn.fd[1]);
		conn.fd[1] = -1;

		/* By itself, by shutdown(), by connect() of the listener */
		if (i >= 2) {
			if (i & 1)
				ASSERT_OK(shutdown(conn.lfd, SHUT_RDWR),
					  "shutdown");
			else
				ASSERT_OK(disconnect(conn.lfd), "disconnect");
			ASSERT_STREQ(extopt_names(conn.lfd), "opt_6 opt_0",
				     "kept, listener");
			if (!ASSERT_OK(listen(conn.lfd, 8), "listen"))
				goto out;
		}
		lfd = conn.lfd;
		if (!ASSERT_OK(connect_fd_to_fd(conn.fd[0], lfd, LIMIT),
			       "reconnect"))
			goto out;
		conn.fd[1] = accept(lfd, NULL, NULL);
		if (!ASSERT_OK_FD(conn.fd[1], "accept") ||
		    !ASSERT_OK(settimeo(conn.fd[1], LIMIT), "settimeo"))
			goto out;
		barrier_conn(&conn);
		expect(EXPECT_VALUE, VALUE);
		if (ping_pong(&conn))
			goto out;
		ASSERT_EQ(life->bss->seg_wrong, 0, "written again");
		ASSERT_GT(life->bss->seg_with, 0, "segments");
		expect(EXPECT_ANY, 0);
	}
	ASSERT_TRUE(until(refcnt("opt_0") == 3), "references");
	ASSERT_EQ(sharing(conn.lfd), 2, "one child");
out:
	expect(EXPECT_ANY, 0);
	conn_close(&conn);
}

/* Sockets of a state, IPv4 and IPv6 */
static int nr_state(unsigned int want)
{
	static const char * const files[] = { "/proc/net/tcp",
					      "/proc/net/tcp6" };
	unsigned int state;
	char line[512];
	int i, nr = 0;
	FILE *f;

	for (i = 0; i < 2; i++) {
		f = fopen(files[i], "r");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%*s %*s %*s %x", &state) == 1)
				nr += state == want;
		}
		if (f)
			fclose(f);
	}
	return nr;
}

/* A namespace goes while sockets in it have options, in all states. */
static void test_netns_exit(void)
{
	struct netns_obj *ns = NULL;
	struct traffic *t[2] = {};
	struct conn conn[6];
	__u32 exits;
	int i, fd;

	memset(conn, -1, sizeof(conn));
	if (reg(0) || reg(6))
		return;
	exits = life->bss->net_exits;
	ns = netns_new(NS_OTHER, true);
	if (!ASSERT_OK_PTR(ns, "netns_new") ||
	    !ASSERT_OK(write_sysctl(DEFAULT, "opt_0 opt_6"), "default"))
		goto out;

	for (i = 0; i < 6; i++) {
		if (conn_open(&conn[i], families[i & 1], NULL) ||
		    ping_pong(&conn[i]))
			goto out;
		ASSERT_EQ(nr_opts(conn[i].fd[0]), 2, "client");
		ASSERT_EQ(nr_opts(conn[i].fd[1]), 2, "server");
	}
	/* The registry and the default; that by each connection and listener */
	ASSERT_EQ(refcnt("opt_0"), 1 + 1, "references");
	ASSERT_EQ(sharing(conn[0].fd[0]), 1 + 3 * 6, "the default");

	/* 0, 1: established, with traffic. 2, 3: FIN_WAIT2, without a file;
	 * CLOSE_WAIT. 4: TIME_WAIT. 5: FIN_WAIT1, data that nobody reads.
	 */
	for (i = 2; i < 5; i++) {
		close(conn[i].fd[0]);
		conn[i].fd[0] = -1;
	}
	close(conn[4].fd[1]);
	conn[4].fd[1] = -1;
	while (send(conn[5].fd[0], pattern, CHUNK, MSG_DONTWAIT) > 0)
		;
	fd = conn[5].fd[0];
	conn[5].fd[0] = -1;
	close(fd);
	ASSERT_TRUE(until(nr_state(TCP_FIN_WAIT2) == 2), "FIN_WAIT2");
	ASSERT_TRUE(until(nr_state(TCP_TIME_WAIT) == 1), "TIME_WAIT");
	ASSERT_TRUE(until(nr_state(TCP_FIN_WAIT1) == 1), "FIN_WAIT1");
	for (i = 0; i < 2; i++) {
		t[i] = traffic(BULK, &conn[i]);
		if (!t[i] || traffic_wait(t[i], SOME))
			goto out;
	}

	netns_free(ns);
	ns = NULL;
	traffic_wait(t[0], SOME);
	traffic_wait(t[1], SOME);
	traffic_end(t[0]);
	traffic_end(t[1]);
	memset(t, 0, sizeof(t));
	ASSERT_GT(written(conn[0].fd[0]), 0, "still written");
	ASSERT_EQ(life->bss->net_exits, exits, "sockets hold it");
	/* Not here any more: the one of the namespace we came from. */
	ASSERT_GT(refcnt("opt_0"), 1, "references");
	ASSERT_GE(sharing(conn[0].fd[0]), 4, "the default");
out:
	traffic_end(t[0]);
	traffic_end(t[1]);
	for (i = 0; i < 6; i++) {
		/* What was not read makes it a reset. */
		conn_close(&conn[i]);
	}
	netns_free(ns);
	ASSERT_TRUE(until(life->bss->net_exits > exits), "namespace exit");
}

/* Send as much as there is room for. */
static int stuff(int fd, __u64 *sent)
{
	ssize_t n;

	*sent = 0;
	while ((n = send(fd, stream(0, *sent), CHUNK,
			 MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		*sent += n;
	return ASSERT_EQ(errno, EAGAIN, "stuffed") ? 0 : -1;
}

/* Read to the end, returns how much; -1 with errno, or a wrong byte. */
static ssize_t drain(int fd)
{
	static char buf[CHUNK];
	ssize_t got = 0, n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		if (memcmp(buf, stream(0, got), n)) {
			errno = EBADMSG;
			return -1;
		}
		got += n;
	}
	return n < 0 ? -1 : got;
}

/* The socket's last file is a child's, and then nobody's. */
static void check_fork(int family, bool killed)
{
	struct traffic t = {};
	struct conn conn;
	int status, err;
	pid_t pid;

	if (conn_open(&conn, family, "opt_0"))
		return;
	pid = fork();
	if (!pid) {
		t.conn = &conn;
		t.mode = killed ? BULK : PING_PONG;
		err = killed ? run_bulk(&t) :
			       round_trip(&t, &conn, 1) < 0 ||
			       round_trip(&t, &conn, 2) < 0;
		_exit(!!err);
	}
	if (!ASSERT_GE(pid, 0, "fork")) {
		conn_close(&conn);
		return;
	}
	if (killed) {
		until(written(conn.fd[0]) > 10 && written(conn.fd[1]) > 10);
		ASSERT_GT(written(conn.fd[0]), 10, "the child sends");
	}
	conn_close(&conn);
	if (killed)
		kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, &status, 0), pid, "waitpid");
	if (killed)
		ASSERT_TRUE(WIFSIGNALED(status), "killed");
	else
		ASSERT_EQ(status, 0, "the child's result");
}

static void test_close(int family)
{
	struct extopt_state *st = skel->bss->opts;
	__u64 sent, before;
	struct conn conn;
	int i, end;

	if (reg(0))
		return;
	life->bss->seg_rst_with = 0;

	for (i = 0; i < 3; i++) {
		/* Orphaned with data to send: all of it has the option. */
		if (conn_open(&conn, family, "opt_0") ||
		    stuff(conn.fd[0], &sent))
			goto out;
		barrier_conn(&conn);
		expect(EXPECT_VALUE, VALUE);
		before = st->write_calls;
		close(conn.fd[0]);
		conn.fd[0] = -1;
		ASSERT_EQ(refcnt("opt_0"), 3, "the orphan has it still");
		ASSERT_EQ(drain(conn.fd[1]), sent, "all arrives");
		ASSERT_GT(st->write_calls, before, "an orphan writes");
		ASSERT_EQ(life->bss->seg_wrong, 0, "with option");
		ASSERT_GT(life->bss->seg_with, 0, "segments");
		expect(EXPECT_ANY, 0);
		conn_close(&conn);

		/* Reset: by SO_LINGER, or as there is data not read */
		for (end = 0; end < 2; end++) {
			if (conn_open(&conn, family, "opt_0") ||
			    stuff(conn.fd[0], &sent))
				goto out;
			if (!end)
				linger0(conn.fd[end]);
			close(conn.fd[end]);
			conn.fd[end] = -1;
			ASSERT_ERR(drain(conn.fd[!end]), "reset");
			ASSERT_EQ(errno, ECONNRESET, "errno");
			ASSERT_TRUE(until(refcnt("opt_0") == 2 + end &&
					  sharing(conn.lfd) == 2 - end),
				    "gone at once");
			ASSERT_EQ(nr_opts(conn.fd[!end]), 1,
				  "the peer still shows it");
			conn_close(&conn);
		}

		/* Reset while the other end is read on another CPU */
		if (!conn_open(&conn, family, "opt_0")) {
			struct traffic *t = traffic_new(BULK, &conn);
			struct conn mine = conn;
			int fd;

			if (!t)
				goto out;
			t->may_break = true;
			t->conn = &mine;
			if (traffic_start(t))
				goto out;
			traffic_wait(t, SOME);
			/* As its file is in use by the thread */
			linger0(conn.fd[0]);
			fd = socket(family, SOCK_STREAM, 0);
			ASSERT_OK_FD(dup2(fd, conn.fd[0]), "close");
			close(fd);
			until(t->done);
			ASSERT_TRUE(t->done, "traffic ends");
			traffic_end(t);
			conn_close(&conn);
		}

		check_fork(family, false);
		check_fork(family, true);
	}
	ASSERT_EQ(life->bss->seg_rst_with, 0, "never on RST");
out:
	expect(EXPECT_ANY, 0);
	conn_close(&conn);
}

/* Which end of a connection has the option */
static void check_ends(int family, bool client, bool server, const char *what)
{
	struct conn conn;

	if (conn_open(&conn, family, NULL))
		return;
	if (!ping_pong(&conn)) {
		ASSERT_EQ(nr_opts(conn.fd[0]), client, what);
		ASSERT_EQ(nr_opts(conn.fd[1]), server, what);
		ASSERT_EQ(written(conn.fd[0]) > 0, client, what);
		ASSERT_EQ(written(conn.fd[1]) > 0, server, what);
	}
	conn_close(&conn);
}

/* Programs of a cgroup select for the sockets of that cgroup. */
static void test_cgroup(void)
{
	struct bpf_link *link[2] = {};
	int i, other_fd;

	other_fd = create_and_get_cgroup(CG_OTHER);
	if (!ASSERT_OK_FD(other_fd, "other cgroup") || reg(0))
		goto out;

	link[0] = bpf_program__attach_cgroup(life->progs.select_connect4,
					     cg_fd);
	link[1] = bpf_program__attach_cgroup(life->progs.select_connect6,
					     cg_fd);
	if (!ASSERT_OK_PTR(link[0], "connect4") ||
	    !ASSERT_OK_PTR(link[1], "connect6"))
		goto out;
	for (i = 0; i < 2; i++) {
		life->bss->selects = 0;
		life->bss->select_err = 1;
		check_ends(families[i], true, false, "connect");
		ASSERT_EQ(life->bss->selects, 1, "called");
		ASSERT_OK(life->bss->select_err, "bpf_setsockopt");
		ASSERT_OK(join_cgroup(CG_OTHER), "join");
		check_ends(families[i], false, false, "connect, other cgroup");
		ASSERT_EQ(life->bss->selects, 1, "not called");
		ASSERT_OK(join_cgroup(CG_NAME), "join");
	}
	for (i = 0; i < 2; i++) {
		bpf_link__destroy(link[i]);
		link[i] = NULL;
	}

	link[0] = bpf_program__attach_cgroup(life->progs.select_sockops, cg_fd);
	if (!ASSERT_OK_PTR(link[0], "sockops"))
		goto out;
	for (i = 0; i < 2; i++) {
		life->bss->selects = 0;
		life->bss->select_err = 1;
		check_ends(families[i], true, true, "sockops");
		ASSERT_EQ(life->bss->selects, 2, "called");
		ASSERT_OK(life->bss->select_err, "bpf_setsockopt");
		ASSERT_OK(join_cgroup(CG_OTHER), "join");
		check_ends(families[i], false, false, "sockops, other cgroup");
		ASSERT_EQ(life->bss->selects, 2, "not called");
		ASSERT_OK(join_cgroup(CG_NAME), "join");
	}
	/* What is not registered cannot be had, and harms nobody. */
	unreg(0);
	check_ends(AF_INET, false, false, "not registered");
	ASSERT_EQ(life->bss->select_err, -ENOENT, "bpf_setsockopt");
out:
	for (i = 0; i < 2; i++)
		bpf_link__destroy(link[i]);
	join_cgroup(CG_NAME);
	if (other_fd >= 0)
		close(other_fd);
	remove_cgroup(CG_OTHER);
}

static bool has_bpf_lsm(void)
{
	char buf[256] = "";
	bool mounted;
	FILE *f;

	mounted = !mount("none", "/sys/kernel/security", "securityfs", 0, NULL);
	f = fopen("/sys/kernel/security/lsm", "r");
	if (f) {
		if (!fgets(buf, sizeof(buf), f))
			buf[0] = '\0';
		fclose(f);
	}
	if (mounted)
		umount("/sys/kernel/security");
	return strstr(buf, "bpf");
}

/* A program selects for a child that is being made, or selects none: that
 * counts, and not what the listener has.
 */
static void test_lsm(void)
{
	static const char * const listener[] = { NULL, "opt_6", "opt_0 opt_6" };
	struct bpf_link *link = NULL;
	const char *want = "opt_0";
	struct conn conn;
	int i, j;

	if (!bpf_program__autoload(life->progs.select_clone) ||
	    !has_bpf_lsm()) {
		printf("%s:SKIP: no CONFIG_BPF_LSM, or bpf is not in lsm=\n",
		       __func__);
		test__skip();
		return;
	}
	if (reg(0) || reg(6))
		return;
	link = bpf_program__attach_cgroup(life->progs.select_clone, cg_fd);
	if (!ASSERT_OK_PTR(link, "attach"))
		return;
	for (i = 0; i < 4; i++) {
		if (i == 2) {
			want = "";
			memset(life->data->names, ' ', strlen("opt_0"));
		}
		for (j = 0; j < ARRAY_SIZE(listener); j++) {
			life->bss->select_err = 1;
			if (conn_open(&conn, families[i % 2], listener[j]))
				goto out;
			ASSERT_OK(life->bss->select_err, "bpf_setsockopt");
			ASSERT_STREQ(extopt_names(conn.fd[1]), want, "child");
			ASSERT_STREQ(extopt_names(conn.lfd), listener[j] ?: "",
				     "listener");
			ASSERT_EQ(written(conn.fd[1]), 0, "counts");
			if (!ping_pong(&conn))
				ASSERT_EQ(written(conn.fd[1]) > 0, !!*want,
					  "written");
			conn_close(&conn);
		}
	}
out:
	memcpy(life->data->names, "opt_0", strlen("opt_0"));
	bpf_link__destroy(link);
}

static int make_socket(int family, const char *names)
{
	int fd = socket(family, SOCK_STREAM, 0);

	if (ASSERT_OK_FD(fd, "socket")) {
		ASSERT_STREQ(extopt_names(fd), names, "new socket");
		close(fd);
	}
	return fd < 0 ? -1 : 0;
}

/* The namespace's default is for sockets made after, there and nowhere else. */
static void test_default(int family)
{
	struct netns_obj *ns = NULL;
	struct conn old, new, other;
	int lfd = -1;

	memset(&old, -1, sizeof(old));
	memset(&new, -1, sizeof(new));
	if (reg(0) || reg(6))
		return;
	lfd = start_listener(family, NULL);
	if (lfd < 0 ||
	    !ASSERT_OK(write_sysctl(DEFAULT, "opt_6 opt_0"), "default"))
		goto out;

	if (conn_to(&old, lfd, NULL) || conn_open(&new, family, NULL))
		goto out;
	ASSERT_STREQ(extopt_names(lfd), "", "a listener made before");
	ASSERT_STREQ(extopt_names(old.fd[1]), "", "and its child");
	ASSERT_STREQ(extopt_names(old.fd[0]), "opt_6 opt_0", "client");
	ASSERT_STREQ(extopt_names(new.lfd), "opt_6 opt_0", "new listener");
	ASSERT_STREQ(extopt_names(new.fd[1]), "opt_6 opt_0", "and its child");
	ASSERT_STREQ(extopt_names(new.fd[0]), "opt_6 opt_0", "client");
	if (ping_pong(&old) || ping_pong(&new))
		goto out;
	ASSERT_GT(written(old.fd[0]), 0, "written");
	ASSERT_GT(written(new.fd[0]), 0, "written");
	ASSERT_GT(written(new.fd[1]), 0, "written");

	ns = netns_new(NS_OTHER, true);
	if (!ASSERT_OK_PTR(ns, "netns_new"))
		goto out;
	if (make_socket(family, "") || conn_open(&other, family, NULL))
		goto out;
	ping_pong(&other);
	ASSERT_EQ(nr_opts(other.fd[0]) + nr_opts(other.fd[1]), 0,
		  "another namespace");
	conn_close(&other);
	netns_free(ns);
	ns = NULL;

	/* Names come and go with registrations. */
	unreg(6);
	if (make_socket(family, "opt_0"))
		goto out;
	unreg(0);
	if (make_socket(family, "") || reg(6) ||
	    make_socket(family, "opt_6") || reg(0) ||
	    make_socket(family, "opt_6 opt_0"))
		goto out;
	if (ping_pong(&old) || ping_pong(&new))
		goto out;

	ASSERT_OK(write_sysctl(DEFAULT, " "), "no default");
	make_socket(family, "");
out:
	netns_free(ns);
	write_sysctl(DEFAULT, " ");
	conn_close(&old);
	conn_close(&new);
	if (lfd >= 0)
		close(lfd);
}

/* Everything at once: options are registered, updated and unregistered while
 * connections are made, used and closed.
 */
static void test_churn(void)
{
	struct conn listeners[2];
	struct traffic *t = NULL;
	int i;

	memset(listeners, -1, sizeof(listeners));
	for (i = 0; i < 2; i++) {
		listeners[i].lfd = start_listener(families[i], NULL);
		if (listeners[i].lfd < 0)
			goto out;
	}
	t = traffic_new(CONNECT, listeners);
	if (!t || hold_key())
		goto free;
	t->names = "opt_0";
	if (traffic_start(t))
		goto out;
	for (i = 0; i < NR_CHURN; i++) {
		if (reg(0) || reg(6))
			break;
		ASSERT_OK(extopt_select(listeners[i & 1].lfd, "opt_0 opt_6"),
			  "select");
		ASSERT_OK(write_sysctl(DEFAULT, "opt_6 opt_0"), "default");
		if (traffic_wait(t, 1))
			break;
		ASSERT_OK(bpf_link__update_map(links[0], skel->maps.opt_update),
			  "update");
		if (traffic_wait(t, 1))
			break;
		ASSERT_OK(bpf_link__update_map(links[0], skel->maps.opt_0),
			  "update");
		unreg(i & 1 ? 0 : 6);
		if (traffic_wait(t, 1))
			break;
		unreg(i & 1 ? 6 : 0);
		if (traffic_wait(t, 1))
			break;
	}
	ASSERT_GT(skel->bss->opts[0].parse_calls, 0, "parsed");
	ASSERT_GT(skel->bss->opts[6].parse_calls, 0, "parsed");
	ASSERT_GT(skel->bss->opts[EXTOPT_UPDATE].parse_calls, 0, "parsed");
	traffic_end(t);
	t = NULL;
free:
	free(t);
out:
	write_sysctl(DEFAULT, " ");
	for (i = 0; i < 2; i++)
		conn_close(&listeners[i]);
}

static void test_inherit_normal(void)
{
	test_inherit("1");
}

static void test_inherit_cookies(void)
{
	test_inherit("2");
}

static void run(void (*test)(void))
{
	test();
	finish();
}

static void run_family(void (*test)(int family), int family)
{
	test(family);
	finish();
}

/* What the kernel has to attach to */
static bool has_func(const char *name, enum bpf_attach_type type)
{
	return libbpf_find_vmlinux_btf_id(name, type) > 0;
}

static int load(void)
{
	bool fail, lsm;

	skel = tcp_extopt__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load"))
		return -1;
	life = tcp_extopt_life__open();
	if (!ASSERT_OK_PTR(life, "open"))
		return -1;

	fail = has_func("should_failslab", BPF_MODIFY_RETURN) &&
	       !access("/sys/kernel/debug/error_injection/list", F_OK);
	bpf_program__set_autoload(life->progs.conn_enter, fail);
	bpf_program__set_autoload(life->progs.conn_exit, fail);
	bpf_program__set_autoload(life->progs.sock_enter, fail);
	bpf_program__set_autoload(life->progs.sock_exit, fail);
	bpf_program__set_autoload(life->progs.failslab, fail);
	lsm = has_func("inet_csk_clone", BPF_LSM_CGROUP);
	bpf_program__set_autoload(life->progs.select_clone, lsm);

	if (!ASSERT_OK(tcp_extopt_life__load(life), "load"))
		return -1;

	life->links.egress = bpf_program__attach_cgroup(life->progs.egress,
							cg_fd);
	life->links.kvfree = bpf_program__attach(life->progs.kvfree);
	life->links.net_exit = bpf_program__attach(life->progs.net_exit);
	life->links.sharing = bpf_program__attach(life->progs.sharing);
	if (!ASSERT_OK_PTR(life->links.egress, "egress") ||
	    !ASSERT_OK_PTR(life->links.kvfree, "kvfree") ||
	    !ASSERT_OK_PTR(life->links.net_exit, "net_exit") ||
	    !ASSERT_OK_PTR(life->links.sharing, "sharing"))
		return -1;
	return 0;
}

void serial_test_tcp_extopt_life(void)
{
	struct netns_obj *ns;
	cpu_set_t old, cpus;

	fill_pattern();
	cg_fd = test__join_cgroup(CG_NAME);
	if (!ASSERT_OK_FD(cg_fd, "cgroup"))
		return;
	ns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(ns, "netns_new"))
		goto close_cg;
	if (load())
		goto out;

	sched_getaffinity(0, sizeof(old), &old);
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);

	if (test__start_subtest("select_v4"))
		run_family(test_select, AF_INET);
	if (test__start_subtest("select_v6"))
		run_family(test_select, AF_INET6);
	if (test__start_subtest("update_v4"))
		run_family(test_update, AF_INET);
	if (test__start_subtest("update_v6"))
		run_family(test_update, AF_INET6);
	if (test__start_subtest("unregister"))
		run(test_unregister);
	if (test__start_subtest("inherit"))
		run(test_inherit_normal);
	if (test__start_subtest("inherit_syncookies"))
		run(test_inherit_cookies);
	if (test__start_subtest("no_memory"))
		run(test_no_memory);
	if (test__start_subtest("disconnect_v4"))
		run_family(test_disconnect, AF_INET);
	if (test__start_subtest("disconnect_v6"))
		run_family(test_disconnect, AF_INET6);
	if (test__start_subtest("netns_exit"))
		run(test_netns_exit);
	if (test__start_subtest("close_v4"))
		run_family(test_close, AF_INET);
	if (test__start_subtest("close_v6"))
		run_family(test_close, AF_INET6);
	if (test__start_subtest("cgroup"))
		run(test_cgroup);
	if (test__start_subtest("lsm_clone"))
		run(test_lsm);
	if (test__start_subtest("default_v4"))
		run_family(test_default, AF_INET);
	if (test__start_subtest("default_v6"))
		run_family(test_default, AF_INET6);
	if (test__start_subtest("churn"))
		run(test_churn);

	sched_setaffinity(0, sizeof(old), &old);
out:
	tcp_extopt_life__destroy(life);
	tcp_extopt__destroy(skel);
	netns_free(ns);
close_cg:
	close(cg_fd);
}
