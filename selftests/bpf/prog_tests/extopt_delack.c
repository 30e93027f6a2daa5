// SPDX-License-Identifier: GPL-2.0

/* U4: the sender says how its data is to be acknowledged, every so many segments and
 * after what part of the round-trip time at the latest. What the receiver does is
 * counted and timed where it sends.
 */

#include <sys/ioctl.h>
#include "test_progs.h"
#include "progs/extopt_path.h"
#include "progs/extopt_look.h"
#include "progs/extopt_delack.h"
#include "extopt_path.skel.h"
#include "extopt_look.skel.h"
#include "extopt_delack.skel.h"
#include "extopt_net.h"
#include "extopt_sock.h"

#define TCP_DELACK_SEGS	48
#ifndef TCP_DELACK_MAX_US
#define TCP_DELACK_MAX_US	46	/* not in 6.12 */
#endif

#define KIND		254
#define EXID		0xeb04
#define WARM_UP		60	/* segments: past the quick ACKs of the start */
#define BURSTS		20
#define SEG_LEN		1400
#define ROUNDS		60
#define TRIES		10
/* What a timer may be late in a guest that shares its processors: where the timer wheel is
 * behind, one of less than 64 ms comes to lie where there are steps of 8. Less than there
 * is between the shortest that is asked for and the kernel's own.
 */
#define SLACK_US	17000

static struct extopt_net net;
static struct extopt_delack *client, *server;

static void config(struct extopt_delack *skel, int segs, int rtt_16th)
{
	skel->data_delack->delack_config.segs = segs;
	skel->data_delack->delack_config.rtt_16th = rtt_16th;
	memset(&skel->bss->delack_stats, 0, sizeof(skel->bss->delack_stats));
}

static struct extopt_delack *load(const char *name)
{
	struct extopt_delack *skel = extopt_delack__open();

	if (!ASSERT_OK_PTR(skel, "open"))
		return NULL;
	net_rename(skel->maps.delack, "delack", name);
	if (!ASSERT_OK(extopt_delack__load(skel), "load"))
		goto destroy;
	skel->links.delack = bpf_map__attach_struct_ops(skel->maps.delack);
	if (ASSERT_OK_PTR(skel->links.delack, "register"))
		return skel;
destroy:
	extopt_delack__destroy(skel);
	return NULL;
}

/* ACKs are for segments, and not for what happens in a guest that has to wait: the window
 * does not grow; no pause is as long as a retransmission timeout, after which ACKs are
 * quick, and nothing is sent again, which is acknowledged at once.
 */
static int steady(void)
{
	static const char * const ns[] = { NET_CLIENT, NET_SERVER };
	int i;

	for (i = 0; i < ARRAY_SIZE(ns); i++)
		if (net_sysctl(ns[i], "tcp_rmem", "4096 131072 131072") ||
		    net_sysctl(ns[i], "tcp_rto_min_us", "10000000") ||
		    net_sysctl(ns[i], "tcp_early_retrans", "0"))
			return -1;
	return 0;
}

/* Segments of equal size, the largest that the receiver gets to see; each of them is
 * read before the next is sent.
 */
static int segments(int from, int to, int nr)
{
	const int one = 1;

	ASSERT_OK(setsockopt(from, SOL_TCP, TCP_NODELAY, &one, sizeof(one)),
		  "TCP_NODELAY");
	while (nr-- > 0)
		if (net_send(from, to, SEG_LEN))
			return -1;
	return 0;
}

/* Twice as many as an ACK is for, at once: with the first of them the timer starts. They
 * are read when all are there: to read some before has an ACK sent for these.
 */
static int burst(int from, int to, int nr)
{
	char buf[SEG_LEN] = {};
	int i, queued = 0;

	for (i = 0; i < nr; i++)
		if (!ASSERT_EQ(send(from, buf, SEG_LEN, 0), SEG_LEN, "send"))
			return -1;
	for (i = 0; i < 10000 && queued < nr * SEG_LEN; i++) {
		if (!ASSERT_OK(ioctl(to, FIONREAD, &queued), "FIONREAD"))
			return -1;
		usleep(1000);
	}
	for (i = 0; i < nr; i++)
		if (!ASSERT_EQ(recv(to, buf, SEG_LEN, MSG_WAITALL), SEG_LEN,
			       "recv"))
			return -1;
	return 0;
}

static void check_per_ack(int asked, bool from_server)
{
	struct path_way *way = net_way(&net, from_server ? TO_CLIENT : TO_SERVER);
	int from = from_server ? net.sfd : net.cfd;
	int to = from_server ? net.cfd : net.sfd;
	int i, nr = asked ?: 2;

	if (segments(from, to, WARM_UP))
		return;
	memset(way->acks_for, 0, sizeof(way->acks_for));
	for (i = 0; i < BURSTS; i++)
		if (burst(from, to, 2 * nr))
			return;
	ASSERT_EQ(net_int(to, TCP_DELACK_SEGS), nr, "TCP_DELACK_SEGS");
	ASSERT_EQ(net_int(from, TCP_DELACK_SEGS), 2, "of the sender");

	/* The usual number; some are for the window, and for one segment each. */
	ASSERT_GE(way->acks_for[nr], BURSTS / 2, "ACKs for so many");
	for (i = 2; i < PATH_ACKS_FOR; i++)
		if (i != nr)
			ASSERT_LT(way->acks_for[i], way->acks_for[nr], "others");
	if (nr > 1)
		ASSERT_LT(way->acks_for[1], way->acks_for[nr], "for one");
}

static void test_segs(void)
{
	static const int asked[] = { 0, 1, 4, 8 };
	int i;

	if (steady())
		return;
	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		config(client, asked[i], 0);
		config(server, 0, 0);
		if (net_pair(&net, "delack", "delack2"))
			return;
		ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, !!asked[i], "SYN");
		ASSERT_EQ(net_way(&net, TO_CLIENT)->with_syn, 0, "SYN-ACK");
		check_per_ack(asked[i], false);
	}
	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		config(client, 0, 0);
		config(server, asked[i], 0);
		if (net_pair(&net, "delack", "delack2"))
			return;
		ASSERT_EQ(net_way(&net, TO_CLIENT)->with_syn, !!asked[i],
			  "SYN-ACK");
		check_per_ack(asked[i], true);
	}
}

static void test_change(void)
{
	struct path_way *way = net_way(&net, TO_SERVER);
	const int own = 3;
	int with;

	if (steady())
		return;
	config(client, 0, 0);
	config(server, 0, 0);
	server->data_delack->delack_config.max_segs = 8;
	if (net_pair(&net, "delack", "delack2"))
		return;
	check_per_ack(0, false);
	ASSERT_EQ(way->with_data, 0, "not asked for");

	/* While there is traffic, and on data until it is acknowledged */
	config(client, 4, 0);
	check_per_ack(4, false);
	with = way->with_data;
	ASSERT_GE(with, 1, "asked for");
	ASSERT_LE(with, way->data / 2, "for a time");

	/* Up to what the receiver allows */
	config(client, 200, 0);
	if (!segments(net.cfd, net.sfd, 20))
		ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 8, "limited");

	/* Withdrawn */
	config(client, 0, 0);
	check_per_ack(0, false);
	server->data_delack->delack_config.max_segs = 64;

	/* To what the receiver had, if that is not the kernel's */
	if (net_pair(&net, "delack", "delack2") ||
	    !ASSERT_OK(setsockopt(net.sfd, SOL_TCP, TCP_DELACK_SEGS, &own,
				  sizeof(own)), "TCP_DELACK_SEGS"))
		return;
	config(client, 4, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 4, "asked for");
	config(client, 0, 8);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), own, "only a delay");
	config(client, 0, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), own, "its own");
}

/* What the application sets after the option did is not overwritten by the next one,
 * nor undone when that is withdrawn.
 */
static void test_fixed(void)
{
	const int segs = 3, delay = 40000;	/* whole ticks, however long these are */

	config(client, 4, 4);
	config(server, 0, 0);
	if (steady() || net_rtt(60) || net_pair(&net, "delack", "delack2") ||
	    segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 4, "asked for");
	ASSERT_LT(look_delack_us(net.sfd), 40000, "asked for");
	ASSERT_EQ(server->bss->delack_stats.fixed, 0, "nothing set");

	/* One of the two: the other is still the option's. */
	ASSERT_OK(setsockopt(net.sfd, SOL_TCP, TCP_DELACK_SEGS, &segs,
			     sizeof(segs)), "TCP_DELACK_SEGS");
	config(client, 5, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), segs, "its own");
	ASSERT_EQ(look_delack_us(net.sfd), 200000, "no delay asked for");
	ASSERT_GE(server->bss->delack_stats.fixed, 1, "counted");
	config(client, 0, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), segs, "withdrawn");

	config(client, 4, 4);
	config(server, 0, 0);
	if (net_pair(&net, "delack", "delack2") || segments(net.cfd, net.sfd, 5))
		return;
	if (setsockopt(net.sfd, SOL_TCP, TCP_DELACK_MAX_US, &delay, sizeof(delay))) {
		ASSERT_EQ(errno, ENOPROTOOPT, "TCP_DELACK_MAX_US");
		return;
	}
	config(client, 5, 8);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 5, "asked for");
	ASSERT_EQ(look_delack_us(net.sfd), delay, "its own");
	ASSERT_GE(server->bss->delack_stats.fixed, 1, "counted");
	config(client, 0, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 2, "withdrawn");
	ASSERT_EQ(look_delack_us(net.sfd), delay, "withdrawn");

	/* Nor is it made longer than the receiver's own, a round-trip time here. */
	if (net_pair(&net, "delack", "delack2") ||
	    !ASSERT_OK(setsockopt(net.sfd, SOL_TCP, TCP_DELACK_MAX_US, &delay,
				  sizeof(delay)), "TCP_DELACK_MAX_US"))
		return;
	config(client, 4, 16);
	config(server, 0, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 4, "asked for");
	ASSERT_EQ(look_delack_us(net.sfd), delay, "its own is less");
	ASSERT_GE(server->bss->delack_stats.applied, 1, "applied");
	ASSERT_EQ(server->bss->delack_stats.fixed, 0, "nothing set since");
}

/* Microseconds from the arrival of a short segment to its ACK, the receiver having
 * nothing to say, and not reading: with two segments to an ACK that would have one.
 */
static int ack_delay(void)
{
	struct path_way *way = net_way(&net, TO_SERVER);
	char buf[100] = {};
	int i;

	/* Whatever is still to come */
	usleep(100000);
	way->data_ns = 0;
	way->ack_delay = 0;
	if (!ASSERT_EQ(send(net.cfd, buf, sizeof(buf), 0), sizeof(buf), "send"))
		return -1;
	for (i = 0; i < NET_TIMEOUT_MS; i++) {
		if (*(volatile __u64 *)&way->ack_delay)
			break;
		usleep(1000);
	}
	if (!ASSERT_EQ(recv(net.sfd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf),
		       "recv"))
		return -1;
	return way->ack_delay / 1000;
}

/* The shortest but one of some: in a guest that has to wait a timer is late, for which
 * there are more; a single one that is early does not count. What is set, from least to
 * most, may still follow the round-trip time meanwhile.
 */
static int least_delay(int *least_set, int *most_set)
{
	int i, us, least = INT_MAX, next = INT_MAX;

	*least_set = *most_set = look_delack_us(net.sfd);
	for (i = 0; i < 5 || (i < 50 && next > *most_set + SLACK_US); i++) {
		us = ack_delay();
		if (us < least) {
			next = least;
			least = us;
		} else if (us < next) {
			next = us;
		}
		us = look_delack_us(net.sfd);
		if (us < *least_set)
			*least_set = us;
		if (us > *most_set)
			*most_set = us;
	}
	return next;
}

/* What is set is 85 to 160 % of what it would be by the path's round-trip time, and a tick
 * that is for rounding. More: the receiver's estimate is until data echoes the timestamp of
 * an ACK, which waits for the next data, here for half a round-trip time at most: 150 %.
 * Less: both ends' estimates are averages, and the sender repeats itself for the receiver
 * to look at its own when its has changed by a quarter: at 33, 42 and 53 ms on the way from
 * 24 to 60, and not again.
 */
static void check_delay(int rtt_ms, int part)
{
	int want = rtt_ms * 1000 * part / 16, set, least, most, got, i;

	/* Until the receiver's estimate has followed: longer in a guest that has to wait */
	for (i = 0; i < TRIES; i++) {
		if (segments(net.cfd, net.sfd, ROUNDS))
			return;
		set = look_delack_us(net.sfd);
		if (set >= want * 85 / 100 && set <= want * 160 / 100 + look->bss->tick)
			break;
	}
	ASSERT_GE(set, want * 85 / 100, "set");
	ASSERT_LE(set, want * 160 / 100 + look->bss->tick, "set");
	got = least_delay(&least, &most);
	ASSERT_GE(got, least - 2 * look->bss->tick, "delay");
	ASSERT_LE(got, most + SLACK_US, "delay");
}

static void test_delay(void)
{
	int set, most;

	/* Below the 40 ms that the kernel itself takes at the least */
	config(client, 16, 8);
	config(server, 0, 0);
	if (steady() || net_rtt(24) || net_pair(&net, "delack", "delack2"))
		return;
	check_delay(24, 8);
	/* It follows the round-trip time, both ways ... */
	if (net_rtt(60))
		return;
	check_delay(60, 8);
	if (net_rtt(24))
		return;
	check_delay(24, 8);
	/* ... and what is asked for */
	config(client, 16, 14);
	check_delay(24, 14);
	/* Withdrawn */
	config(client, 0, 0);
	if (segments(net.cfd, net.sfd, 5))
		return;
	set = look_delack_us(net.sfd);
	ASSERT_EQ(set, 200000, "its own");
	/* The kernel's least is 40 ms, by a clock of whole jiffies. */
	ASSERT_GE(least_delay(&set, &most), 40000 - 2 * look->bss->tick,
		  "the kernel's own delay");
}

void serial_test_extopt_delack(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "segs", test_segs },
		{ "change", test_change },
		{ "fixed", test_fixed },
		{ "delay", test_delay },
	};
	char name[32];
	int i, v6;

	client = load("delack");
	server = load("delack2");
	if (!client || !server || look_open())
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
	look_close();
	extopt_delack__destroy(client);
	extopt_delack__destroy(server);
}
