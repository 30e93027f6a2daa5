/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_WIRE_H
#define __TCP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/* A TCP peer for tests, behind a TUN device: it sends segments made by hand,
 * and reads and keeps all that the kernel sends, so that a test can assert on
 * header bytes. It does nothing on its own: what it does not send is not sent,
 * least of all an ACK or a RST.
 *
 * All that return int return a negative errno on failure, and say why in
 * wire.err:
 *	-ETIMEDOUT	what was waited for did not come
 *	-EBADMSG	the kernel sent something malformed
 *	-EPROTO		the kernel sent something else than expected
 *
 *	struct wire_conn c;
 *	struct wire_seg seg;
 *	struct wire w;
 *
 *	wire_open(&w, AF_INET, 0);
 *	wire_conn_init(&c, &w, wire_sk_listen(&w, fd));
 *	wire_connect(&c, NULL, 0, NULL);
 *	wire_send(&c, .flags = WIRE_ACK, .data = "hi", .len = 2);
 *	wire_recv_ack(&c, &seg);
 *	val = wire_opt_find(&seg, WIRE_EXID16(253, 0xbeef), 0, &len);
 *	wire_close(&w);
 */

/* The low 12 bits of the word that starts with the data offset */
#define WIRE_FIN	0x001
#define WIRE_SYN	0x002
#define WIRE_RST	0x004
#define WIRE_PSH	0x008
#define WIRE_ACK	0x010
#define WIRE_URG	0x020
#define WIRE_ECE	0x040
#define WIRE_CWR	0x080
#define WIRE_AE		0x100
#define WIRE_FLAGS	0xfff

#define WIRE_OPT_EOL		0
#define WIRE_OPT_NOP		1
#define WIRE_OPT_MSS		2
#define WIRE_OPT_WSCALE		3
#define WIRE_OPT_SACK_OK	4
#define WIRE_OPT_SACK		5
#define WIRE_OPT_TS		8
#define WIRE_OPT_MD5		19
#define WIRE_OPT_AO		29
#define WIRE_OPT_MPTCP		30
#define WIRE_OPT_FASTOPEN	34
#define WIRE_OPT_EXP1		253
#define WIRE_OPT_EXP2		254

#define WIRE_OPT_MAX		40
#define WIRE_MTU		1500
#define WIRE_TIMEOUT_MS		10000
#define WIRE_NO_WSCALE		(-1)

struct wire_pkt;

/* A device with two addresses: the kernel's and the peer's. */
struct wire {
	int fd;
	int family;
	int mtu;
	int ifindex;
	char ifname[16];
	__u8 kernel_addr[16];		/* network order; IPv4: the first 4 */
	__u8 peer_addr[16];
	__u16 next_port;
	__u64 start_ns;
	struct wire_pkt **log;		/* all packets, both ways */
	unsigned int nr_log;
	unsigned int max_log;
	unsigned int first_new;		/* none before is still to be received */
	unsigned int nr_noise;		/* read, and not TCP to the peer */
	unsigned int nr_bad;		/* read, and malformed */
	int start_errors;		/* of the test, at wire_open() */
	char err[192];			/* why the last call failed */
};

/* The peer's end of a connection. Until the handshake, mss, wscale, ts and
 * sack are what the peer offers; after it, what both sides agreed to.
 */
struct wire_conn {
	struct wire *w;
	__u16 port;		/* the peer's */
	__u16 kport;		/* the kernel's; 0 until it is known */
	__u32 iss;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 rcv_nxt;
	bool synced;		/* a SYN of the kernel came */
	__u16 wnd;		/* as in the header */
	__u16 mss;		/* 0: not sent */
	int wscale;		/* WIRE_NO_WSCALE: not sent */
	bool ts;
	bool sack;
	__u32 tsval;		/* the next; counts segments, so it is known */
	__u32 ts_recent;
	__u16 kernel_mss;	/* what the kernel's SYN said; 0: nothing */
	int kernel_wscale;
};

/* A segment, received or in the log; what it points to lives until wire_close()
 * or wire_log_clear().
 */
struct wire_seg {
	struct wire *w;
	__u64 ns;		/* since wire_open() */
	const __u8 *pkt;	/* from the IP header on */
	__u32 pkt_len;
	__u16 sport;
	__u16 dport;
	__u32 seq;
	__u32 ack;
	__u16 flags;
	__u16 wnd;
	const __u8 *opt;
	__u32 opt_len;
	const __u8 *data;
	__u32 len;
	bool has_ts;
	__u32 tsval;
	__u32 tsecr;
};

/* One option of a segment */
struct wire_opt {
	__u8 kind;
	__u8 len;		/* whole; 1 for NOP and EOL */
	const __u8 *raw;	/* NULL: before the first */
};

/* Which option: a kind, maybe with an experiment ID of 2 or 4 bytes */
struct wire_optid {
	__u8 kind;
	__u8 exid_len;
	__u32 exid;
};

#define WIRE_KIND(k)		((struct wire_optid){ (k), 0, 0 })
#define WIRE_EXID16(k, id)	((struct wire_optid){ (k), 2, (id) })
#define WIRE_EXID32(k, id)	((struct wire_optid){ (k), 4, (id) })

#define WIRE_SEQ(x)		(&(const __u32){ (x) })
#define WIRE_WND(x)		(&(const __u16){ (x) })

/* What to send. Left out: no flags, options or data, and the connection's own
 * numbers. A segment sent with seq or bad_csum leaves snd_nxt as it is.
 */
struct wire_out {
	__u16 flags;
	const void *opt;	/* after the timestamp, if there is one */
	__u32 opt_len;
	const void *data;
	__u32 len;
	const __u32 *seq;
	const __u32 *ack;
	const __u16 *wnd;
	bool no_ts;
	bool bad_csum;
	bool pad_eol;		/* fill up with EOL, not NOP */
	__u8 doff;		/* in words, 0: what is right */
	__u16 urg;
};

/* What to wait for; each that is left out is no condition */
struct wire_want {
	__u16 flags;		/* all of these are set ... */
	__u16 no_flags;		/* ... and none of these */
	bool data;		/* some payload */
	const __u32 *ack;	/* this or more, with ACK set */
	int timeout_ms;		/* 0: WIRE_TIMEOUT_MS */
};

/* The device, in the current namespace. mtu 0: WIRE_MTU. Several may be open
 * at a time. When the test failed meanwhile, wire_close() prints the log; it
 * fails the test itself if the kernel sent anything malformed.
 */
int wire_open(struct wire *w, int family, int mtu);
void wire_close(struct wire *w);
int wire_set_mtu(struct wire *w, int mtu);
int wire_ip_hlen(const struct wire *w);

/* The kernel's end. Sockets time out by themselves; wire_sk_listen() returns
 * the port; wire_sk_connect() only sends the SYN.
 */
int wire_sk(struct wire *w);
int wire_sk_listen(struct wire *w, int fd);
int wire_sk_connect(struct wire_conn *c, int fd);

/* The peer's end. kport 0: the kernel connects. */
void wire_conn_init(struct wire_conn *c, struct wire *w, __u16 kport);

/* Handshakes, whole or step by step; opt comes after the offered options, syn
 * and synack may be NULL. wire_accept() is for after wire_sk_connect(); write
 * nothing to the socket before it returns.
 */
int wire_connect(struct wire_conn *c, const void *opt, __u32 opt_len,
		 struct wire_seg *synack);
int wire_accept(struct wire_conn *c, const void *opt, __u32 opt_len,
		struct wire_seg *syn);
int wire_send_syn(struct wire_conn *c, const void *opt, __u32 opt_len);
int wire_send_synack(struct wire_conn *c, const void *opt, __u32 opt_len);
int wire_recv_syn(struct wire_conn *c, struct wire_seg *syn);
int wire_recv_synack(struct wire_conn *c, struct wire_seg *synack);

#define wire_send(c, ...) \
	wire_send_out(c, &(const struct wire_out){ __VA_ARGS__ })
int wire_send_out(struct wire_conn *c, const struct wire_out *out);
int wire_send_raw(struct wire *w, const void *pkt, __u32 len);
int wire_ack(struct wire_conn *c);

/* The next segment of a connection, or of any: others stay to be received.
 * timeout_ms 0: only what is there.
 */
int wire_recv(struct wire_conn *c, struct wire_seg *seg, int timeout_ms);
int wire_recv_any(struct wire *w, struct wire_seg *seg, int timeout_ms);

/* The next one like this; those before it are received too, and dropped.
 * A RST that is not asked for is -ECONNRESET.
 */
#define wire_recv_until(c, seg, ...) \
	wire_recv_want(c, seg, &(const struct wire_want){ __VA_ARGS__ })
int wire_recv_want(struct wire_conn *c, struct wire_seg *seg,
		   const struct wire_want *want);

int wire_recv_flags(struct wire_conn *c, struct wire_seg *seg, __u16 flags);
int wire_recv_data(struct wire_conn *c, struct wire_seg *seg);
int wire_recv_ack(struct wire_conn *c, struct wire_seg *seg);	/* of all sent */

/* Receive so many bytes in order, and acknowledge them */
int wire_read(struct wire_conn *c, void *buf, __u32 len);

/* Options. wire_opt_find() returns what follows kind, length and ExID, or
 * NULL; wire_opt_check() is 0 or -EBADMSG; opt of wire_opt_next() starts as
 * all zeroes, and it ends at EOL and at what is malformed.
 */
bool wire_opt_next(const struct wire_seg *seg, struct wire_opt *opt);
const __u8 *wire_opt_find(const struct wire_seg *seg, struct wire_optid id,
			  int nth, int *len);
int wire_opt_count(const struct wire_seg *seg, struct wire_optid id);
int wire_opt_check(const struct wire_seg *seg);

/* Read a packet, as if the kernel had sent it, checksums included. -ENOMSG:
 * well, but not TCP to the peer.
 */
int wire_parse(struct wire *w, const void *pkt, __u32 len,
	       struct wire_seg *seg);

/* The log: nr_log packets; NULL for one that is not TCP */
const struct wire_seg *wire_logged(const struct wire *w, unsigned int i,
				   bool *sent);

void wire_dump(const struct wire_seg *seg);
void wire_log_dump(struct wire *w, unsigned int last);	/* 0: all */
void wire_log_clear(struct wire *w);

static inline bool wire_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

#endif
