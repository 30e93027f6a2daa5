// SPDX-License-Identifier: GPL-2.0
/* Extension options on established connections, between two sockets: what one
 * end's program writes is what the other end's program gets, and both ends'
 * counts agree.
 */
#include <poll.h>
#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "progs/tcp_extopt.h"
#include "tcp_extopt.skel.h"
#include "tcp_extopt_example.skel.h"

#define NS_NAME		"tcp_extopt"
#define BULK		(1 << 20)

static struct tcp_extopt *skel;
static struct bpf_link *links[EXTOPT_NR];

struct conn {
	int lfd, fd[2];		/* client, server */
};

static struct bpf_map *opt_map(int nr)
{
	char name[16];

	snprintf(name, sizeof(name), "opt_%d", nr);
	return bpf_object__find_map_by_name(skel->obj, name);
}

static int reg(int nr)
{
	links[nr] = bpf_map__attach_struct_ops(opt_map(nr));
	return ASSERT_OK_PTR(links[nr], "attach") ? 0 : -1;
}

static void unreg_all(void)
{
	int i;

	for (i = 0; i < EXTOPT_NR; i++) {
		bpf_link__destroy(links[i]);
		links[i] = NULL;
	}
	memset(skel->bss->opts, 0, sizeof(skel->bss->opts));
}

static void conn_close(struct conn *conn)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (conn->fd[i] >= 0)
			close(conn->fd[i]);
	}
	if (conn->lfd >= 0)
		close(conn->lfd);
}

/* The child inherits @names from the listener; @sign gives a socket its key. */
static int conn_open_signed(struct conn *conn, int family, const char *names,
			    int (*sign)(int fd, int family))
{
	const char *addr = family == AF_INET ? "127.0.0.1" : "::1";

	memset(conn, -1, sizeof(*conn));
	conn->lfd = start_server(family, SOCK_STREAM, addr, 0, 0);
	if (!ASSERT_OK_FD(conn->lfd, "start_server") ||
	    !ASSERT_OK(extopt_select(conn->lfd, names), "select, listener") ||
	    (sign && !ASSERT_OK(sign(conn->lfd, family), "key, listener")))
		goto err;

	conn->fd[0] = client_socket(family, SOCK_STREAM, NULL);
	if (!ASSERT_OK_FD(conn->fd[0], "client_socket") ||
	    (sign && !ASSERT_OK(sign(conn->fd[0], family), "key, client")) ||
	    !ASSERT_OK(connect_fd_to_fd(conn->fd[0], conn->lfd, 0),
		       "connect") ||
	    !ASSERT_OK(extopt_select(conn->fd[0], names), "select, client"))
		goto err;

	conn->fd[1] = accept(conn->lfd, NULL, NULL);
	if (!ASSERT_OK_FD(conn->fd[1], "accept") ||
	    !ASSERT_OK(settimeo(conn->fd[1], 0), "settimeo"))
		goto err;

	return 0;
err:
	conn_close(conn);
	return -1;
}

static int conn_open(struct conn *conn, int family, const char *names)
{
	return conn_open_signed(conn, family, names, NULL);
}

static int ping(struct conn *conn, int from)
{
	char out = 'p', in = 0;

	if (!ASSERT_EQ(send(conn->fd[from], &out, 1, 0), 1, "send") ||
	    !ASSERT_EQ(recv(conn->fd[!from], &in, 1, 0), 1, "recv") ||
	    !ASSERT_EQ(in, out, "byte"))
		return -1;
	return 0;
}

static int ping_pong(struct conn *conn)
{
	return ping(conn, 0) ?: ping(conn, 1);
}

/* Bytes that tell where in the stream they belong. */
static char bulk_byte(unsigned int pos)
{
	return (pos * 2654435761u) >> 24;
}

static int bulk(struct conn *conn, unsigned int total)
{
	unsigned int sent = 0, got = 0;
	char buf[65536];
	ssize_t n, i;

	while (got < total) {
		if (sent < total) {
			n = sizeof(buf) < total - sent ? sizeof(buf) :
							 total - sent;
			for (i = 0; i < n; i++)
				buf[i] = bulk_byte(sent + i);
			n = send(conn->fd[0], buf, n, MSG_DONTWAIT);
			if (n > 0)
				sent += n;
			else if (n < 0 && errno != EAGAIN)
				return ASSERT_OK(errno, "send"), -1;
		}
		n = recv(conn->fd[1], buf, sizeof(buf),
			 sent < total ? MSG_DONTWAIT : 0);
		if (n < 0 && errno == EAGAIN && sent < total)
			continue;
		if (!ASSERT_GT(n, 0, "recv"))
			return -1;
		for (i = 0; i < n; i++) {
			if (buf[i] != bulk_byte(got + i))
				return ASSERT_OK(got + i, "wrong byte"), -1;
		}
		got += n;
	}
	return 0;
}

static void assert_all_parsed(const struct extopt_state *st)
{
	ASSERT_LE(st->parse_calls, st->write_calls, "parsed at most once");
	/* What became one packet in a busy socket's backlog is parsed once. */
	ASSERT_GE(st->parse_calls + extopt_netstat("TCPBacklogCoalesce"),
		  st->write_calls, "all parsed");
}

/* All three types of segment, both ways, the value in it, and the counts. */
static void test_segments(int family)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct extopt_list list[2];
	struct conn conn;
	char buf;
	int i;

	st->len = 4;
	st->fill = 0xf0;
	if (reg(0) || conn_open(&conn, family, "opt_0"))
		return;
	if (ping_pong(&conn) || ping_pong(&conn))
		goto out;

	ASSERT_OK(shutdown(conn.fd[0], SHUT_WR), "shutdown");
	ASSERT_EQ(recv(conn.fd[1], &buf, 1, 0), 0, "FIN");
	ASSERT_OK(shutdown(conn.fd[1], SHUT_WR), "shutdown");
	ASSERT_EQ(recv(conn.fd[0], &buf, 1, 0), 0, "FIN");

	ASSERT_EQ(st->write_segments, EXTOPT_ACK | EXTOPT_DATA | EXTOPT_FIN,
		  "types written");
	ASSERT_EQ(st->parse_segments, st->write_segments, "types parsed");
	ASSERT_EQ(st->dirty, 0, "value is zeroed");
	ASSERT_EQ(st->in_len, 4, "length");
	for (i = 0; i < 4; i++)
		ASSERT_EQ(st->in[i], 0xf0 + i, "value");
	ASSERT_EQ(st->in[4], 0, "and no more");
	ASSERT_EQ(st->parse_calls, st->write_calls, "each parsed once");

	for (i = 0; i < 2; i++) {
		if (!ASSERT_OK(extopt_get(conn.fd[i], &list[i]), "getsockopt"))
			goto out;
		ASSERT_EQ(list[i].head.version, TCP_EXTOPT_LIST_VERSION,
			  "version");
		ASSERT_EQ(list[i].head.entry_len, sizeof(list[i].info[0]),
			  "entry_len");
		ASSERT_EQ(list[i].head.count, 1, "count");
		ASSERT_STREQ(list[i].info[0].name, "opt_0", "name");
		ASSERT_EQ(list[i].info[0].kind, 254, "kind");
		ASSERT_EQ(list[i].info[0].exid, 0xeb90, "exid");
		ASSERT_EQ(list[i].info[0].exid_len, 2, "exid_len");
		ASSERT_EQ(list[i].info[0].state, TCP_EXTOPT_ST_ACTIVE, "state");
		/* Two pings and the FIN, at least. */
		ASSERT_GE(list[i].info[0].written, 3, "written");
		ASSERT_EQ(list[i].info[0].no_room, 0, "no_room");
		ASSERT_EQ(list[i].info[0].malformed, 0, "malformed");
	}
	ASSERT_EQ(list[0].info[0].written + list[1].info[0].written,
		  st->write_calls, "all written");
	ASSERT_EQ(list[0].info[0].parsed, list[1].info[0].written, "1 to 0");
	ASSERT_EQ(list[1].info[0].parsed, list[0].info[0].written, "0 to 1");
out:
	conn_close(&conn);
}

/* The types that an option did not ask for have none. */
static void test_types(void)
{
	static const __u32 want[] = { EXTOPT_DATA, EXTOPT_ACK, EXTOPT_FIN };
	static const __u32 may[] = { EXTOPT_DATA | EXTOPT_FIN, EXTOPT_ACK,
				     EXTOPT_FIN | EXTOPT_DATA };
	struct extopt_state *st = &skel->bss->opts[3];
	struct conn conn;
	char buf;
	int i;

	for (i = 0; i < 3; i++) {
		st[i].len = 1;
		if (reg(3 + i))
			return;
	}
	if (conn_open(&conn, AF_INET, "opt_3 opt_4 opt_5"))
		return;
	/* opt_3 would leave the others no room on data with timestamps. */
	if (ping_pong(&conn) || bulk(&conn, 100000))
		goto out;
	shutdown(conn.fd[0], SHUT_WR);
	ASSERT_EQ(recv(conn.fd[1], &buf, 1, 0), 0, "FIN");

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(st[i].write_segments & want[i], want[i], "written");
		ASSERT_EQ(st[i].parse_segments & want[i], want[i], "parsed");
		/* A FIN may have data, and each is asked for then. */
		ASSERT_EQ(st[i].write_segments & ~may[i], 0, "not on others");
		ASSERT_EQ(st[i].parse_segments & ~may[i], 0, "not on others");
		assert_all_parsed(&st[i]);
	}
out:
	conn_close(&conn);
}

/* Every length of value, up to all of the 40 bytes. */
static void test_sizes(void)
{
	struct extopt_state *st = &skel->bss->opts[2];
	struct extopt_list list;
	struct conn conn;
	int len, i;

	st->fill = 1;
	st->len = 1;
	if (reg(2) ||
	    !ASSERT_OK(extopt_sysctl("tcp_timestamps", "0"), "no timestamps") ||
	    conn_open(&conn, AF_INET, "opt_2"))
		return;

	for (len = 1; len <= EXTOPT_VALUE_MAX; len++) {
		st->len = len;
		if (ping(&conn, 0))
			goto out;
		ASSERT_EQ(st->in_len, len, "length");
		for (i = 0; i < EXTOPT_VALUE_MAX; i++) {
			if (!ASSERT_EQ(st->in[i], i < len ? 1 + i : 0, "value"))
				goto out;
		}
	}
	ASSERT_OK(extopt_get(conn.fd[0], &list), "getsockopt");
	ASSERT_EQ(list.info[0].no_room, 0, "no_room");
	/* The largest option with the largest segments. */
	bulk(&conn, BULK);
	ASSERT_EQ(st->in_len, EXTOPT_VALUE_MAX, "length");
out:
	conn_close(&conn);
}

/* What has no room is left out as a whole, and counted. */
static void test_no_room(void)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct extopt_list list;
	struct conn conn;

	st[0].len = 4;
	st[2].len = 1;
	st[6].len = 1;
	if (reg(0) || reg(2) || reg(6) ||
	    conn_open(&conn, AF_INET, "opt_0 opt_2 opt_6"))
		return;

	if (ping_pong(&conn) || bulk(&conn, 100000) ||
	    !ASSERT_OK(extopt_get(conn.fd[0], &list), "getsockopt"))
		goto out;
	ASSERT_GT(list.info[0].written, 0, "the one before");
	ASSERT_EQ(list.info[0].no_room, 0, "the one before");
	/* 12 of timestamps, 8 of opt_0: 20 left, it wants 40. */
	ASSERT_EQ(list.info[1].written, 0, "written");
	ASSERT_EQ(list.info[1].no_room, list.info[0].written, "no_room");
	ASSERT_EQ(st[2].write_calls, 0, "not even called");
	ASSERT_EQ(list.info[2].written, list.info[0].written, "the one after");
	ASSERT_EQ(st[6].in_len, 1, "the one after");
out:
	conn_close(&conn);
}

/* What write() may return. */
static void test_return(void)
{
	struct extopt_state *st = &skel->bss->opts[6];
	static const struct {
		const char *what;
		int ret, in_len;
	} cases[] = {
		{ "negative", -1, -1 },
		{ "very negative", INT_MIN, -1 },
		{ "skip", 0, -1 },
		{ "empty", 0x100, 0 },
		{ "as long as max_len", 1, 1 },
		{ "too long", 2, 1 },
		{ "far too long", 0x101, 1 },
		{ "very far too long", INT_MAX, 1 },
	};
	struct conn conn;
	__u64 before;
	int i;

	if (reg(6) || reg(7) || conn_open(&conn, AF_INET6, "opt_6 opt_7"))
		return;
	/* An option of two bytes: max_len is 0. */
	skel->bss->opts[7].ret = 0x100;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		before = st->parse_calls;
		st->ret = cases[i].ret;
		if (ping(&conn, 0))
			goto out;
		if (cases[i].in_len < 0) {
			ASSERT_EQ(st->parse_calls, before, cases[i].what);
		} else {
			ASSERT_GT(st->parse_calls, before, cases[i].what);
			ASSERT_EQ(st->in_len, cases[i].in_len, cases[i].what);
		}
	}
	ASSERT_GT(skel->bss->opts[7].parse_calls, 0, "no value at all");
out:
	conn_close(&conn);
}

#define EIGHT "opt_9 opt_0 opt_1 opt_4 opt_5 opt_6 opt_7 opt_8"

/* Eight options on a socket, a ninth is too many. */
static void test_eight(int family)
{
	static const int nrs[] = { 9, 0, 1, 4, 5, 6, 7, 8 };
	struct extopt_state *st = skel->bss->opts;
	struct extopt_list list;
	char name[16];
	struct conn conn;
	int i;

	if (reg(3))
		return;
	for (i = 0; i < 8; i++) {
		if (reg(nrs[i]))
			return;
		st[nrs[i]].len = 1;
		st[nrs[i]].fill = 0x10 + nrs[i];
	}
	st[7].ret = 0x100;
	if (conn_open(&conn, family, EIGHT))
		return;
	if (ping_pong(&conn) ||
	    !ASSERT_OK(extopt_get(conn.fd[1], &list), "getsockopt") ||
	    !ASSERT_EQ(list.head.count, 8, "count"))
		goto out;
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "opt_%d", nrs[i]);
		ASSERT_STREQ(list.info[i].name, name, "order");
		if (nrs[i] == 4 || nrs[i] == 5)
			continue;	/* not on data */
		ASSERT_GT(list.info[i].parsed, 0, name);
		if (nrs[i] != 7)
			ASSERT_EQ(st[nrs[i]].in[0], 0x10 + nrs[i], name);
	}

	ASSERT_EQ(extopt_select(conn.fd[1], EIGHT " opt_3"), -E2BIG, "nine");
	ASSERT_STREQ(extopt_names(conn.fd[1]), EIGHT, "the same eight");
	ASSERT_OK(extopt_select(conn.fd[1], EIGHT), "eight");
out:
	conn_close(&conn);
}

/* The MSS leaves room, a segment is never too long, bytes are what they were.
 */
static void test_bulk(int family)
{
	struct extopt_state *st = skel->bss->opts;
	struct tcp_info plain, opts;
	struct extopt_list list;
	socklen_t len = sizeof(plain);
	struct conn conn;

	st[0].len = 4;
	st[1].len = 2;
	if (reg(0) || reg(1) || conn_open(&conn, family, ""))
		return;
	if (bulk(&conn, BULK) ||
	    !ASSERT_OK(getsockopt(conn.fd[0], IPPROTO_TCP, TCP_INFO, &plain,
				  &len), "TCP_INFO"))
		goto out;
	ASSERT_OK(extopt_select(conn.fd[0], "opt_0 opt_1"), "select");
	ASSERT_OK(extopt_select(conn.fd[1], "opt_0 opt_1"), "select");
	if (bulk(&conn, BULK) ||
	    !ASSERT_OK(getsockopt(conn.fd[0], IPPROTO_TCP, TCP_INFO, &opts,
				  &len), "TCP_INFO") ||
	    !ASSERT_OK(extopt_get(conn.fd[0], &list), "getsockopt"))
		goto out;
	/* snd_mss does not count options that come and go, SACK is one. It grows
	 * with the window until that is twice as large.
	 */
	ASSERT_GE(opts.tcpi_snd_mss, plain.tcpi_snd_mss, "snd_mss");
	ASSERT_EQ(list.info[0].no_room, 0, "room on each");
	ASSERT_GT(list.info[1].written, 0, "written");
	ASSERT_EQ(opts.tcpi_total_retrans, 0, "no loss");
	assert_all_parsed(&st[0]);
	assert_all_parsed(&st[1]);
out:
	conn_close(&conn);
}

static void loopback(struct sockaddr_storage *addr, int family)
{
	make_sockaddr(family, family == AF_INET ? "127.0.0.1" : "::1", 0, addr,
		      NULL);
}

static int sign_md5(int fd, int family)
{
	struct tcp_md5sig md5 = {
		.tcpm_keylen = 4,
		.tcpm_key = "key",
	};

	loopback(&md5.tcpm_addr, family);
	return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5));
}

static int sign_ao(int fd, int family)
{
	struct tcp_ao_add ao = {
		.alg_name = "hmac(sha1)",
		.prefix = family == AF_INET ? 32 : 128,
		.sndid = 1,
		.rcvid = 1,
		.keylen = 4,
		.key = "key",
	};

	loopback(&ao.addr, family);
	return setsockopt(fd, IPPROTO_TCP, TCP_AO_ADD_KEY, &ao, sizeof(ao));
}

/* The peer takes only what is hashed with its options. opt_0 has room beside the
 * hash; @other has not, and would have without.
 */
static void do_signed(int family, int (*sign)(int fd, int family),
		      const char *names, int other)
{
	struct extopt_state *st = skel->bss->opts;
	struct tcp_extopt_info *info;
	struct extopt_list list;
	struct conn conn;
	int i, j;

	memset(st, 0, 3 * sizeof(*st));
	st[0].len = 4;
	st[0].fill = 0x70;
	st[other].len = 1;
	if (conn_open_signed(&conn, family, names, sign))
		return;
	if (ping_pong(&conn) || bulk(&conn, BULK / 8) || ping_pong(&conn))
		goto out;
	for (i = 0; i < 2; i++) {
		if (!ASSERT_OK(extopt_get(conn.fd[i], &list), "getsockopt"))
			goto out;
		for (j = 0; j < 2; j++) {
			info = &list.info[j];
			if (strcmp(info->name, "opt_0")) {
				ASSERT_GE(info->no_room, 3, "no room");
				ASSERT_EQ(info->written, 0, "not written");
			} else {
				ASSERT_EQ(info->no_room, 0, "room");
				ASSERT_GE(info->written, 3, "written");
				ASSERT_GE(info->parsed, 3, "parsed");
			}
		}
	}
	ASSERT_EQ(st[0].in[3], 0x73, "value");
	assert_all_parsed(&st[0]);
out:
	conn_close(&conn);
}

/* TCP-MD5 and SACK both turn timestamps off. */
static void test_signed(int family, int (*sign)(int fd, int family))
{
	if (!reg(0) && !reg(1) && !reg(2) &&
	    ASSERT_OK(extopt_sysctl("tcp_timestamps", "0"), "no timestamps"))
		do_signed(family, sign, "opt_2 opt_0", 2);
	ASSERT_OK(extopt_sysctl("tcp_timestamps", "1"), "timestamps");
	if (sign == sign_ao && ASSERT_OK(extopt_sysctl("tcp_sack", "0"), "SACK"))
		do_signed(family, sign, "opt_0 opt_1", 1);
	ASSERT_OK(extopt_sysctl("tcp_sack", "1"), "SACK");
	unreg_all();
}

/* parse() acts on the socket. */
static void test_setsockopt(int family)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct conn conn;
	socklen_t len;
	int val, i;

	st->len = 1;
	if (reg(0) || conn_open(&conn, family, "opt_0"))
		return;
	st->user_timeout = 12345;
	st->setsockopt_err = 1;
	if (ping_pong(&conn))
		goto out;
	ASSERT_OK(st->setsockopt_err, "bpf_setsockopt");
	for (i = 0; i < 2; i++) {
		len = sizeof(val);
		ASSERT_OK(getsockopt(conn.fd[i], IPPROTO_TCP, TCP_USER_TIMEOUT,
				     &val, &len), "getsockopt");
		ASSERT_EQ(val, 12345, "user timeout");
	}
out:
	conn_close(&conn);
}

/* Each segment is acknowledged at once, where it else is not. */
static void test_ack_now(void)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct extopt_list before, after;
	struct conn conn;
	int i, now;

	st->len = 1;
	if (reg(0) || conn_open(&conn, AF_INET, "opt_0"))
		return;
	/* Out of quick ACK mode, which a connection starts in. */
	for (i = 0; i < 50; i++) {
		if (ping_pong(&conn))
			goto out;
	}
	for (now = 0; now < 2; now++) {
		st->ack_now = now;
		ASSERT_OK(extopt_get(conn.fd[1], &before), "getsockopt");
		/* The answer takes the ACK along, if that is delayed. */
		for (i = 0; i < 10; i++) {
			if (ping_pong(&conn))
				goto out;
		}
		ASSERT_OK(extopt_get(conn.fd[1], &after), "getsockopt");
		after.info[0].written -= before.info[0].written;
		if (now)
			ASSERT_GE(after.info[0].written, 20, "ACK and answer");
		else
			ASSERT_LT(after.info[0].written, 20, "answers, mostly");
	}
out:
	conn_close(&conn);
}

/* RST carries none: the peer's count stays. */
static void test_rst(void)
{
	struct linger linger = { .l_onoff = 1 };
	struct extopt_state *st = &skel->bss->opts[0];
	__u64 written, parsed;
	struct conn conn;
	char buf;

	st->len = 1;
	if (reg(0) || conn_open(&conn, AF_INET, "opt_0"))
		return;
	if (ping_pong(&conn))
		goto out;
	setsockopt(conn.fd[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	written = st->write_calls;
	parsed = st->parse_calls;
	close(conn.fd[0]);
	conn.fd[0] = -1;
	ASSERT_EQ(recv(conn.fd[1], &buf, 1, 0), -1, "recv");
	ASSERT_EQ(errno, ECONNRESET, "errno");
	/* An ACK that was delayed may have gone before. */
	ASSERT_LE(st->write_calls - written, 1, "written");
	ASSERT_EQ(st->write_segments & EXTOPT_FIN, 0, "no FIN either");
	ASSERT_EQ(st->parse_calls - parsed, st->write_calls - written,
		  "parsed");
out:
	conn_close(&conn);
}

/* The peer has not selected the option: it is as any unknown one. */
static void test_one_sided(void)
{
	struct extopt_state *st = &skel->bss->opts[0];
	struct extopt_list list;
	struct conn conn;

	st->len = 4;
	if (reg(0) || conn_open(&conn, AF_INET, "opt_0"))
		return;
	ASSERT_OK(extopt_select(conn.fd[1], ""), "unselect");
	memset(st, 0, offsetof(struct extopt_state, in));
	st->len = 4;
	if (ping_pong(&conn) || bulk(&conn, 100000))
		goto out;
	ASSERT_GT(st->write_calls, 0, "written");
	ASSERT_EQ(st->parse_calls, 0, "not parsed");
	ASSERT_OK(extopt_get(conn.fd[1], &list), "getsockopt");
	ASSERT_EQ(list.head.count, 0, "count");
out:
	conn_close(&conn);
}

/* The program of the documentation does what it says. */
static void test_example(void)
{
	struct tcp_extopt_example *example;
	struct bpf_link *link;
	struct conn conn;

	example = tcp_extopt_example__open_and_load();
	if (!ASSERT_OK_PTR(example, "load"))
		return;
	link = bpf_map__attach_struct_ops(example->maps.hop);
	if (!ASSERT_OK_PTR(link, "attach"))
		goto out;
	if (!conn_open(&conn, AF_INET, "hop")) {
		if (!ping_pong(&conn))
			ASSERT_EQ(example->bss->last_seen, 64, "last_seen");
		conn_close(&conn);
	}
	bpf_link__destroy(link);
out:
	tcp_extopt_example__destroy(example);
}

static void run(void (*test)(void))
{
	test();
	unreg_all();
}

static void run_family(void (*test)(int family), int family)
{
	test(family);
	unreg_all();
}

/* Names of options are global. */
void serial_test_tcp_extopt(void)
{
	struct netns_obj *ns;

	ns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(ns, "netns_new"))
		return;
	/* A slow machine is no reason to send anything twice. */
	if (!ASSERT_OK(extopt_sysctl("tcp_early_retrans", "0"), "TLP") ||
	    !ASSERT_OK(extopt_sysctl("tcp_rto_min_us", "5000000"), "RTO"))
		goto out;
	skel = tcp_extopt__open_and_load();
	if (!ASSERT_OK_PTR(skel, "load"))
		goto out;

	if (test__start_subtest("segments_v4"))
		run_family(test_segments, AF_INET);
	if (test__start_subtest("segments_v6"))
		run_family(test_segments, AF_INET6);
	if (test__start_subtest("types"))
		run(test_types);
	if (test__start_subtest("no_room"))
		run(test_no_room);
	if (test__start_subtest("write_returns"))
		run(test_return);
	if (test__start_subtest("eight_v4"))
		run_family(test_eight, AF_INET);
	if (test__start_subtest("eight_v6"))
		run_family(test_eight, AF_INET6);
	if (test__start_subtest("bulk_v4"))
		run_family(test_bulk, AF_INET);
	if (test__start_subtest("bulk_v6"))
		run_family(test_bulk, AF_INET6);
	if (test__start_subtest("setsockopt_v4"))
		run_family(test_setsockopt, AF_INET);
	if (test__start_subtest("setsockopt_v6"))
		run_family(test_setsockopt, AF_INET6);
	if (test__start_subtest("md5_v4"))
		test_signed(AF_INET, sign_md5);
	if (test__start_subtest("md5_v6"))
		test_signed(AF_INET6, sign_md5);
	if (test__start_subtest("ao_v4"))
		test_signed(AF_INET, sign_ao);
	if (test__start_subtest("ao_v6"))
		test_signed(AF_INET6, sign_ao);
	if (test__start_subtest("ack_now"))
		run(test_ack_now);
	if (test__start_subtest("rst"))
		run(test_rst);
	if (test__start_subtest("one_sided"))
		run(test_one_sided);
	if (test__start_subtest("example"))
		run(test_example);
	/* Last: it turns timestamps off in the namespace. */
	if (test__start_subtest("sizes"))
		run(test_sizes);

	tcp_extopt__destroy(skel);
out:
	netns_free(ns);
}
