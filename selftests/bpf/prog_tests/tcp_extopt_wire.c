// SPDX-License-Identifier: GPL-2.0

/* TCP extension options on the wire: the kernel's segments byte by byte, and
 * what becomes of segments made by hand. The peer is tcp_wire.h's.
 */

#include <pthread.h>
#include <linux/sock_diag.h>
#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "tcp_wire.h"
#include "progs/tcp_extopt.h"
#include "tcp_extopt.skel.h"
#include "tcp_extopt_wire.skel.h"

#define NS_NAME		"tcp_extopt_wire"
#define CG_NAME		"/tcp-extopt-wire"
#define EMPTY		0x100		/* TCP_EXTOPT_EMPTY */
#define BULK		100000
#define NR_HELD		3
#define HOLD_MS		10000		/* tcp_extopt_wire.c's */
#define OPT_RAW		EXTOPT_NR
#define OPT_HOLD	(EXTOPT_NR + 1)
#define NR_OPTS		(EXTOPT_NR + 2)

/* opt_0 with a value */
#define E0(...)		254, 4 + sizeof((__u8[]){ __VA_ARGS__ }), 0xeb, 0x90, \
			__VA_ARGS__
#define E0_NONE		254, 4, 0xeb, 0x90

struct link {
	struct wire w;
	struct wire_conn c;
	int lfd, fd;
	int port;
};

static struct tcp_extopt *skel;
static struct tcp_extopt_wire *own;
static struct bpf_link *links[NR_OPTS];
static int cg_fd;

static struct bpf_map *opt_map(int nr)
{
	char name[16];

	if (nr == OPT_RAW)
		return own->maps.opt_raw;
	if (nr == OPT_HOLD)
		return own->maps.opt_hold;
	if (nr == EXTOPT_UPDATE)
		return skel->maps.opt_update;
	snprintf(name, sizeof(name), "opt_%d", nr);
	return bpf_object__find_map_by_name(skel->obj, name);
}

static int reg(int nr)
{
	links[nr] = bpf_map__attach_struct_ops(opt_map(nr));
	return ASSERT_OK_PTR(links[nr], "attach") ? 0 : -1;
}

static void unreg(int nr)
{
	bpf_link__destroy(links[nr]);
	links[nr] = NULL;
}

/* What an option is to write, len 0 for none */
static struct extopt_state *set_opt(int nr, int len, __u8 fill)
{
	struct extopt_state *st = &skel->bss->opts[nr];

	st->len = len == EMPTY ? 0 : len;
	st->ret = len == EMPTY ? EMPTY : 0;
	st->fill = fill;
	return st;
}

/* The counts of one of a socket's options */
static struct tcp_extopt_info counts(int fd, int nr)
{
	struct tcp_extopt_info none = {};
	struct extopt_list list;
	char name[16];
	int i;

	snprintf(name, sizeof(name), nr == OPT_RAW ? "opt_raw" : "opt_%d", nr);
	if (!ASSERT_OK(extopt_get(fd, &list), "TCP_EXTOPT"))
		return none;
	for (i = 0; i < list.head.count; i++)
		if (!strcmp(list.info[i].name, name))
			return list.info[i];
	return none;
}

static int set_sysctl(const char *name, const char *val)
{
	return ASSERT_OK(extopt_sysctl(name, val), name) ? 0 : -1;
}

static struct wire_optid optid(int nr)
{
	if (nr == 0)
		return WIRE_EXID16(254, 0xeb90);
	if (nr == 1)
		return WIRE_EXID32(253, 0xeb91eb91);
	return WIRE_KIND(64 + nr);
}

/* How many options are not the kernel's */
static int nr_ext(const struct wire_seg *seg)
{
	int kind, nr = 0;

	for (kind = 66; kind <= 73; kind++)
		nr += wire_opt_count(seg, WIRE_KIND(kind));
	return nr + wire_opt_count(seg, WIRE_KIND(253)) +
	       wire_opt_count(seg, WIRE_KIND(254));
}

/* An option as it has to be on the wire */
static int put_opt(__u8 *to, int nr, int len, __u8 fill)
{
	static const __u8 exid16[] = { 0xeb, 0x90 };
	static const __u8 exid32[] = { 0xeb, 0x91, 0xeb, 0x91 };
	int i, n = 2;

	if (nr == 0) {
		to[0] = 254;
		memcpy(to + 2, exid16, 2);
		n += 2;
	} else if (nr == 1) {
		to[0] = 253;
		memcpy(to + 2, exid32, 4);
		n += 4;
	} else {
		to[0] = 64 + nr;
	}
	for (i = 0; i < len; i++)
		to[n++] = fill + i;
	to[1] = n;
	return n;
}

/* All options but a timestamp, byte by byte */
static void check_bytes(struct link *l, const struct wire_seg *seg,
			const __u8 *want, int len, const char *what)
{
	int skip = l->c.ts ? 12 : 0;
	__u8 padded[WIRE_OPT_MAX + 4];

	memcpy(padded, want, len);
	while (len % 4)
		padded[len++] = WIRE_OPT_NOP;
	ASSERT_EQ(seg->has_ts, l->c.ts, what);
	if (!ASSERT_EQ(seg->opt_len, skip + len, what) ||
	    !ASSERT_OK(memcmp(seg->opt + skip, padded, len), what))
		wire_dump(seg);
	ASSERT_OK(wire_opt_check(seg), what);
}

/* One option with this value, or without it */
static bool check_opt(const struct wire_seg *seg, int nr, int len, __u8 fill,
		      const char *what)
{
	const __u8 *val;
	int i, vlen = 0;

	if (!ASSERT_OK(wire_opt_check(seg), what) ||
	    !ASSERT_EQ(wire_opt_count(seg, optid(nr)), 1, what))
		return false;
	val = wire_opt_find(seg, optid(nr), 0, &vlen);
	if (!ASSERT_EQ(vlen, len, what))
		return false;
	for (i = 0; i < len; i++)
		if (!ASSERT_EQ(val[i], (__u8)(fill + i), what))
			return false;
	return true;
}

/* The kernel's end is the child of a listener that has the options. */
static int establish(struct link *l, const char *names,
		     struct wire_seg *synack)
{
	const int one = 1;

	if (!ASSERT_OK(extopt_select(l->lfd, names), "select") ||
	    !ASSERT_OK(wire_connect(&l->c, NULL, 0, synack), "connect"))
		return -1;
	l->fd = accept(l->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(l->fd, "accept") ||
	    !ASSERT_OK(settimeo(l->fd, WIRE_TIMEOUT_MS), "settimeo") ||
	    !ASSERT_OK(setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one,
				  sizeof(one)), "TCP_NODELAY"))
		return -1;
	return 0;
}

/* Ready for the next connection on the same wire */
static void again(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	wire_conn_init(&l->c, &l->w, l->port);
}

static int kernel_reads(struct link *l, const void *want, int len,
			const char *what)
{
	__u8 in[2048];

	if (!ASSERT_EQ(recv(l->fd, in, len, MSG_WAITALL), len, what) ||
	    !ASSERT_OK(memcmp(in, want, len), what))
		return -1;
	return 0;
}

/* A byte with nothing; what was sent before it has been processed by then. */
static int sync_peer(struct link *l)
{
	static __u8 byte;

	byte++;
	if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = &byte,
				 .len = 1), "send"))
		return -1;
	return kernel_reads(l, &byte, 1, "sync");
}

/* Data of the kernel's, acknowledged */
static int kernel_sends(struct link *l, int len, struct wire_seg *seg)
{
	__u8 out[64] = {};

	if (!ASSERT_EQ(send(l->fd, out, len, 0), len, "kernel send") ||
	    !ASSERT_OK(wire_recv_data(&l->c, seg), "data") ||
	    !ASSERT_EQ(seg->len, len, "data length") ||
	    !ASSERT_OK(wire_ack(&l->c), "ACK"))
		return -1;
	return 0;
}

/* A pure ACK of the kernel's */
static int kernel_acks(struct link *l, struct wire_seg *seg)
{
	if (sync_peer(l) || !ASSERT_OK(wire_recv_ack(&l->c, seg), "ACK") ||
	    !ASSERT_EQ(seg->len, 0, "pure ACK"))
		return -1;
	return 0;
}

static void wait_unacked(int fd, unsigned int want)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);
	int i;

	for (i = 0; i < WIRE_TIMEOUT_MS; i++) {
		if (getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len) ||
		    info.tcpi_unacked == want)
			break;
		usleep(1000);
	}
	ASSERT_EQ(info.tcpi_unacked, want, "unacked");
}

/* 1. Layout */

static const __u8 bytes_all[] = {
	253, 8, 0xeb, 0x91, 0xeb, 0x91, 0x11, 0x12,
	254, 8, 0xeb, 0x90, 0xf0, 0xf1, 0xf2, 0xf3,
	71, 2, 70, 3, 0x61, 1, 1, 1,
};

/* Kind, length, ExID, value, order of selection, padding */
static void test_layout(struct link *l)
{
	struct wire_seg seg, synack;
	__u8 want[WIRE_OPT_MAX];
	int len, n, i;

	set_opt(1, 2, 0x11);
	set_opt(6, 1, 0x61);
	set_opt(7, EMPTY, 0);
	/* Not in this order */
	if (reg(6) || reg(0) || reg(7) || reg(1) ||
	    establish(l, "opt_1 opt_0 opt_7 opt_6", &synack))
		return;
	ASSERT_EQ(nr_ext(&synack), 0, "SYN-ACK");

	set_opt(0, 4, 0xf0);
	if (kernel_sends(l, 1, &seg))
		return;
	check_bytes(l, &seg, bytes_all, sizeof(bytes_all), "constant");

	for (len = -1; len <= 4; len++) {
		set_opt(0, len ?: EMPTY, 0x40 + 8 * len);
		if (len < 0)
			set_opt(0, 0, 0);
		n = put_opt(want, 1, 2, 0x11);
		if (len >= 0)
			n += put_opt(want + n, 0, len, 0x40 + 8 * len);
		n += put_opt(want + n, 7, 0, 0);
		n += put_opt(want + n, 6, 1, 0x61);

		if (kernel_sends(l, 10, &seg))
			return;
		check_bytes(l, &seg, want, n, "data");
		if (kernel_acks(l, &seg))
			return;
		check_bytes(l, &seg, want, n, "pure ACK");
	}

	/* A challenge ACK is one as any other. */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_SYN,
			    .seq = WIRE_SEQ(l->c.snd_nxt)), "SYN");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "challenge"))
		return;
	check_bytes(l, &seg, want, n, "challenge ACK");

	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		return;
	check_bytes(l, &seg, want, n, "FIN");
	for (i = 0; i < EXTOPT_NR; i++)
		ASSERT_EQ(skel->bss->opts[i].dirty, 0, "zeroed");
}

/* All 40 bytes */
static void test_layout_bare(struct link *l)
{
	__u8 want[WIRE_OPT_MAX + 2];
	struct wire_seg seg;
	int len, n;

	l->c.ts = false;
	set_opt(2, 38, 0x80);
	if (reg(2) || establish(l, "opt_2", NULL))
		return;
	for (len = 38; len > 0; len -= len > 36 ? 1 : 7) {
		set_opt(2, len, 0x80 + len);
		n = put_opt(want, 2, len, 0x80 + len);
		if (kernel_sends(l, 10, &seg))
			return;
		check_bytes(l, &seg, want, n, "data");
		if (kernel_acks(l, &seg))
			return;
		check_bytes(l, &seg, want, n, "pure ACK");
	}
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		check_bytes(l, &seg, want, n, "FIN");
}

/* What was not asked for is not there. */
static void test_types(struct link *l)
{
	const int zero = 0;
	__u8 want[WIRE_OPT_MAX];
	struct wire_seg seg;
	int i, n;

	for (i = 3; i <= 5; i++) {
		set_opt(i, 1, 0x10 * i);
		if (reg(i))
			return;
	}
	if (establish(l, "opt_3 opt_4 opt_5", NULL) || kernel_sends(l, 5, &seg))
		return;
	n = put_opt(want, 3, 1, 0x30);
	check_bytes(l, &seg, want, n, "data");
	if (kernel_acks(l, &seg))
		return;
	n = put_opt(want, 4, 1, 0x40);
	check_bytes(l, &seg, want, n, "pure ACK");
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		return;
	n = put_opt(want, 5, 1, 0x50);
	check_bytes(l, &seg, want, n, "FIN");

	/* FIN on data: both, not the ACK's */
	again(l);
	if (establish(l, "opt_3 opt_4 opt_5", NULL))
		return;
	ASSERT_OK(setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &zero,
			     sizeof(zero)), "TCP_NODELAY");
	ASSERT_EQ(send(l->fd, "last", 4, MSG_MORE), 4, "send");
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		return;
	ASSERT_EQ(seg.len, 4, "data on FIN");
	n = put_opt(want, 3, 1, 0x30);
	n += put_opt(want + n, 5, 1, 0x50);
	check_bytes(l, &seg, want, n, "FIN with data");

	ASSERT_EQ(skel->bss->opts[3].write_segments & EXTOPT_DATA, EXTOPT_DATA,
		  "data");
	ASSERT_EQ(skel->bss->opts[4].write_segments, EXTOPT_ACK, "ACK");
	ASSERT_EQ(skel->bss->opts[5].write_segments, EXTOPT_FIN | EXTOPT_DATA,
		  "FIN");
}

static void check_none(struct link *l, const struct wire_seg *seg,
		       const char *what)
{
	if (!ASSERT_EQ(nr_ext(seg), 0, what) ||
	    !ASSERT_EQ(seg->opt_len, seg->has_ts ? 12 : 0, what))
		wire_dump(seg);
}

/* An abortive close, in both ways to cause one */
static void test_rst(struct link *l)
{
	struct linger linger = { .l_onoff = 1 };
	struct extopt_state *st;
	struct wire_seg seg;
	__u64 calls;
	int i;

	st = set_opt(0, 4, 0x20);
	if (reg(0))
		return;
	for (i = 0; i < 2; i++) {
		if (establish(l, "opt_0", NULL) || kernel_sends(l, 5, &seg) ||
		    !check_opt(&seg, 0, 4, 0x20, "data"))
			return;
		wait_unacked(l->fd, 0);
		if (i) {
			ASSERT_OK(setsockopt(l->fd, SOL_SOCKET, SO_LINGER,
					     &linger, sizeof(linger)),
				  "SO_LINGER");
		} else if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
						.data = "unread", .len = 6),
				      "send") ||
			   !ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK")) {
			return;
		}
		calls = st->write_calls;
		close(l->fd);
		l->fd = -1;
		if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_RST), "RST"))
			return;
		check_none(l, &seg, "RST");
		ASSERT_EQ(st->write_calls, calls, "not called");
		again(l);
	}
}

static void test_timewait(struct link *l)
{
	struct wire_seg seg;
	__u32 fin;

	set_opt(0, 4, 0x20);
	if (reg(0) || establish(l, "opt_0", NULL))
		return;
	close(l->fd);
	l->fd = -1;
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN") ||
	    !check_opt(&seg, 0, 4, 0x20, "FIN"))
		return;
	fin = l->c.snd_nxt;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_FIN | WIRE_ACK), "send FIN");
	/* Which may be of FIN_WAIT_2 in a time-wait socket, or TIME_WAIT */
	if (!ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK of FIN"))
		return;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_FIN | WIRE_ACK,
			    .seq = &fin), "FIN again");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK again"))
		return;
	ASSERT_EQ(seg.flags, WIRE_ACK, "flags");
	ASSERT_EQ(seg.ack, fin + 1, "ack");
	check_none(l, &seg, "TIME_WAIT");
}

/* Keepalives and zero window probes: the peer discards them. */
static void test_probes(struct link *l)
{
	struct extopt_state *st;
	const int one = 1;
	struct wire_seg seg;
	__u64 calls;
	__u32 nxt;

	st = set_opt(0, 4, 0x20);
	if (reg(0) || establish(l, "opt_0", NULL) || kernel_sends(l, 5, &seg) ||
	    !check_opt(&seg, 0, 4, 0x20, "data"))
		return;
	wait_unacked(l->fd, 0);
	nxt = l->c.rcv_nxt;
	calls = st->write_calls;
	ASSERT_OK(setsockopt(l->fd, IPPROTO_TCP, TCP_KEEPIDLE, &one,
			     sizeof(one)), "TCP_KEEPIDLE");
	ASSERT_OK(setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one,
			     sizeof(one)), "SO_KEEPALIVE");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "keepalive"))
		return;
	ASSERT_EQ(seg.seq, nxt - 1, "keepalive's seq");
	ASSERT_EQ(seg.len, 0, "keepalive's length");
	check_none(l, &seg, "keepalive");
	ASSERT_EQ(st->write_calls, calls, "not called");

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .wnd = WIRE_WND(0)),
		  "zero window");
	if (sync_peer(l))
		return;
	/* Which opened it again */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .wnd = WIRE_WND(0)),
		  "zero window");
	ASSERT_EQ(send(l->fd, "queued", 6, 0), 6, "send");
	do {
		if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS),
			       "window probe"))
			return;
		if (!ASSERT_EQ(seg.len, 0, "probe's length"))
			return;
	} while (seg.seq != nxt - 1);
	check_none(l, &seg, "window probe");

	/* And back with the data */
	ASSERT_OK(wire_ack(&l->c), "open window");
	if (ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
		check_opt(&seg, 0, 4, 0x20, "data");
}

/* 2. Retransmission */

/* Sent again: same numbers and bytes, what write says now */
static void check_again(const struct wire_seg *first,
			const struct wire_seg *again, __u8 fill)
{
	ASSERT_EQ(again->seq, first->seq, "seq");
	if (ASSERT_EQ(again->len, first->len, "length"))
		ASSERT_OK(memcmp(again->data, first->data, first->len),
			  "bytes");
	ASSERT_EQ(again->flags & WIRE_FIN, first->flags & WIRE_FIN, "FIN");
	check_opt(again, 0, 4, fill, "again");
}

static void do_retrans(struct link *l, const char *early, const char *counter)
{
	struct wire_seg first, seg;
	long before;

	if (set_sysctl("tcp_early_retrans", early))
		return;
	set_opt(0, 4, 0x20);
	if (establish(l, "opt_0", NULL) || kernel_sends(l, 5, &seg))
		return;
	wait_unacked(l->fd, 0);
	before = extopt_netstat(counter);
	ASSERT_EQ(send(l->fd, "lost data", 9, 0), 9, "send");
	if (!ASSERT_OK(wire_recv_data(&l->c, &first), "first"))
		return;
	/* Slow enough, and something came already: tell them by value. */
	check_opt(&first, 0, 4, 0x20, "first");
	set_opt(0, 4, 0x90);
	do {
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "again"))
			return;
	} while (*wire_opt_find(&seg, optid(0), 0, NULL) == 0x20);
	check_again(&first, &seg, 0x90);
	ASSERT_GT(extopt_netstat(counter), before, counter);

	set_opt(0, 4, 0xa0);
	do {
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "third"))
			return;
	} while (*wire_opt_find(&seg, optid(0), 0, NULL) == 0x90);
	check_again(&first, &seg, 0xa0);

	ASSERT_OK(wire_ack(&l->c), "ACK");
	wait_unacked(l->fd, 0);

	/* FIN, likewise */
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &first, WIRE_FIN), "FIN"))
		return;
	set_opt(0, 4, 0xb0);
	do {
		if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "again"))
			return;
	} while (*wire_opt_find(&seg, optid(0), 0, NULL) == 0xa0);
	check_again(&first, &seg, 0xb0);
}

static void test_retrans_rto(struct link *l)
{
	if (!reg(0))
		do_retrans(l, "0", "TCPTimeouts");
}

static void test_retrans_tlp(struct link *l)
{
	if (!reg(0))
		do_retrans(l, "3", "TCPLossProbes");
}

static void put32(__u8 *p, __u32 val)
{
	val = htonl(val);
	memcpy(p, &val, 4);
}

static __u32 get32(const __u8 *p)
{
	__u32 val;

	memcpy(&val, p, 4);
	return ntohl(val);
}

/* What SACK says is lost */
static void test_retrans_sack(struct link *l)
{
	__u8 sack[12] = { 1, 1, 5, 10 };
	struct wire_seg first, seg;
	long before;
	__u32 una;
	int i;

	set_opt(0, 4, 0x20);
	if (reg(0) || establish(l, "opt_0", NULL) || kernel_sends(l, 5, &seg))
		return;
	wait_unacked(l->fd, 0);
	una = l->c.rcv_nxt;
	before = extopt_netstat("TCPFastRetrans");
	for (i = 0; i < 6; i++) {
		ASSERT_EQ(send(l->fd, "0123456789", 10, 0), 10, "send");
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
			return;
		if (!i)
			first = seg;
	}
	set_opt(0, 4, 0x90);
	put32(sack + 4, una + 10);
	for (i = 2; i <= 6; i++) {
		put32(sack + 8, una + 10 * i);
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .ack = &una,
				    .opt = sack, .opt_len = sizeof(sack)),
			  "SACK");
	}
	if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "again"))
		return;
	check_again(&first, &seg, 0x90);
	ASSERT_EQ(extopt_netstat("TCPFastRetrans"), before + 1,
		  "TCPFastRetrans");
	ASSERT_OK(wire_ack(&l->c), "ACK");
	wait_unacked(l->fd, 0);
}

/* 3. Room */

/* All blocks of the holes, newest first, as many as there is room for */
static void check_sack(struct link *l, const struct wire_seg *seg, int holes,
		       __u32 base)
{
	int max = l->c.ts ? 3 : 4, nr = holes < max ? holes : max;
	const __u8 *val;
	int i, len = 0;

	ASSERT_OK(wire_opt_check(seg), "options");
	val = wire_opt_find(seg, WIRE_KIND(WIRE_OPT_SACK), 0, &len);
	if (!nr) {
		ASSERT_NULL(val, "SACK");
		return;
	}
	if (!ASSERT_OK_PTR(val, "SACK") ||
	    !ASSERT_EQ(len, 8 * nr, "SACK length"))
		return;
	for (i = 0; i < nr; i++) {
		__u32 left = base + 20 * (holes - i) - 10;

		ASSERT_EQ(get32(val + 8 * i), left, "left edge");
		ASSERT_EQ(get32(val + 8 * i + 4), left + 10, "right edge");
	}
}

static void do_room(struct link *l, bool ts)
{
	int holes, max = ts ? 2 : 3, no_room = 0;
	__u8 data[100], out[5000] = {};
	struct tcp_extopt_info info;
	struct wire_seg seg;
	__u32 base;
	int got, i;

	l->c.ts = ts;
	set_opt(0, 4, 0x20);
	for (i = 0; i < sizeof(data); i++)
		data[i] = i + 1;
	if (establish(l, "opt_0", NULL) || kernel_acks(l, &seg) ||
	    !check_opt(&seg, 0, 4, 0x20, "before"))
		return;

	base = l->c.snd_nxt;
	for (holes = 1; holes <= 5; holes++) {
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
				    .seq = WIRE_SEQ(base + 20 * holes - 10),
				    .data = data + 20 * holes - 10, .len = 10),
			  "send");
		if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
			return;
		ASSERT_EQ(seg.len, 0, "pure ACK");
		check_sack(l, &seg, holes, base);
		if (holes <= max)
			check_opt(&seg, 0, 4, 0x20, "beside SACK");
		else
			ASSERT_EQ(nr_ext(&seg), 0, "no room");
		no_room += holes > max;
		info = counts(l->fd, 0);
		ASSERT_EQ(info.no_room, no_room, "no_room");

		/* Full segments take SACK along, and the option if they can. */
		ASSERT_EQ(send(l->fd, out, sizeof(out), 0), sizeof(out),
			  "kernel send");
		for (got = 0; got < sizeof(out); got += seg.len) {
			if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
				return;
			check_sack(l, &seg, holes, base);
			ASSERT_LE(seg.pkt_len, l->w.mtu, "packet");
			if (holes <= max)
				check_opt(&seg, 0, 4, 0x20, "data with SACK");
			else
				ASSERT_EQ(nr_ext(&seg), 0, "no room on data");
		}
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .seq = &base),
			  "ACK");
		wait_unacked(l->fd, 0);
		info = counts(l->fd, 0);
		if (holes > max)
			ASSERT_GT(info.no_room, no_room, "no_room on data");
		else
			ASSERT_EQ(info.no_room, no_room, "room on data");
		no_room = info.no_room;
	}
	ASSERT_EQ(extopt_netstat("TCPExtOptNoRoom"), no_room,
		  "TCPExtOptNoRoom");

	/* Fill them from the left, the option comes back on the way. */
	for (holes = 4; holes >= 0; holes--) {
		int nr = 4 - holes;

		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
				    .seq = WIRE_SEQ(base + 20 * nr),
				    .data = data + 20 * nr, .len = 10), "send");
		if (!ASSERT_OK(wire_recv_until(&l->c, &seg, .ack =
					       WIRE_SEQ(base + 20 * (nr + 1))),
			       "ACK"))
			return;
		/* The blocks keep their order, the oldest one is gone. */
		i = wire_opt_count(&seg, WIRE_KIND(WIRE_OPT_SACK));
		ASSERT_EQ(i, holes ? 1 : 0, "SACK");
		if (holes <= max)
			check_opt(&seg, 0, 4, 0x20, "back");
		else
			ASSERT_EQ(nr_ext(&seg), 0, "still no room");
	}
	l->c.snd_nxt = base + sizeof(data);
	kernel_reads(l, data, sizeof(data), "bytes");
	if (!kernel_acks(l, &seg))
		check_opt(&seg, 0, 4, 0x20, "after");
}

static void test_room(struct link *l)
{
	if (reg(0))
		return;
	do_room(l, true);
	again(l);
}

static void test_room_no_ts(struct link *l)
{
	if (reg(0))
		return;
	do_room(l, false);
	again(l);
}

/* 4. MTU */

struct bulk {
	__u32 total;
	int mtu;
	int nr;			/* the option on each segment; -1: none */
	int len;
	__u8 fill;
	bool may_miss;		/* or not on each */
	/* results */
	int nr_seg, nr_full, nr_opt, max_pkt, max_len;
};

static __u8 stream_byte(__u32 pos)
{
	return (pos * 2654435761u) >> 24;
}

static bool bulk_seg(struct link *l, const struct wire_seg *seg, __u32 start,
		     struct bulk *b)
{
	int i;

	for (i = 0; i < seg->len; i++) {
		__u32 pos = seg->seq + i - start;

		if (seg->data[i] != stream_byte(pos)) {
			ASSERT_EQ(pos, -1, "wrong byte");
			return false;
		}
	}
	b->nr_seg++;
	b->nr_full += seg->pkt_len == b->mtu;
	if (b->max_pkt < seg->pkt_len)
		b->max_pkt = seg->pkt_len;
	if (b->max_len < seg->len)
		b->max_len = seg->len;
	if (!ASSERT_LE(seg->pkt_len, b->mtu, "packet") ||
	    !ASSERT_OK(wire_opt_check(seg), "options")) {
		wire_dump(seg);
		return false;
	}
	if (b->nr < 0)
		return ASSERT_EQ(nr_ext(seg), 0, "no option");
	if (!nr_ext(seg) && b->may_miss)
		return true;
	b->nr_opt++;
	return check_opt(seg, b->nr, b->len, b->fill, "bulk");
}

/* Have the kernel send, from position sent of the stream that starts at start */
static int bulk(struct link *l, __u32 start, __u32 sent, struct bulk *b)
{
	__u8 buf[16384];
	struct wire_seg seg;
	int i, n;

	while (l->c.rcv_nxt - start < b->total) {
		while (sent < b->total) {
			n = b->total - sent < sizeof(buf) ? b->total - sent :
							    sizeof(buf);
			for (i = 0; i < n; i++)
				buf[i] = stream_byte(sent + i);
			n = send(l->fd, buf, n, MSG_DONTWAIT);
			if (n < 0 && errno == EAGAIN)
				break;
			if (!ASSERT_GT(n, 0, "kernel send"))
				return -1;
			sent += n;
		}
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "bulk") ||
		    !bulk_seg(l, &seg, start, b) ||
		    !ASSERT_OK(wire_ack(&l->c), "ACK"))
			return -1;
	}
	wait_unacked(l->fd, 0);
	return ASSERT_EQ(l->c.rcv_nxt - start, b->total, "bytes") ? 0 : -1;
}

#define BULK_OPT(l, ts)	{ .total = BULK, .mtu = (l)->w.mtu,	\
			  .nr = (ts) ? 3 : 2, .len = (ts) ? 26 : 38,	\
			  .fill = 0x30 }
#define BULK_NONE(l)	{ .total = BULK, .mtu = (l)->w.mtu, .nr = -1 }

static void do_mtu(struct link *l, bool ts)
{
	struct bulk b = BULK_OPT(l, ts), none = BULK_NONE(l);
	const char *name = ts ? "opt_3" : "opt_2";
	struct extopt_state *st;
	struct wire_seg seg;

	st = set_opt(b.nr, b.len, b.fill);
	memset(st, 0, sizeof(*st));
	st = set_opt(b.nr, b.len, b.fill);
	l->c.ts = ts;
	if (establish(l, name, NULL) || bulk(l, l->c.rcv_nxt, 0, &b))
		return;
	ASSERT_GT(b.nr_full, 10, "packets as large as the MTU");
	ASSERT_EQ(b.nr_opt, b.nr_seg, "option on each");
	ASSERT_EQ(b.max_len, b.mtu - wire_ip_hlen(&l->w) - 60, "payload");
	ASSERT_EQ(counts(l->fd, b.nr).no_room, 0, "no_room");
	/* Or this says nothing about TSO */
	ASSERT_LT(st->write_calls, b.nr_seg, "several segments of one skb");

	/* Removed: back to full segments */
	ASSERT_OK(extopt_select(l->fd, ""), "unselect");
	if (bulk(l, l->c.rcv_nxt, 0, &none))
		return;
	ASSERT_GT(none.nr_full, 10, "packets as large as the MTU");
	ASSERT_EQ(none.max_len, b.mtu - wire_ip_hlen(&l->w) - (ts ? 32 : 20),
		  "full payload");
	kernel_sends(l, 1, &seg);
}

static void test_mtu(struct link *l)
{
	int small = l->w.family == AF_INET ? 576 : 1280;

	if (reg(2) || reg(3))
		return;
	do_mtu(l, true);
	again(l);
	do_mtu(l, false);
	again(l);
	if (!ASSERT_OK(wire_set_mtu(&l->w, small), "set_mtu"))
		return;
	wire_log_clear(&l->w);
	again(l);
	do_mtu(l, true);
	again(l);
	do_mtu(l, false);
	again(l);
}

/* A peer whose MSS hardly leaves anything */
static void test_tiny_mss(struct link *l)
{
	struct bulk b = BULK_OPT(l, true);

	l->c.mss = 64;
	b.total = 1000;
	b.mtu = wire_ip_hlen(&l->w) + 20 + 64;
	set_opt(3, 26, 0x30);
	if (reg(3) || establish(l, "opt_3", NULL) ||
	    bulk(l, l->c.rcv_nxt, 0, &b))
		return;
	ASSERT_EQ(b.max_len, 64 - 40, "payload");
	ASSERT_EQ(b.nr_opt, b.nr_seg, "option on each");
}

/* Selected, or removed, while data of another size is queued */
static void do_queued(struct link *l, bool ts)
{
	struct bulk b = BULK_OPT(l, ts), none = BULK_NONE(l);
	const char *name = ts ? "opt_3" : "opt_2";
	__u8 buf[30000];
	__u32 start;
	int i;

	set_opt(b.nr, b.len, b.fill);
	l->c.ts = ts;
	if (establish(l, "", NULL))
		return;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = stream_byte(i);

	start = l->c.rcv_nxt;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "x", .len = 1,
			    .wnd = WIRE_WND(0)), "zero window");
	if (kernel_reads(l, "x", 1, "sync"))
		return;
	ASSERT_EQ(send(l->fd, buf, sizeof(buf), 0), sizeof(buf), "queue");
	ASSERT_OK(extopt_select(l->fd, name), "select");
	ASSERT_OK(wire_ack(&l->c), "open window");
	if (bulk(l, start, sizeof(buf), &b))
		return;
	ASSERT_EQ(b.nr_opt, b.nr_seg, "option on each");
	ASSERT_GT(b.nr_full, 10, "packets as large as the MTU");

	start = l->c.rcv_nxt;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "x", .len = 1,
			    .wnd = WIRE_WND(0)), "zero window");
	if (kernel_reads(l, "x", 1, "sync"))
		return;
	ASSERT_EQ(send(l->fd, buf, sizeof(buf), 0), sizeof(buf), "queue");
	ASSERT_OK(extopt_select(l->fd, ""), "unselect");
	ASSERT_OK(wire_ack(&l->c), "open window");
	if (bulk(l, start, sizeof(buf), &none))
		return;
	ASSERT_GT(none.nr_full, 10, "packets as large as the MTU");
}

static void test_queued(struct link *l)
{
	if (reg(2) || reg(3))
		return;
	do_queued(l, true);
	again(l);
	do_queued(l, false);
	again(l);
}

/* Selected while full segments are in flight, which then have to go again */
static void test_in_flight(struct link *l)
{
	struct bulk b = BULK_OPT(l, true), none = BULK_NONE(l);
	__u8 buf[8000];
	struct wire_seg seg;
	__u32 start;
	int i, got;

	/* Nothing before the RTO, that is while the option is selected */
	set_opt(b.nr, b.len, b.fill);
	if (set_sysctl("tcp_early_retrans", "0") || reg(3) ||
	    establish(l, "", NULL))
		return;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = stream_byte(i);
	start = l->c.rcv_nxt;
	ASSERT_EQ(send(l->fd, buf, sizeof(buf), 0), sizeof(buf), "send");
	for (got = 0; got < sizeof(buf); got = l->c.rcv_nxt - start) {
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data") ||
		    !bulk_seg(l, &seg, start, &none))
			return;
	}
	ASSERT_GT(none.nr_full, 3, "packets as large as the MTU");
	/* Nothing of it arrived */
	l->c.rcv_nxt = start;
	ASSERT_OK(extopt_select(l->fd, "opt_3"), "select");
	b.total = sizeof(buf);
	if (bulk(l, start, sizeof(buf), &b))
		return;
	ASSERT_EQ(b.nr_opt, b.nr_seg, "option on each");
	ASSERT_GE(b.nr_full, 1, "packets as large as the MTU");
}

static __u16 csum(__u32 sum, const __u8 *p, int len)
{
	int i;

	for (i = 0; i < len; i++)
		sum += i % 2 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void put16(__u8 *p, __u16 val)
{
	p[0] = val >> 8;
	p[1] = val;
}

/* A router cannot forward this one */
static int send_too_big(struct link *l, const struct wire_seg *seg, int mtu)
{
	int hlen = wire_ip_hlen(&l->w), len = hlen + 8 + hlen + 8;
	__u8 pkt[128] = {}, *icmp = pkt + hlen;
	__u32 sum;

	memcpy(icmp + 8, seg->pkt, hlen + 8);
	if (l->w.family == AF_INET) {
		pkt[0] = 0x45;
		put16(pkt + 2, len);
		pkt[8] = 64;
		pkt[9] = IPPROTO_ICMP;
		memcpy(pkt + 12, l->w.peer_addr, 4);
		memcpy(pkt + 16, l->w.kernel_addr, 4);
		put16(pkt + 10, csum(0, pkt, hlen));
		icmp[0] = 3;
		icmp[1] = 4;
		put16(icmp + 6, mtu);
		put16(icmp + 2, csum(0, icmp, len - hlen));
	} else {
		pkt[0] = 0x60;
		put16(pkt + 4, len - hlen);
		pkt[6] = IPPROTO_ICMPV6;
		pkt[7] = 64;
		memcpy(pkt + 8, l->w.peer_addr, 16);
		memcpy(pkt + 24, l->w.kernel_addr, 16);
		icmp[0] = 2;
		put32(icmp + 4, mtu);
		sum = (__u16)~csum(IPPROTO_ICMPV6 + len - hlen, pkt + 8, 32);
		put16(icmp + 2, csum(sum, icmp, len - hlen));
	}
	return ASSERT_OK(wire_send_raw(&l->w, pkt, len), "ICMP") ? 0 : -1;
}

/* The path's MTU becomes smaller when data is in flight and more is queued. */
static void test_pmtu(struct link *l)
{
	struct bulk b = BULK_OPT(l, true);
	int i, small = l->w.family == AF_INET ? 1000 : 1280;
	__u8 buf[40000];
	struct wire_seg seg, lost;
	__u32 start, una = 0;

	set_opt(b.nr, b.len, b.fill);
	if (reg(3) || establish(l, "opt_3", NULL))
		return;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = stream_byte(i);
	start = l->c.rcv_nxt;
	ASSERT_EQ(send(l->fd, buf, sizeof(buf), 0), sizeof(buf), "send");
	for (i = 0; i < 5; i++) {
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data") ||
		    !bulk_seg(l, &seg, start, &b))
			return;
		lost = seg;
		if (i)
			continue;
		una = l->c.rcv_nxt;
		if (!ASSERT_OK(wire_ack(&l->c), "ACK"))
			return;
	}
	ASSERT_GT(b.nr_full, 3, "packets as large as the MTU");
	/* What was sent until now may be larger. */
	while (!wire_recv(&l->c, &seg, 100))
		;
	l->c.rcv_nxt = una;
	if (send_too_big(l, &lost, small))
		return;
	memset(&b.nr_seg, 0, sizeof(b) - offsetof(struct bulk, nr_seg));
	b.mtu = small;
	b.total = BULK;
	if (bulk(l, start, sizeof(buf), &b))
		return;
	ASSERT_GT(b.nr_full, 10, "packets as large as the MTU");
	ASSERT_EQ(b.nr_opt, b.nr_seg, "option on each");
}

/* While an option is on data the MTU is not probed: a probe would be without.
 * An option on other segments is no reason.
 */
static void test_mtu_probing(struct link *l)
{
	struct bulk b = BULK_OPT(l, true), none = BULK_NONE(l);

	if (set_sysctl("tcp_mtu_probing", "2"))
		return;
	b.total = 6 * BULK;
	none.total = 6 * BULK;
	set_opt(b.nr, b.len, b.fill);
	set_opt(4, 1, 0x40);
	if (reg(3) || reg(4) || establish(l, "opt_3 opt_4", NULL) ||
	    bulk(l, l->c.rcv_nxt, 0, &b))
		return;
	ASSERT_EQ(extopt_netstat("TCPMTUPSuccess"), 0, "probes with opt_3");
	ASSERT_EQ(extopt_netstat("TCPMTUPFail"), 0, "probes with opt_3");
	ASSERT_EQ(b.nr_opt, b.nr_seg, "option on each");

	ASSERT_OK(extopt_select(l->fd, "opt_4"), "select");
	if (bulk(l, l->c.rcv_nxt, 0, &none))
		return;
	ASSERT_GE(extopt_netstat("TCPMTUPSuccess"), 2, "probes with opt_4");
	ASSERT_GT(none.max_len, 1300, "payload");
}

/* Data with FIN of a length that leaves @room bytes below the MTU. It waits for
 * the window, for a full segment would not wait for the FIN.
 */
static int data_with_fin(struct link *l, const char *names, int room,
			 struct wire_seg *seg)
{
	int len = l->w.mtu - wire_ip_hlen(&l->w) - 32 - room;
	__u8 buf[WIRE_MTU] = {};

	again(l);
	if (establish(l, names, NULL))
		return -1;
	l->c.wnd = 0;
	if (sync_peer(l) ||
	    !ASSERT_EQ(send(l->fd, buf, len, 0), len, "kernel send") ||
	    !ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown"))
		return -1;
	l->c.wnd = 0xffff;
	if (!ASSERT_OK(wire_ack(&l->c), "open window") ||
	    !ASSERT_OK(wire_recv_until(&l->c, seg, .flags = WIRE_FIN), "FIN") ||
	    !ASSERT_EQ(seg->len, len, "data with FIN") ||
	    !ASSERT_LE(seg->pkt_len, l->w.mtu, "packet") ||
	    !ASSERT_OK(wire_opt_check(seg), "options"))
		return -1;
	return 0;
}

/* Nothing is reserved for an option that is on FIN only: it takes what happens
 * to be left, padding included, and nothing that others have reserved.
 */
static void test_fin_room(struct link *l)
{
	struct wire_seg seg;
	int room;

	set_opt(5, 1, 0x50);
	set_opt(3, 26, 0x30);
	set_opt(8, 1, 0x80);
	if (reg(3) || reg(5) || reg(8))
		return;
	for (room = 1; room <= 9; room++) {
		if (data_with_fin(l, "opt_5", room, &seg))
			return;
		if (room >= 4)
			check_opt(&seg, 5, 1, 0x50, "room");
		else
			ASSERT_EQ(nr_ext(&seg), 0, "no room");
		ASSERT_EQ(counts(l->fd, 5).no_room, room < 4, "no_room");
	}

	/* 28 bytes are what TCP has left with timestamps, opt_3 needs all. */
	if (data_with_fin(l, "opt_5 opt_3", 31, &seg))
		return;
	check_opt(&seg, 3, 26, 0x30, "reserved");
	ASSERT_EQ(nr_ext(&seg), 1, "opt_5");
	ASSERT_EQ(counts(l->fd, 5).no_room, 1, "no_room, opt_5");
	ASSERT_EQ(counts(l->fd, 3).no_room, 0, "no_room, opt_3");

	if (data_with_fin(l, "opt_5 opt_8", 8, &seg))
		return;
	check_opt(&seg, 5, 1, 0x50, "both");
	check_opt(&seg, 8, 1, 0x80, "both");
}

/* Segments made of one skb have the same options, and the last one the FIN:
 * there it would be alone.
 */
static void test_fin_tso(struct link *l)
{
	int mss = l->w.mtu - wire_ip_hlen(&l->w) - 32, total = 12 * mss;
	struct extopt_state *st = set_opt(5, 1, 0x50);
	static __u8 buf[12 * WIRE_MTU];
	struct wire_seg seg;
	int got;

	if (reg(5) || establish(l, "opt_5", NULL))
		return;
	/* Ten are the first window, two wait in one skb. */
	ASSERT_EQ(send(l->fd, buf, total, 0), total, "kernel send");
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	for (got = 0; got < total; got += seg.len) {
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
			return;
		ASSERT_EQ(seg.len, mss, "payload");
		ASSERT_EQ(nr_ext(&seg), 0, "no option");
		ASSERT_EQ(!!(seg.flags & WIRE_FIN), got + mss == total, "FIN");
		if (got + mss == 10 * mss)
			ASSERT_OK(wire_ack(&l->c), "ACK");
	}
	ASSERT_EQ(st->write_calls, 0, "not asked");
	ASSERT_EQ(counts(l->fd, 5).no_room, 0, "no_room");

	/* Alone it is a FIN like any other. */
	again(l);
	if (establish(l, "opt_5", NULL))
		return;
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	ASSERT_OK(wire_recv_until(&l->c, &seg, .flags = WIRE_FIN), "FIN");
	check_opt(&seg, 5, 1, 0x50, "FIN");
}

/* 5. Parse */

struct parse_case {
	const char *what;
	__u8 opt[28];
	__u8 opt_len;
	bool given;
	__u8 malformed;
	__u8 val_len;
	__u8 val[4];
	__u16 flags;
	bool may_drop;		/* by who looks for TCP-AO and TCP-MD5 */
};

#define GIVEN(...)	.given = true,					\
			.val_len = sizeof((__u8[]){ __VA_ARGS__ }),	\
			.val = { __VA_ARGS__ }
#define OPT(...)	.opt = { __VA_ARGS__ },				\
			.opt_len = sizeof((__u8[]){ __VA_ARGS__ })

static const struct parse_case parse_cases[] = {
	{ "right", OPT(E0(1, 2, 3, 4)), GIVEN(1, 2, 3, 4) },
	{ "shorter", OPT(E0(5, 6)), GIVEN(5, 6) },
	{ "one byte", OPT(E0(7)), GIVEN(7) },
	{ "empty", OPT(E0_NONE), .given = true },
	{ "with PSH", OPT(E0(8, 9)), GIVEN(8, 9), .flags = WIRE_PSH },
	{ "with ECE", OPT(E0(8, 10)), GIVEN(8, 10), .flags = WIRE_ECE },
	{ "after NOPs", OPT(1, 1, 1, 1, 1, E0(1)), GIVEN(1) },
	{ "after unknown", OPT(77, 4, 9, 9, E0(2)), GIVEN(2) },
	{ "before unknown", OPT(E0(3), 77, 4, 9, 9), GIVEN(3) },
	{ "before a bad one", OPT(E0(4), 77, 0), GIVEN(4) },
	{ "before EOL", OPT(E0(5, 6, 7), 0, 0, 0, 0, 0), GIVEN(5, 6, 7) },
	{ "after another ExID", OPT(254, 5, 0xeb, 0x91, 1, E0(6)), GIVEN(6) },
	{ "to the end", OPT(77, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
			    14, 15, 16, 17, 18, E0(1, 2, 3, 4)),
	  GIVEN(1, 2, 3, 4) },
	{ "other ExID", OPT(254, 8, 0xeb, 0x91, 1, 2, 3, 4) },
	{ "ExID swapped", OPT(254, 8, 0x90, 0xeb, 1, 2, 3, 4) },
	{ "other kind", OPT(253, 8, 0xeb, 0x90, 1, 2, 3, 4) },
	{ "half an ExID", OPT(254, 3, 0xeb, 0x90) },
	{ "no ExID", OPT(254, 2, 0xeb, 0x90) },
	{ "length 1", OPT(254, 1, 0xeb, 0x90) },
	{ "length 0", OPT(254, 0, 0xeb, 0x90) },
	{ "after length 0", OPT(77, 0, 1, 1, E0(1, 2, 3, 4)),
	  .may_drop = true },
	{ "after length 1", OPT(77, 1, 1, 1, E0(1, 2, 3, 4)),
	  .may_drop = true },
	{ "cut", OPT(1, 1, 1, 254, 8, 0xeb, 0x90, 1),
	  .may_drop = true },
	{ "cut in the ExID", OPT(1, 254, 5, 0xeb) },
	{ "cut by one", OPT(254, 9, 0xeb, 0x90, 1, 2, 3, 4),
	  .may_drop = true },
	{ "no length", OPT(1, 1, 1, 254) },
	{ "after EOL", OPT(0, 1, 1, 1, E0(1, 2, 3, 4)) },
	{ "inside another", OPT(77, 10, E0(1, 2, 3, 4), 1, 1) },
	{ "too long", OPT(E0(1, 2, 3, 4, 5)), .malformed = 1 },
	{ "far too long", OPT(254, 28, 0xeb, 0x90, 1, 2, 3, 4, 5, 6, 7, 8, 9,
			      10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
			      22, 23, 24), .malformed = 1 },
	{ "twice", OPT(E0(1, 2), E0(3, 4)), GIVEN(1, 2), .malformed = 1 },
	{ "twice the same", OPT(E0(1, 2), E0(1, 2)), GIVEN(1, 2),
	  .malformed = 1 },
	{ "three times", OPT(E0(1), E0(2), E0(3)), GIVEN(1), .malformed = 2 },
	{ "too long, right", OPT(E0(1, 2, 3, 4, 5), E0(1)), .malformed = 2 },
	{ "right, too long", OPT(E0(1), E0(1, 2, 3, 4, 5)), GIVEN(1),
	  .malformed = 1 },
};

/* What a segment was to have done, or not */
static void check_parse(struct link *l, const struct parse_case *tc,
			__u64 before, int malformed)
{
	struct extopt_state *st = &skel->bss->opts[0];
	bool ok;

	ok = ASSERT_EQ(st->parse_calls - before, tc->given, "calls") &&
	     ASSERT_EQ(counts(l->fd, 0).malformed - malformed, tc->malformed,
		       "malformed");
	if (tc->given)
		ok &= ASSERT_EQ(st->in_len, tc->val_len, "length") &&
		      ASSERT_OK(memcmp(st->in, tc->val, tc->val_len), "value");
	if (!ok)
		printf("case: %s\n", tc->what);
}

static void test_parse(struct link *l)
{
	struct extopt_state *st = &skel->bss->opts[0];
	const struct parse_case *tc;
	int i, malformed, pass;
	__u32 nxt;
	__u16 wnd;
	__u64 before;

	if (reg(0) || establish(l, "opt_0", NULL))
		return;
	/* First with the window as predicted, then with another each time */
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < ARRAY_SIZE(parse_cases); i++) {
			tc = &parse_cases[i];
			before = st->parse_calls;
			malformed = counts(l->fd, 0).malformed;
			wnd = pass ? l->c.wnd - 1 - i : l->c.wnd;
			nxt = l->c.snd_nxt;
			ASSERT_OK(wire_send(&l->c, .opt = tc->opt, .seq = &nxt,
					    .flags = WIRE_ACK | tc->flags,
					    .opt_len = tc->opt_len, .wnd = &wnd,
					    .data = "0123456789", .len = 10),
				  "send");
			l->c.snd_nxt += 10;
			if (tc->may_drop)
				ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
						    .data = "0123456789",
						    .len = 10, .seq = &nxt),
					  "send again");
			if (kernel_reads(l, "0123456789", 10, tc->what))
				return;
			check_parse(l, tc, before, malformed);
		}
	}
	ASSERT_EQ(extopt_netstat("TCPExtOptMalformed"), counts(l->fd, 0).malformed,
		  "TCPExtOptMalformed");
	ASSERT_EQ(extopt_netstat("TCPExtOptParsed"), st->parse_calls,
		  "TCPExtOptParsed");
	ASSERT_EQ(counts(l->fd, 0).parsed, st->parse_calls, "parsed");
}

static const __u8 e0[] = { E0(1, 2, 3, 4) };

/* A segment, then another one that shows that it has been processed */
#define PARSE_ONE(l, want, what, ...) ({				\
	__u64 _before = skel->bss->opts[0].parse_calls;			\
									\
	ASSERT_OK(wire_send(&(l)->c, .opt = e0, .opt_len = sizeof(e0),	\
			    ##__VA_ARGS__), what);			\
	if (sync_peer(l))						\
		return;							\
	ASSERT_EQ(skel->bss->opts[0].parse_calls - _before, want, what);\
})

/* Segments that are not to be had: whatever is on them is not either. */
static void test_rejected(struct link *l)
{
	__u8 big[1000] = {};
	struct wire_seg seg;
	__u32 nxt, tsval;
	__u64 before;

	if (reg(0) || establish(l, "opt_0", NULL) || kernel_acks(l, &seg) ||
	    kernel_sends(l, 10, &seg))
		return;
	wait_unacked(l->fd, 0);
	nxt = l->c.snd_nxt;

#define NXT	WIRE_SEQ(l->c.snd_nxt)
	PARSE_ONE(l, 1, "pure ACK", .flags = WIRE_ACK);
	PARSE_ONE(l, 0, "far out of window", .flags = WIRE_ACK, .data = "x",
		  .len = 1, .seq = WIRE_SEQ(nxt + (1 << 28)));
	PARSE_ONE(l, 0, "ACK out of window", .flags = WIRE_ACK,
		  .seq = WIRE_SEQ(nxt + (1 << 28)));
	PARSE_ONE(l, 0, "old ACK", .flags = WIRE_ACK,
		  .seq = WIRE_SEQ(nxt - 100));
	PARSE_ONE(l, 0, "bad checksum", .flags = WIRE_ACK, .data = "x",
		  .len = 1, .bad_csum = true);
	PARSE_ONE(l, 0, "bad checksum, large", .flags = WIRE_ACK, .data = big,
		  .len = sizeof(big), .bad_csum = true);
	PARSE_ONE(l, 0, "bad checksum, slow path", .flags = WIRE_ACK,
		  .data = big, .len = sizeof(big), .bad_csum = true,
		  .wnd = WIRE_WND(77));
	PARSE_ONE(l, 0, "bad checksum, ACK", .flags = WIRE_ACK,
		  .bad_csum = true);
	PARSE_ONE(l, 0, "no flags", .seq = NXT, .ack = &l->c.rcv_nxt,
		  .data = "x", .len = 1);
	PARSE_ONE(l, 0, "RST in window", .flags = WIRE_RST,
		  .seq = WIRE_SEQ(l->c.snd_nxt + 10));
	PARSE_ONE(l, 0, "SYN in window", .flags = WIRE_SYN, .seq = NXT);
	PARSE_ONE(l, 0, "SYN-ACK in window", .flags = WIRE_SYN | WIRE_ACK,
		  .seq = NXT);

	/* Its timestamp was long ago. */
	before = skel->bss->opts[0].parse_calls;
	tsval = l->c.tsval;
	l->c.tsval -= 1 << 30;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "x", .len = 1,
			    .seq = NXT, .opt = e0, .opt_len = sizeof(e0)),
		  "PAWS");
	l->c.tsval = tsval;
	if (kernel_acks(l, &seg))
		return;
	ASSERT_EQ(skel->bss->opts[0].parse_calls, before, "PAWS");
	ASSERT_EQ(extopt_netstat("PAWSEstab"), 1, "PAWSEstab");

	/* Part of what the kernel has acknowledged */
	PARSE_ONE(l, 0, "old data", .flags = WIRE_ACK, .data = "x", .len = 1,
		  .seq = WIRE_SEQ(l->c.snd_nxt - 3));

	/* At last the RST that counts */
	before = skel->bss->opts[0].parse_calls;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_RST, .opt = e0,
			    .opt_len = sizeof(e0)), "RST");
	ASSERT_EQ(recv(l->fd, big, 1, 0), -1, "recv");
	ASSERT_EQ(errno, ECONNRESET, "errno");
	ASSERT_EQ(skel->bss->opts[0].parse_calls, before, "RST");
}

/* The same data again, all of it there already. TCP tells that it is old by what
 * it had acknowledged before the last segment: that one is parsed again.
 */
static void test_duplicate(struct link *l)
{
	struct wire_seg seg;
	__u32 seq;

	if (reg(0) || establish(l, "opt_0", NULL) || kernel_acks(l, &seg))
		return;
	seq = l->c.snd_nxt;
	PARSE_ONE(l, 1, "first", .flags = WIRE_ACK);
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = e0,
			    .opt_len = sizeof(e0), .data = "abcd", .len = 4),
		  "data");
	seq = l->c.snd_nxt - 4;
	if (kernel_reads(l, "abcd", 4, "data") ||
	    !ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK"))
		return;
	PARSE_ONE(l, 1, "the last data again", .flags = WIRE_ACK,
		  .data = "abcd", .len = 4, .seq = &seq);
	if (!ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK"))
		return;
	PARSE_ONE(l, 0, "earlier data again", .flags = WIRE_ACK,
		  .data = "abcd", .len = 4, .seq = &seq);
}

/* Out of order: on arrival, and not again when its turn comes */
static void test_reordered(struct link *l)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct wire_seg seg;
	__u32 nxt;

	if (reg(0) || establish(l, "opt_0", NULL) || kernel_acks(l, &seg))
		return;
	nxt = l->c.snd_nxt;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = e0,
			    .opt_len = sizeof(e0), .data = "second", .len = 6,
			    .seq = WIRE_SEQ(nxt + 5)), "second");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "dup ACK"))
		return;
	ASSERT_EQ(seg.ack, nxt, "ack");
	ASSERT_EQ(st->parse_calls, 1, "on arrival");
	ASSERT_EQ(st->in_len, 4, "length");
	ASSERT_EQ(st->parse_segments, EXTOPT_DATA, "type");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "first",
			    .len = 5), "first");
	l->c.snd_nxt += 6;
	if (kernel_reads(l, "firstsecond", 11, "bytes") || sync_peer(l))
		return;
	ASSERT_EQ(st->parse_calls, 1, "not again");
	ASSERT_EQ(counts(l->fd, 0).parsed, 1, "parsed");
}

/* Prediction is off as long as there is a hole, and needs an ACK anyway. */
static void test_no_ack_flag(struct link *l)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct wire_seg seg;
	__u32 nxt;
	char in[16];

	if (reg(0) || establish(l, "opt_0", NULL) || kernel_acks(l, &seg))
		return;
	nxt = l->c.snd_nxt;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "second",
			    .len = 6, .seq = WIRE_SEQ(nxt + 5)), "second");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "dup ACK"))
		return;
	ASSERT_OK(wire_send(&l->c, .opt = e0, .opt_len = sizeof(e0),
			    .data = "FIRST", .len = 5, .seq = &nxt,
			    .ack = &l->c.rcv_nxt, .wnd = WIRE_WND(0)), "null");
	/* Something that is answered */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "d", .len = 1,
			    .seq = WIRE_SEQ(nxt + 6)), "dup");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "dup ACK"))
		return;
	ASSERT_EQ(seg.ack, nxt, "nothing taken");
	ASSERT_EQ(st->parse_calls, 0, "not given");
	ASSERT_EQ(recv(l->fd, in, sizeof(in), MSG_DONTWAIT), -1, "no data");

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "first",
			    .len = 5), "first");
	l->c.snd_nxt += 6;
	kernel_reads(l, "firstsecond", 11, "bytes");
	sync_peer(l);
}

/* The states of closing */
static void test_closing(struct link *l)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct wire_seg seg;
	__u64 before;
	char byte;

	if (reg(0) || establish(l, "opt_0", NULL))
		return;
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		return;
	l->c.rcv_nxt--;
	PARSE_ONE(l, 1, "ACK in FIN_WAIT1", .flags = WIRE_ACK);
	l->c.rcv_nxt++;
	PARSE_ONE(l, 1, "ACK of FIN", .flags = WIRE_ACK);

	before = st->parse_calls;
	st->parse_segments = 0;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = e0,
			    .opt_len = sizeof(e0), .data = "data", .len = 4),
		  "data in FIN_WAIT2");
	if (kernel_reads(l, "data", 4, "data in FIN_WAIT2"))
		return;
	ASSERT_EQ(st->parse_calls - before, 1, "data in FIN_WAIT2");
	ASSERT_EQ(st->parse_segments, EXTOPT_DATA, "type");
	st->parse_segments = 0;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK | WIRE_FIN, .opt = e0,
			    .opt_len = sizeof(e0)), "FIN");
	ASSERT_EQ(recv(l->fd, &byte, 1, 0), 0, "kernel sees FIN");
	ASSERT_EQ(st->parse_calls - before, 2, "FIN");
	ASSERT_EQ(st->parse_segments, EXTOPT_FIN, "type");
	if (!ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK of FIN"))
		return;
	ASSERT_OK(wire_ack(&l->c), "to TIME_WAIT");
	ASSERT_EQ(st->parse_calls - before, 2, "TIME_WAIT");

	/* The peer first */
	again(l);
	if (establish(l, "opt_0", NULL))
		return;
	before = st->parse_calls;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK | WIRE_FIN, .opt = e0,
			    .opt_len = sizeof(e0), .data = "end", .len = 3),
		  "FIN");
	if (kernel_reads(l, "end", 3, "data with FIN"))
		return;
	ASSERT_EQ(recv(l->fd, &byte, 1, 0), 0, "kernel sees FIN");
	ASSERT_EQ(st->parse_calls - before, 1, "FIN with data");
	ASSERT_EQ(st->parse_segments & (EXTOPT_FIN | EXTOPT_DATA),
		  EXTOPT_FIN | EXTOPT_DATA, "type");
	ASSERT_EQ(send(l->fd, "kernel", 6, 0), 6, "send");
	if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data in CLOSE_WAIT"))
		return;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = e0,
			    .opt_len = sizeof(e0)), "ACK in CLOSE_WAIT");
	wait_unacked(l->fd, 0);
	ASSERT_EQ(st->parse_calls - before, 2, "ACK in CLOSE_WAIT");
}

/* The last ACK of the handshake reaches the child once it is connected. */
static void do_third_ack(struct link *l, const char *data, int len)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct wire_seg synack;

	memset(st, 0, sizeof(*st));
	if (!ASSERT_OK(extopt_select(l->lfd, "opt_0"), "select") ||
	    !ASSERT_OK(wire_send_syn(&l->c, e0, sizeof(e0)), "SYN") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, &synack), "SYN-ACK"))
		return;
	ASSERT_EQ(nr_ext(&synack), 0, "SYN-ACK");
	ASSERT_EQ(st->parse_calls, 0, "SYN");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = e0,
			    .opt_len = sizeof(e0), .data = data, .len = len),
		  "ACK");
	l->fd = accept(l->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(l->fd, "accept") ||
	    (len && kernel_reads(l, data, len, "data")))
		return;
	ASSERT_EQ(st->parse_calls, 2, "SYN, third ACK");
	ASSERT_EQ(st->parse_segments,
		  EXTOPT_SYN | (len ? EXTOPT_DATA : EXTOPT_ACK), "types");
	ASSERT_EQ(st->parse_state, BPF_TCP_ESTABLISHED, "state");
	ASSERT_EQ(counts(l->fd, 0).parsed, 2, "parsed");
}

static void test_third_ack(struct link *l)
{
	if (reg(0))
		return;
	do_third_ack(l, NULL, 0);
	again(l);
	do_third_ack(l, "abc", 3);
}

/* Both ends send a SYN, then a SYN-ACK, which is in the window. */
static void test_simultaneous(struct link *l)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct wire_seg seg;

	if (reg(0))
		return;
	l->fd = wire_sk(&l->w);
	wire_conn_init(&l->c, &l->w, 0);
	if (!ASSERT_OK_FD(l->fd, "socket") ||
	    !ASSERT_OK(extopt_select(l->fd, "opt_0"), "select") ||
	    !ASSERT_OK(wire_sk_connect(&l->c, l->fd), "connect") ||
	    !ASSERT_OK(wire_recv_syn(&l->c, &seg), "SYN") ||
	    !ASSERT_OK(wire_send_syn(&l->c, e0, sizeof(e0)), "SYN") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, &seg), "SYN-ACK"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "SYN-ACK");
	ASSERT_OK(wire_send_synack(&l->c, e0, sizeof(e0)), "SYN-ACK");
	if (sync_peer(l))
		return;
	ASSERT_EQ(st->parse_calls, 1, "SYN, and not SYN-ACK");
	ASSERT_EQ(st->parse_segments, EXTOPT_SYN, "SYN");
	PARSE_ONE(l, 1, "ACK", .flags = WIRE_ACK);
}

static const struct {
	const char *what;
	__u8 opt[20];
	__u8 opt_len;
	__u8 opt_0, raw, malformed;
	__u8 raw_len;
	__u8 val[6];
} raw_cases[] = {
	{ "another's ExID", OPT(E0(1, 2, 3, 4)), .opt_0 = 1 },
	{ "another's, too long", OPT(E0(1, 2, 3, 4, 5)) },
	{ "Fast Open's", OPT(254, 8, 0xf9, 0x89, 1, 2, 3, 4) },
	{ "Fast Open's, no cookie", OPT(254, 4, 0xf9, 0x89) },
	{ "SMC's", OPT(254, 6, 0xe2, 0xd4, 0xc3, 0xd9) },
	{ "SMC's and more", OPT(254, 8, 0xe2, 0xd4, 0xc3, 0xd9, 1, 2) },
	{ "unclaimed", OPT(254, 6, 0xbe, 0xef, 1, 2), .raw = 1,
	  .raw_len = 4, .val = { 0xbe, 0xef, 1, 2 } },
	{ "ExID alone", OPT(254, 4, 0xbe, 0xef), .raw = 1,
	  .raw_len = 2, .val = { 0xbe, 0xef } },
	{ "half an ExID", OPT(254, 3, 0xeb), .raw = 1,
	  .raw_len = 1, .val = { 0xeb } },
	{ "half of Fast Open's", OPT(254, 3, 0xf9), .raw = 1,
	  .raw_len = 1, .val = { 0xf9 } },
	{ "no ExID", OPT(254, 2), .raw = 1 },
	{ "not all of SMC's", OPT(254, 5, 0xe2, 0xd4, 0xc3), .raw = 1,
	  .raw_len = 3, .val = { 0xe2, 0xd4, 0xc3 } },
	{ "other kind", OPT(253, 6, 0xbe, 0xef, 1, 2) },
	{ "both", OPT(254, 4, 0xbe, 0xef, E0(1)), .opt_0 = 1, .raw = 1,
	  .raw_len = 2, .val = { 0xbe, 0xef } },
	{ "twice", OPT(254, 4, 0xbe, 0xef, 254, 4, 0xca, 0xfe), .raw = 1,
	  .malformed = 1, .raw_len = 2, .val = { 0xbe, 0xef } },
};

/* A shared kind without ExID gets what is nobody else's. */
static void test_raw(struct link *l)
{
	__u64 opt_0, raw;
	int i, malformed;
	bool ok;

	if (reg(0) || reg(OPT_RAW) || establish(l, "opt_raw opt_0", NULL))
		return;
	for (i = 0; i < ARRAY_SIZE(raw_cases); i++) {
		opt_0 = skel->bss->opts[0].parse_calls;
		raw = own->bss->raw_calls;
		malformed = counts(l->fd, OPT_RAW).malformed;
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "0123",
				    .len = 4, .opt = raw_cases[i].opt,
				    .opt_len = raw_cases[i].opt_len), "send");
		if (kernel_reads(l, "0123", 4, "data"))
			return;
		ok = ASSERT_EQ(skel->bss->opts[0].parse_calls - opt_0,
			       raw_cases[i].opt_0, "opt_0") &&
		     ASSERT_EQ(own->bss->raw_calls - raw, raw_cases[i].raw,
			       "opt_raw") &&
		     ASSERT_EQ(counts(l->fd, OPT_RAW).malformed - malformed,
			       raw_cases[i].malformed, "malformed");
		if (raw_cases[i].raw)
			ok &= ASSERT_EQ(own->bss->raw_len, raw_cases[i].raw_len,
					"length") &&
			      ASSERT_OK(memcmp(own->bss->raw_in,
					       raw_cases[i].val,
					       raw_cases[i].raw_len), "value");
		if (!ok)
			printf("case: %s\n", raw_cases[i].what);
	}
}

/* 6. Header prediction */

#define NR_EACH		16

static const struct {
	const char *what;
	__u8 opt[28];
	__u8 opt_len;
	bool predicted;
	__u8 given;		/* to opt_0 */
	__u8 in_len;
	bool no_ts;		/* with timestamps agreed on, also slow */
} pred_cases[] = {
	{ "none", .predicted = true },
	{ "own", OPT(E0(1, 2, 3, 4)), .predicted = true, .given = 1,
	  .in_len = 4 },
	{ "own, other length", OPT(E0(1)), .predicted = true, .given = 1,
	  .in_len = 1 },
	{ "own, NOPs before", OPT(1, 1, 1, 1, E0(1, 2)), .predicted = true,
	  .given = 1, .in_len = 2 },
	{ "two own", OPT(E0(1, 2), 253, 8, 0xeb, 0x91, 0xeb, 0x91, 5, 6),
	  .predicted = true, .given = 1, .in_len = 2 },
	{ "NOPs alone", OPT(1, 1, 1, 1), .predicted = true },
	{ "none again", .predicted = true },
	{ "unknown", OPT(77, 4, 1, 2) },
	{ "own and unknown", OPT(E0(1, 2, 3), 77, 5, 1, 2, 3), .given = 1,
	  .in_len = 3 },
	{ "unknown and own", OPT(77, 3, 1, E0(1, 2, 3, 4)), .given = 1,
	  .in_len = 4 },
	{ "own and SACK", OPT(E0(1, 2), 1, 1, 5, 10, 0x77, 0, 0, 0, 0x77, 0, 0,
			      1), .given = 1, .in_len = 2 },
	{ "own and EOL", OPT(E0(1, 2, 3), 0), .given = 1, .in_len = 3 },
	{ "own, too long", OPT(E0(1, 2, 3, 4, 5)) },
	{ "own twice", OPT(E0(1), E0(2)), .given = 1, .in_len = 1 },
	{ "own and bad", OPT(E0(1, 2, 3, 4), 77, 1, 1, 1), .given = 1,
	  .in_len = 4 },
	{ "other ExID", OPT(254, 5, 0xeb, 0x91, 1) },
	{ "own, no timestamp", OPT(E0(1, 2, 3, 4)), .given = 1, .in_len = 4,
	  .no_ts = true },
	{ "own, last", OPT(E0(1, 2, 3, 4)), .predicted = true, .given = 1,
	  .in_len = 4 },
};

/* Data: in order; a part of it takes the fast path, the rest finds no memory
 * accounted for. ACKs take the one or the other each.
 */
static void do_predict(struct link *l, bool ts)
{
	struct extopt_state *st = &skel->bss->opts[0];
	long hits, hpacks, pure;
	__u8 data[NR_EACH * 8];
	struct wire_seg seg;
	__u64 before;
	int i, j;

	l->c.ts = ts;
	memset(st, 0, sizeof(*st));
	if (establish(l, "opt_0 opt_1", NULL))
		return;
	for (i = 0; i < ARRAY_SIZE(pred_cases); i++) {
		bool predicted = pred_cases[i].predicted;
		bool ok = true;

		if (pred_cases[i].no_ts && !ts)
			continue;
		for (j = 0; j < sizeof(data); j++)
			data[j] = i * 37 + j;
		before = st->parse_calls;
		hits = extopt_netstat("TCPHPHits");
		for (j = 0; j < NR_EACH; j++)
			ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
					    .data = data + 8 * j, .len = 8,
					    .opt = pred_cases[i].opt,
					    .opt_len = pred_cases[i].opt_len,
					    .no_ts = pred_cases[i].no_ts),
				  "send");
		if (kernel_reads(l, data, sizeof(data), pred_cases[i].what))
			return;
		ok &= ASSERT_EQ(st->parse_calls - before,
				pred_cases[i].given * NR_EACH, "values");
		if (pred_cases[i].given)
			ok &= ASSERT_EQ(st->in_len, pred_cases[i].in_len,
					"length");
		hits = extopt_netstat("TCPHPHits") - hits;
		if (predicted)
			ok &= ASSERT_GE(hits, NR_EACH / 4, "TCPHPHits");
		else
			ok &= ASSERT_EQ(hits, 0, "TCPHPHits");

		/* Acknowledge data: the peer's ACK is what is looked at. */
		ASSERT_EQ(send(l->fd, "x", 1, 0), 1, "kernel send");
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
			return;
		before = st->parse_calls;
		hpacks = extopt_netstat("TCPHPAcks");
		pure = extopt_netstat("TCPPureAcks");
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
				    .opt = pred_cases[i].opt,
				    .opt_len = pred_cases[i].opt_len,
				    .no_ts = pred_cases[i].no_ts), "ACK");
		wait_unacked(l->fd, 0);
		ok &= ASSERT_EQ(st->parse_calls - before, pred_cases[i].given,
				"value of the ACK");
		ok &= ASSERT_EQ(extopt_netstat("TCPHPAcks") - hpacks, predicted,
				"TCPHPAcks");
		ok &= ASSERT_EQ(extopt_netstat("TCPPureAcks") - pure, !predicted,
				"TCPPureAcks");
		if (!ok)
			printf("case: %s, timestamps %d\n", pred_cases[i].what,
			       ts);
	}
	ASSERT_EQ(counts(l->fd, 0).parsed, st->parse_calls, "parsed");
	ASSERT_EQ(counts(l->fd, 1).parsed, NR_EACH + 1, "parsed, opt_1");
}

static void test_predict(struct link *l)
{
	if (reg(0) || reg(1))
		return;
	do_predict(l, true);
	again(l);
	do_predict(l, false);
	again(l);
}

/* A sock_ops program that wants to parse is not passed over by the fast path,
 * and cannot select while a header is made.
 */
static void test_sock_ops(struct link *l)
{
	struct extopt_state *st = &skel->bss->opts[0];
	__u8 i, data[NR_EACH];
	long hits;

	if (reg(0) || reg(1) || establish(l, "opt_0", NULL))
		return;
	hits = extopt_netstat("TCPHPHits");
	for (i = 0; i < NR_EACH; i++) {
		data[i] = i;
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = &i,
				    .len = 1, .opt = e0, .opt_len = sizeof(e0)),
			  "send");
	}
	if (kernel_reads(l, data, NR_EACH, "without sock_ops"))
		return;
	ASSERT_GT(extopt_netstat("TCPHPHits"), hits, "TCPHPHits");

	own->links.sock_ops = bpf_program__attach_cgroup(own->progs.sock_ops,
							cg_fd);
	if (!ASSERT_OK_PTR(own->links.sock_ops, "attach"))
		return;
	again(l);
	own->bss->unknown_calls = 0;
	own->bss->select_err = 0;
	if (establish(l, "opt_0", NULL))
		goto detach;
	memset(st, 0, sizeof(*st));
	hits = extopt_netstat("TCPHPHits");
	for (i = 0; i < NR_EACH; i++)
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = &i,
				    .len = 1, .opt = e0, .opt_len = sizeof(e0)),
			  "send");
	if (kernel_reads(l, data, NR_EACH, "with sock_ops"))
		goto detach;
	ASSERT_EQ(extopt_netstat("TCPHPHits"), hits, "TCPHPHits");
	ASSERT_EQ(own->bss->unknown_calls, NR_EACH, "sock_ops calls");
	ASSERT_EQ(st->parse_calls, NR_EACH, "values");
	ASSERT_EQ(own->bss->select_err, -EOPNOTSUPP, "select in HDR_OPT_LEN");
	ASSERT_STREQ(counts(l->fd, 0).name, "opt_0", "selected");

detach:
	bpf_link__destroy(own->links.sock_ops);
	own->links.sock_ops = NULL;
}

/* 7. Ownership */

static void test_owner(struct link *l)
{
	static const __u8 opt[] = {
		253, 8, 0xeb, 0x91, 0xeb, 0x91, 21, 22, 66, 3, 66,
		254, 6, 0xeb, 0x90, 11, 12, 70, 3, 61,
	};
	struct extopt_state *st = skel->bss->opts;
	int nrs[] = { 0, 1, 2, 6 }, i;

	for (i = 0; i < ARRAY_SIZE(nrs); i++) {
		if (reg(nrs[i]))
			return;
	}
	/* Two of the four that are there */
	if (establish(l, "opt_1 opt_0", NULL))
		return;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "data", .len = 4,
			    .opt = opt, .opt_len = sizeof(opt)), "send");
	if (kernel_reads(l, "data", 4, "data"))
		return;
	ASSERT_EQ(st[0].parse_calls, 1, "opt_0");
	ASSERT_EQ(st[0].in_len, 2, "opt_0 length");
	ASSERT_EQ(st[0].in[0], 11, "opt_0 value");
	ASSERT_EQ(st[0].in[1], 12, "opt_0 value");
	ASSERT_EQ(st[1].parse_calls, 1, "opt_1");
	ASSERT_EQ(st[1].in_len, 2, "opt_1 length");
	ASSERT_EQ(st[1].in[0], 21, "opt_1 value");
	ASSERT_EQ(st[1].in[1], 22, "opt_1 value");
	ASSERT_EQ(st[2].parse_calls, 0, "not selected");
	ASSERT_EQ(st[6].parse_calls, 0, "not selected");

	/* Exchanged: what was theirs is not any more */
	ASSERT_OK(extopt_select(l->fd, "opt_6"), "select");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "data", .len = 4,
			    .opt = opt, .opt_len = sizeof(opt)), "send");
	if (kernel_reads(l, "data", 4, "data"))
		return;
	ASSERT_EQ(st[0].parse_calls, 1, "opt_0");
	ASSERT_EQ(st[1].parse_calls, 1, "opt_1");
	ASSERT_EQ(st[6].parse_calls, 1, "opt_6");
	ASSERT_EQ(st[6].in[0], 61, "opt_6 value");

	ASSERT_OK(extopt_select(l->fd, ""), "select");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "data", .len = 4,
			    .opt = opt, .opt_len = sizeof(opt)), "send");
	if (kernel_reads(l, "data", 4, "data"))
		return;
	ASSERT_EQ(st[6].parse_calls, 1, "opt_6");
}

/* 8. Update and unregister */

static void *update_thread(void *arg)
{
	bool *stop = arg;
	long i, err = 0;

	for (i = 0; !err && !__atomic_load_n(stop, __ATOMIC_RELAXED); i++)
		err = bpf_link__update_map(links[0], opt_map(i % 2 ? 0 :
							     EXTOPT_UPDATE));
	return (void *)err;
}

static void test_update(struct link *l)
{
	static const __u8 old_val[] = { E0(0x20, 0x21, 0x22, 0x23) };
	static const __u8 new_val[] = { E0(0xaa, 0xbb, 0xcc, 0xdd) };
	int nr_old = 0, nr_new = 0, i;
	bool stop = false, is_new;
	struct wire_seg seg;
	pthread_t thread;
	void *ret;

	set_opt(0, 4, 0x20);
	if (reg(0) || establish(l, "opt_0", NULL) || kernel_sends(l, 5, &seg))
		return;
	check_bytes(l, &seg, old_val, sizeof(old_val), "before");
	ASSERT_OK(bpf_link__update_map(links[0], opt_map(EXTOPT_UPDATE)),
		  "update");
	if (kernel_sends(l, 5, &seg))
		return;
	check_bytes(l, &seg, new_val, sizeof(new_val), "data after");
	if (kernel_acks(l, &seg))
		return;
	check_bytes(l, &seg, new_val, sizeof(new_val), "ACK after");

	/* The one or the other, all the time */
	if (!ASSERT_OK(pthread_create(&thread, NULL, update_thread, &stop),
		       "thread"))
		return;
	for (i = 0; i < 20000 && (i < 200 || nr_old < 10 || nr_new < 10); i++) {
		if (kernel_sends(l, 5, &seg))
			break;
		is_new = seg.opt_len == 20 && seg.opt[16] == 0xaa;
		if (is_new)
			check_bytes(l, &seg, new_val, sizeof(new_val), "new");
		else
			check_bytes(l, &seg, old_val, sizeof(old_val), "old");
		nr_new += is_new;
		nr_old += !is_new;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	ASSERT_OK(pthread_join(thread, &ret), "join");
	ASSERT_OK((long)ret, "updates");
	ASSERT_GE(nr_old, 10, "with the old one");
	ASSERT_GE(nr_new, 10, "with the new one");

	unreg(0);
	if (kernel_sends(l, 5, &seg))
		return;
	check_none(l, &seg, "data without");
	if (kernel_acks(l, &seg))
		return;
	check_none(l, &seg, "ACK without");
	ASSERT_EQ(counts(l->fd, 0).state, TCP_EXTOPT_ST_GONE, "state");
}

/* 9. Active open; the same socket once more */

static void test_reconnect(struct link *l)
{
	static const __u8 val[] = { E0(0x20, 0x21, 0x22, 0x23) };
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct extopt_state *st;
	struct wire_seg seg;
	int i;

	st = set_opt(0, 4, 0x20);
	l->fd = wire_sk(&l->w);
	if (reg(0) || !ASSERT_OK_FD(l->fd, "socket") ||
	    !ASSERT_OK(extopt_select(l->fd, "opt_0"), "select"))
		return;
	for (i = 0; i < 2; i++) {
		wire_conn_init(&l->c, &l->w, 0);
		if (!ASSERT_OK(wire_sk_connect(&l->c, l->fd), "connect") ||
		    !ASSERT_OK(wire_recv_syn(&l->c, &seg), "SYN"))
			return;
		ASSERT_EQ(nr_ext(&seg), 0, "SYN");
		st->parse_calls = 0;
		if (!ASSERT_OK(wire_send_synack(&l->c, e0, sizeof(e0)),
			       "SYN-ACK") ||
		    !ASSERT_OK(wire_recv_ack(&l->c, &seg), "third ACK"))
			return;
		check_bytes(l, &seg, val, sizeof(val), "third ACK");
		ASSERT_EQ(st->parse_calls, 1, "SYN-ACK");
		ASSERT_EQ(counts(l->fd, 0).written, 1, "written");
		if (kernel_sends(l, 5, &seg))
			return;
		check_bytes(l, &seg, val, sizeof(val), "data");
		PARSE_ONE(l, 1, "parse", .flags = WIRE_ACK);

		if (i)
			break;
		ASSERT_OK(connect(l->fd, &unspec, sizeof(unspec)),
			  "disconnect");
		if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_RST), "RST"))
			return;
		check_none(l, &seg, "RST");
		ASSERT_EQ(counts(l->fd, 0).written, 0, "written");
	}
}

/* 10. Backlog */

static void *send_thread(void *arg)
{
	int *fd = arg;

	return (void *)(long)send(*fd, "x", 1, 0);
}

static bool poll_flag(volatile bool *flag)
{
	int i;

	for (i = 0; i < WIRE_TIMEOUT_MS && !*flag; i++)
		usleep(1000);
	return ASSERT_TRUE(*flag, "flag");
}

/* Grows with each, merged or not */
static long in_backlog(int fd)
{
	__u32 mem[SK_MEMINFO_VARS] = {};
	socklen_t len = sizeof(mem);

	ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &len),
		  "SO_MEMINFO");
	return mem[SK_MEMINFO_BACKLOG] + extopt_netstat("TCPBacklogCoalesce");
}

/* Segments that come while send() has the socket: same ones merge or not */
static void do_backlog(struct link *l, bool same)
{
	struct extopt_state *st = &skel->bss->opts[0];
	__u64 calls = st->parse_calls;
	__u8 opt[] = { E0(1, 2, 3, 4) };
	__u32 tsval = l->c.tsval;
	long merged, before;
	pthread_t thread;
	void *ret;
	int i, j;

	own->bss->held = false;
	own->bss->release = false;
	merged = extopt_netstat("TCPBacklogCoalesce");
	if (!ASSERT_OK(pthread_create(&thread, NULL, send_thread, &l->fd),
		       "thread"))
		return;
	if (!poll_flag(&own->bss->held))
		goto out;
	for (i = 0; i < NR_HELD; i++) {
		before = in_backlog(l->fd);
		if (same)
			l->c.tsval = tsval;
		else
			opt[4] = i + 1;
		ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = opt,
				    .opt_len = sizeof(opt), .data = "abcd",
				    .len = 4), "send");
		for (j = 0; j < HOLD_MS / 4; j++) {
			if (in_backlog(l->fd) > before)
				break;
			usleep(1000);
		}
		ASSERT_GT(in_backlog(l->fd), before, "in the backlog");
	}
	ASSERT_EQ(st->parse_calls, calls, "not while owned");
out:
	own->bss->release = true;
	ASSERT_OK(pthread_join(thread, &ret), "join");
	ASSERT_EQ((long)ret, 1, "send");
	if (kernel_reads(l, "abcdabcdabcd", 12, "bytes"))
		return;
	merged = extopt_netstat("TCPBacklogCoalesce") - merged;
	ASSERT_EQ(merged, same ? NR_HELD - 1 : 0, "merged");
	ASSERT_EQ(st->parse_calls - calls, NR_HELD - merged, "parsed once");
	ASSERT_EQ(st->in[0], same ? 1 : NR_HELD, "the last value");
}

static void test_backlog(struct link *l)
{
	struct wire_seg seg;

	if (reg(0) || reg(OPT_HOLD) || establish(l, "opt_0", NULL) ||
	    kernel_acks(l, &seg) ||
	    !ASSERT_OK(extopt_select(l->fd, "opt_0 opt_hold"), "select"))
		return;
	do_backlog(l, false);
	do_backlog(l, true);
	own->bss->release = true;
}

/* A sock_ops program takes eight bytes of the MSS: they are not for an option that
 * has nothing reserved, and what is reserved is not for the program.
 */
static void test_sock_ops_room(struct link *l)
{
	struct wire_seg seg;
	int room;

	own->links.sock_ops = bpf_program__attach_cgroup(own->progs.sock_ops,
							cg_fd);
	if (!ASSERT_OK_PTR(own->links.sock_ops, "attach"))
		return;
	own->bss->skops_writes = true;
	set_opt(5, 1, 0x50);
	set_opt(3, 14, 0x30);
	if (reg(3) || reg(5))
		goto detach;
	for (room = 8; room <= 12; room += 4) {
		if (data_with_fin(l, "opt_5", room, &seg))
			goto detach;
		ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(90)), 1, "sock_ops");
		if (room == 12)
			check_opt(&seg, 5, 1, 0x50, "room");
		else
			ASSERT_EQ(nr_ext(&seg), 0, "no room");
		ASSERT_EQ(counts(l->fd, 5).no_room, room < 12, "no_room");
	}

	/* 28 bytes are left by timestamps, opt_3 has all of them reserved. */
	if (data_with_fin(l, "opt_5 opt_3", 28, &seg))
		goto detach;
	check_opt(&seg, 3, 14, 0x30, "reserved");
	ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(90)), 0, "sock_ops");
	ASSERT_EQ(nr_ext(&seg), 1, "opt_5");

detach:
	own->bss->skops_writes = false;
	bpf_link__destroy(own->links.sock_ops);
	own->links.sock_ops = NULL;
}

#define FAST_RTO	1	/* as it comes; else late enough never to come */
#define TWO_CPUS	2

static const struct {
	const char *name;
	void (*run)(struct link *l);
	int flags;
} tests[] = {
	{ "layout", test_layout },
	{ "layout_bare", test_layout_bare },
	{ "types", test_types },
	{ "rst", test_rst },
	{ "timewait", test_timewait },
	{ "probes", test_probes, FAST_RTO },
	{ "retrans_rto", test_retrans_rto, FAST_RTO },
	{ "retrans_tlp", test_retrans_tlp, FAST_RTO },
	{ "retrans_sack", test_retrans_sack },
	{ "room", test_room },
	{ "room_no_ts", test_room_no_ts },
	{ "mtu", test_mtu },
	{ "tiny_mss", test_tiny_mss },
	{ "queued", test_queued },
	{ "in_flight", test_in_flight, FAST_RTO },
	{ "pmtu", test_pmtu, FAST_RTO },
	{ "mtu_probing", test_mtu_probing },
	{ "fin_room", test_fin_room },
	{ "fin_tso", test_fin_tso },
	{ "parse", test_parse },
	{ "rejected", test_rejected },
	{ "duplicate", test_duplicate },
	{ "reordered", test_reordered },
	{ "no_ack_flag", test_no_ack_flag },
	{ "closing", test_closing },
	{ "third_ack", test_third_ack },
	{ "simultaneous", test_simultaneous },
	{ "raw", test_raw },
	{ "predict", test_predict },
	{ "sock_ops", test_sock_ops },
	{ "sock_ops_room", test_sock_ops_room },
	{ "owner", test_owner },
	{ "update", test_update },
	{ "reconnect", test_reconnect },
	{ "backlog", test_backlog, TWO_CPUS },
};

static void run_test(int nr, int family)
{
	struct link l = { .lfd = -1, .fd = -1 };
	struct netns_obj *netns;
	int i;

	if (tests[nr].flags & TWO_CPUS && sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		test__skip();
		return;
	}
	netns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;
	/* An ACK for each segment out of order, nothing sent twice */
	if (set_sysctl("tcp_comp_sack_nr", "0") ||
	    (!(tests[nr].flags & FAST_RTO) &&
	     (set_sysctl("tcp_early_retrans", "0") ||
	      set_sysctl("tcp_rto_min_us", "5000000"))))
		goto free_netns;
	if (!ASSERT_OK(wire_open(&l.w, family, 0), "wire_open")) {
		printf("%s\n", l.w.err);
		goto free_netns;
	}
	l.lfd = wire_sk(&l.w);
	if (!ASSERT_OK_FD(l.lfd, "socket"))
		goto close_wire;
	l.port = wire_sk_listen(&l.w, l.lfd);
	if (!ASSERT_GT(l.port, 0, "listen"))
		goto close_listen;
	wire_conn_init(&l.c, &l.w, l.port);

	tests[nr].run(&l);

	if (l.fd >= 0)
		close(l.fd);
	for (i = 0; i < NR_OPTS; i++)
		unreg(i);
	memset(skel->bss->opts, 0, sizeof(skel->bss->opts));
close_listen:
	close(l.lfd);
close_wire:
	wire_close(&l.w);
free_netns:
	netns_free(netns);
}

/* Names of options are global. */
void serial_test_tcp_extopt_wire(void)
{
	char name[64];
	int i;

	skel = tcp_extopt__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load"))
		return;
	own = tcp_extopt_wire__open_and_load();
	if (!ASSERT_OK_PTR(own, "load own"))
		goto out;
	cg_fd = test__join_cgroup(CG_NAME);
	if (!ASSERT_OK_FD(cg_fd, "join_cgroup"))
		goto destroy_own;

	for (i = 0; i < 2 * ARRAY_SIZE(tests); i++) {
		snprintf(name, sizeof(name), "%s_v%d", tests[i / 2].name,
			 i % 2 ? 6 : 4);
		if (test__start_subtest(name))
			run_test(i / 2, i % 2 ? AF_INET6 : AF_INET);
	}

	close(cg_fd);
destroy_own:
	tcp_extopt_wire__destroy(own);
out:
	tcp_extopt__destroy(skel);
}
