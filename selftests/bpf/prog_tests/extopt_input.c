// SPDX-License-Identifier: GPL-2.0

/* What the extopt_* programs do with values that are none: ignored, counted, and the
 * connection is as it was. All of them are on one socket, the segments are made by
 * hand.
 */

#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "tcp_wire.h"
#include "progs/extopt.h"
#include "progs/extopt_look.h"
#include "progs/extopt_uto.h"
#include "progs/extopt_cc.h"
#include "progs/extopt_iw.h"
#include "progs/extopt_delack.h"
#include "progs/extopt_toa.h"
#include "extopt_look.skel.h"
#include "extopt_uto.skel.h"
#include "extopt_cc.skel.h"
#include "extopt_iw.skel.h"
#include "extopt_delack.skel.h"
#include "extopt_toa.skel.h"
#include "extopt_all.h"

#define NS_NAME		"extopt_input"
#define NAMES		"uto cc iw delack toa4 toa6 toa254 toa200"
#define GOOD_CC		"reno"
#define OTHER_CC	"bbr"	/* allowed, too */

enum use { UTO, CC, IW, DELACK, TOA, NR_USES };

static struct conn_state untouched;

struct input {
	enum use use;
	const char *what;
	__u8 opt[24];
	bool malformed;		/* the kernel sees it, the program does not */
};

#define EXID(id)	(id) >> 8, (id) & 0xff

static const struct input bad[] = {
	{ UTO, "uto: no value", { 28, 2 } },
	{ UTO, "uto: one byte", { 28, 3, 1 } },
	{ UTO, "uto: three bytes", { 28, 5, 0, 9, 0 }, true },
	{ UTO, "uto: 0", { 28, 4, 0, 0 } },
	{ UTO, "uto: 0 minutes", { 28, 4, 0x80, 0 } },
	{ CC, "cc: no name", { 254, 4, EXID(0xeb02) } },
	{ CC, "cc: NUL", { 254, 5, EXID(0xeb02), 0 } },
	{ CC, "cc: NUL at the end", { 254, 9, EXID(0xeb02), 'r', 'e', 'n', 'o' } },
	{ CC, "cc: NUL inside", { 254, 9, EXID(0xeb02), 'r', 0, 'e', 'n', 'o' } },
	{ CC, "cc: too long", { 254, 17, EXID(0xeb02), 'r', 'e', 'n', 'o' }, true },
	{ IW, "iw: one byte", { 254, 5, EXID(0xeb03), 5 } },
	{ IW, "iw: three bytes", { 254, 7, EXID(0xeb03), 0, 5, 0 }, true },
	{ IW, "iw: 0", { 254, 6, EXID(0xeb03), 0, 0 } },
	{ IW, "iw: reserved", { 254, 6, EXID(0xeb03), 0x10, 5 } },
	{ IW, "iw: all ones", { 254, 6, EXID(0xeb03), 0xff, 0xff } },
	{ DELACK, "delack: one byte", { 254, 5, EXID(0xeb04), 5 } },
	{ DELACK, "delack: three bytes", { 254, 7, EXID(0xeb04), 5, 5, 5 }, true },
	{ DELACK, "delack: over one RTT", { 254, 6, EXID(0xeb04), 5, 17 } },
	{ DELACK, "delack: reserved", { 254, 6, EXID(0xeb04), 5, 0x88 } },
	{ DELACK, "delack: all ones", { 254, 6, EXID(0xeb04), 0xff, 0xff } },
	{ TOA, "toa4: short", { 254, 9, EXID(0xeb05), 1, 2, 9, 9, 9 } },
	{ TOA, "toa4: long", { 254, 11, EXID(0xeb05), 1, 2, 9, 9, 9, 9, 9 }, true },
	{ TOA, "toa4: port 0", { 254, 10, EXID(0xeb05), 0, 0, 9, 9, 9, 9 } },
	{ TOA, "toa4: address 0", { 254, 10, EXID(0xeb05), 1, 2 } },
	{ TOA, "toa6: of IPv4", { 254, 10, EXID(0xeb06), 1, 2, 9, 9, 9, 9 } },
	{ TOA, "toa6: short", { 254, 12, EXID(0xeb06), 1, 2, 0xfd, 1 } },
	{ TOA, "toa6: long", { 254, 23, EXID(0xeb06), 1, 2, 0xfd, [22] = 1 }, true },
	{ TOA, "toa6: port 0", { 254, 22, EXID(0xeb06), 0, 0, 0xfd, [21] = 1 } },
	{ TOA, "toa6: address 0", { 254, 22, EXID(0xeb06), 1, 2 } },
	{ TOA, "toa254: short", { 254, 7, 1, 2, 9, 9, 9 } },
	{ TOA, "toa254: port 0", { 254, 8, 0, 0, 9, 9, 9, 9 } },
	{ TOA, "toa254: address 0", { 254, 8, 1, 2 } },
	{ TOA, "toa254: IPv6 port 0", { 254, 20, 0, 0, 0xfd, [19] = 1 } },
	{ TOA, "toa254: IPv6 address 0", { 254, 20, 1, 2 } },
	{ TOA, "toa254: IPv6 long", { 254, 21, 1, 2, 0xfd, [19] = 1 }, true },
	{ TOA, "toa200: IPv6 address 0", { 200, 20, 1, 2 } },
	{ TOA, "toa200: no value", { 200, 2 } },
	{ TOA, "toa200: long", { 200, 9, 1, 2, 9, 9, 9, 9, 9 } },
};

/* Good on a SYN, and only there */
static const struct input late[] = {
	{ CC, "cc: later", { 254, 7, EXID(0xeb02), 'b', 'b', 'r' } },
	{ IW, "iw: later", { 254, 6, EXID(0xeb03), 0, 7 } },
};

/* The same with a value that is one */
static const struct input good[] = {
	{ UTO, "uto", { 28, 4, 0, 9 } },
	{ CC, "cc", { 254, 8, EXID(0xeb02), 'r', 'e', 'n', 'o' } },
	{ IW, "iw", { 254, 6, EXID(0xeb03), 0, 5 } },
	{ DELACK, "delack", { 254, 6, EXID(0xeb04), 5, 16 } },
	{ TOA, "toa4", { 254, 10, EXID(0xeb05), 1, 2, 9, 9, 9, 9 } },
	/* On a SYN, if somebody leaves the timestamp out for it */
	{ TOA, "toa6", { 254, 22, EXID(0xeb06), 1, 2, 0xfd, [21] = 1 } },
	{ TOA, "toa254", { 254, 8, 1, 2, 9, 9, 9, 9 } },
	{ TOA, "toa200", { 200, 20, 1, 2, 0xfd, [19] = 1 } },
};

/* The length of an IPv6 address, with kind, ExID and port */
static bool is_v6(const struct input *in)
{
	return in->use == TOA && in->opt[1] >= 20;
}

static __u64 *ignored(enum use use)
{
	switch (use) {
	case UTO:
		return &skel.uto->bss->uto_stats.ignored;
	case CC:
		return &skel.cc->bss->cc_stats.ignored;
	case IW:
		return &skel.iw->bss->iw_stats.ignored;
	case DELACK:
		return &skel.delack->bss->delack_stats.ignored;
	default:
		return &skel.toa->bss->toa_stats.ignored;
	}
}

static __u64 all_applied(void)
{
	return skel.uto->bss->uto_stats.applied +
	       skel.cc->bss->cc_stats.applied + skel.cc->bss->cc_stats.refused +
	       skel.iw->bss->iw_stats.applied + skel.iw->bss->iw_stats.untrusted +
	       skel.delack->bss->delack_stats.applied +
	       skel.toa->bss->toa_stats.applied +
	       skel.toa->bss->toa_stats.untrusted;
}

static __u64 all_ignored(void)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < NR_USES; i++)
		sum += *ignored(i);
	return sum;
}

/* A connection whose SYN has the option; fd of the kernel's end */
static int connection(struct wire *w, struct wire_conn *c, int lfd,
		      const struct input *in)
{
	int fd;

	wire_conn_init(c, w, c->kport);
	c->ts = !in || in->opt[1] < 20;
	if (!ASSERT_OK(wire_connect(c, in ? in->opt : NULL, in ? in->opt[1] : 0,
				    NULL), in ? in->what : "without"))
		return -1;
	fd = accept(lfd, NULL, NULL);
	if (!ASSERT_OK_FD(fd, "accept"))
		return -1;
	settimeo(fd, WIRE_TIMEOUT_MS);
	return fd;
}

static void bytes(struct wire_conn *c, int fd)
{
	struct wire_seg seg;
	char buf[4];

	if (!ASSERT_OK(wire_send(c, .flags = WIRE_ACK | WIRE_PSH, .data = "ping",
				 .len = 4), "send") ||
	    !ASSERT_EQ(recv(fd, buf, 4, MSG_WAITALL), 4, "recv") ||
	    !ASSERT_OK(wire_recv_ack(c, &seg), "ACK") ||
	    !ASSERT_EQ(send(fd, "pong", 4, 0), 4, "kernel's send"))
		return;
	ASSERT_OK(wire_read(c, buf, 4), "read");
}

static void check(struct wire *w, struct wire_conn *c, int lfd,
		  const struct input *in)
{
	__u64 applied = all_applied(), sum = all_ignored(), one = *ignored(in->use);
	long malformed = extopt_netstat("TCPExtOptMalformed");
	struct conn_state st;
	int fd;

	fd = connection(w, c, lfd, in);
	if (fd < 0)
		return;
	st = state_of(fd);
	ASSERT_OK(memcmp(&st, &untouched, sizeof(st)), in->what);
	ASSERT_EQ(all_applied(), applied, in->what);
	ASSERT_EQ(all_ignored(), sum + !in->malformed, in->what);
	ASSERT_EQ(*ignored(in->use), one + !in->malformed, in->what);
	ASSERT_EQ(extopt_netstat("TCPExtOptMalformed"),
		  malformed + in->malformed, in->what);
	bytes(c, fd);
	close(fd);
}

/* One on a segment of a connection that has a value already */
static void check_later(struct wire_conn *c, int fd, const struct input *in)
{
	struct conn_state st = state_of(fd), now;
	__u64 before = *ignored(in->use), applied = all_applied();
	char buf;

	ASSERT_OK(wire_send(c, .flags = WIRE_ACK, .opt = in->opt,
			    .opt_len = in->opt[1], .data = "x", .len = 1), "send");
	ASSERT_EQ(recv(fd, &buf, 1, 0), 1, "recv");
	ASSERT_EQ(*ignored(in->use), before + 1, in->what);
	ASSERT_EQ(all_applied(), applied, in->what);
	now = state_of(fd);
	ASSERT_OK(memcmp(&st, &now, sizeof(st)), in->what);
}

static void test_later(struct wire *w, struct wire_conn *c, int lfd)
{
	int i, j, fd;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		fd = connection(w, c, lfd, &good[i]);
		if (fd < 0)
			return;
		for (j = 0; j < ARRAY_SIZE(bad); j++)
			if (bad[j].use == good[i].use && !bad[j].malformed)
				check_later(c, fd, &bad[j]);
		for (j = 0; j < ARRAY_SIZE(late); j++)
			if (late[j].use == good[i].use)
				check_later(c, fd, &late[j]);
		bytes(c, fd);
		close(fd);
	}
}

/* A SYN-ACK with requests of a client: they are not for this end. */
static void test_synack(struct wire *w, struct wire_conn *c, int lfd)
{
	struct conn_state st, base;
	struct wire_seg syn;
	__u64 before;
	int i, fd;

	strcpy(skel.cc->data_cc->cc_wanted.s, GOOD_CC);
	skel.iw->data_iw->iw_config.want = 5;
	for (i = -1; i < (int)ARRAY_SIZE(late); i++) {
		const struct input *in = i < 0 ? NULL : &late[i];

		fd = wire_sk(w);
		wire_conn_init(c, w, 0);
		before = in ? *ignored(in->use) : all_ignored();
		if (!ASSERT_OK_FD(fd, "client") ||
		    !ASSERT_OK(extopt_select(fd, in && in->use == CC ? "cc" : "iw"),
			       "select") ||
		    !ASSERT_OK(wire_sk_connect(c, fd), "connect") ||
		    !ASSERT_OK(wire_accept(c, in ? in->opt : NULL,
					   in ? in->opt[1] : 0, &syn), "accept"))
			break;
		st = state_of(fd);
		if (!in) {
			base = st;
			ASSERT_EQ(all_ignored(), before, "no answer");
		} else {
			ASSERT_EQ(*ignored(in->use), before + 1, in->what);
			ASSERT_OK(memcmp(&st, &base, sizeof(st)), in->what);
		}
		bytes(c, fd);
		close(fd);
	}
	memset(&skel.cc->data_cc->cc_wanted, 0, sizeof(struct cc_name));
	skel.iw->data_iw->iw_config.want = 0;
}

static void test_good(struct wire *w, struct wire_conn *c, int lfd)
{
	struct conn_state st;
	int i, fd;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		__u64 applied = all_applied(), sum = all_ignored();
		int family = good[i].use != TOA ? 0 :
			     is_v6(&good[i]) ? AF_INET6 : AF_INET;

		fd = connection(w, c, lfd, &good[i]);
		if (fd < 0)
			return;
		st = state_of(fd);
		ASSERT_EQ(all_applied(), applied + 1, good[i].what);
		ASSERT_EQ(all_ignored(), sum, good[i].what);
		ASSERT_EQ(st.user_timeout, good[i].use == UTO ? 9000 : 0, "uto");
		ASSERT_STREQ(st.cc, good[i].use == CC ? GOOD_CC : untouched.cc,
			     "cc");
		ASSERT_EQ(st.cwnd, good[i].use == IW ? 5 : 10, "iw");
		ASSERT_EQ(st.delack_segs, good[i].use == DELACK ? 5 : 2, "delack");
		if (good[i].use == DELACK)
			ASSERT_LT(st.delack_us, 200000, "delack");
		ASSERT_EQ(st.client.family, family, good[i].what);
		ASSERT_EQ(st.client.port, family ? htons(0x102) : 0, "port");
		bytes(c, fd);
		close(fd);
	}
}

static void run(int family, const char *what)
{
	struct extopt_prefix everyone = {};
	struct netns_obj *netns;
	struct wire_conn c = {};
	int lfd = -1, fd, i;
	struct wire w;

	netns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;
	if (!ASSERT_OK(wire_open(&w, family, 0), "wire_open"))
		goto free;
	lfd = wire_sk(&w);
	if (!ASSERT_OK_FD(lfd, "listener") ||
	    !ASSERT_OK(extopt_select(lfd, NAMES), "select") ||
	    all_trust(&everyone) || all_allow_cc(GOOD_CC) ||
	    all_allow_cc(OTHER_CC))
		goto close;
	wire_conn_init(&c, &w, wire_sk_listen(&w, lfd));
	fd = connection(&w, &c, lfd, NULL);
	if (fd < 0)
		goto close;
	untouched = state_of(fd);
	ASSERT_NEQ(strcmp(untouched.cc, GOOD_CC), 0, "not the default");
	close(fd);

	if (!strcmp(what, "good")) {
		test_good(&w, &c, lfd);
	} else if (!strcmp(what, "later")) {
		test_later(&w, &c, lfd);
	} else if (!strcmp(what, "synack")) {
		test_synack(&w, &c, lfd);
	} else {
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			check(&w, &c, lfd, &bad[i]);
	}
close:
	if (lfd >= 0)
		close(lfd);
	wire_close(&w);
free:
	netns_free(netns);
}

void serial_test_extopt_input(void)
{
	static const char * const tests[] = { "good", "bad", "later", "synack" };
	char name[32];
	int i, v6;

	if (all_open())
		return;
	/* What comes in is all there is. */
	skel.uto->data_uto->uto_config.adv = 0;
	skel.uto->data_uto->uto_config.lower = 1;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i],
				 v6 ? 6 : 4);
			if (test__start_subtest(name))
				run(v6 ? AF_INET6 : AF_INET, tests[i]);
		}
	}
	all_close();
}
