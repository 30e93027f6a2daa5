// SPDX-License-Identifier: GPL-2.0

/* The wire peer of tcp_wire.h, against plain TCP of the kernel. */

#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_wire.h"

#define NS_NAME		"tcp_wire"
#define NR_BYTES	100

/* A connection, and the kernel's end of it */
struct link {
	struct wire w;
	struct wire_conn c;
	int listen_fd;
	int fd;
};

static void fill(__u8 *buf, int len, int seed)
{
	int i;

	for (i = 0; i < len; i++)
		buf[i] = i * 7 + i / 256 + seed;
}

/* The kernel listens, the peer connects */
static int establish(struct link *l, const void *opt, int opt_len,
		     struct wire_seg *synack)
{
	if (!ASSERT_OK(wire_connect(&l->c, opt, opt_len, synack), "connect"))
		return -1;
	l->fd = accept(l->listen_fd, NULL, NULL);
	if (!ASSERT_OK_FD(l->fd, "accept"))
		return -1;
	return ASSERT_OK(settimeo(l->fd, WIRE_TIMEOUT_MS), "settimeo") ? 0 : -1;
}

static int peer_sends(struct link *l, int len, int seed)
{
	__u8 out[4096], in[4096];
	struct wire_seg seg;
	int err;

	fill(out, len, seed);
	err = wire_send(&l->c, .flags = WIRE_ACK | WIRE_PSH, .data = out,
			.len = len);
	if (!ASSERT_OK(err, "send") ||
	    !ASSERT_EQ(recv(l->fd, in, len, MSG_WAITALL), len, "kernel recv") ||
	    !ASSERT_OK(memcmp(in, out, len), "bytes to the kernel"))
		return -1;
	return ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK of the data") ? 0 : -1;
}

static int kernel_sends(struct link *l, int len, int seed)
{
	__u8 out[4096], in[4096];

	fill(out, len, seed);
	if (!ASSERT_EQ(send(l->fd, out, len, 0), len, "kernel send") ||
	    !ASSERT_OK(wire_read(&l->c, in, len), "read") ||
	    !ASSERT_OK(memcmp(in, out, len), "bytes to the peer"))
		return -1;
	return 0;
}

static int tcp_info(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	return ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_INFO, info, &len),
			 "TCP_INFO") ? 0 : -1;
}

/* What the peer sends is processed soon, but not within write() */
static void wait_unacked(int fd, unsigned int expected)
{
	struct tcp_info info;
	int i;

	for (i = 0; i < WIRE_TIMEOUT_MS; i++) {
		if (tcp_info(fd, &info) || info.tcpi_unacked == expected)
			return;
		usleep(1000);
	}
	ASSERT_EQ(info.tcpi_unacked, expected, "unacked");
}

/* The options of a SYN that offers all that the peer offers */
static void check_syn(struct link *l, struct wire_seg *syn)
{
	const __u8 *val;
	int len;

	ASSERT_OK(wire_opt_check(syn), "options");
	ASSERT_EQ(syn->len, 0, "SYN data");

	val = wire_opt_find(syn, WIRE_KIND(WIRE_OPT_MSS), 0, &len);
	if (ASSERT_OK_PTR(val, "MSS") && ASSERT_EQ(len, 2, "MSS length"))
		ASSERT_EQ(val[0] << 8 | val[1],
			  WIRE_MTU - wire_ip_hlen(&l->w) - 20, "MSS");
	ASSERT_EQ(l->c.kernel_mss, WIRE_MTU - wire_ip_hlen(&l->w) - 20,
		  "kernel_mss");

	val = wire_opt_find(syn, WIRE_KIND(WIRE_OPT_WSCALE), 0, &len);
	if (ASSERT_OK_PTR(val, "wscale") && ASSERT_EQ(len, 1, "wscale length"))
		ASSERT_EQ(val[0], l->c.kernel_wscale, "wscale");

	ASSERT_EQ(wire_opt_count(syn, WIRE_KIND(WIRE_OPT_SACK_OK)), 1, "SACK");
	ASSERT_EQ(wire_opt_count(syn, WIRE_KIND(WIRE_OPT_TS)), 1, "timestamp");
	ASSERT_TRUE(syn->has_ts, "has_ts");
	ASSERT_TRUE(l->c.ts && l->c.sack, "agreed");
	ASSERT_NEQ(l->c.wscale, WIRE_NO_WSCALE, "agreed wscale");
}

static int active_open(struct link *l)
{
	struct wire_seg syn;
	int err;
	socklen_t len = sizeof(err);

	wire_conn_init(&l->c, &l->w, 0);
	l->fd = wire_sk(&l->w);
	if (!ASSERT_OK_FD(l->fd, "socket") ||
	    !ASSERT_OK(wire_sk_connect(&l->c, l->fd), "kernel connect") ||
	    !ASSERT_OK(wire_accept(&l->c, NULL, 0, &syn), "accept"))
		return -1;

	check_syn(l, &syn);
	ASSERT_EQ(syn.flags & WIRE_ACK, 0, "SYN flags");
	ASSERT_EQ(syn.ack, 0, "SYN ack");
	ASSERT_EQ(syn.tsecr, 0, "SYN tsecr");
	return ASSERT_OK(getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &err, &len),
			 "SO_ERROR") && ASSERT_OK(err, "connected") ? 0 : -1;
}

/* The kernel connects, and closes first */
static void test_active(struct link *l)
{
	struct tcp_info info;
	struct wire_seg seg;
	__u32 fin_seq;
	char byte;

	if (active_open(l) || kernel_sends(l, NR_BYTES, 1) ||
	    peer_sends(l, NR_BYTES, 2))
		return;
	wait_unacked(l->fd, 0);

	ASSERT_OK(shutdown(l->fd, SHUT_WR), "shutdown");
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		return;
	ASSERT_EQ(seg.len, 0, "FIN data");
	ASSERT_EQ(l->c.rcv_nxt, seg.seq + 1, "rcv_nxt");
	ASSERT_EQ(seg.tsecr, l->c.tsval - 1, "tsecr");

	fin_seq = l->c.snd_nxt;
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_FIN | WIRE_ACK), "send FIN");
	ASSERT_EQ(l->c.snd_nxt, fin_seq + 1, "snd_nxt");
	ASSERT_EQ(recv(l->fd, &byte, 1, 0), 0, "kernel sees FIN");
	ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK of FIN");
	ASSERT_EQ(seg.ack, fin_seq + 1, "ack of FIN");
	if (!tcp_info(l->fd, &info))
		ASSERT_EQ(info.tcpi_state, TCP_CLOSE, "state");
}

/* The peer connects, and closes first */
static void test_passive(struct link *l)
{
	struct wire_seg seg, synack;
	struct tcp_info info;
	char byte;

	if (establish(l, NULL, 0, &synack))
		return;

	check_syn(l, &synack);
	ASSERT_EQ(synack.flags, WIRE_SYN | WIRE_ACK, "SYN-ACK flags");
	ASSERT_EQ(synack.ack, l->c.iss + 1, "SYN-ACK ack");
	ASSERT_EQ(synack.tsecr, 1000, "SYN-ACK tsecr");
	if (!tcp_info(l->fd, &info)) {
		ASSERT_EQ(info.tcpi_options & 7, TCPI_OPT_TIMESTAMPS |
			  TCPI_OPT_SACK | TCPI_OPT_WSCALE, "tcpi_options");
		ASSERT_EQ((int)info.tcpi_snd_wscale, 7, "wscale of the peer");
	}

	/* Of odd length too, which the checksum must cope with */
	if (peer_sends(l, NR_BYTES, 3) || kernel_sends(l, NR_BYTES + 1, 4) ||
	    peer_sends(l, 4095, 5) || kernel_sends(l, 4096, 6))
		return;

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_FIN | WIRE_ACK), "send FIN");
	ASSERT_EQ(recv(l->fd, &byte, 1, 0), 0, "kernel sees FIN");
	close(l->fd);
	l->fd = -1;
	if (!ASSERT_OK(wire_recv_flags(&l->c, &seg, WIRE_FIN), "FIN"))
		return;
	ASSERT_EQ(seg.ack, l->c.snd_nxt, "ack on FIN");
	ASSERT_OK(wire_ack(&l->c), "ACK of FIN");
}

/* A peer that offers nothing gets nothing but the MSS. */
static void test_bare(struct link *l)
{
	struct wire_seg synack;
	struct tcp_info info;

	l->c.mss = 0;
	l->c.wscale = WIRE_NO_WSCALE;
	l->c.ts = false;
	l->c.sack = false;
	/* The numbers wrap on the way */
	l->c.iss = -50;
	l->c.snd_una = l->c.iss;
	l->c.snd_nxt = l->c.iss;
	if (establish(l, NULL, 0, &synack))
		return;

	ASSERT_OK(wire_opt_check(&synack), "options");
	ASSERT_EQ(synack.opt_len, 4, "options' length");
	ASSERT_EQ(wire_opt_count(&synack, WIRE_KIND(WIRE_OPT_MSS)), 1, "MSS");
	ASSERT_FALSE(synack.has_ts, "has_ts");
	if (!tcp_info(l->fd, &info))
		ASSERT_EQ(info.tcpi_options & 7, 0, "tcpi_options");
	if (peer_sends(l, NR_BYTES, 7) || kernel_sends(l, 1500, 8))
		return;
	ASSERT_EQ(l->c.snd_nxt, NR_BYTES - 49, "snd_nxt");
}

/* The kernel skips over an option that it does not know. */
static void test_unknown_option(struct link *l)
{
	static const __u8 opt[] = { 253, 7, 0xbe, 0xef, 1, 2, 3 };
	struct wire_seg seg, synack;
	__u8 in[4];

	if (establish(l, opt, sizeof(opt), &synack))
		return;
	check_syn(l, &synack);
	ASSERT_EQ(wire_opt_count(&synack, WIRE_KIND(253)), 0, "253 on SYN-ACK");

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = opt,
			    .opt_len = sizeof(opt), .data = "abcd", .len = 4),
		  "send with NOP");
	ASSERT_EQ(recv(l->fd, in, 4, MSG_WAITALL), 4, "recv");
	ASSERT_OK(memcmp(in, "abcd", 4), "bytes");

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = opt,
			    .opt_len = sizeof(opt), .data = "efgh", .len = 4,
			    .pad_eol = true), "send with EOL");
	ASSERT_EQ(recv(l->fd, in, 4, MSG_WAITALL), 4, "recv");
	ASSERT_OK(memcmp(in, "efgh", 4), "bytes");

	if (ASSERT_OK(wire_recv_ack(&l->c, &seg), "ACK")) {
		ASSERT_OK(wire_opt_check(&seg), "options of the ACK");
		ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(253)), 0, "253 on ACK");
		ASSERT_EQ(seg.tsecr, l->c.tsval - 1, "tsecr");
	}

	ASSERT_EQ(wire_send(&l->c, .opt = in, .opt_len = 29), -E2BIG,
		  "29 bytes beside a timestamp");
}

static int in_csum_errors(void)
{
	char line[1024];
	int nr = -1;
	FILE *f;

	f = fopen("/proc/thread-self/net/snmp", "r");
	if (!f)
		return -1;
	/* The last number of the second line of Tcp */
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "Tcp: ", 5))
			nr = atoi(strrchr(line, ' ') + 1);
	fclose(f);
	return nr;
}

static void test_bad_csum(struct link *l)
{
	__u8 in[8];

	if (establish(l, NULL, 0, NULL))
		return;

	ASSERT_EQ(in_csum_errors(), 0, "InCsumErrors before");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "bad", .len = 3,
			    .bad_csum = true), "send bad");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "good", .len = 4),
		  "send good");
	ASSERT_EQ(recv(l->fd, in, sizeof(in), 0), 4, "recv");
	ASSERT_OK(memcmp(in, "good", 4), "bytes");
	ASSERT_EQ(in_csum_errors(), 1, "InCsumErrors after");
	peer_sends(l, NR_BYTES, 9);
}

static void test_out_of_window(struct link *l)
{
	__u32 nxt, rcv_nxt;
	struct wire_seg seg;
	char byte;

	if (establish(l, NULL, 0, NULL) || peer_sends(l, NR_BYTES, 10))
		return;
	nxt = l->c.snd_nxt;
	rcv_nxt = l->c.rcv_nxt;

	ASSERT_EQ(wire_recv(&l->c, &seg, 0), -ETIMEDOUT, "nothing yet");
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "x", .len = 1,
			    .seq = WIRE_SEQ(nxt + (1 << 28))), "send");
	ASSERT_EQ(l->c.snd_nxt, nxt, "snd_nxt");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "dup ACK"))
		return;
	ASSERT_EQ(seg.flags, WIRE_ACK, "flags");
	ASSERT_EQ(seg.ack, nxt, "ack");
	ASSERT_EQ(seg.seq, rcv_nxt, "seq");
	ASSERT_EQ(seg.len, 0, "len");
	ASSERT_EQ(recv(l->fd, &byte, 1, MSG_DONTWAIT), -1, "nothing to read");
	ASSERT_EQ(errno, EAGAIN, "nothing to read");
	peer_sends(l, NR_BYTES, 11);
}

static void test_rst(struct link *l)
{
	struct wire_seg seg;
	char byte;

	if (establish(l, NULL, 0, NULL))
		return;

	/* In the window, but not exactly next: RFC 5961 has it challenged */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_RST,
			    .seq = WIRE_SEQ(l->c.snd_nxt + 10)), "send");
	if (!ASSERT_OK(wire_recv(&l->c, &seg, WIRE_TIMEOUT_MS), "challenge"))
		return;
	ASSERT_EQ(seg.flags, WIRE_ACK, "challenge flags");
	ASSERT_EQ(seg.ack, l->c.snd_nxt, "challenge ack");
	if (peer_sends(l, NR_BYTES, 12))
		return;

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_RST), "send");
	ASSERT_EQ(recv(l->fd, &byte, 1, 0), -1, "recv");
	ASSERT_EQ(errno, ECONNRESET, "errno");

	/* What comes now finds no connection. */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .data = "x", .len = 1),
		  "send");
	ASSERT_EQ(wire_recv_data(&l->c, &seg), -ECONNRESET,
		  "RST of the kernel");
	ASSERT_EQ(seg.flags, WIRE_RST, "flags");
	ASSERT_EQ(seg.seq, l->c.rcv_nxt, "seq");
	ASSERT_EQ(seg.opt_len, 0, "options");
}

static void test_retransmit(struct link *l)
{
	struct wire_seg first, again;
	struct tcp_info info;
	__u8 out[NR_BYTES];

	if (establish(l, NULL, 0, NULL))
		return;

	fill(out, sizeof(out), 13);
	ASSERT_EQ(send(l->fd, out, sizeof(out), 0), sizeof(out), "kernel send");
	if (!ASSERT_OK(wire_recv_data(&l->c, &first), "first") ||
	    !ASSERT_OK(wire_recv_data(&l->c, &again), "again"))
		return;
	ASSERT_EQ(first.seq, again.seq, "seq");
	ASSERT_EQ(first.len, sizeof(out), "first length");
	ASSERT_EQ(again.len, sizeof(out), "second length");
	ASSERT_OK(memcmp(first.data, out, sizeof(out)), "first bytes");
	ASSERT_OK(memcmp(again.data, out, sizeof(out)), "second bytes");
	ASSERT_GT(again.ns, first.ns, "time");
	ASSERT_EQ(l->c.rcv_nxt, first.seq + first.len, "rcv_nxt");

	wait_unacked(l->fd, 1);
	ASSERT_OK(wire_ack(&l->c), "ACK");
	wait_unacked(l->fd, 0);
	if (!tcp_info(l->fd, &info))
		ASSERT_GE(info.tcpi_total_retrans, 1, "total_retrans");
	kernel_sends(l, NR_BYTES, 14);
}

static void check_mtu(struct link *l, int mtu)
{
	__u8 out[5000], in[5000];
	int nr_full = 0, len = 0;
	struct wire_seg seg;

	fill(out, sizeof(out), mtu);
	ASSERT_EQ(send(l->fd, out, sizeof(out), 0), sizeof(out), "kernel send");
	while (len < sizeof(out)) {
		if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "recv") ||
		    !ASSERT_LE(seg.len, sizeof(out) - len, "len"))
			return;
		ASSERT_LE(seg.pkt_len, mtu, "packet");
		ASSERT_OK(wire_opt_check(&seg), "options");
		nr_full += seg.pkt_len == mtu;
		memcpy(in + len, seg.data, seg.len);
		len += seg.len;
	}
	ASSERT_OK(memcmp(in, out, sizeof(out)), "bytes");
	ASSERT_GE(nr_full, 3, "packets as large as the MTU");
	ASSERT_OK(wire_ack(&l->c), "ACK");
	wait_unacked(l->fd, 0);
}

static void test_mtu(struct link *l)
{
	if (establish(l, NULL, 0, NULL))
		return;
	check_mtu(l, WIRE_MTU);
	close(l->fd);
	l->fd = -1;

	if (!ASSERT_OK(wire_set_mtu(&l->w, 1280), "set_mtu"))
		return;
	wire_conn_init(&l->c, &l->w, l->c.kport);
	if (establish(l, NULL, 0, NULL))
		return;
	ASSERT_EQ(l->c.kernel_mss, 1280 - wire_ip_hlen(&l->w) - 20, "MSS");
	check_mtu(l, 1280);
}

/* What is for another connection waits until it is asked for. */
static void test_two(struct link *l)
{
	struct link other = *l;
	struct wire_seg seg, first;

	other.fd = -1;
	/* Other ports, the same wire */
	wire_conn_init(&other.c, &l->w, l->c.kport);
	if (establish(l, NULL, 0, NULL) || establish(&other, NULL, 0, NULL))
		goto out;

	ASSERT_EQ(send(l->fd, "one", 3, 0), 3, "kernel send");
	ASSERT_EQ(send(other.fd, "other", 5, 0), 5, "kernel send");
	if (!ASSERT_OK(wire_recv_data(&other.c, &seg), "second") ||
	    !ASSERT_OK(wire_recv_data(&l->c, &first), "first"))
		goto out;
	ASSERT_EQ(seg.len, 5, "length of the second");
	ASSERT_OK(memcmp(seg.data, "other", 5), "bytes of the second");
	ASSERT_EQ(first.len, 3, "length of the first");
	ASSERT_OK(memcmp(first.data, "one", 3), "bytes of the first");
	/* Kept, not sent again */
	ASSERT_LT(first.ns, seg.ns, "order of coming");

	ASSERT_OK(wire_ack(&l->c), "ACK of the first");
	ASSERT_OK(wire_ack(&other.c), "ACK of the second");
	wait_unacked(l->fd, 0);
	wait_unacked(other.fd, 0);
	/* Nor anything that was sent again meanwhile */
	while (!wire_recv_any(&l->w, &seg, 0))
		;
	close(other.fd);
	other.fd = -1;
	if (ASSERT_OK(wire_recv_any(&l->w, &seg, WIRE_TIMEOUT_MS), "any")) {
		ASSERT_EQ(seg.dport, other.c.port, "port");
		ASSERT_TRUE(seg.flags & WIRE_FIN, "FIN");
	}
out:
	if (other.fd >= 0)
		close(other.fd);
}

/* Every changed bit of a packet is noticed. */
static void test_checksums(struct link *l)
{
	struct wire_seg seg, parsed;
	__u8 out[NR_BYTES];
	unsigned int bit;
	__u8 pkt[1500];

	if (establish(l, NULL, 0, NULL))
		return;
	fill(out, sizeof(out), 15);
	ASSERT_EQ(send(l->fd, out, sizeof(out), 0), sizeof(out), "kernel send");
	if (!ASSERT_OK(wire_recv_data(&l->c, &seg), "recv") ||
	    !ASSERT_LE(seg.pkt_len, sizeof(pkt), "packet"))
		return;
	memcpy(pkt, seg.pkt, seg.pkt_len);
	ASSERT_OK(wire_parse(&l->w, pkt, seg.pkt_len, &parsed), "unchanged");
	ASSERT_EQ(wire_parse(&l->w, pkt, seg.pkt_len - 1, &parsed), -EBADMSG,
		  "short");

	for (bit = 0; bit < seg.pkt_len * 8; bit++) {
		/* No checksum of IPv6 has class, flow label and hop limit */
		if (l->w.family == AF_INET6 &&
		    ((bit >= 4 && bit < 32) || bit / 8 == 7))
			continue;
		pkt[bit / 8] ^= 0x80 >> bit % 8;
		if (!ASSERT_NEQ(wire_parse(&l->w, pkt, seg.pkt_len, &parsed), 0,
				"changed bit")) {
			printf("bit %u of %u bytes\n", bit, seg.pkt_len);
			return;
		}
		pkt[bit / 8] ^= 0x80 >> bit % 8;
	}
}

static const struct wire_seg *last_sent(struct link *l)
{
	const struct wire_seg *seg;
	unsigned int i;
	bool sent;

	for (i = l->w.nr_log; i--;) {
		seg = wire_logged(&l->w, i, &sent);
		if (seg && sent)
			return seg;
	}
	PRINT_FAIL("nothing was sent\n");
	return NULL;
}

/* What is sent is what was asked for, byte by byte. */
static void test_sent(struct link *l)
{
	static const __u8 opt[] = { 77, 3, 1 };
	static const __u8 opt_nop[] = { 77, 3, 1, 1 };
	static const __u8 opt_eol[] = { 77, 3, 1, 0 };
	__u8 ts[] = { 1, 1, 8, 10, 0, 0, 3, 0xe8 + 2, 0, 0, 0, 0 };
	const struct wire_seg *seg;
	struct wire_seg parsed;
	const __u8 *tcp;
	__u8 pkt[256];
	__u32 recent;

	if (establish(l, NULL, 0, NULL))
		return;
	recent = htonl(l->c.ts_recent);
	memcpy(ts + 8, &recent, 4);
	ASSERT_NEQ(recent, 0, "ts_recent");

	/* After the SYN, and the ACK of the handshake */
	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK | WIRE_PSH, .opt = opt,
			    .opt_len = 3, .data = "abc", .len = 3), "send");
	seg = last_sent(l);
	if (!seg || !ASSERT_EQ(seg->pkt_len, wire_ip_hlen(&l->w) + 20 + 16 + 3,
			       "packet"))
		return;
	tcp = seg->pkt + wire_ip_hlen(&l->w);
	ASSERT_EQ(tcp[0] << 8 | tcp[1], l->c.port, "source port");
	ASSERT_EQ(tcp[2] << 8 | tcp[3], l->c.kport, "destination port");
	ASSERT_EQ(tcp[12], 9 << 4, "data offset");
	ASSERT_EQ(tcp[13], 0x18, "flags");
	ASSERT_EQ(seg->seq, l->c.iss + 1, "seq");
	ASSERT_EQ(seg->ack, l->c.rcv_nxt, "ack");
	ASSERT_EQ(seg->wnd, 0xffff, "window");
	ASSERT_OK(memcmp(tcp + 20, ts, 12), "timestamp");
	ASSERT_OK(memcmp(tcp + 32, opt_nop, 4), "option");
	ASSERT_OK(memcmp(tcp + 36, "abc", 3), "data");
	ASSERT_EQ(l->c.snd_nxt, l->c.iss + 4, "snd_nxt");

	/* From peer to kernel, so not for wire_parse() until turned round;
	 * no sum changes when both addresses change places
	 */
	memcpy(pkt, seg->pkt, seg->pkt_len);
	ASSERT_EQ(wire_parse(&l->w, pkt, seg->pkt_len, &parsed), -ENOMSG,
		  "direction");
	if (l->w.family == AF_INET) {
		memcpy(pkt + 12, l->w.kernel_addr, 4);
		memcpy(pkt + 16, l->w.peer_addr, 4);
	} else {
		memcpy(pkt + 8, l->w.kernel_addr, 16);
		memcpy(pkt + 24, l->w.peer_addr, 16);
	}
	ASSERT_OK(wire_parse(&l->w, pkt, seg->pkt_len, &parsed), "checksums");

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .opt = opt, .opt_len = 3,
			    .no_ts = true, .pad_eol = true, .urg = 5,
			    .seq = WIRE_SEQ(1), .ack = WIRE_SEQ(2),
			    .wnd = WIRE_WND(3)), "send");
	seg = last_sent(l);
	if (!seg)
		return;
	tcp = seg->pkt + wire_ip_hlen(&l->w);
	ASSERT_EQ(seg->opt_len, 4, "options");
	ASSERT_OK(memcmp(seg->opt, opt_eol, 4), "option, EOL");
	ASSERT_EQ(seg->seq, 1, "own seq");
	ASSERT_EQ(seg->ack, 2, "own ack");
	ASSERT_EQ(seg->wnd, 3, "own window");
	ASSERT_EQ(tcp[18] << 8 | tcp[19], 5, "urgent pointer");
	ASSERT_EQ(l->c.snd_nxt, l->c.iss + 4, "snd_nxt stays");

	ASSERT_OK(wire_send(&l->c, .flags = WIRE_ACK, .doff = 6), "send");
	seg = last_sent(l);
	if (seg)
		ASSERT_EQ(seg->opt_len, 4, "own data offset");
}

static const struct {
	const char *name;
	__u16 flags;
	bool ok;
	__u8 len;
	__u8 opt[12];
} opt_checks[] = {
	{ "none", WIRE_ACK, true, 0 },
	{ "NOP", WIRE_ACK, true, 4, { 1, 1, 1, 1 } },
	{ "EOL", WIRE_ACK, true, 4, { 1, 0, 0, 0 } },
	{ "MSS", WIRE_SYN, true, 4, { 2, 4, 5, 0xb4 } },
	{ "unknown", WIRE_ACK, true, 4, { 77, 2, 77, 2 } },
	{ "experiments", WIRE_ACK, true, 12,
	  { 253, 5, 1, 2, 3, 254, 5, 0xff, 0xff, 0, 77, 2 } },
	{ "no words", WIRE_ACK, false, 3, { 1, 1, 1 } },
	{ "length 0", WIRE_ACK, false, 4, { 77, 0, 1, 1 } },
	{ "length 1", WIRE_ACK, false, 4, { 77, 1, 1, 1 } },
	{ "no length", WIRE_ACK, false, 4, { 1, 1, 1, 77 } },
	{ "too long", WIRE_ACK, false, 4, { 1, 77, 4, 0 } },
	{ "after the end", WIRE_ACK, false, 4, { 1, 0, 0, 1 } },
	{ "MSS length", WIRE_SYN, false, 4, { 2, 3, 5, 1 } },
	{ "MSS without SYN", WIRE_ACK, false, 4, { 2, 4, 5, 0xb4 } },
	{ "MSS twice", WIRE_SYN, false, 8, { 2, 4, 5, 0xb4, 2, 4, 5, 0xb4 } },
	{ "SACK length", WIRE_ACK, false, 8, { 5, 6, 0, 0, 0, 0, 1, 1 } },
	{ "SACK on SYN", WIRE_SYN, false, 12, { 1, 1, 5, 10 } },
	{ "timestamp length", WIRE_ACK, false, 12, { 8, 12 } },
	{ "ExID missing", WIRE_ACK, false, 4, { 1, 253, 3, 0 } },
};

/* The reading of options, and of bad ones */
static void test_options(void)
{
	static const __u8 area[] = {
		1, 253, 6, 0xbe, 0xef, 11, 12,		/* 16 bit ExID */
		253, 8, 0xbe, 0xef, 0xca, 0xfe, 21, 22,	/* or 32 */
		254, 6, 0xbe, 0xef, 31, 32,		/* other kind */
		253, 4, 0xbe, 0xef,			/* no value */
		28, 4, 41, 42, 1, 0, 253,		/* after the end */
	};
	struct wire w = { .fd = -1, .family = AF_INET };
	struct wire_seg seg = { .w = &w, .opt = area, .opt_len = sizeof(area) };
	struct wire_optid id16 = WIRE_EXID16(253, 0xbeef);
	struct wire_optid id32 = WIRE_EXID32(253, 0xbeefcafe);
	const __u8 *val;
	int i, len;

	ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(253)), 3, "count of kind");
	ASSERT_EQ(wire_opt_count(&seg, id16), 3, "count of 16 bit ExID");
	ASSERT_EQ(wire_opt_count(&seg, id32), 1, "count of 32 bit ExID");
	ASSERT_EQ(wire_opt_count(&seg, WIRE_KIND(WIRE_OPT_NOP)), 2, "NOPs");

	val = wire_opt_find(&seg, id16, 0, &len);
	ASSERT_EQ(val - area, 5, "first of 16 bit");
	ASSERT_EQ(len, 2, "first of 16 bit");
	val = wire_opt_find(&seg, id16, 1, &len);
	ASSERT_EQ(val - area, 11, "second of 16 bit");
	ASSERT_EQ(len, 4, "second of 16 bit");
	val = wire_opt_find(&seg, id16, 2, &len);
	ASSERT_EQ(val - area, 25, "third of 16 bit");
	ASSERT_EQ(len, 0, "third of 16 bit");
	ASSERT_NULL(wire_opt_find(&seg, id16, 3, &len), "fourth of 16 bit");
	val = wire_opt_find(&seg, id32, 0, &len);
	ASSERT_EQ(val - area, 13, "32 bit");
	ASSERT_EQ(len, 2, "32 bit");
	val = wire_opt_find(&seg, WIRE_KIND(28), 0, NULL);
	ASSERT_EQ(val - area, 27, "plain kind");

	for (i = 0; i < ARRAY_SIZE(opt_checks); i++) {
		seg.flags = opt_checks[i].flags;
		seg.opt = opt_checks[i].opt;
		seg.opt_len = opt_checks[i].len;
		ASSERT_EQ(wire_opt_check(&seg), opt_checks[i].ok ? 0 : -EBADMSG,
			  opt_checks[i].name);
	}
}

static void run_test(void (*run)(struct link *l), int family)
{
	struct link l = { .listen_fd = -1, .fd = -1 };
	struct netns_obj *netns;
	int port;

	netns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;

	if (!ASSERT_OK(wire_open(&l.w, family, 0), "wire_open")) {
		printf("%s\n", l.w.err);
		goto free_netns;
	}

	l.listen_fd = wire_sk(&l.w);
	if (!ASSERT_OK_FD(l.listen_fd, "socket"))
		goto close_wire;
	port = wire_sk_listen(&l.w, l.listen_fd);
	if (!ASSERT_GT(port, 0, "listen"))
		goto close_listen;

	wire_conn_init(&l.c, &l.w, port);
	run(&l);

	if (l.fd >= 0)
		close(l.fd);
close_listen:
	close(l.listen_fd);
close_wire:
	wire_close(&l.w);
free_netns:
	netns_free(netns);
}

void test_tcp_wire(void)
{
	if (test__start_subtest("options"))
		test_options();
	if (test__start_subtest("checksums_v4"))
		run_test(test_checksums, AF_INET);
	if (test__start_subtest("checksums_v6"))
		run_test(test_checksums, AF_INET6);
	if (test__start_subtest("sent_v4"))
		run_test(test_sent, AF_INET);
	if (test__start_subtest("sent_v6"))
		run_test(test_sent, AF_INET6);
	if (test__start_subtest("active_v4"))
		run_test(test_active, AF_INET);
	if (test__start_subtest("active_v6"))
		run_test(test_active, AF_INET6);
	if (test__start_subtest("passive_v4"))
		run_test(test_passive, AF_INET);
	if (test__start_subtest("passive_v6"))
		run_test(test_passive, AF_INET6);
	if (test__start_subtest("bare_v4"))
		run_test(test_bare, AF_INET);
	if (test__start_subtest("bare_v6"))
		run_test(test_bare, AF_INET6);
	if (test__start_subtest("unknown_option_v4"))
		run_test(test_unknown_option, AF_INET);
	if (test__start_subtest("unknown_option_v6"))
		run_test(test_unknown_option, AF_INET6);
	if (test__start_subtest("bad_csum_v4"))
		run_test(test_bad_csum, AF_INET);
	if (test__start_subtest("bad_csum_v6"))
		run_test(test_bad_csum, AF_INET6);
	if (test__start_subtest("out_of_window_v4"))
		run_test(test_out_of_window, AF_INET);
	if (test__start_subtest("out_of_window_v6"))
		run_test(test_out_of_window, AF_INET6);
	if (test__start_subtest("rst_v4"))
		run_test(test_rst, AF_INET);
	if (test__start_subtest("rst_v6"))
		run_test(test_rst, AF_INET6);
	if (test__start_subtest("retransmit_v4"))
		run_test(test_retransmit, AF_INET);
	if (test__start_subtest("retransmit_v6"))
		run_test(test_retransmit, AF_INET6);
	if (test__start_subtest("mtu_v4"))
		run_test(test_mtu, AF_INET);
	if (test__start_subtest("mtu_v6"))
		run_test(test_mtu, AF_INET6);
	if (test__start_subtest("two_v4"))
		run_test(test_two, AF_INET);
	if (test__start_subtest("two_v6"))
		run_test(test_two, AF_INET6);
}
