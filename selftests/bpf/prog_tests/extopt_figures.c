// SPDX-License-Identifier: GPL-2.0

/* What the use cases are for, as lines of numbers: "FIGURE name x y ...". A few points
 * are a test of their own; with EXTOPT_FIGURES in the environment there are enough to
 * be drawn (tools/kbuild figures).
 */

#include <pthread.h>
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

static struct extopt_net net;
static bool all_points;

/* What is left of a list when only some points are wanted */
#define POINTS(list, few)	(all_points ? ARRAY_SIZE(list) : (few))

/* Until when the server gives up, against what the client has announced */
static void test_uto(void)
{
	static const int seconds[] = { 1, 2, 3, 5, 8, 13 };
	int i, ms;

	for (i = 0; i < POINTS(seconds, 2); i++) {
		skel.uto->data_uto->uto_config.adv = seconds[i];
		if (net_pair(&net, "uto", "uto") || net_ping(&net))
			return;
		ms = net_give_up(&net, net.sfd, seconds[i]);
		if (ms < 0)
			return;
		printf("FIGURE uto %d %d\n", seconds[i], ms);
	}
}

struct flow {
	int fd;
	volatile bool stop;
	__u64 bytes;
};

static void *fill(void *arg)
{
	static char buf[1 << 16];
	struct flow *f = arg;

	while (!f->stop && send(f->fd, buf, sizeof(buf), MSG_NOSIGNAL) > 0)
		;
	shutdown(f->fd, SHUT_WR);
	return NULL;
}

static void *drain(void *arg)
{
	static char buf[1 << 16];
	struct flow *f = arg;
	int n;

	while ((n = recv(f->fd, buf, sizeof(buf), 0)) > 0)
		f->bytes += n;
	return NULL;
}

/* Data from one to the other while this sleeps, and what arrived; ms: for how long, and
 * then how long it took with what was in the queue at the end
 */
static __u64 flow(int from, int to, int *ms, void (*sample)(int ms))
{
	struct flow out = { .fd = from }, in = { .fd = to };
	pthread_t sender, receiver;
	__u64 start = net_now_ms();

	if (!ASSERT_OK(pthread_create(&sender, NULL, fill, &out), "sender"))
		return 0;
	if (!ASSERT_OK(pthread_create(&receiver, NULL, drain, &in), "receiver")) {
		out.stop = true;
		pthread_join(sender, NULL);
		return 0;
	}
	while (net_now_ms() - start < *ms) {
		usleep(20000);
		if (sample)
			sample(net_now_ms() - start);
	}
	out.stop = true;
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	*ms = net_now_ms() - start;
	return in.bytes;
}

static const char *cc_now;
static int samples;

static void sample_rtt(int ms)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(net.sfd, SOL_TCP, TCP_INFO, &info, &len))
		return;
	printf("FIGURE cc %s %d %d\n", cc_now, ms, info.tcpi_rtt);
	samples++;
}

/* The round-trip time that a server's data makes for itself at a bottleneck with a
 * buffer of nine times what the path holds, with the congestion control asked for
 */
static void test_cc(void)
{
	static const char * const names[] = { "reno", "bbr", "cubic" };
	int i, ms;

	SYS(fail, "tc -n " NET_CLIENT
	    " qdisc replace dev c0 root netem delay 10ms limit 1000");
	SYS(fail, "tc -n " NET_SERVER
	    " qdisc replace dev s0 root netem delay 10ms rate 20mbit limit 300");
	/* The limit is of packets: they are to be segments. */
	SYS(fail, "ip -n " NET_SERVER " link set s0 gso_max_segs 1");
	for (i = 0; i < POINTS(names, 2); i++) {
		cc_now = names[i];
		memset(&skel.cc->data_cc->cc_wanted, 0, sizeof(struct cc_name));
		strcpy(skel.cc->data_cc->cc_wanted.s, cc_now);
		if (all_allow_cc(cc_now) || net_pair(&net, "cc", "cc"))
			return;
		ASSERT_STREQ(state_of(net.sfd).cc, cc_now, "in use");
		samples = 0;
		ms = all_points ? 5000 : 500;
		ASSERT_GT(flow(net.sfd, net.cfd, &ms, sample_rtt), 0, "bytes");
		ASSERT_GE(samples, 2, "samples");
	}
fail:
	return;
}

/* How long a short transfer takes, against the initial window that was asked for */
static void test_iw(void)
{
	static const int windows[] = { 2, 10, 40, 1, 4, 20 };
	const int bytes = 50000, rtt = 200;
	int i, left, ms, last = 0;
	char buf[10000] = {};
	__u64 start;

	for (i = 0; i < POINTS(windows, 3); i++) {
		skel.iw->data_iw->iw_config.want = windows[i];
		if (net_rtt(rtt) || net_pair(&net, "iw", "iw"))
			return;
		start = net_now_ms();
		for (left = bytes; left > 0; left -= sizeof(buf))
			if (!ASSERT_EQ(send(net.sfd, buf, sizeof(buf), 0),
				       sizeof(buf), "send"))
				return;
		for (left = bytes; left > 0; left -= sizeof(buf))
			if (!ASSERT_EQ(recv(net.cfd, buf, sizeof(buf),
					    MSG_WAITALL), sizeof(buf), "recv"))
				return;
		ms = net_now_ms() - start;
		printf("FIGURE iw %d %d\n", windows[i], ms);
		/* Four, two and one round-trip times, the first three */
		if (i > 0 && i < 3)
			ASSERT_LT(ms, last, "faster");
		last = ms;
	}
}

/* ACKs and bytes a second, against the segments to an ACK that were asked for, at a rate
 * at which the receiver is not what is late
 */
static void test_delack(void)
{
	static const int segs[] = { 1, 16, 2, 4, 8, 32, 64 };
	int i, acks[2], ms;
	struct path_way *back = net_way(&net, TO_CLIENT);
	__u64 bytes;

	SYS(fail, "ip -n " NET_CLIENT " link set dev c0 gso_max_segs 1");
	SYS(fail, "tc -n " NET_CLIENT
	    " qdisc replace dev c0 root netem delay 10ms rate 20mbit limit 300");
	for (i = 0; i < POINTS(segs, 2); i++) {
		skel.delack->data_delack->delack_config.segs = segs[i];
		if (net_pair(&net, "delack", "delack"))
			return;
		ms = all_points ? 4000 : 1500;
		bytes = flow(net.cfd, net.sfd, &ms, NULL);
		printf("FIGURE delack %d %d %llu %d\n", segs[i], ms, bytes,
		       back->acks);
		/* 20 Mbit/s are so many bits in a millisecond. */
		ASSERT_GT(bytes, 0, "bytes");
		ASSERT_LE(8 * bytes, 20000ULL * ms, "no more than the link has");
		/* To the segments that there were */
		if (i < 2)
			acks[i] = 10000 * (__u64)back->acks /
				  (bytes / 1448 + 1);
	}
	ASSERT_LT(acks[1], acks[0] / 2, "fewer ACKs");
fail:
	return;
}

void serial_test_extopt_figures(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "uto", test_uto },
		{ "cc", test_cc },
		{ "iw", test_iw },
		{ "delack", test_delack },
	};
	struct extopt_prefix everyone = {};
	int i;

	all_points = getenv("EXTOPT_FIGURES");
	if (all_open())
		return;
	skel.uto->data_uto->uto_config.lower = 1;
	if (all_trust(&everyone))
		goto close;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (!test__start_subtest(tests[i].name) ||
		    net_open(&net, AF_INET))
			continue;
		tests[i].test();
		net_close(&net);
	}
close:
	all_close();
}
