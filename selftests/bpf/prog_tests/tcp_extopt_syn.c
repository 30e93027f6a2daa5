// SPDX-License-Identifier: GPL-2.0

/* TCP extension options in the handshake: what is on SYN and SYN-ACK, what is
 * made of what comes, how negotiation ends; and options that are sent when they
 * are asked for. The peer is tcp_wire.h's.
 */

#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "tcp_wire.h"
#include "progs/tcp_extopt_syn.h"
#include "tcp_extopt_syn.skel.h"
#include "tcp_extopt_uto.skel.h"

#define NS_NAME		"tcp_extopt_syn"
#define QUIET_MS	300

#define NEGO(...)	254, 4 + sizeof((__u8[]){ __VA_ARGS__ }), 0xeb, 0xa0, \
			__VA_ARGS__
#define PLAIN(...)	80, 2 + sizeof((__u8[]){ __VA_ARGS__ }), __VA_ARGS__
#define STRICT(...)	81, 2 + sizeof((__u8[]){ __VA_ARGS__ }), __VA_ARGS__

struct link {
	struct wire w;
	struct wire_conn c;
	int lfd, fd;
	int port;
};

static struct tcp_extopt_syn *skel;

static const char * const names[NR_SYN_OPTS] = {
	"nego", "plain", "strict", "once", "nonce", "big", "offer",
};

static struct syn_opt *opt(int nr)
{
	return &skel->bss->opts[nr];
}

/* What an option writes on segments of a type */
static void writes(int nr, int seg, int len, __u8 fill)
{
	opt(nr)->len[seg] = len;
	opt(nr)->fill[seg] = fill;
}

static int set_sysctl(const char *name, const char *val)
{
	return ASSERT_OK(extopt_sysctl(name, val), name) ? 0 : -1;
}

static struct wire_optid optid(int nr)
{
	return nr == OPT_NEGO ? WIRE_EXID16(254, 0xeba0) : WIRE_KIND(79 + nr);
}

static int nr_ext(const struct wire_seg *seg)
{
	int i, nr = 0;

	for (i = 0; i < NR_SYN_OPTS; i++)
		nr += wire_opt_count(seg, optid(i));
	return nr;
}

/* One option with this value, or with len 0 without the option */
static void check(const struct wire_seg *seg, int nr, int len, __u8 fill,
		  const char *what)
{
	const __u8 *val;
	int i, vlen = 0;

	ASSERT_OK(wire_opt_check(seg), what);
	if (!ASSERT_EQ(wire_opt_count(seg, optid(nr)), !!len, what)) {
		wire_dump(seg);
		return;
	}
	if (!len)
		return;
	val = wire_opt_find(seg, optid(nr), 0, &vlen);
	if (!ASSERT_EQ(vlen, len, what))
		return;
	for (i = 0; i < len; i++)
		ASSERT_EQ(val[i], (__u8)(fill + i), what);
}

static struct tcp_extopt_info info(int fd, int nr)
{
	struct tcp_extopt_info none = {};
	struct extopt_list list;
	int i;

	if (!ASSERT_OK(extopt_get(fd, &list), "TCP_EXTOPT"))
		return none;
	for (i = 0; i < list.head.count; i++)
		if (!strcmp(list.info[i].name, names[nr]))
			return list.info[i];
	return none;
}

/* How negotiation ended, by getsockopt() and by what the program was told */
static void check_state(struct link *l, int nr, __u8 state, const char *what)
{
	ASSERT_EQ(info(l->fd, nr).state, state, what);
	ASSERT_EQ(opt(nr)->negotiated, 1, what);
	ASSERT_EQ(opt(nr)->state, state, what);
}

static void seen(const struct syn_seen *s, int len, __u8 fill, const char *what)
{
	int i;

	ASSERT_EQ(s->calls, 1, what);
	ASSERT_EQ(s->len, len, what);
	for (i = 0; i < len; i++)
		ASSERT_EQ(s->value[i], (__u8)(fill + i), what);
}

static int sync_peer(struct link *l)
{
	static __u8 byte;
	__u8 in;

	byte++;
	if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = &byte,
				 .len = 1), "send") ||
	    !ASSERT_EQ(recv(l->fd, &in, 1, 0), 1, "sync") ||
	    !ASSERT_EQ(in, byte, "sync"))
		return -1;
	return 0;
}

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

/* Start again: nothing seen, nothing to do */
static void again(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	memset(skel->bss->opts, 0, sizeof(skel->bss->opts));
	wire_conn_init(&l->c, &l->w, l->port);
}

/* A socket that has sent its SYN */
static int client(struct link *l, const char *select, struct wire_seg *syn)
{
	l->fd = wire_sk(&l->w);
	wire_conn_init(&l->c, &l->w, 0);
	if (!ASSERT_OK_FD(l->fd, "socket") ||
	    (select && !ASSERT_OK(extopt_select(l->fd, select), "select")) ||
	    !ASSERT_OK(wire_sk_connect(&l->c, l->fd), "connect") ||
	    !ASSERT_OK(wire_recv_syn(&l->c, syn), "SYN"))
		return -1;
	return 0;
}

/* ... and then got a SYN-ACK with these options */
static int client_up(struct link *l, const void *opts, int len,
		     struct wire_seg *ack)
{
	if (!ASSERT_OK(wire_send_synack(&l->c, opts, len), "SYN-ACK") ||
	    !ASSERT_OK(wire_recv_ack(&l->c, ack), "third ACK") ||
	    !ASSERT_EQ(ack->flags & WIRE_FLAGS & ~WIRE_PSH, WIRE_ACK,
		       "third ACK"))
		return -1;
	return 0;
}

/* A listener gets a SYN with these options */
static int server(struct link *l, const char *select, const void *opts, int len,
		  struct wire_seg *synack)
{
	if ((select && !ASSERT_OK(extopt_select(l->lfd, select), "select")) ||
	    !ASSERT_OK(wire_send_syn(&l->c, opts, len), "SYN") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, synack), "SYN-ACK"))
		return -1;
	return 0;
}

static int server_up(struct link *l, const void *opts, int len)
{
	if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = opts,
				 .opt_len = len), "third ACK"))
		return -1;
	l->fd = accept(l->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(l->fd, "accept") ||
	    !ASSERT_OK(settimeo(l->fd, WIRE_TIMEOUT_MS), "settimeo"))
		return -1;
	return 0;
}

static const __u8 nego_peer[] = { NEGO(0x91, 0x92, 0x93) };
static const __u8 all_peer[] = {
	NEGO(0x91, 0x92, 0x93), PLAIN(0xa1), STRICT(0xb1, 0xb2),
};

/* What all three write, each another value on each type of segment */
static void write_all(void)
{
	int seg;

	for (seg = 0; seg < NR_SEGS; seg++) {
		writes(OPT_NEGO, seg, 3, 0x10 + 0x20 * seg);
		writes(OPT_PLAIN, seg, 1, 0x18 + 0x20 * seg);
		writes(OPT_STRICT, seg, 2, 0x1c + 0x20 * seg);
	}
}

static void check_all(const struct wire_seg *s, int seg, const char *what)
{
	check(s, OPT_NEGO, 3, 0x10 + 0x20 * seg, what);
	check(s, OPT_PLAIN, seg == SEG_FIN ? 0 : 1, 0x18 + 0x20 * seg, what);
	check(s, OPT_STRICT, 2, 0x1c + 0x20 * seg, what);
}

/* Only the option that needs no negotiation */
static void check_plain(const struct wire_seg *s, int seg, const char *what)
{
	check(s, OPT_NEGO, 0, 0, what);
	check(s, OPT_PLAIN, 1, 0x18 + 0x20 * seg, what);
	check(s, OPT_STRICT, 0, 0, what);
}

/* 1. As it should be */

static const __u8 syn_bytes[] = {
	254, 7, 0xeb, 0xa0, 0x10, 0x11, 0x12, 80, 3, 0x18, 81, 4, 0x1c, 0x1d,
	1, 1,
};

static const __u8 synack_bytes[] = {
	254, 7, 0xeb, 0xa0, 0x30, 0x31, 0x32, 80, 3, 0x38, 81, 4, 0x3c, 0x3d,
	1, 1,
};

static void test_client(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (client(l, "nego plain strict", &seg))
		return;
	/* MSS, SACK with the timestamp, window scale */
	if (ASSERT_EQ(seg.opt_len, 20 + sizeof(syn_bytes), "SYN"))
		ASSERT_OK(memcmp(seg.opt + 20, syn_bytes, sizeof(syn_bytes)),
			  "SYN");
	ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_PENDING, "state");
	ASSERT_EQ(info(l->fd, OPT_PLAIN).state, TCP_EXTOPT_ST_ACTIVE, "state");

	if (client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_ACK, "third ACK");
	seen(&opt(OPT_NEGO)->parsed[SEG_SYNACK], 3, 0x91, "nego");
	seen(&opt(OPT_PLAIN)->parsed[SEG_SYNACK], 1, 0xa1, "plain");
	seen(&opt(OPT_STRICT)->parsed[SEG_SYNACK], 2, 0xb1, "strict");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
	ASSERT_EQ(opt(OPT_NEGO)->parsed_before, 1, "parsed first");
	ASSERT_EQ(info(l->fd, OPT_NEGO).written, 2, "written");
	ASSERT_EQ(info(l->fd, OPT_NEGO).parsed, 1, "parsed");

	if (kernel_sends(l, 5, &seg))
		return;
	check_all(&seg, SEG_DATA, "data");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = all_peer,
			    .opt_len = sizeof(all_peer)), "ACK");
	if (sync_peer(l))
		return;
	seen(&opt(OPT_NEGO)->parsed[SEG_ACK], 3, 0x91, "established");
	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		check_all(&seg, SEG_FIN, "FIN");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 0, "counter");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 0, "counter");
}

static void test_server(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg))
		return;
	if (ASSERT_EQ(seg.opt_len, 20 + sizeof(synack_bytes), "SYN-ACK"))
		ASSERT_OK(memcmp(seg.opt + 20, synack_bytes,
				 sizeof(synack_bytes)), "SYN-ACK");
	seen(&opt(OPT_NEGO)->offered, 3, 0x91, "offered");
	seen(&opt(OPT_PLAIN)->offered, 1, 0xa1, "offered");
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYN].calls, 0, "no child yet");
	ASSERT_EQ(info(l->lfd, OPT_NEGO).state, TCP_EXTOPT_ST_PENDING,
		  "listener");

	if (server_up(l, nego_peer, sizeof(nego_peer)))
		return;
	seen(&opt(OPT_NEGO)->parsed[SEG_SYN], 3, 0x91, "nego");
	seen(&opt(OPT_PLAIN)->parsed[SEG_SYN], 1, 0xa1, "plain");
	seen(&opt(OPT_STRICT)->parsed[SEG_SYN], 2, 0xb1, "strict");
	seen(&opt(OPT_NEGO)->parsed[SEG_ACK], 3, 0x91, "third ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
	ASSERT_EQ(opt(OPT_NEGO)->parsed_before, 1, "parsed first");
	ASSERT_EQ(opt(OPT_NEGO)->bad_listener, 0, "listener");
	ASSERT_EQ(info(l->fd, OPT_NEGO).parsed, 2, "parsed");

	if (kernel_sends(l, 5, &seg))
		return;
	check_all(&seg, SEG_DATA, "data");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 0, "counter");

	/* The listener is as it was, for the next one. */
	again(l);
	write_all();
	if (server(l, NULL, all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_SYNACK, "SYN-ACK");
	ASSERT_EQ(info(l->lfd, OPT_NEGO).state, TCP_EXTOPT_ST_PENDING,
		  "listener");
}

/* The kernel's own, nego and strict, and then what a sock_ops program writes */
static void check_order(const struct wire_seg *s, int seg, const char *what)
{
	const __u8 want[] = {
		254, 7, 0xeb, 0xa0, 0x10 + 0x20 * seg, 0x11 + 0x20 * seg,
		0x12 + 0x20 * seg, 81, 4, 0x1c + 0x20 * seg, 0x1d + 0x20 * seg,
		1, 90, 8, 1, 2, 3, 4, 5, 6,
	};
	int own = seg == SEG_SYN || seg == SEG_SYNACK ? 20 : 12;

	if (ASSERT_EQ(s->opt_len, own + sizeof(want), what))
		ASSERT_OK(memcmp(s->opt + own, want, sizeof(want)), what);
}

static void test_sock_ops(struct link *l)
{
	struct bpf_link *link = NULL;
	struct wire_seg seg;
	int cg_fd;

	cg_fd = test__join_cgroup("/" NS_NAME);
	if (!ASSERT_OK_FD(cg_fd, "cgroup"))
		return;
	link = bpf_program__attach_cgroup(skel->progs.sock_ops, cg_fd);
	if (!ASSERT_OK_PTR(link, "attach"))
		goto out;

	write_all();
	if (client(l, "nego strict", &seg))
		goto out;
	check_order(&seg, SEG_SYN, "SYN");
	if (client_up(l, all_peer, sizeof(all_peer), &seg))
		goto out;
	check_order(&seg, SEG_ACK, "third ACK");
	if (kernel_sends(l, 5, &seg))
		goto out;
	check_order(&seg, SEG_DATA, "data");

	/* A listener of the cgroup */
	close(l->lfd);
	l->lfd = wire_sk(&l->w);
	if (!ASSERT_OK_FD(l->lfd, "socket"))
		goto out;
	l->port = wire_sk_listen(&l->w, l->lfd);
	if (!ASSERT_GT(l->port, 0, "listen"))
		goto out;
	again(l);
	write_all();
	if (server(l, "nego strict", all_peer, sizeof(all_peer), &seg))
		goto out;
	check_order(&seg, SEG_SYNACK, "SYN-ACK");
	if (server_up(l, NULL, 0) || kernel_sends(l, 5, &seg))
		goto out;
	check_order(&seg, SEG_DATA, "data");
out:
	bpf_link__destroy(link);
	close(cg_fd);
}

static void check_select(const struct syn_select *sel, int err, __u8 state,
			 const char *what)
{
	ASSERT_EQ(sel->calls, 1, what);
	ASSERT_EQ(sel->err, err, what);
	ASSERT_OK(sel->list_err, what);
	ASSERT_EQ(sel->count, 1, what);
	ASSERT_EQ(sel->state, state, what);
}

/* A sock_ops program is in time to have an option negotiated as long as the SYN
 * has not been made.
 */
static void test_sock_ops_select(struct link *l)
{
	struct bpf_link *link = NULL;
	struct wire_seg seg;
	int cg_fd;

	cg_fd = test__join_cgroup("/" NS_NAME);
	if (!ASSERT_OK_FD(cg_fd, "cgroup"))
		return;
	link = bpf_program__attach_cgroup(skel->progs.select_ops, cg_fd);
	if (!ASSERT_OK_PTR(link, "attach") ||
	    set_sysctl("tcp_extopt_syn_attempts", "2"))
		goto out;
	memset(&skel->bss->connect_cb, 0, sizeof(skel->bss->connect_cb));
	memset(&skel->bss->listen_cb, 0, sizeof(skel->bss->listen_cb));
	memset(&skel->bss->rto_cb, 0, sizeof(skel->bss->rto_cb));
	memset(&skel->bss->established_cb, 0,
	       sizeof(skel->bss->established_cb));

	write_all();
	if (client(l, NULL, &seg))
		goto out;
	check(&seg, OPT_NEGO, 3, 0x10, "SYN");
	ASSERT_EQ(nr_ext(&seg), 1, "SYN");
	check_select(&skel->bss->connect_cb, 0, TCP_EXTOPT_ST_PENDING,
		     "TCP_CONNECT_CB");
	if (!ASSERT_OK(wire_recv_syn(&l->c, &seg), "SYN again"))
		goto out;
	check(&seg, OPT_NEGO, 3, 0x10, "SYN again");
	ASSERT_EQ(nr_ext(&seg), 1, "SYN again");
	check_select(&skel->bss->rto_cb, -EISCONN, TCP_EXTOPT_ST_PENDING,
		     "RTO_CB");
	if (client_up(l, all_peer, sizeof(all_peer), &seg))
		goto out;
	check(&seg, OPT_NEGO, 3, 0x50, "third ACK");
	ASSERT_EQ(nr_ext(&seg), 1, "third ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	ASSERT_STREQ(extopt_names(l->fd), "nego", "selected");
	ASSERT_EQ(skel->bss->established_cb.calls, 1, "ACTIVE_ESTABLISHED_CB");
	ASSERT_EQ(skel->bss->established_cb.err, -EISCONN,
		  "ACTIVE_ESTABLISHED_CB");
	if (kernel_sends(l, 5, &seg))
		goto out;
	check(&seg, OPT_NEGO, 3, 0x70, "data");
	ASSERT_EQ(nr_ext(&seg), 1, "data");

	/* A listener of the cgroup */
	close(l->lfd);
	l->lfd = wire_sk(&l->w);
	if (!ASSERT_OK_FD(l->lfd, "socket"))
		goto out;
	l->port = wire_sk_listen(&l->w, l->lfd);
	if (!ASSERT_GT(l->port, 0, "listen"))
		goto out;
	check_select(&skel->bss->listen_cb, 0, TCP_EXTOPT_ST_PENDING,
		     "TCP_LISTEN_CB");
	again(l);
	write_all();
	if (server(l, NULL, all_peer, sizeof(all_peer), &seg))
		goto out;
	check(&seg, OPT_NEGO, 3, 0x30, "SYN-ACK");
	ASSERT_EQ(nr_ext(&seg), 1, "SYN-ACK");
	if (server_up(l, NULL, 0))
		goto out;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
out:
	bpf_link__destroy(link);
	close(cg_fd);
}

/* The namespace's default is as good as a selection. */
static void test_default(struct link *l)
{
	struct wire_seg seg;
	int fd;

	write_all();
	if (set_sysctl("tcp_extopt", "nego plain strict") ||
	    client(l, NULL, &seg))
		return;
	check_all(&seg, SEG_SYN, "SYN");
	if (client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_ACK, "third ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");

	/* Listeners that are there have nothing of it. */
	again(l);
	write_all();
	if (server(l, NULL, all_peer, sizeof(all_peer), &seg))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "old listener");

	fd = wire_sk(&l->w);
	if (!ASSERT_OK_FD(fd, "socket"))
		return;
	close(l->lfd);
	l->lfd = fd;
	l->port = wire_sk_listen(&l->w, l->lfd);
	again(l);
	write_all();
	if (server(l, NULL, all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_SYNACK, "SYN-ACK");
	if (server_up(l, NULL, 0))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	set_sysctl("tcp_extopt", " ");
}

/* All the room there is; one byte more would not fit. */
static void test_room(struct link *l)
{
	static const __u8 cookie_req[] = { 34, 2, 1, 1 };
	struct wire_seg seg;

	writes(OPT_BIG, SEG_SYN, 18, 0x50);
	writes(OPT_BIG, SEG_SYNACK, 18, 0x60);
	writes(OPT_PLAIN, SEG_SYN, 1, 1);
	if (client(l, "big plain", &seg))
		return;
	ASSERT_EQ(seg.opt_len, 40, "SYN");
	check(&seg, OPT_BIG, 18, 0x50, "SYN");
	check(&seg, OPT_PLAIN, 0, 0, "no room");
	ASSERT_EQ(info(l->fd, OPT_PLAIN).no_room, 1, "no_room");

	again(l);
	writes(OPT_BIG, SEG_SYNACK, 18, 0x60);
	writes(OPT_PLAIN, SEG_SYNACK, 1, 1);
	if (server(l, "big plain", NULL, 0, &seg))
		return;
	ASSERT_EQ(seg.opt_len, 40, "SYN-ACK");
	check(&seg, OPT_BIG, 18, 0x60, "SYN-ACK");
	check(&seg, OPT_PLAIN, 0, 0, "no room");
	ASSERT_EQ(opt(OPT_BIG)->offered_none, 1, "unsolicited");

	/* What the kernel has to say itself comes first. */
	if (set_sysctl("tcp_fastopen", "2") ||
	    !ASSERT_OK(setsockopt(l->lfd, IPPROTO_TCP, TCP_FASTOPEN,
				  &(int){ 5 }, sizeof(int)), "TCP_FASTOPEN"))
		return;
	again(l);
	writes(OPT_BIG, SEG_SYNACK, 18, 0x60);
	writes(OPT_PLAIN, SEG_SYNACK, 1, 0x70);
	if (server(l, NULL, cookie_req, sizeof(cookie_req), &seg))
		return;
	ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(WIRE_OPT_FASTOPEN)), 1,
		  "cookie");
	check(&seg, OPT_BIG, 0, 0, "no room");
	check(&seg, OPT_PLAIN, 1, 0x70, "room");
}

/* 2. Not negotiated */

static void test_stripped(struct link *l)
{
	static const __u8 plain_peer[] = { PLAIN(0xa1) };
	struct wire_seg seg;

	write_all();
	if (client(l, "nego plain strict", &seg) ||
	    client_up(l, plain_peer, sizeof(plain_peer), &seg))
		return;
	check_plain(&seg, SEG_ACK, "third ACK");
	seen(&opt(OPT_PLAIN)->parsed[SEG_SYNACK], 1, 0xa1, "plain");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_NOT_NEGOTIATED, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_NOT_NEGOTIATED, "strict");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 2, "counter");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");

	/* Nor is it parsed if it comes all the same. */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = all_peer,
			    .opt_len = sizeof(all_peer)), "ACK");
	if (sync_peer(l))
		return;
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_ACK].calls, 0, "nego");
	ASSERT_EQ(opt(OPT_PLAIN)->parsed[SEG_ACK].calls, 1, "plain");

	again(l);
	write_all();
	if (server(l, "nego plain strict", NULL, 0, &seg))
		return;
	check_plain(&seg, SEG_SYNACK, "SYN-ACK");
	ASSERT_EQ(opt(OPT_NEGO)->writes[SEG_SYNACK], 0, "not asked");
	ASSERT_EQ(opt(OPT_PLAIN)->offered_none, 1, "nothing offered");
	if (server_up(l, NULL, 0))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_NOT_NEGOTIATED, "nego");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 4, "counter");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* What was not offered is not taken as answered, whoever says so. */
static void test_unoffered(struct link *l)
{
	struct wire_seg seg;

	write_all();
	writes(OPT_NEGO, SEG_SYN, 0, 0);
	if (client(l, "nego plain strict", &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "SYN");
	if (client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYNACK].calls, 0, "not given");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_NOT_NEGOTIATED, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "data");

	/* Nor in a simultaneous open */
	again(l);
	write_all();
	writes(OPT_NEGO, SEG_SYN, 0, 0);
	if (client(l, "nego plain strict", &seg) ||
	    !ASSERT_OK(wire_send_syn(&l->c, all_peer, sizeof(all_peer)), "SYN") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, &seg), "SYN-ACK") ||
	    !ASSERT_OK(wire_send_synack(&l->c, all_peer, sizeof(all_peer)),
		       "SYN-ACK") ||
	    sync_peer(l))
		return;
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYN].calls, 0, "not given");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_NOT_NEGOTIATED, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
}

/* The listener's program does not answer. */
static void test_declined(struct link *l)
{
	struct wire_seg seg;

	write_all();
	writes(OPT_NEGO, SEG_SYNACK, 0, 0);
	if (server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "SYN-ACK");
	check(&seg, OPT_STRICT, 2, 0x3c, "SYN-ACK");
	if (server_up(l, NULL, 0))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_REFUSED, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "data");
	check(&seg, OPT_STRICT, 2, 0x7c, "data");
}

/* The program does not like what it gets, on either side. */
static void test_refused(struct link *l)
{
	struct wire_seg seg;

	write_all();
	opt(OPT_NEGO)->refuse = 1;
	opt(OPT_PLAIN)->refuse = 1;
	if (client(l, "nego plain strict", &seg) ||
	    client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "third ACK");
	check(&seg, OPT_PLAIN, 1, 0x58, "not negotiated anyway");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_REFUSED, "nego");
	ASSERT_EQ(info(l->fd, OPT_PLAIN).state, TCP_EXTOPT_ST_ACTIVE, "plain");

	again(l);
	write_all();
	opt(OPT_NEGO)->refuse = 1;
	if (server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg) ||
	    server_up(l, NULL, 0))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_REFUSED, "nego");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "data");
}

/* Bytes that make no sense do not keep a connection from being one. */
static const struct {
	const char *what;
	__u8 opt[20];
	__u8 opt_len;
	__u8 malformed;
	__u8 state;
} garbage[] = {
	{ "too long", { NEGO(1, 2, 3, 4, 5) }, 9, 1,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "length 0", { 254, 0, 0xeb, 0xa0 }, 4, 0,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "length 1", { 254, 1, 0xeb, 0xa0 }, 4, 0,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "beyond the header", { 254, 30, 0xeb, 0xa0 }, 4, 0,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "half an ExID", { 254, 3, 0xeb, 1 }, 4, 0,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "another's", { 254, 4, 0xeb, 0xa1 }, 4, 0,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "after the end", { 0, 254, 4, 0xeb, 0xa0 }, 5, 0,
	  TCP_EXTOPT_ST_NOT_NEGOTIATED },
	{ "twice", { NEGO(1), NEGO(2) }, 10, 1, TCP_EXTOPT_ST_ACTIVE },
	{ "empty", { 254, 4, 0xeb, 0xa0 }, 4, 0, TCP_EXTOPT_ST_ACTIVE },
	{ "behind others", { 99, 3, 7, NEGO(1) }, 8, 0, TCP_EXTOPT_ST_ACTIVE },
};

static void test_garbage(struct link *l)
{
	struct wire_seg seg;
	int i;

	for (i = 0; i < ARRAY_SIZE(garbage); i++) {
		bool ok = garbage[i].state == TCP_EXTOPT_ST_ACTIVE;

		again(l);
		write_all();
		if (client(l, "nego", &seg) ||
		    client_up(l, garbage[i].opt, garbage[i].opt_len, &seg))
			return;
		check(&seg, OPT_NEGO, ok ? 3 : 0, 0x50, garbage[i].what);
		check_state(l, OPT_NEGO, garbage[i].state, garbage[i].what);
		ASSERT_EQ(info(l->fd, OPT_NEGO).malformed,
			  garbage[i].malformed, garbage[i].what);
		if (sync_peer(l))
			return;

		again(l);
		write_all();
		if (server(l, "nego", garbage[i].opt, garbage[i].opt_len,
			   &seg))
			return;
		check(&seg, OPT_NEGO, ok ? 3 : 0, 0x30, garbage[i].what);
		if (server_up(l, NULL, 0))
			return;
		check_state(l, OPT_NEGO, garbage[i].state, garbage[i].what);
		ASSERT_EQ(info(l->fd, OPT_NEGO).malformed,
			  garbage[i].malformed, garbage[i].what);
		if (sync_peer(l))
			return;
	}
}

/* A peer that sends back what it does not know. */
static void test_echo(struct link *l)
{
	static const __u8 other[] = { STRICT(0x1c, 0x1e) };
	__u8 echo[20];
	struct wire_seg seg;

	write_all();
	if (client(l, "nego plain strict", &seg))
		return;
	memcpy(echo, seg.opt + 20, sizeof(syn_bytes));
	if (client_up(l, echo, sizeof(syn_bytes), &seg))
		return;
	check(&seg, OPT_NEGO, 3, 0x50, "may be an answer");
	check(&seg, OPT_STRICT, 0, 0, "is none");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ECHOED, "strict");
	ASSERT_EQ(opt(OPT_STRICT)->parsed[SEG_SYNACK].calls, 0, "not parsed");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 1, "counter");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_STRICT, 0, 0, "data");

	/* Nearly the same */
	again(l);
	write_all();
	if (client(l, "strict", &seg) ||
	    client_up(l, other, sizeof(other), &seg))
		return;
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
}

/* 3. Fallback */

static void test_syn_fallback(struct link *l)
{
	struct wire_seg seg, plain;

	write_all();
	if (client(l, "nego plain strict", &seg))
		return;
	check_all(&seg, SEG_SYN, "first");
	if (!ASSERT_OK(wire_recv_syn(&l->c, &plain), "SYN again"))
		return;
	ASSERT_EQ(plain.seq, seg.seq, "the same SYN");
	ASSERT_EQ(nr_ext(&plain), 0, "without");
	ASSERT_EQ(plain.opt_len, 20, "without");
	ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_PENDING, "state");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");

	/* An answer to the first may come late: the peer knows of the second. */
	if (client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	check_plain(&seg, SEG_ACK, "third ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_FALLBACK, "nego");
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYNACK].calls, 0, "nego");
	ASSERT_EQ(opt(OPT_PLAIN)->parsed[SEG_SYNACK].calls, 1, "plain");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 2, "counter");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

static void test_syn_attempts(struct link *l)
{
	struct wire_seg seg;

	ASSERT_EQ(extopt_sysctl("tcp_extopt_syn_attempts", "0"), -EINVAL, "0");
	if (set_sysctl("tcp_extopt_syn_attempts", "2"))
		return;
	write_all();
	if (client(l, "nego plain strict", &seg))
		return;
	check_all(&seg, SEG_SYN, "first");
	if (!ASSERT_OK(wire_recv_syn(&l->c, &seg), "second"))
		return;
	check_all(&seg, SEG_SYN, "second");
	if (!ASSERT_OK(wire_recv_syn(&l->c, &seg), "third"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "third");
	if (client_up(l, NULL, 0, &seg))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_FALLBACK, "nego");

	/* The second is answered. */
	again(l);
	write_all();
	if (client(l, "nego plain strict", &seg) ||
	    !ASSERT_OK(wire_recv_syn(&l->c, &seg), "second") ||
	    client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_ACK, "third ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");
}

/* A SYN that comes again is answered again, as it is. */
static void test_syn_again(struct link *l)
{
	struct wire_seg seg;

	if (set_sysctl("tcp_invalid_ratelimit", "0"))
		return;
	write_all();
	if (server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_SYNACK, "first");
	l->c.snd_nxt = l->c.iss;
	if (!ASSERT_OK(wire_send_syn(&l->c, all_peer, sizeof(all_peer)),
		       "SYN again") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, &seg), "SYN-ACK again"))
		return;
	check_all(&seg, SEG_SYNACK, "second");
	ASSERT_EQ(opt(OPT_NEGO)->writes[SEG_SYNACK], 2, "asked again");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 0, "counter");

	/* Now the peer has given up. */
	l->c.snd_nxt = l->c.iss;
	if (!ASSERT_OK(wire_send_syn(&l->c, NULL, 0), "SYN without") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, &seg), "SYN-ACK without"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "SYN-ACK without");
	if (server_up(l, NULL, 0))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_FALLBACK, "nego");
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYN].calls, 0, "nego");
	ASSERT_EQ(opt(OPT_PLAIN)->parsed[SEG_SYN].calls, 1, "plain");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* Nobody says anything to the SYN-ACK. */
static void test_synack_fallback(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg))
		return;
	check_all(&seg, SEG_SYNACK, "first");
	if (!ASSERT_OK(wire_recv_synack(&l->c, &seg), "second"))
		return;
	check_all(&seg, SEG_SYNACK, "second");
	if (!ASSERT_OK(wire_recv_synack(&l->c, &seg), "third"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "third");
	if (server_up(l, NULL, 0))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_FALLBACK, "nego");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* The third ACK came and was not taken: that the SYN-ACK is sent again does not mean
 * that it was lost.
 */
static void test_synack_deferred(struct link *l)
{
	struct wire_seg seg;
	const int secs = 3;

	write_all();
	if (server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg) ||
	    !ASSERT_OK(setsockopt(l->lfd, SOL_TCP, TCP_DEFER_ACCEPT, &secs,
				  sizeof(secs)), "TCP_DEFER_ACCEPT") ||
	    !ASSERT_OK(wire_ack(&l->c), "third ACK") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, &seg), "SYN-ACK again"))
		return;
	check_all(&seg, SEG_SYNACK, "again");
	ASSERT_GE(extopt_netstat("TCPDeferAcceptDrop"), 1, "deferred");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK | WIRE_PSH, .data = "x",
			    .len = 1), "data");
	l->fd = accept(l->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(l->fd, "accept"))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 0, "counter");
}

/* The other end of a connection that only it remembers answers the SYN: it is sent
 * again, and options have done nothing wrong. They have when that one gets lost.
 */
static void test_syn_old_ack(struct link *l)
{
	struct wire_seg seg;
	int lost;

	for (lost = 0; lost < 2; lost++) {
		if (lost)
			again(l);
		write_all();
		if (client(l, "nego plain strict", &seg) ||
		    !ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK,
					 .ack = WIRE_SEQ(seg.seq - 1000)),
			       "ACK") ||
		    !ASSERT_OK(wire_recv_until(&l->c, &seg, .flags = WIRE_RST),
			       "RST") ||
		    !ASSERT_OK(wire_recv_syn(&l->c, &seg), "SYN again"))
			return;
		check_all(&seg, SEG_SYN, "SYN again");
		if (lost) {
			if (!ASSERT_OK(wire_recv_syn(&l->c, &seg), "third SYN"))
				return;
			ASSERT_EQ(nr_ext(&seg), 0, "third SYN");
		}
		if (client_up(l, lost ? NULL : all_peer,
			      lost ? 0 : sizeof(all_peer), &seg))
			return;
		check_state(l, OPT_NEGO, lost ? TCP_EXTOPT_ST_FALLBACK :
			    TCP_EXTOPT_ST_ACTIVE, "nego");
		ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), lost, "counter");
	}
}

/* 4. Other ways to connect */

static int crossed(struct link *l, const void *opts, int len,
		   struct wire_seg *seg)
{
	again(l);
	write_all();
	if (client(l, "nego plain strict", seg) ||
	    !ASSERT_OK(wire_send_syn(&l->c, opts, len), "SYN") ||
	    !ASSERT_OK(wire_recv_synack(&l->c, seg), "SYN-ACK"))
		return -1;
	/* It is our SYN again. */
	check_all(seg, SEG_SYN, "SYN-ACK");
	ASSERT_EQ(opt(OPT_NEGO)->negotiated, 0, "not yet");
	if (!ASSERT_OK(wire_send_synack(&l->c, opts, len), "SYN-ACK") ||
	    sync_peer(l))
		return -1;
	return 0;
}

static void test_simultaneous(struct link *l)
{
	struct wire_seg seg;

	if (crossed(l, all_peer, sizeof(all_peer), &seg))
		return;
	seen(&opt(OPT_NEGO)->parsed[SEG_SYN], 3, 0x91, "nego");
	seen(&opt(OPT_PLAIN)->parsed[SEG_SYN], 1, 0xa1, "plain");
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYNACK].calls, 0, "but once");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	if (kernel_sends(l, 5, &seg))
		return;
	check_all(&seg, SEG_DATA, "data");

	if (crossed(l, NULL, 0, &seg))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_NOT_NEGOTIATED, "nego");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* A socket that connects to itself negotiates with itself. */
static void test_self(struct link *l)
{
	struct sockaddr_storage addr = {};
	socklen_t len = sizeof(addr);
	char in[3];

	write_all();
	addr.ss_family = l->w.family;
	l->fd = socket(l->w.family, SOCK_STREAM, 0);
	if (!ASSERT_OK_FD(l->fd, "socket") ||
	    !ASSERT_OK(extopt_select(l->fd, "nego plain strict"), "select"))
		return;
	if (l->w.family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_addr.s_addr =
			htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	if (!ASSERT_OK(bind(l->fd, (void *)&addr, len), "bind") ||
	    !ASSERT_OK(getsockname(l->fd, (void *)&addr, &len), "name") ||
	    !ASSERT_OK(settimeo(l->fd, WIRE_TIMEOUT_MS), "settimeo") ||
	    !ASSERT_OK(connect(l->fd, (void *)&addr, len), "connect") ||
	    !ASSERT_EQ(send(l->fd, "abc", 3, 0), 3, "send") ||
	    !ASSERT_EQ(recv(l->fd, in, 3, MSG_WAITALL), 3, "recv"))
		return;
	ASSERT_OK(memcmp(in, "abc", 3), "data");
	seen(&opt(OPT_NEGO)->parsed[SEG_SYN], 3, 0x10, "SYN");
	seen(&opt(OPT_NEGO)->parsed[SEG_DATA], 3, 0x70, "data");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	/* It was no SYN-ACK. */
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
}

#define TFO_CLIENT_NO_COOKIE	"5"
#define TFO_SERVER_NO_COOKIE	"514"

static __u8 fastopen_data[3000];

/* A socket that has sent a SYN with data. Returns how much that is. */
static int fastopen_client(struct link *l, struct wire_seg *seg)
{
	struct sockaddr_storage addr = {};
	socklen_t len;
	int i, sent;

	for (i = 0; i < sizeof(fastopen_data); i++)
		fastopen_data[i] = i % 251;
	write_all();
	if (set_sysctl("tcp_fastopen", TFO_CLIENT_NO_COOKIE))
		return -1;
	l->fd = wire_sk(&l->w);
	wire_conn_init(&l->c, &l->w, 0);
	if (!ASSERT_OK_FD(l->fd, "socket") ||
	    !ASSERT_OK(extopt_select(l->fd, "nego plain strict"), "select"))
		return -1;
	addr.ss_family = l->w.family;
	if (l->w.family == AF_INET) {
		struct sockaddr_in *sin = (void *)&addr;

		memcpy(&sin->sin_addr, l->w.peer_addr, 4);
		sin->sin_port = htons(l->c.port);
		len = sizeof(*sin);
	} else {
		struct sockaddr_in6 *sin6 = (void *)&addr;

		memcpy(&sin6->sin6_addr, l->w.peer_addr, 16);
		sin6->sin6_port = htons(l->c.port);
		len = sizeof(*sin6);
	}
	ASSERT_OK(fcntl(l->fd, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
	sent = sendto(l->fd, fastopen_data, sizeof(fastopen_data),
		      MSG_FASTOPEN, (void *)&addr, len);
	if (!ASSERT_GT(sent, 0, "MSG_FASTOPEN") ||
	    !ASSERT_OK(getsockname(l->fd, (void *)&addr, &len), "name"))
		return -1;
	l->c.kport = ntohs(l->w.family == AF_INET ?
			   ((struct sockaddr_in *)&addr)->sin_port :
			   ((struct sockaddr_in6 *)&addr)->sin6_port);
	if (!ASSERT_OK(wire_recv_syn(&l->c, seg), "SYN"))
		return -1;
	check_all(seg, SEG_SYN, "SYN");
	ASSERT_GT(seg->len, 1000, "data");
	ASSERT_EQ(seg->len, sent, "data");
	ASSERT_LE(seg->pkt_len, l->w.mtu, "packet");
	ASSERT_OK(fcntl(l->fd, F_SETFL, 0), "blocking");
	return sent;
}

static void test_fastopen_client(struct link *l)
{
	struct wire_seg seg;
	int payload;

	payload = fastopen_client(l, &seg);
	if (payload < 0)
		return;
	l->c.rcv_nxt = seg.seq + 1 + payload;
	if (!ASSERT_OK(wire_send_synack(&l->c, all_peer, sizeof(all_peer)),
		       "SYN-ACK") ||
	    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "third ACK"))
		return;
	ASSERT_EQ(seg.seq, l->c.rcv_nxt, "data was taken");
	check_all(&seg, seg.len ? SEG_DATA : SEG_ACK, "third ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
}

/* Nobody says anything to a SYN that has both data and options. */
static void test_fastopen_syn_lost(struct link *l)
{
	__u8 in[sizeof(fastopen_data)];
	struct wire_seg seg;
	int payload;
	__u32 seq;

	payload = fastopen_client(l, &seg);
	if (payload < 0)
		return;
	seq = seg.seq;
	if (!ASSERT_OK(wire_recv_syn(&l->c, &seg), "SYN again"))
		return;
	ASSERT_EQ(seg.seq, seq, "the same SYN");
	ASSERT_EQ(seg.len, 0, "SYN again");
	ASSERT_EQ(nr_ext(&seg), 0, "without");
	ASSERT_EQ(seg.opt_len, 20, "without");
	ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_PENDING, "state");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");

	/* The data comes again after the handshake. */
	l->c.rcv_nxt = seq + 1;
	if (!ASSERT_OK(wire_send_synack(&l->c, NULL, 0), "SYN-ACK") ||
	    !ASSERT_OK(wire_read(&l->c, in, payload), "data") ||
	    !ASSERT_OK(memcmp(in, fastopen_data, payload), "data"))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_FALLBACK, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_FALLBACK, "strict");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 2, "counter");
	if (sync_peer(l))
		return;
	while (!wire_recv(&l->c, &seg, QUIET_MS))
		check_plain(&seg, seg.len ? SEG_DATA : SEG_ACK, "after it");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* The child is there before the SYN-ACK, and may send before the third ACK. */
static int fastopen_child(struct link *l, struct wire_seg *seg)
{
	char in[3];

	if (set_sysctl("tcp_fastopen", TFO_SERVER_NO_COOKIE) ||
	    !ASSERT_OK(setsockopt(l->lfd, IPPROTO_TCP, TCP_FASTOPEN,
				  &(int){ 5 }, sizeof(int)), "TCP_FASTOPEN") ||
	    !ASSERT_OK(extopt_select(l->lfd, "nego plain strict"), "select") ||
	    !ASSERT_OK(wire_send(&l->c, .flags = WIRE_SYN, .opt = all_peer,
				 .opt_len = sizeof(all_peer), .data = "abc",
				 .len = 3, .no_ts = true), "SYN"))
		return -1;
	l->c.ts = false;
	if (!ASSERT_OK(wire_recv_until(&l->c, seg,
				       .flags = WIRE_SYN | WIRE_ACK),
		       "SYN-ACK"))
		return -1;
	ASSERT_EQ(seg->ack, l->c.iss + 4, "data was taken");
	l->fd = accept(l->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(l->fd, "accept") ||
	    !ASSERT_OK(settimeo(l->fd, WIRE_TIMEOUT_MS), "settimeo") ||
	    !ASSERT_EQ(recv(l->fd, in, 3, MSG_WAITALL), 3, "recv"))
		return -1;
	return 0;
}

static void test_fastopen_server(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (fastopen_child(l, &seg))
		return;
	check_all(&seg, SEG_SYNACK, "SYN-ACK");
	seen(&opt(OPT_NEGO)->offered, 3, 0x91, "offered");
	seen(&opt(OPT_NEGO)->parsed[SEG_SYN], 3, 0x91, "SYN");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	ASSERT_EQ(opt(OPT_NEGO)->parsed_before, 1, "parsed first");
	if (!ASSERT_EQ(send(l->fd, "xyz", 3, 0), 3, "send") ||
	    !ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
		return;
	check_all(&seg, SEG_DATA, "data before the third ACK");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = nego_peer,
			    .opt_len = sizeof(nego_peer)), "third ACK");
	if (sync_peer(l))
		return;
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_ACK].calls, 1, "third ACK");
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_SYN].calls, 1, "SYN");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");

	/* Declined */
	again(l);
	write_all();
	writes(OPT_NEGO, SEG_SYNACK, 0, 0);
	if (fastopen_child(l, &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "SYN-ACK");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_REFUSED, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
}

/* The child has refused the offer before the SYN-ACK is made, or has declined to
 * answer it: the next SYN-ACK does not either.
 */
static void test_fastopen_refused(struct link *l)
{
	struct wire_seg seg;
	int decline;

	for (decline = 0; decline < 2; decline++) {
		if (decline)
			again(l);
		write_all();
		if (decline)
			writes(OPT_NEGO, SEG_SYNACK, 0, 0);
		else
			opt(OPT_NEGO)->refuse = 1;
		if (fastopen_child(l, &seg))
			return;
		check(&seg, OPT_NEGO, 0, 0, "SYN-ACK");
		check_state(l, OPT_NEGO, TCP_EXTOPT_ST_REFUSED, "nego");
		opt(OPT_NEGO)->refuse = 0;
		writes(OPT_NEGO, SEG_SYNACK, 3, 0x31);
		if (!ASSERT_OK(wire_recv_until(&l->c, &seg,
					       .flags = WIRE_SYN | WIRE_ACK),
			       "SYN-ACK again"))
			return;
		check(&seg, OPT_NEGO, 0, 0, "SYN-ACK again");
		check(&seg, OPT_STRICT, 2, 0x3c, "SYN-ACK again");
	}
}

/* The client gives up while the server believes all is well. */
static void test_fastopen_fallback(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (set_sysctl("tcp_invalid_ratelimit", "0") || fastopen_child(l, &seg))
		return;
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_SYN,
				 .seq = WIRE_SEQ(l->c.iss), .no_ts = true),
		       "SYN") ||
	    !ASSERT_OK(wire_recv_until(&l->c, &seg,
				       .flags = WIRE_SYN | WIRE_ACK),
		       "SYN-ACK"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "SYN-ACK");
	ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_FALLBACK, "state");
	ASSERT_EQ(opt(OPT_NEGO)->negotiated, 2, "told again");
	ASSERT_EQ(opt(OPT_NEGO)->state, TCP_EXTOPT_ST_FALLBACK, "told");
	ASSERT_OK(wire_ack(&l->c), "third ACK");
	if (sync_peer(l) || kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* Nobody says anything to the SYN-ACK of a child that is there already. */
static void test_fastopen_synack_lost(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (fastopen_child(l, &seg))
		return;
	check_all(&seg, SEG_SYNACK, "first");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_ACTIVE, "nego");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_SYN | WIRE_ACK),
		       "second"))
		return;
	check_all(&seg, SEG_SYNACK, "second");
	ASSERT_EQ(opt(OPT_NEGO)->negotiated, 1, "told once");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 0, "counter");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_SYN | WIRE_ACK),
		       "third"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "third");
	ASSERT_EQ(seg.ack, l->c.iss + 4, "third");
	ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_FALLBACK, "nego");
	ASSERT_EQ(info(l->fd, OPT_STRICT).state, TCP_EXTOPT_ST_FALLBACK,
		  "strict");
	ASSERT_EQ(opt(OPT_NEGO)->negotiated, 2, "told again");
	ASSERT_EQ(opt(OPT_NEGO)->state, TCP_EXTOPT_ST_FALLBACK, "told");
	ASSERT_EQ(opt(OPT_STRICT)->negotiated, 2, "told again");
	ASSERT_EQ(extopt_netstat("TCPExtOptFallback"), 1, "counter");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 2, "counter");

	ASSERT_OK(wire_ack(&l->c), "third ACK");
	if (sync_peer(l) || kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
	ASSERT_EQ(opt(OPT_NEGO)->negotiated, 2, "and not again");
}

static void test_cookie(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (set_sysctl("tcp_syncookies", "2") ||
	    server(l, "nego plain strict", all_peer, sizeof(all_peer), &seg))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "SYN-ACK");
	ASSERT_EQ(opt(OPT_PLAIN)->writes[SEG_SYNACK], 0, "not asked");
	if (server_up(l, all_peer, sizeof(all_peer)))
		return;
	ASSERT_EQ(extopt_netstat("SyncookiesRecv"), 1, "cookie");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_COOKIE, "nego");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_COOKIE, "strict");
	ASSERT_EQ(extopt_netstat("TCPExtOptNotNegotiated"), 2, "counter");
	ASSERT_EQ(opt(OPT_NEGO)->parsed[SEG_ACK].calls, 0, "third ACK");
	ASSERT_EQ(opt(OPT_PLAIN)->parsed[SEG_ACK].calls, 1, "third ACK");
	if (kernel_sends(l, 5, &seg))
		return;
	check_plain(&seg, SEG_DATA, "data");
}

/* The listener that makes the child is not the one that got the SYN. */
static void test_migrate(struct link *l)
{
	struct wire_seg seg;
	int fd;

	write_all();
	writes(OPT_BIG, SEG_SYNACK, 1, 0x66);
	fd = wire_sk(&l->w);
	if (set_sysctl("tcp_migrate_req", "1") || !ASSERT_OK_FD(fd, "socket"))
		return;
	close(l->lfd);
	l->lfd = fd;
	if (!ASSERT_OK(setsockopt(l->lfd, SOL_SOCKET, SO_REUSEPORT,
				  &(int){ 1 }, sizeof(int)), "SO_REUSEPORT"))
		return;
	l->port = wire_sk_listen(&l->w, l->lfd);
	wire_conn_init(&l->c, &l->w, l->port);
	if (server(l, "plain strict", all_peer, sizeof(all_peer), &seg))
		return;
	check(&seg, OPT_STRICT, 2, 0x3c, "SYN-ACK");

	fd = wire_sk(&l->w);
	if (!ASSERT_OK_FD(fd, "socket"))
		return;
	if (ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 },
				 sizeof(int)), "SO_REUSEPORT") &&
	    ASSERT_OK(extopt_select(fd, "strict nego"), "select")) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);

		if (!ASSERT_OK(getsockname(l->lfd, (void *)&addr, &len),
			       "name") ||
		    !ASSERT_OK(bind(fd, (void *)&addr, len), "bind") ||
		    !ASSERT_OK(listen(fd, 5), "listen")) {
			close(fd);
			return;
		}
	}
	close(l->lfd);
	l->lfd = fd;
	if (server_up(l, NULL, 0))
		return;
	ASSERT_EQ(extopt_netstat("TCPMigrateReqSuccess"), 1, "migrated");
	ASSERT_STREQ(extopt_names(l->fd), "strict nego", "selection");
	check_state(l, OPT_STRICT, TCP_EXTOPT_ST_ACTIVE, "strict");
	check_state(l, OPT_NEGO, TCP_EXTOPT_ST_NOT_NEGOTIATED, "nego");
	seen(&opt(OPT_STRICT)->parsed[SEG_SYN], 2, 0xb1, "strict");
	ASSERT_EQ(opt(OPT_PLAIN)->parsed[SEG_SYN].calls, 0, "plain");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_STRICT, 2, 0x7c, "data");
	ASSERT_EQ(nr_ext(&seg), 1, "data");
}

static void test_repair(struct link *l)
{
	struct wire_seg seg;
	int on = 1, off = 0, fd;

	write_all();
	fd = wire_sk(&l->w);
	wire_conn_init(&l->c, &l->w, 0);
	l->fd = fd;
	if (!ASSERT_OK_FD(fd, "socket") ||
	    !ASSERT_OK(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on,
				  sizeof(on)), "TCP_REPAIR") ||
	    !ASSERT_OK(extopt_select(fd, "nego"), "select") ||
	    !ASSERT_OK(wire_sk_connect(&l->c, fd), "connect"))
		return;
	ASSERT_EQ(info(fd, OPT_NEGO).state, TCP_EXTOPT_ST_ACTIVE, "before");
	ASSERT_OK(extopt_select(fd, "nego strict"), "in repair");
	ASSERT_EQ(info(fd, OPT_STRICT).state, TCP_EXTOPT_ST_ACTIVE, "after");
	ASSERT_OK(extopt_select(fd, "nego"), "remove");
	ASSERT_OK(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)),
		  "TCP_REPAIR");
	ASSERT_EQ(extopt_select(fd, "nego strict"), -EISCONN, "not any more");
	ASSERT_EQ(opt(OPT_NEGO)->negotiated, 0, "nothing was");
	/* The kernel asks for the window, and tells where it is. */
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "probe"))
		return;
	l->c.synced = true;
	l->c.ts = seg.has_ts;
	l->c.rcv_nxt = seg.seq + 1;
	l->c.snd_nxt = seg.ack;
	ASSERT_OK(wire_ack(&l->c), "ACK");
	if (!ASSERT_EQ(send(fd, "abc", 3, 0), 3, "send") ||
	    !ASSERT_OK(wire_recv_data(&l->c, &seg), "data"))
		return;
	check(&seg, OPT_NEGO, 3, 0x70, "data");
}

/* What is to be negotiated must be there in time. */
static void test_late(struct link *l)
{
	struct wire_seg seg;

	write_all();
	if (client(l, "plain", &seg))
		return;
	ASSERT_EQ(extopt_select(l->fd, "plain nego"), -EISCONN, "SYN_SENT");
	ASSERT_STREQ(extopt_names(l->fd), "plain", "as it was");
	if (client_up(l, NULL, 0, &seg))
		return;
	ASSERT_EQ(extopt_select(l->fd, "plain nego"), -EISCONN, "established");
	ASSERT_STREQ(extopt_names(l->fd), "plain", "as it was");

	again(l);
	write_all();
	if (client(l, "nego", &seg) ||
	    client_up(l, nego_peer, sizeof(nego_peer), &seg))
		return;
	ASSERT_OK(extopt_select(l->fd, "plain nego"), "add another");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_NEGO, 3, 0x70, "data");
	check(&seg, OPT_PLAIN, 1, 0x78, "data");
	ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_ACTIVE, "kept");
	ASSERT_OK(extopt_select(l->fd, "plain"), "remove");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_NEGO, 0, 0, "data");
	ASSERT_EQ(extopt_select(l->fd, "plain nego"), -EISCONN, "again");
}

/* A connection after another is negotiated anew. */
static void test_reconnect(struct link *l)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct wire_seg seg;
	int i;

	l->fd = wire_sk(&l->w);
	if (!ASSERT_OK_FD(l->fd, "socket") ||
	    !ASSERT_OK(extopt_select(l->fd, "nego"), "select"))
		return;
	for (i = 0; i < 4; i++) {
		bool ok = i % 2;

		memset(skel->bss->opts, 0, sizeof(skel->bss->opts));
		write_all();
		wire_conn_init(&l->c, &l->w, 0);
		if (!ASSERT_OK(wire_sk_connect(&l->c, l->fd), "connect") ||
		    !ASSERT_OK(wire_recv_syn(&l->c, &seg), "SYN"))
			return;
		check(&seg, OPT_NEGO, 3, 0x10, "SYN");
		if (client_up(l, nego_peer, ok ? sizeof(nego_peer) : 0, &seg))
			return;
		check(&seg, OPT_NEGO, ok ? 3 : 0, 0x50, "third ACK");
		check_state(l, OPT_NEGO, ok ? TCP_EXTOPT_ST_ACTIVE :
			    TCP_EXTOPT_ST_NOT_NEGOTIATED, "state");
		ASSERT_OK(connect(l->fd, &unspec, sizeof(unspec)),
			  "disconnect");
		ASSERT_EQ(info(l->fd, OPT_NEGO).state, TCP_EXTOPT_ST_PENDING,
			  "pending");
		if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_RST), "RST"))
			return;
		ASSERT_EQ(nr_ext(&seg), 0, "RST");
	}
}

static int snd_cwnd(int fd)
{
	struct tcp_info ti = {};
	socklen_t len = sizeof(ti);

	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_INFO, &ti, &len), "TCP_INFO");
	return ti.tcpi_snd_cwnd;
}

/* What a SYN or SYN-ACK says can set the initial window. */
static void test_iw(struct link *l)
{
	struct wire_seg seg;

	write_all();
	opt(OPT_PLAIN)->iw = 23;
	if (client(l, "plain", &seg) ||
	    client_up(l, all_peer, sizeof(all_peer), &seg))
		return;
	ASSERT_OK(opt(OPT_PLAIN)->iw_err, "TCP_BPF_IW");
	ASSERT_EQ(snd_cwnd(l->fd), 23, "client");

	again(l);
	write_all();
	opt(OPT_PLAIN)->iw = 27;
	if (server(l, "plain", all_peer, sizeof(all_peer), &seg) ||
	    server_up(l, NULL, 0))
		return;
	ASSERT_OK(opt(OPT_PLAIN)->iw_err, "TCP_BPF_IW");
	ASSERT_EQ(snd_cwnd(l->fd), 27, "server");

	again(l);
	write_all();
	opt(OPT_PLAIN)->iw = 29;
	if (fastopen_child(l, &seg))
		return;
	ASSERT_EQ(snd_cwnd(l->fd), 29, "Fast Open");
}

/* An option that only clients send, in the SYN: the offer is all there is. */
static void test_offer(struct link *l)
{
	static const __u8 offer[] = { 85, 4, 0x55, 0x56 };
	struct wire_seg seg;

	writes(OPT_OFFER, SEG_DATA, 1, 0x57);
	if (server(l, "offer", offer, sizeof(offer), &seg))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "SYN-ACK");
	if (server_up(l, NULL, 0))
		return;
	check_state(l, OPT_OFFER, TCP_EXTOPT_ST_ACTIVE, "offer");
	seen(&opt(OPT_OFFER)->parsed[SEG_SYN], 2, 0x55, "SYN");
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_OFFER, 1, 0x57, "data");
}

static int user_timeout(int fd)
{
	socklen_t len = sizeof(int);
	int ms = -1;

	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_USER_TIMEOUT, &ms, &len),
		  "TCP_USER_TIMEOUT");
	return ms;
}

/* The example of Documentation/networking/tcp-extopt.rst: RFC 5482 */
static void test_uto(struct link *l)
{
	static const struct {
		__u8 val[2];
		int ms;
	} cases[] = {
		{ { 600 >> 8, 600 & 0xff }, 600000 },
		{ { 0x80, 11 }, 660000 },		/* minutes */
		{ { 0, 10 }, 300000 },			/* ours is longer */
		{ { 0xff, 0xff }, 3600000 },		/* U_LIMIT */
	};
	struct bpf_link *link = NULL;
	struct tcp_extopt_uto *uto;
	struct wire_seg seg;
	const __u8 *val;
	int i, len;

	uto = tcp_extopt_uto__open_and_load();
	if (!ASSERT_OK_PTR(uto, "load"))
		return;
	link = bpf_map__attach_struct_ops(uto->maps.uto);
	if (!ASSERT_OK_PTR(link, "attach"))
		goto out;
	if (client(l, "uto", &seg))
		goto out;
	val = wire_opt_find(&seg, WIRE_KIND(28), 0, &len);
	if (ASSERT_OK_PTR(val, "SYN") && ASSERT_EQ(len, 2, "SYN"))
		ASSERT_EQ(val[0] << 8 | val[1], 300, "SYN");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const __u8 opt[] = { 28, 4, cases[i].val[0], cases[i].val[1] };

		again(l);
		if (server(l, "uto", opt, sizeof(opt), &seg) ||
		    server_up(l, NULL, 0))
			goto out;
		ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(28)), 0, "SYN-ACK");
		ASSERT_EQ(user_timeout(l->fd), cases[i].ms, "timeout");
	}
out:
	bpf_link__destroy(link);
	tcp_extopt_uto__destroy(uto);
}

/* 5. Options that are asked for */

#define ON_SYNACK	2	/* enum tcp_extopt_segment */
#define ON_ACK		4
#define ON_DATA		8

static const __u8 ask[] = { 82, 2 };
static const __u8 ask_nonce[] = { 83, 2 };

static void once_writes(int nr, int len)
{
	writes(nr, SEG_ACK, len, 0x41);
	writes(nr, SEG_DATA, len, 0x51);
}

static int once_up(struct link *l)
{
	struct wire_seg seg;

	again(l);
	once_writes(OPT_ONCE, 6);
	opt(OPT_ONCE)->arm = ON_ACK;
	if (server(l, "once", NULL, 0, &seg))
		return -1;
	ASSERT_EQ(nr_ext(&seg), 0, "SYN-ACK");
	return server_up(l, NULL, 0);
}

static int asks(struct link *l, const void *opts, int len)
{
	return ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = opts,
				   .opt_len = len), "ask") ? 0 : -1;
}

static void quiet(struct link *l, const char *what)
{
	struct wire_seg seg;

	if (!ASSERT_EQ(wire_recv(&l->c, &seg, QUIET_MS), -ETIMEDOUT, what))
		wire_dump(&seg);
}

/* At once, by an ACK of its own, and but once: however the segment that asks is
 * taken in.
 */
static void test_once_idle(struct link *l)
{
	static const __u8 slow[] = { 99, 2, 82, 2 };
	struct wire_seg seg;
	int i;

	if (once_up(l) || kernel_sends(l, 5, &seg))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "nobody asked");
	for (i = 0; i < 4; i++) {
		if (i % 2 ? asks(l, slow, sizeof(slow)) :
			    asks(l, ask, sizeof(ask)))
			return;
		if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
			return;
		ASSERT_EQ(seg.len, 0, "ACK");
		check(&seg, OPT_ONCE, 6, 0x41, "ACK");
		ASSERT_EQ(opt(OPT_ONCE)->parsed[SEG_ACK].calls, i + 1, "asked");
		quiet(l, "once");
		if (kernel_sends(l, 5, &seg))
			return;
		ASSERT_EQ(nr_ext(&seg), 0, "not again");
	}
	ASSERT_EQ(info(l->fd, OPT_ONCE).written, 4, "written");
	ASSERT_EQ(info(l->fd, OPT_ONCE).no_room, 0, "no_room");
	ASSERT_EQ(opt(OPT_ONCE)->writes[SEG_ACK], 4, "calls");
	ASSERT_EQ(opt(OPT_ONCE)->writes[SEG_DATA], 0, "calls");
	ASSERT_OK(opt(OPT_ONCE)->arm_err, "arm");

	/* To say no is also once. */
	once_writes(OPT_ONCE, 0);
	if (asks(l, ask, sizeof(ask)) ||
	    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "declined");
	ASSERT_EQ(opt(OPT_ONCE)->writes[SEG_ACK], 5, "calls");
	if (kernel_sends(l, 5, &seg))
		return;
	ASSERT_EQ(opt(OPT_ONCE)->writes[SEG_DATA], 0, "calls");
}

/* The ACK that data gets anyway will do. */
static void test_once_data(struct link *l)
{
	struct wire_seg seg;
	char in[3];
	int i;

	if (once_up(l))
		return;
	opt(OPT_ONCE)->arm = ON_DATA;
	for (i = 0; i < 3; i++) {
		if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = ask,
					 .opt_len = sizeof(ask), .data = "abc",
					 .len = 3), "data") ||
		    !ASSERT_EQ(recv(l->fd, in, 3, MSG_WAITALL), 3, "recv") ||
		    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
			return;
		ASSERT_EQ(seg.ack, l->c.snd_nxt, "ACK");
		check(&seg, OPT_ONCE, 6, 0x41, "ACK");
		quiet(l, "once");
	}
}

/* So many bytes wait for the window, which opens with what asks. */
static int queued(struct link *l, int len, struct wire_seg *seg)
{
	__u8 buf[WIRE_MTU] = {};

	if (once_up(l))
		return -1;
	l->c.wnd = 0;
	if (sync_peer(l) ||
	    !ASSERT_EQ(send(l->fd, buf, len, 0), len, "send"))
		return -1;
	while (!wire_recv(&l->c, seg, QUIET_MS))
		ASSERT_EQ(seg->len, 0, "closed");
	l->c.wnd = 0xffff;
	if (asks(l, ask, sizeof(ask)) ||
	    !ASSERT_OK(wire_recv(&l->c, seg, WIRE_TIMEOUT_MS), "data") ||
	    !ASSERT_EQ(seg->len, len, "data"))
		return -1;
	ASSERT_LE(seg->pkt_len, l->w.mtu, "packet");
	return 0;
}

/* Data that has room has the option; else an ACK has it, besides the data. */
static void test_once_fit(struct link *l)
{
	int mss = l->w.mtu - wire_ip_hlen(&l->w) - 32;
	struct wire_seg seg;
	int room;

	if (queued(l, 10, &seg))
		return;
	check(&seg, OPT_ONCE, 6, 0x51, "small");
	quiet(l, "small");

	for (room = 7; room <= 8; room++) {
		if (queued(l, mss - room, &seg))
			return;
		if (room == 8) {
			check(&seg, OPT_ONCE, 6, 0x51, "room");
			ASSERT_EQ(seg.pkt_len, l->w.mtu, "room");
		} else {
			ASSERT_EQ(nr_ext(&seg), 0, "no room");
			if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS),
				       "ACK"))
				return;
			ASSERT_EQ(seg.len, 0, "ACK");
			check(&seg, OPT_ONCE, 6, 0x41, "ACK");
		}
		ASSERT_EQ(info(l->fd, OPT_ONCE).no_room, 0, "it could wait");
		quiet(l, "once");
	}
}

#define BULK	200000

/* A sender that has never anything but full segments. The MSS is what it would
 * be without the option.
 */
static void test_once_bulk(struct link *l)
{
	int mss = l->w.mtu - wire_ip_hlen(&l->w) - 32;
	static __u8 buf[BULK];
	bool asked = false;
	int got = 0, nr_ack = 0;
	struct wire_seg seg;

	if (once_up(l) ||
	    !ASSERT_OK(setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF,
				  &(int){ 2 * BULK }, sizeof(int)), "SNDBUF") ||
	    !ASSERT_EQ(send(l->fd, buf, BULK, 0), BULK, "send"))
		return;
	while (got < BULK) {
		if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "recv"))
			return;
		ASSERT_LE(seg.pkt_len, l->w.mtu, "packet");
		if (!seg.len) {
			nr_ack++;
			check(&seg, OPT_ONCE, 6, 0x41, "ACK");
			ASSERT_OK(wire_ack(&l->c), "ACK");
			continue;
		}
		ASSERT_EQ(nr_ext(&seg), 0, "data");
		if (got + seg.len < BULK)
			ASSERT_EQ(seg.len, mss, "full");
		got += seg.len;
		/* Within a round trip: nothing else goes to the kernel. */
		if (asked && !nr_ack)
			continue;
		if (!asked && got >= BULK / 2) {
			asked = true;
			if (asks(l, ask, sizeof(ask)))
				return;
		} else {
			ASSERT_OK(wire_ack(&l->c), "ACK");
		}
	}
	ASSERT_EQ(nr_ack, 1, "one ACK");
	ASSERT_EQ(info(l->fd, OPT_ONCE).written, 1, "written");
}

/* No room on the ACK either, for want of what SACK leaves. It stays asked for,
 * and does not make the kernel send again and again.
 */
static void test_once_sack(struct link *l)
{
	struct wire_seg seg;
	char in[8];
	__u32 seq;
	int i;

	if (once_up(l) || sync_peer(l))
		return;
	while (!wire_recv(&l->c, &seg, QUIET_MS))
		;
	seq = l->c.snd_nxt;
	for (i = 0; i < 3; i++) {
		if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "x",
					 .len = 1,
					 .seq = WIRE_SEQ(seq + 1 + 2 * i)),
			       "out of order") ||
		    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "SACK"))
			return;
	}
	if (asks(l, ask, sizeof(ask)) ||
	    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
		return;
	ASSERT_EQ(seg.opt_len, 40, "SACK");
	ASSERT_EQ(nr_ext(&seg), 0, "no room");
	ASSERT_EQ(info(l->fd, OPT_ONCE).no_room, 1, "no_room");
	quiet(l, "once");
	ASSERT_OK(wire_ack(&l->c), "ACK");
	quiet(l, "not for every segment");

	if (!ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "abcdef",
				 .len = 6), "the holes") ||
	    !ASSERT_EQ(recv(l->fd, in, 6, MSG_WAITALL), 6, "recv") ||
	    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
		return;
	check(&seg, OPT_ONCE, 6, 0x41, "at last");
}

/* Negotiated, and then asked for. */
static void test_once_negotiated(struct link *l)
{
	struct wire_seg seg;

	again(l);
	once_writes(OPT_NONCE, 2);
	writes(OPT_NONCE, SEG_SYN, 1, 0x61);
	opt(OPT_NONCE)->arm = ON_SYNACK;
	if (client(l, "nonce", &seg))
		return;
	check(&seg, OPT_NONCE, 1, 0x61, "SYN");
	if (client_up(l, ask_nonce, sizeof(ask_nonce), &seg))
		return;
	ASSERT_EQ(opt(OPT_NONCE)->arm_err, -ENOTCONN, "too early");
	ASSERT_EQ(nr_ext(&seg), 0, "third ACK");
	check_state(l, OPT_NONCE, TCP_EXTOPT_ST_ACTIVE, "client");

	again(l);
	once_writes(OPT_NONCE, 2);
	writes(OPT_NONCE, SEG_SYN, 1, 0x61);
	opt(OPT_NONCE)->arm_negotiated = 1;
	if (client(l, "nonce", &seg) ||
	    client_up(l, ask_nonce, sizeof(ask_nonce), &seg))
		return;
	ASSERT_OK(opt(OPT_NONCE)->arm_err, "negotiated");
	check(&seg, OPT_NONCE, 2, 0x41, "third ACK");
	if (kernel_sends(l, 5, &seg))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "once");

	/* The third ACK gets an ACK, if that is what it takes. */
	again(l);
	once_writes(OPT_NONCE, 2);
	writes(OPT_NONCE, SEG_SYNACK, 1, 0x62);
	opt(OPT_NONCE)->arm_negotiated = 1;
	if (server(l, "nonce", ask_nonce, sizeof(ask_nonce), &seg))
		return;
	check(&seg, OPT_NONCE, 1, 0x62, "SYN-ACK");
	if (server_up(l, NULL, 0) ||
	    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK"))
		return;
	check(&seg, OPT_NONCE, 2, 0x41, "ACK");

	again(l);
	once_writes(OPT_NONCE, 2);
	writes(OPT_NONCE, SEG_SYN, 1, 0x61);
	opt(OPT_NONCE)->arm_negotiated = 1;
	if (client(l, "nonce", &seg) || client_up(l, NULL, 0, &seg))
		return;
	ASSERT_EQ(opt(OPT_NONCE)->arm_err, -ENOTCONN, "not negotiated");
	check_state(l, OPT_NONCE, TCP_EXTOPT_ST_NOT_NEGOTIATED, "client");
	ASSERT_EQ(nr_ext(&seg), 0, "third ACK");

	/* Not for those that are on every segment */
	again(l);
	write_all();
	opt(OPT_NEGO)->arm_negotiated = 1;
	if (client(l, "nego", &seg) ||
	    client_up(l, nego_peer, sizeof(nego_peer), &seg))
		return;
	ASSERT_EQ(opt(OPT_NEGO)->arm_err, -EINVAL, "not once");
}

#define FORCED_MAX	16	/* ACKs of its own, in a second */
#define NR_ASKS		24

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000;
}

/* ACKs with the option, until there are no more of them */
static int count_acks(struct link *l)
{
	struct wire_seg seg;
	int nr = 0;

	while (!wire_recv(&l->c, &seg, QUIET_MS)) {
		ASSERT_EQ(seg.len, 0, "ACK");
		check(&seg, OPT_ONCE, 6, 0x41, "ACK");
		nr++;
	}
	return nr;
}

/* Asks so often; returns how long that has taken, in ms, at most. */
static long asks_often(struct link *l, int nr)
{
	__u32 calls = opt(OPT_ONCE)->parsed[SEG_ACK].calls + nr;
	long start = now_ms();
	int i;

	for (i = 0; i < nr; i++) {
		if (asks(l, ask, sizeof(ask)))
			return -1;
	}
	for (i = 0; i < WIRE_TIMEOUT_MS; i++) {
		if (opt(OPT_ONCE)->parsed[SEG_ACK].calls == calls)
			return now_ms() - start;
		usleep(1000);
	}
	ASSERT_EQ(opt(OPT_ONCE)->parsed[SEG_ACK].calls, calls, "asked");
	return -1;
}

/* Not for everyone who asks there is an ACK, if they are too many in a second.
 * What is asked for then waits for the next segment that there is.
 */
static void test_once_limit(struct link *l)
{
	struct wire_seg seg;
	int nr, tries, i;
	long ms;

	for (tries = 0; tries < 10; tries++) {
		if (once_up(l))
			return;
		ms = asks_often(l, NR_ASKS);
		if (ms < 0)
			return;
		nr = count_acks(l);
		if (ms < 900)
			break;
		/* The machine is too slow for it to be one second. */
		ASSERT_LE(nr, FORCED_MAX * (ms / 1000 + 2), "ACKs");
	}
	if (!ASSERT_LT(tries, 10, "within a second"))
		return;
	ASSERT_EQ(nr, FORCED_MAX, "ACKs");
	ASSERT_EQ(opt(OPT_ONCE)->writes[SEG_ACK], FORCED_MAX, "calls");
	ASSERT_EQ(info(l->fd, OPT_ONCE).written, FORCED_MAX, "written");

	/* One is still to be sent, and is but once. */
	if (kernel_sends(l, 5, &seg))
		return;
	check(&seg, OPT_ONCE, 6, 0x51, "data");
	if (kernel_sends(l, 5, &seg))
		return;
	ASSERT_EQ(nr_ext(&seg), 0, "once");
	ASSERT_EQ(info(l->fd, OPT_ONCE).written, FORCED_MAX + 1, "written");

	/* In another second they are sent again, and the ACK of data will do if
	 * that one is over, too.
	 */
	for (i = 0; i < WIRE_TIMEOUT_MS / QUIET_MS; i++) {
		if (asks(l, ask, sizeof(ask)))
			return;
		nr = count_acks(l);
		if (nr)
			break;
	}
	ASSERT_EQ(nr, 1, "another second");
	ms = asks_often(l, NR_ASKS);
	if (ms < 0)
		return;
	nr = count_acks(l);
	ASSERT_GE(nr, FORCED_MAX - 1, "another second");
	ASSERT_LE(nr, FORCED_MAX * (ms / 1000 + 2), "another second");
	if (nr == NR_ASKS)
		return;		/* too slow */
	if (sync_peer(l) ||
	    !ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "ACK of data"))
		return;
	ASSERT_EQ(seg.ack, l->c.snd_nxt, "ACK of data");
	check(&seg, OPT_ONCE, 6, 0x41, "ACK of data");
	ASSERT_EQ(count_acks(l), 0, "once");
}

/* Nothing is reserved for it, so the path MTU can be probed. */
static void test_once_probing(struct link *l)
{
	static __u8 buf[BULK];
	int i;

	if (set_sysctl("tcp_mtu_probing", "2") || once_up(l) ||
	    !ASSERT_OK(setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF,
				  &(int){ 2 * BULK }, sizeof(int)), "SNDBUF"))
		return;
	for (i = 0; i < 3; i++) {
		if (!ASSERT_EQ(send(l->fd, buf, BULK, 0), BULK, "send") ||
		    !ASSERT_OK(wire_read(&l->c, buf, BULK), "read"))
			return;
	}
	ASSERT_GE(extopt_netstat("TCPMTUPSuccess"), 1, "probes");
}

static const struct {
	const char *name;
	void (*run)(struct link *l);
} tests[] = {
	{ "client", test_client },
	{ "server", test_server },
	{ "sock_ops", test_sock_ops },
	{ "sock_ops_select", test_sock_ops_select },
	{ "default", test_default },
	{ "room", test_room },
	{ "stripped", test_stripped },
	{ "unoffered", test_unoffered },
	{ "declined", test_declined },
	{ "refused", test_refused },
	{ "garbage", test_garbage },
	{ "echo", test_echo },
	{ "syn_fallback", test_syn_fallback },
	{ "syn_attempts", test_syn_attempts },
	{ "syn_again", test_syn_again },
	{ "synack_fallback", test_synack_fallback },
	{ "synack_deferred", test_synack_deferred },
	{ "syn_old_ack", test_syn_old_ack },
	{ "simultaneous", test_simultaneous },
	{ "self", test_self },
	{ "fastopen_client", test_fastopen_client },
	{ "fastopen_server", test_fastopen_server },
	{ "fastopen_refused", test_fastopen_refused },
	{ "fastopen_fallback", test_fastopen_fallback },
	{ "fastopen_syn_lost", test_fastopen_syn_lost },
	{ "fastopen_synack_lost", test_fastopen_synack_lost },
	{ "cookie", test_cookie },
	{ "migrate", test_migrate },
	{ "repair", test_repair },
	{ "late", test_late },
	{ "reconnect", test_reconnect },
	{ "iw", test_iw },
	{ "offer", test_offer },
	{ "uto", test_uto },
	{ "once_idle", test_once_idle },
	{ "once_data", test_once_data },
	{ "once_fit", test_once_fit },
	{ "once_bulk", test_once_bulk },
	{ "once_sack", test_once_sack },
	{ "once_negotiated", test_once_negotiated },
	{ "once_limit", test_once_limit },
	{ "once_probing", test_once_probing },
};

static void run_test(int nr, int family)
{
	struct link l = { .lfd = -1, .fd = -1 };
	struct netns_obj *netns;

	netns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;
	/* Data is not sent twice. */
	if (set_sysctl("tcp_early_retrans", "0") ||
	    set_sysctl("tcp_rto_min_us", "5000000"))
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
	memset(skel->bss->opts, 0, sizeof(skel->bss->opts));

	tests[nr].run(&l);

	if (l.fd >= 0)
		close(l.fd);
close_listen:
	close(l.lfd);
close_wire:
	wire_close(&l.w);
free_netns:
	netns_free(netns);
}

/* Names of options are global. */
void serial_test_tcp_extopt_syn(void)
{
	struct bpf_link *links[NR_SYN_OPTS] = {};
	struct bpf_map *map;
	char name[64];
	int i;

	skel = tcp_extopt_syn__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load"))
		return;
	for (i = 0; i < NR_SYN_OPTS; i++) {
		map = bpf_object__find_map_by_name(skel->obj, names[i]);
		links[i] = bpf_map__attach_struct_ops(map);
		if (!ASSERT_OK_PTR(links[i], names[i]))
			goto out;
	}

	for (i = 0; i < 2 * ARRAY_SIZE(tests); i++) {
		snprintf(name, sizeof(name), "%s_v%d", tests[i / 2].name,
			 i % 2 ? 6 : 4);
		if (test__start_subtest(name))
			run_test(i / 2, i % 2 ? AF_INET6 : AF_INET);
	}
out:
	for (i = 0; i < NR_SYN_OPTS; i++)
		bpf_link__destroy(links[i]);
	tcp_extopt_syn__destroy(skel);
}
