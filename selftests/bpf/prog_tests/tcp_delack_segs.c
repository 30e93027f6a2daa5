// SPDX-License-Identifier: GPL-2.0

/* TCP_DELACK_SEGS: how many full segments the kernel takes to send an ACK, by
 * the ACKs that a peer of hand-made segments gets.
 */

#include <sys/ioctl.h>
#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_wire.h"
#include "tcp_delack_segs.skel.h"

#ifndef TCP_DELACK_SEGS
#define TCP_DELACK_SEGS	48
#endif

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif

#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP	43
#endif

#define NS_NAME		"tcp_delack_segs"
#define CG_NAME		"/tcp-delack-segs"
#define SEGS_DEFAULT		2
#define SEGS_MAX		255
#define ROUNDS		4
#define TRIES		20
#define WARM_UP		60
#define RESTART		20
#define MPTCP_SEG	1400
/* Less than any delayed ACK takes */
#define SOON_NS		30000000
/* Half of the shortest time after which the receiver takes data for a new start */
#define PAUSE_NS	100000000

struct conn {
	struct wire w;
	struct wire_conn c;
	int listen_fd, fd;
	int mss;
	__u64 last;		/* nanoseconds, when a segment was sent */
	bool paused;		/* before one of those sent since the warm-up */
};

static int get_segs(int fd)
{
	socklen_t len = sizeof(int);
	int val;

	if (getsockopt(fd, SOL_TCP, TCP_DELACK_SEGS, &val, &len) ||
	    len != sizeof(int))
		return -errno;
	return val;
}

static int set_segs(int fd, int val)
{
	return setsockopt(fd, SOL_TCP, TCP_DELACK_SEGS, &val, sizeof(val)) ?
	       -errno : 0;
}

static __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Send a segment and, for a socket whose application is quick, read it. */
static int segment(struct conn *k, int len, bool read)
{
	__u8 data[WIRE_MTU] = {}, in[WIRE_MTU];

	if (k->last && now() - k->last > PAUSE_NS)
		k->paused = true;
	/* The end of a write, which PSH says it is, has an ACK of its own. */
	if (!ASSERT_OK(wire_send(&k->c, .flags = len == k->mss ? WIRE_ACK :
				 WIRE_ACK | WIRE_PSH, .data = data, .len = len),
		       "send"))
		return -1;
	k->last = now();
	if (read &&
	    !ASSERT_EQ(recv(k->fd, in, len, MSG_WAITALL), len, "recv"))
		return -1;
	return 0;
}

/* Bytes that the ACKs sent so far have newly acknowledged; 0 if there is none */
static int acked(struct conn *k)
{
	__u32 una = k->c.snd_una;
	struct wire_seg seg;

	while (!wire_recv(&k->c, &seg, 0))
		;
	return k->c.snd_una - una;
}

/* Everything acknowledged, by now or by the delayed ACK */
static int settle(struct conn *k)
{
	struct wire_seg seg;

	if (k->c.snd_una == k->c.snd_nxt)
		return 0;
	return ASSERT_OK(wire_recv_ack(&k->c, &seg), "ACK of all") ? 0 : -1;
}

/* It learns from the first how long a full one is, and whatever is set the first 16 have
 * an ACK each, also after a pause, and so have some of those that make the window grow.
 */
static int warm_up(struct conn *k, int nr)
{
	while (nr-- > 0)
		if (segment(k, k->mss, true) || settle(k))
			return -1;
	k->paused = false;
	return 0;
}

static int open_conn(struct conn *k, int family, int segs)
{
	const int buf = 1 << 17;

	memset(k, 0, sizeof(*k));
	k->fd = -1;
	k->listen_fd = -1;
	if (!ASSERT_OK(wire_open(&k->w, family, 0), "wire_open"))
		return -1;
	k->listen_fd = wire_sk(&k->w);
	if (!ASSERT_OK_FD(k->listen_fd, "listener") ||
	    !ASSERT_OK(setsockopt(k->listen_fd, SOL_SOCKET, SO_RCVBUF, &buf,
				  sizeof(buf)), "SO_RCVBUF") ||
	    (segs && !ASSERT_OK(set_segs(k->listen_fd, segs), "set")))
		return -1;
	wire_conn_init(&k->c, &k->w, wire_sk_listen(&k->w, k->listen_fd));
	if (!ASSERT_OK(wire_connect(&k->c, NULL, 0, NULL), "connect"))
		return -1;
	k->fd = accept(k->listen_fd, NULL, NULL);
	if (!ASSERT_OK_FD(k->fd, "accept") ||
	    !ASSERT_EQ(get_segs(k->fd), segs ?: SEGS_DEFAULT, "inherited"))
		return -1;

	k->mss = k->c.kernel_mss - 12;
	return warm_up(k, WARM_UP);
}

static void close_conn(struct conn *k)
{
	if (k->fd >= 0)
		close(k->fd);
	if (k->listen_fd >= 0)
		close(k->listen_fd);
	wire_close(&k->w);
}

/* So many full segments, and no ACK before the last; if that took so long that a
 * delayed ACK may have come, or each has one after a pause, again.
 */
static void check_round(struct conn *k, int segs, bool read)
{
	int i, got = 0, tries;
	__u64 start;

	for (tries = 0; tries < TRIES; tries++) {
		if (settle(k) || (k->paused && warm_up(k, RESTART)))
			return;
		acked(k);
		start = now();
		for (i = 1; i <= segs; i++) {
			if (segment(k, k->mss, read))
				return;
			got = acked(k);
			if (got)
				break;
		}
		if (i == segs || (now() - start < SOON_NS && !k->paused))
			break;
	}
	ASSERT_EQ(i, segs, "segments");
	ASSERT_EQ(got, segs * k->mss, "bytes");
}

static void test_acks(int family)
{
	static const int values[] = { 0, 1, 2, 3, 8 };
	const int lots = 1 << 17;
	int i, j, read, segs;
	struct conn k;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		segs = values[i] ?: SEGS_DEFAULT;
		if (open_conn(&k, family, values[i]))
			goto out;
		for (read = 1; read >= 0; read--) {
			/* Who waits for more than there is lets the receiving
			 * side alone decide.
			 */
			if (!read &&
			    !ASSERT_OK(setsockopt(k.fd, SOL_SOCKET, SO_RCVLOWAT,
						  &lots, sizeof(lots)),
				       "SO_RCVLOWAT"))
				goto out;
			for (j = 0; j < ROUNDS; j++)
				check_round(&k, segs, read);
		}
		/* At any time */
		segs = 5;
		ASSERT_OK(set_segs(k.fd, segs), "set");
		check_round(&k, segs, false);
		close_conn(&k);
	}
	return;
out:
	close_conn(&k);
}

/* The end of a write that is read is worth an ACK, unless more are wanted. */
static void test_short(int family)
{
	int segs, got, tries;
	const int once = 2;
	struct conn k;
	__u64 start;

	if (open_conn(&k, family, 0))
		goto out;
	for (segs = SEGS_DEFAULT; segs <= 4; segs += 2) {
		if (!ASSERT_OK(set_segs(k.fd, segs), "set"))
			break;
		for (tries = 0; tries < TRIES; tries++) {
			if (settle(&k))
				goto out;
			acked(&k);
			start = now();
			if (segment(&k, 100, true))
				goto out;
			got = acked(&k);
			if (now() - start < SOON_NS)
				break;
		}
		ASSERT_EQ(got, segs == SEGS_DEFAULT ? 100 : 0, "acknowledged");
		/* The timer is as it was. */
		settle(&k);
	}
	/* Who asks for the ACK, once, has it. */
	for (tries = 0; tries < TRIES; tries++) {
		if (settle(&k))
			goto out;
		start = now();
		if (segment(&k, 100, true))
			goto out;
		acked(&k);
		if (!ASSERT_OK(setsockopt(k.fd, SOL_TCP, TCP_QUICKACK, &once,
					  sizeof(once)), "TCP_QUICKACK"))
			goto out;
		got = acked(&k);
		if (now() - start < SOON_NS)
			break;
	}
	ASSERT_EQ(got, 100, "acknowledged on request");
out:
	close_conn(&k);
}

static void test_values(int family)
{
	static const int bad[] = { -1, 0, SEGS_MAX + 1, 1 << 30 };
	struct sockaddr_storage any = {};
	struct conn k;
	__u8 byte = 9;
	int i;

	if (open_conn(&k, family, 7))
		goto out;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(set_segs(k.fd, bad[i]), -EINVAL, "out of bounds");
		ASSERT_EQ(get_segs(k.fd), 7, "kept");
	}
	ASSERT_ERR(setsockopt(k.fd, SOL_TCP, TCP_DELACK_SEGS, &byte, 1),
		   "short");
	ASSERT_OK(set_segs(k.fd, SEGS_MAX), "largest");
	ASSERT_EQ(get_segs(k.fd), SEGS_MAX, "largest");
	ASSERT_OK(set_segs(k.fd, 1), "smallest");
	ASSERT_EQ(get_segs(k.fd), 1, "smallest");
	ASSERT_EQ(get_segs(k.listen_fd), 7, "of the listener");

	/* As TCP_DELACK_MAX_US: of the connection, not of the socket */
	any.ss_family = AF_UNSPEC;
	ASSERT_OK(connect(k.fd, (void *)&any, sizeof(any)), "disconnect");
	ASSERT_EQ(get_segs(k.fd), SEGS_DEFAULT, "disconnected");
out:
	close_conn(&k);
}

/* The program that sets it, for all sockets of the test */
static struct tcp_delack_segs *attach(void)
{
	struct tcp_delack_segs *skel;
	int cg_fd;

	cg_fd = test__join_cgroup(CG_NAME);
	if (!ASSERT_OK_FD(cg_fd, "join_cgroup"))
		return NULL;
	skel = tcp_delack_segs__open_and_load();
	if (ASSERT_OK_PTR(skel, "open_and_load")) {
		skel->links.set_delack_segs =
			bpf_program__attach_cgroup(skel->progs.set_delack_segs,
						   cg_fd);
		if (!ASSERT_OK_PTR(skel->links.set_delack_segs, "attach_cgroup")) {
			tcp_delack_segs__destroy(skel);
			skel = NULL;
		}
	}
	close(cg_fd);
	return skel;
}

static void test_bpf(int family)
{
	struct tcp_delack_segs *skel;
	struct conn k = { .fd = -1, .listen_fd = -1 };

	skel = attach();
	if (!skel)
		return;
	if (!ASSERT_OK(wire_open(&k.w, family, 0), "wire_open"))
		goto destroy;
	k.listen_fd = wire_sk(&k.w);
	if (!ASSERT_OK_FD(k.listen_fd, "listener"))
		goto close;

	skel->bss->segs = 6;
	wire_conn_init(&k.c, &k.w, wire_sk_listen(&k.w, k.listen_fd));
	if (!ASSERT_OK(wire_connect(&k.c, NULL, 0, NULL), "connect"))
		goto close;
	k.fd = accept(k.listen_fd, NULL, NULL);
	if (!ASSERT_OK_FD(k.fd, "accept"))
		goto close;
	ASSERT_OK(skel->bss->set_err, "bpf_setsockopt");
	ASSERT_OK(skel->bss->get_err, "bpf_getsockopt");
	ASSERT_EQ(skel->bss->got, 6, "bpf_getsockopt");
	ASSERT_EQ(get_segs(k.fd), 6, "getsockopt");
	close(k.fd);

	skel->bss->segs = SEGS_MAX + 1;
	wire_conn_init(&k.c, &k.w, k.c.kport);
	if (!ASSERT_OK(wire_connect(&k.c, NULL, 0, NULL), "connect again"))
		goto close;
	k.fd = accept(k.listen_fd, NULL, NULL);
	ASSERT_EQ(skel->bss->set_err, -EINVAL, "too many");
	ASSERT_EQ(skel->bss->got, SEGS_DEFAULT, "kept");
close:
	close_conn(&k);
destroy:
	tcp_delack_segs__destroy(skel);
}

/* Pure ACKs that a connection, or its first subflow, has sent; -1 on failure */
static int acks_sent(int fd)
{
	/* struct tcp_info, of which the C library's may end before */
	struct {
		__u8 before[136];
		__u32 segs_out, segs_in, notsent_bytes, min_rtt;
		__u32 data_segs_in, data_segs_out;
	} info = {};
	socklen_t len = sizeof(info);

	if (!ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len), "TCP_INFO"))
		return -1;
	return info.segs_out - info.data_segs_out;
}

/* Segments of an MPTCP connection, each of which is there, or read, before the next is
 * sent, and the ACKs for them
 */
static int mptcp_acks(int from, int to, int nr, bool read)
{
	int i, before = acks_sent(to), there, acks;
	char buf[MPTCP_SEG] = {};

	for (i = 1; i <= nr; i++) {
		if (!ASSERT_EQ(send(from, buf, sizeof(buf), 0), sizeof(buf), "send"))
			return -1;
		if (read &&
		    !ASSERT_EQ(recv(to, buf, sizeof(buf), MSG_WAITALL),
			       sizeof(buf), "recv"))
			return -1;
		do {
			if (!ASSERT_OK(ioctl(to, FIONREAD, &there), "FIONREAD"))
				return -1;
		} while (!read && there < i * sizeof(buf));
	}
	acks = acks_sent(to) - before;
	for (i = 0; !read && i < nr; i++) {
		if (!ASSERT_EQ(recv(to, buf, sizeof(buf), MSG_WAITALL),
			       sizeof(buf), "recv"))
			return -1;
	}
	return acks;
}

/* Some more are for the window. A guest that has to wait sends ACKs by the timer: tried
 * again.
 */
static void check_mptcp(int from, int to, int segs, int nr, bool read)
{
	int acks, tries;

	for (tries = 0; tries < TRIES; tries++) {
		acks = mptcp_acks(from, to, nr, read);
		if (acks <= nr * 3 / 2 / segs)
			break;
	}
	ASSERT_GE(acks, nr * 9 / 10 / segs, "ACKs");
	ASSERT_LE(acks, nr * 3 / 2 / segs, "ACKs");
}

/* The setting is of the subflow, which programs have, and the application has not. */
static void test_mptcp(int family)
{
	static const int values[] = { 1, 4, 8 };
	struct network_helper_opts opts = {
		.proto = IPPROTO_MPTCP,
		.timeout_ms = WIRE_TIMEOUT_MS,
	};
	int lfd = -1, cfd = -1, sfd = -1, i, segs, val;
	const int one = 1, lots = 1 << 17;
	struct tcp_delack_segs *skel;
	socklen_t len = sizeof(val);

	skel = attach();
	if (!skel)
		return;
	lfd = start_server_str(family, SOCK_STREAM, NULL, 0, &opts);
	if (!ASSERT_OK_FD(lfd, "listener"))
		goto destroy;
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		segs = values[i];
		skel->bss->segs = segs;
		cfd = connect_to_fd_opts(lfd, &opts);
		if (!ASSERT_OK_FD(cfd, "connect"))
			break;
		sfd = accept(lfd, NULL, NULL);
		if (!ASSERT_OK_FD(sfd, "accept"))
			break;
		settimeo(sfd, WIRE_TIMEOUT_MS);
		ASSERT_OK(getsockopt(sfd, SOL_TCP, TCP_IS_MPTCP, &val, &len),
			  "TCP_IS_MPTCP");
		ASSERT_EQ(val, 1, "MPTCP");
		ASSERT_EQ(set_segs(sfd, 3), -ENOPROTOOPT, "set");
		ASSERT_EQ(get_segs(sfd), -EOPNOTSUPP, "get");
		ASSERT_OK(skel->bss->set_err, "bpf_setsockopt");
		ASSERT_OK(setsockopt(cfd, SOL_TCP, TCP_NODELAY, &one, sizeof(one)),
			  "TCP_NODELAY");
		if (mptcp_acks(cfd, sfd, WARM_UP, true) < 0)
			break;
		check_mptcp(cfd, sfd, segs, 160, true);
		/* Who waits for more than there is: the receiving side alone */
		ASSERT_OK(setsockopt(sfd, SOL_SOCKET, SO_RCVLOWAT, &lots,
				     sizeof(lots)), "SO_RCVLOWAT");
		check_mptcp(cfd, sfd, segs, 80, false);
		close(cfd);
		close(sfd);
		cfd = sfd = -1;
	}
	if (sfd >= 0)
		close(sfd);
	if (cfd >= 0)
		close(cfd);
	close(lfd);
destroy:
	tcp_delack_segs__destroy(skel);
}

static void run(void (*test)(int family), int family)
{
	struct netns_obj *netns = netns_new(NS_NAME, true);

	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;
	test(family);
	netns_free(netns);
}

void test_tcp_delack_segs(void)
{
	static const struct {
		const char *name;
		void (*test)(int family);
	} tests[] = {
		{ "acks", test_acks },
		{ "short", test_short },
		{ "values", test_values },
		{ "bpf", test_bpf },
		{ "mptcp", test_mptcp },
	};
	char name[32];
	int i, v6;

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (test__start_subtest(name))
				run(tests[i].test, v6 ? AF_INET6 : AF_INET);
		}
	}
}
