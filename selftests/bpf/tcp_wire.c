// SPDX-License-Identifier: GPL-2.0

#include <poll.h>
#include <stdarg.h>
#include <linux/if_tun.h>

#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_wire.h"

#define IPV4_HLEN	20
#define IPV6_HLEN	40
#define TCP_HLEN	20
#define PKT_MAX		65535
#define DUMP_LAST	40
#define DUMP_BYTES	16

enum pkt_state {
	PKT_SENT,
	PKT_NEW,		/* still to be received */
	PKT_RECEIVED,
	PKT_NOISE,
	PKT_BAD,		/* still to be told of */
	PKT_BAD_TOLD,
};

static const char * const pkt_states[] = {
	[PKT_SENT]	= "peer  ",
	[PKT_NEW]	= "kernel",
	[PKT_RECEIVED]	= "kernel",
	[PKT_NOISE]	= "noise ",
	[PKT_BAD]	= "BAD   ",
	[PKT_BAD_TOLD]	= "BAD   ",
};

struct wire_pkt {
	enum pkt_state state;
	bool split;		/* seg is more than pkt, pkt_len and ns */
	struct wire_seg seg;
	__u8 bytes[];
};

static __u16 get16(const __u8 *p)
{
	return p[0] << 8 | p[1];
}

static __u32 get32(const __u8 *p)
{
	return (__u32)get16(p) << 16 | get16(p + 2);
}

static void put16(__u8 *p, __u16 val)
{
	p[0] = val >> 8;
	p[1] = val;
}

static void put32(__u8 *p, __u32 val)
{
	put16(p, val >> 16);
	put16(p + 2, val);
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int test_errors(void)
{
	return env.subtest_state ? env.subtest_state->error_cnt :
				   env.test_state->error_cnt;
}

__printf(3, 4)
static int fail(struct wire *w, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->err, sizeof(w->err), fmt, args);
	va_end(args);
	return err;
}

static int fail_errno(struct wire *w, const char *what)
{
	int err = errno;

	return fail(w, -err, "%s: %s", what, strerror(err));
}

/* The ones' complement sum; 0xffff over what holds its own right checksum */
static __u64 sum16(__u64 sum, const __u8 *p, __u32 len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += get16(p);
	if (len)
		sum += p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __u64 sum_tcp(const __u8 *pkt, __u32 hlen, const __u8 *tcp, __u32 len)
{
	__u32 addrs = hlen == IPV6_HLEN ? 32 : 8;
	__u64 sum = IPPROTO_TCP + len;

	sum = sum16(sum, pkt + (addrs == 32 ? 8 : 12), addrs);
	return sum16(sum, tcp, len);
}

static int addr_len(const struct wire *w)
{
	return w->family == AF_INET ? 4 : 16;
}

int wire_ip_hlen(const struct wire *w)
{
	return w->family == AF_INET ? IPV4_HLEN : IPV6_HLEN;
}

/* Where TCP begins in a packet of the wire's family, or what is wrong */
static int split_ip(struct wire *w, const struct wire_seg *seg)
{
	const __u8 *pkt = seg->pkt;
	__u32 hlen;

	if (!seg->pkt_len || pkt[0] >> 4 != (w->family == AF_INET ? 4 : 6))
		return fail(w, -ENOMSG, "not of the wire's family");
	if (seg->pkt_len < wire_ip_hlen(w))
		return fail(w, -EBADMSG, "%u bytes", seg->pkt_len);

	if (w->family == AF_INET6) {
		if (get16(pkt + 4) + IPV6_HLEN != seg->pkt_len)
			return fail(w, -EBADMSG, "IPv6 payload length %u of %u bytes",
				    get16(pkt + 4), seg->pkt_len);
		return pkt[6] == IPPROTO_TCP ? IPV6_HLEN :
		       fail(w, -ENOMSG, "next header %u", pkt[6]);
	}

	hlen = (pkt[0] & 0xf) * 4;
	if (hlen < IPV4_HLEN || hlen > seg->pkt_len)
		return fail(w, -EBADMSG, "IPv4 header length %u", hlen);
	if (get16(pkt + 2) != seg->pkt_len)
		return fail(w, -EBADMSG, "IPv4 total length %u of %u bytes",
			    get16(pkt + 2), seg->pkt_len);
	if (sum16(0, pkt, hlen) != 0xffff)
		return fail(w, -EBADMSG, "IPv4 checksum");
	if (pkt[9] != IPPROTO_TCP)
		return fail(w, -ENOMSG, "protocol %u", pkt[9]);
	if (get16(pkt + 6) & 0x3fff)
		return fail(w, -EBADMSG, "fragment");
	return hlen;
}

/* Take a packet apart; its TCP checksum is not looked at. */
static int split(struct wire *w, const void *pkt, __u32 len,
		 struct wire_seg *seg)
{
	struct wire_opt opt = {};
	const __u8 *tcp;
	int hlen, doff;

	memset(seg, 0, sizeof(*seg));
	seg->w = w;
	seg->pkt = pkt;
	seg->pkt_len = len;

	hlen = split_ip(w, seg);
	if (hlen < 0)
		return hlen;

	tcp = seg->pkt + hlen;
	len -= hlen;
	if (len < TCP_HLEN)
		return fail(w, -EBADMSG, "%u bytes of TCP", len);
	doff = (tcp[12] >> 4) * 4;
	if (doff < TCP_HLEN || doff > len)
		return fail(w, -EBADMSG, "data offset %u of %u bytes", doff, len);

	seg->sport = get16(tcp);
	seg->dport = get16(tcp + 2);
	seg->seq = get32(tcp + 4);
	seg->ack = get32(tcp + 8);
	seg->flags = get16(tcp + 12) & WIRE_FLAGS;
	seg->wnd = get16(tcp + 14);
	seg->opt = tcp + TCP_HLEN;
	seg->opt_len = doff - TCP_HLEN;
	seg->data = tcp + doff;
	seg->len = len - doff;

	while (wire_opt_next(seg, &opt)) {
		if (opt.kind != WIRE_OPT_TS || opt.len != 10)
			continue;
		seg->has_ts = true;
		seg->tsval = get32(opt.raw + 2);
		seg->tsecr = get32(opt.raw + 6);
	}
	return hlen;
}

int wire_parse(struct wire *w, const void *pkt, __u32 len,
	       struct wire_seg *seg)
{
	const __u8 *src, *dst;
	int hlen;

	hlen = split(w, pkt, len, seg);
	if (hlen < 0)
		return hlen;

	src = seg->pkt + (w->family == AF_INET ? 12 : 8);
	dst = src + addr_len(w);
	if (memcmp(dst, w->peer_addr, addr_len(w)))
		return fail(w, -ENOMSG, "not to the peer");
	if (sum_tcp(seg->pkt, wire_ip_hlen(w), seg->pkt + hlen, len - hlen) !=
	    0xffff)
		return fail(w, -EBADMSG, "TCP checksum");
	if (memcmp(src, w->kernel_addr, addr_len(w)))
		return fail(w, -ENOMSG, "not from the kernel's address");
	return 0;
}

static struct wire_pkt *log_add(struct wire *w, const void *bytes, __u32 len)
{
	unsigned int max = w->max_log;
	struct wire_pkt **log, *pkt;

	if (w->nr_log == max) {
		max = max ? 2 * max : 256;
		log = realloc(w->log, max * sizeof(*log));
		if (!log)
			return NULL;
		w->log = log;
		w->max_log = max;
	}

	pkt = calloc(1, sizeof(*pkt) + len);
	if (!pkt)
		return NULL;
	memcpy(pkt->bytes, bytes, len);
	w->log[w->nr_log++] = pkt;
	return pkt;
}

void wire_log_clear(struct wire *w)
{
	unsigned int i;

	for (i = 0; i < w->nr_log; i++)
		free(w->log[i]);
	w->nr_log = 0;
	w->first_new = 0;
}

const struct wire_seg *wire_logged(const struct wire *w, unsigned int i,
				   bool *sent)
{
	if (i >= w->nr_log || !w->log[i]->split)
		return NULL;
	*sent = w->log[i]->state == PKT_SENT;
	return &w->log[i]->seg;
}

/* Log all that the kernel has sent until now */
static int drain(struct wire *w)
{
	static __u8 buf[PKT_MAX + 1];
	struct wire_pkt *pkt;
	ssize_t len;
	int err;

	for (;;) {
		len = read(w->fd, buf, sizeof(buf));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN)
			return 0;
		if (len < 0)
			return fail_errno(w, "read from the device");

		pkt = log_add(w, buf, len);
		if (!pkt)
			return fail(w, -ENOMEM, "no memory for the log");
		err = wire_parse(w, pkt->bytes, len, &pkt->seg);
		pkt->seg.ns = now_ns() - w->start_ns;
		pkt->split = pkt->seg.data;
		if (!err) {
			pkt->state = PKT_NEW;
		} else if (err == -ENOMSG) {
			pkt->state = PKT_NOISE;
			w->nr_noise++;
		} else {
			pkt->state = PKT_BAD;
			w->nr_bad++;
		}
	}
}

int wire_send_raw(struct wire *w, const void *bytes, __u32 len)
{
	struct wire_pkt *pkt;
	ssize_t ret;
	int err;

	/* First what came before it, so that the log is in order */
	err = drain(w);
	if (err)
		return err;

	pkt = log_add(w, bytes, len);
	if (!pkt)
		return fail(w, -ENOMEM, "no memory for the log");
	pkt->state = PKT_SENT;
	pkt->split = split(w, pkt->bytes, len, &pkt->seg) >= 0;
	pkt->seg.ns = now_ns() - w->start_ns;

	ret = write(w->fd, bytes, len);
	if (ret < 0)
		return fail_errno(w, "write to the device");
	if (ret != len)
		return fail(w, -EIO, "%zd of %u bytes written", ret, len);
	return 0;
}

static void put_ip(struct wire *w, __u8 *pkt, __u32 len)
{
	if (w->family == AF_INET) {
		pkt[0] = 0x45;
		put16(pkt + 2, len);
		put16(pkt + 6, 0x4000);		/* don't fragment */
		pkt[8] = 64;
		pkt[9] = IPPROTO_TCP;
		memcpy(pkt + 12, w->peer_addr, 4);
		memcpy(pkt + 16, w->kernel_addr, 4);
		put16(pkt + 10, ~sum16(0, pkt, IPV4_HLEN));
	} else {
		pkt[0] = 0x60;
		put16(pkt + 4, len - IPV6_HLEN);
		pkt[6] = IPPROTO_TCP;
		pkt[7] = 64;
		memcpy(pkt + 8, w->peer_addr, 16);
		memcpy(pkt + 24, w->kernel_addr, 16);
	}
}

static __u32 put_ts(struct wire_conn *c, __u8 *opt)
{
	opt[0] = WIRE_OPT_TS;
	opt[1] = 10;
	put32(opt + 2, c->tsval++);
	put32(opt + 6, c->ts_recent);
	return 10;
}

int wire_send_out(struct wire_conn *c, const struct wire_out *out)
{
	static __u8 pkt[PKT_MAX];
	struct wire *w = c->w;
	__u32 hlen = wire_ip_hlen(w), opt_len = 0, doff, len;
	__u8 *tcp = pkt + hlen, *opt = tcp + TCP_HLEN;
	bool ts, ends;
	__u16 sum;
	int err;

	ts = c->ts && !out->no_ts && !(out->flags & (WIRE_SYN | WIRE_RST));
	if (out->opt_len > WIRE_OPT_MAX - (ts ? 12 : 0))
		return fail(w, -E2BIG, "%u bytes of options%s", out->opt_len,
			    ts ? ", with a timestamp" : "");

	memset(pkt, 0, hlen + TCP_HLEN + WIRE_OPT_MAX);
	if (ts) {
		opt[0] = WIRE_OPT_NOP;
		opt[1] = WIRE_OPT_NOP;
		opt_len = 2 + put_ts(c, opt + 2);
	}
	if (out->opt_len)
		memcpy(opt + opt_len, out->opt, out->opt_len);
	opt_len += out->opt_len;
	while (opt_len % 4)
		opt[opt_len++] = out->pad_eol ? WIRE_OPT_EOL : WIRE_OPT_NOP;

	len = hlen + TCP_HLEN + opt_len;
	if (out->len > PKT_MAX - len)
		return fail(w, -EMSGSIZE, "%u bytes of payload", out->len);
	if (out->len)
		memcpy(pkt + len, out->data, out->len);
	len += out->len;

	doff = out->doff ?: (TCP_HLEN + opt_len) / 4;
	put16(tcp, c->port);
	put16(tcp + 2, c->kport);
	put32(tcp + 4, out->seq ? *out->seq : c->snd_nxt);
	if (out->ack)
		put32(tcp + 8, *out->ack);
	else if (out->flags & WIRE_ACK)
		put32(tcp + 8, c->rcv_nxt);
	put16(tcp + 12, doff << 12 | (out->flags & WIRE_FLAGS));
	put16(tcp + 14, out->wnd ? *out->wnd : c->wnd);
	put16(tcp + 18, out->urg);

	put_ip(w, pkt, len);
	sum = ~sum_tcp(pkt, hlen, tcp, len - hlen);
	put16(tcp + 16, out->bad_csum ? sum ^ 0x0f0f : sum);

	err = wire_send_raw(w, pkt, len);
	if (err || out->seq || out->bad_csum)
		return err;

	ends = out->flags & WIRE_SYN;
	c->snd_nxt += out->len + ends;
	ends = out->flags & WIRE_FIN;
	c->snd_nxt += ends;
	return 0;
}

int wire_ack(struct wire_conn *c)
{
	return wire_send(c, .flags = WIRE_ACK);
}

/* What the kernel's SYN says, and what of the peer's offers it takes */
static void take_syn(struct wire_conn *c, const struct wire_seg *seg)
{
	const __u8 *val;
	int len;

	c->synced = true;
	c->rcv_nxt = seg->seq + 1;

	val = wire_opt_find(seg, WIRE_KIND(WIRE_OPT_MSS), 0, &len);
	c->kernel_mss = val && len == 2 ? get16(val) : 0;

	val = wire_opt_find(seg, WIRE_KIND(WIRE_OPT_WSCALE), 0, &len);
	c->kernel_wscale = val && len == 1 ? val[0] : WIRE_NO_WSCALE;

	if (c->kernel_wscale == WIRE_NO_WSCALE)
		c->wscale = WIRE_NO_WSCALE;
	if (!wire_opt_count(seg, WIRE_KIND(WIRE_OPT_SACK_OK)))
		c->sack = false;
	if (!seg->has_ts)
		c->ts = false;
}

static void take(struct wire_conn *c, const struct wire_seg *seg)
{
	__u32 end = seg->seq + seg->len + !!(seg->flags & WIRE_FIN);

	if (seg->flags & WIRE_SYN && !c->synced)
		take_syn(c, seg);

	if (seg->has_ts && !wire_before(c->rcv_nxt, seg->seq))
		c->ts_recent = seg->tsval;
	if (seg->flags & WIRE_ACK && wire_before(c->snd_una, seg->ack))
		c->snd_una = seg->ack;
	if (seg->flags & (WIRE_SYN | WIRE_RST))
		return;
	if (!wire_before(c->rcv_nxt, seg->seq) && wire_before(c->rcv_nxt, end))
		c->rcv_nxt = end;
}

static int recv_logged(struct wire *w, struct wire_conn *c,
		       struct wire_seg *seg)
{
	unsigned int i = w->first_new;
	struct wire_pkt *pkt;
	bool kept = false;
	int err;

	for (; i < w->nr_log; i++) {
		pkt = w->log[i];
		if (pkt->state == PKT_BAD) {
			pkt->state = PKT_BAD_TOLD;
			/* Once more, for what is wrong with it */
			err = wire_parse(w, pkt->bytes, pkt->seg.pkt_len, seg);
			return err ?: fail(w, -EBADMSG, "malformed");
		}
		if (pkt->state == PKT_NEW) {
			if (!c || (pkt->seg.sport == c->kport &&
				   pkt->seg.dport == c->port)) {
				pkt->state = PKT_RECEIVED;
				*seg = pkt->seg;
				return 0;
			}
			kept = true;
		}
		if (!kept)
			w->first_new = i + 1;
	}
	return -EAGAIN;
}

static int recv_deadline(struct wire *w, struct wire_conn *c,
			 struct wire_seg *seg, __u64 deadline)
{
	struct pollfd pfd = { .fd = w->fd, .events = POLLIN };
	__u64 now;
	int err;

	memset(seg, 0, sizeof(*seg));
	for (;;) {
		err = drain(w);
		if (err)
			return err;
		err = recv_logged(w, c, seg);
		if (err != -EAGAIN)
			return err;
		now = now_ns();
		if (now >= deadline)
			return fail(w, -ETIMEDOUT, "nothing came");
		if (poll(&pfd, 1, (deadline - now) / 1000000 + 1) < 0 &&
		    errno != EINTR)
			return fail_errno(w, "poll of the device");
	}
}

int wire_recv_any(struct wire *w, struct wire_seg *seg, int timeout_ms)
{
	return recv_deadline(w, NULL, seg, now_ns() + timeout_ms * 1000000ULL);
}

int wire_recv(struct wire_conn *c, struct wire_seg *seg, int timeout_ms)
{
	__u64 deadline = now_ns() + timeout_ms * 1000000ULL;
	int err;

	err = recv_deadline(c->w, c, seg, deadline);
	if (!err)
		take(c, seg);
	return err;
}

static bool wanted(const struct wire_seg *seg, const struct wire_want *want)
{
	if ((seg->flags & want->flags) != want->flags ||
	    seg->flags & want->no_flags)
		return false;
	if (want->data && !seg->len)
		return false;
	if (want->ack && (!(seg->flags & WIRE_ACK) ||
			  wire_before(seg->ack, *want->ack)))
		return false;
	return true;
}

int wire_recv_want(struct wire_conn *c, struct wire_seg *seg,
		   const struct wire_want *want)
{
	int timeout_ms = want->timeout_ms ?: WIRE_TIMEOUT_MS;
	__u64 deadline = now_ns() + timeout_ms * 1000000ULL;
	int err, nr = 0;

	for (;; nr++) {
		err = recv_deadline(c->w, c, seg, deadline);
		if (err == -ETIMEDOUT)
			return fail(c->w, err, "flags %#x, not %#x%s%s: not among %d in %d ms",
				    want->flags, want->no_flags,
				    want->data ? ", data" : "",
				    want->ack ? ", ack" : "", nr, timeout_ms);
		if (err)
			return err;
		take(c, seg);
		if (wanted(seg, want))
			return 0;
		if (seg->flags & WIRE_RST)
			return fail(c->w, -ECONNRESET, "the kernel sent a RST");
	}
}

int wire_recv_flags(struct wire_conn *c, struct wire_seg *seg, __u16 flags)
{
	return wire_recv_until(c, seg, .flags = flags);
}

int wire_recv_data(struct wire_conn *c, struct wire_seg *seg)
{
	return wire_recv_until(c, seg, .data = true);
}

int wire_recv_ack(struct wire_conn *c, struct wire_seg *seg)
{
	return wire_recv_until(c, seg, .ack = &c->snd_nxt);
}

int wire_read(struct wire_conn *c, void *buf, __u32 len)
{
	__u64 deadline = now_ns() + WIRE_TIMEOUT_MS * 1000000ULL;
	struct wire_seg seg;
	__u32 before, off;
	__u8 *to = buf;
	int err;

	while (len) {
		if (now_ns() >= deadline)
			return fail(c->w, -ETIMEDOUT, "%u bytes did not come",
				    len);
		before = c->rcv_nxt;
		err = wire_recv_data(c, &seg);
		if (err)
			return err;

		off = before - seg.seq;
		if (!wire_before(before, seg.seq) && off < seg.len) {
			if (seg.len - off > len)
				return fail(c->w, -EPROTO, "%u bytes, not %u",
					    seg.len - off, len);
			memcpy(to, seg.data + off, seg.len - off);
			to += seg.len - off;
			len -= seg.len - off;
		}

		err = wire_ack(c);
		if (err)
			return err;
	}
	return 0;
}

static int send_syn(struct wire_conn *c, __u16 flags, const void *opt,
		    __u32 opt_len)
{
	__u8 opts[WIRE_OPT_MAX];
	__u32 len = 0;
	int err;

	if (c->mss) {
		opts[len++] = WIRE_OPT_MSS;
		opts[len++] = 4;
		put16(opts + len, c->mss);
		len += 2;
	}
	if (c->sack || c->ts) {
		opts[len++] = c->sack ? WIRE_OPT_SACK_OK : WIRE_OPT_NOP;
		opts[len++] = c->sack ? 2 : WIRE_OPT_NOP;
		if (c->ts) {
			len += put_ts(c, opts + len);
		} else {
			opts[len++] = WIRE_OPT_NOP;
			opts[len++] = WIRE_OPT_NOP;
		}
	}
	if (c->wscale != WIRE_NO_WSCALE) {
		opts[len++] = WIRE_OPT_NOP;
		opts[len++] = WIRE_OPT_WSCALE;
		opts[len++] = 3;
		opts[len++] = c->wscale;
	}

	if (opt_len > sizeof(opts) - len)
		return fail(c->w, -E2BIG, "%u + %u bytes of options", len, opt_len);
	if (opt_len)
		memcpy(opts + len, opt, opt_len);

	err = wire_send(c, .flags = flags, .seq = &c->iss, .opt = opts,
			.opt_len = len + opt_len);
	if (!err)
		c->snd_nxt = c->iss + 1;
	return err;
}

int wire_send_syn(struct wire_conn *c, const void *opt, __u32 opt_len)
{
	return send_syn(c, WIRE_SYN, opt, opt_len);
}

int wire_send_synack(struct wire_conn *c, const void *opt, __u32 opt_len)
{
	return send_syn(c, WIRE_SYN | WIRE_ACK, opt, opt_len);
}

int wire_recv_syn(struct wire_conn *c, struct wire_seg *syn)
{
	return wire_recv_until(c, syn, .flags = WIRE_SYN, .no_flags = WIRE_ACK);
}

int wire_recv_synack(struct wire_conn *c, struct wire_seg *synack)
{
	int err;

	err = wire_recv_until(c, synack, .flags = WIRE_SYN | WIRE_ACK);
	if (!err && synack->ack != c->iss + 1)
		return fail(c->w, -EPROTO, "SYN-ACK of %u, not %u", synack->ack,
			    c->iss + 1);
	return err;
}

int wire_connect(struct wire_conn *c, const void *opt, __u32 opt_len,
		 struct wire_seg *synack)
{
	struct wire_seg seg;
	int err;

	err = wire_send_syn(c, opt, opt_len);
	if (err)
		return err;
	err = wire_recv_synack(c, synack ?: &seg);
	if (err)
		return err;
	return wire_ack(c);
}

int wire_accept(struct wire_conn *c, const void *opt, __u32 opt_len,
		struct wire_seg *syn)
{
	struct wire_seg seg;
	int err;

	err = wire_recv_syn(c, syn ?: &seg);
	if (err)
		return err;
	err = wire_send_synack(c, opt, opt_len);
	if (err)
		return err;
	return wire_recv_ack(c, &seg);
}

void wire_conn_init(struct wire_conn *c, struct wire *w, __u16 kport)
{
	memset(c, 0, sizeof(*c));
	c->w = w;
	c->port = w->next_port++;
	c->kport = kport;
	c->iss = 0x77000000;
	c->snd_una = c->iss;
	c->snd_nxt = c->iss;
	c->wnd = 0xffff;
	c->mss = w->mtu - wire_ip_hlen(w) - TCP_HLEN;
	c->wscale = 7;
	c->kernel_wscale = WIRE_NO_WSCALE;
	c->ts = true;
	c->sack = true;
	c->tsval = 1000;
}

static socklen_t to_sockaddr(const struct wire *w, const __u8 *addr,
			     __u16 port, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = w->family;
	if (w->family == AF_INET) {
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr, 4);
		return sizeof(*in);
	}
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr, 16);
	return sizeof(*in6);
}

int wire_sk(struct wire *w)
{
	int fd;

	fd = socket(w->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(w, "socket");
	if (settimeo(fd, WIRE_TIMEOUT_MS)) {
		close(fd);
		return fail(w, -EINVAL, "settimeo");
	}
	return fd;
}

static int local_port(struct wire *w, int fd)
{
	int port = get_socket_local_port(fd);

	return port < 0 ? fail_errno(w, "getsockname") : ntohs(port);
}

int wire_sk_listen(struct wire *w, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len;

	len = to_sockaddr(w, w->kernel_addr, 0, &ss);
	if (bind(fd, (void *)&ss, len))
		return fail_errno(w, "bind");
	if (listen(fd, 16))
		return fail_errno(w, "listen");
	return local_port(w, fd);
}

int wire_sk_connect(struct wire_conn *c, int fd)
{
	struct sockaddr_storage ss;
	struct wire *w = c->w;
	int flags, port;
	socklen_t len;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return fail_errno(w, "fcntl");
	len = to_sockaddr(w, w->peer_addr, c->port, &ss);
	if (connect(fd, (void *)&ss, len) && errno != EINPROGRESS)
		return fail_errno(w, "connect");
	if (fcntl(fd, F_SETFL, flags))
		return fail_errno(w, "fcntl");

	port = local_port(w, fd);
	if (port < 0)
		return port;
	c->kport = port;
	return 0;
}

int wire_set_mtu(struct wire *w, int mtu)
{
	struct ifreq ifr = { .ifr_mtu = mtu };
	int fd, err;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(w, "socket");
	memcpy(ifr.ifr_name, w->ifname, IFNAMSIZ);
	err = ioctl(fd, SIOCSIFMTU, &ifr) ? fail_errno(w, "SIOCSIFMTU") : 0;
	close(fd);
	if (!err)
		w->mtu = mtu;
	return err;
}

/* Addresses by the device's number in this namespace */
static int set_addrs(struct wire *w)
{
	const char *fmt = w->family == AF_INET ? "10.77.%u.%u" : "fd77:%x::%x";
	char kernel[INET6_ADDRSTRLEN], peer[INET6_ADDRSTRLEN], cmd[256];
	unsigned int nr;

	if (sscanf(w->ifname, "wire%u", &nr) != 1 || nr > 255)
		return fail(w, -EINVAL, "device %s", w->ifname);
	snprintf(kernel, sizeof(kernel), fmt, nr, 1);
	snprintf(peer, sizeof(peer), fmt, nr, 2);
	inet_pton(w->family, kernel, w->kernel_addr);
	inet_pton(w->family, peer, w->peer_addr);

	snprintf(cmd, sizeof(cmd),
		 "ip link set lo up && ip link set %s up && ip addr add %s/%d dev %s %s",
		 w->ifname, kernel, w->family == AF_INET ? 24 : 64, w->ifname,
		 w->family == AF_INET ? "" : "nodad");
	return system(cmd) ? fail(w, -EIO, "%s", cmd) : 0;
}

int wire_open(struct wire *w, int family, int mtu)
{
	struct ifreq ifr = { .ifr_name = "wire%d" };
	int err;

	memset(w, 0, sizeof(*w));
	w->family = family;
	w->mtu = WIRE_MTU;
	w->next_port = 20000;
	w->start_ns = now_ns();
	w->start_errors = test_errors();

	w->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (w->fd < 0)
		return fail_errno(w, "/dev/net/tun");

	ifr.ifr_flags = IFF_TUN | IFF_NO_PI;
	if (ioctl(w->fd, TUNSETIFF, &ifr)) {
		err = fail_errno(w, "TUNSETIFF");
		goto err_close;
	}
	memcpy(w->ifname, ifr.ifr_name, sizeof(w->ifname));
	w->ifindex = if_nametoindex(w->ifname);

	err = mtu ? wire_set_mtu(w, mtu) : 0;
	if (!err)
		err = set_addrs(w);
	if (!err)
		return 0;

err_close:
	close(w->fd);
	w->fd = -1;
	return err;
}

void wire_close(struct wire *w)
{
	if (w->fd < 0)
		return;

	drain(w);
	if (w->nr_bad)
		PRINT_FAIL("%u malformed packets of the kernel\n", w->nr_bad);
	if (test_errors() != w->start_errors)
		wire_log_dump(w, DUMP_LAST);

	close(w->fd);
	w->fd = -1;
	wire_log_clear(w);
	free(w->log);
	w->log = NULL;
	w->max_log = 0;
}

bool wire_opt_next(const struct wire_seg *seg, struct wire_opt *opt)
{
	const __u8 *p = seg->opt, *end = seg->opt + seg->opt_len;

	if (opt->raw) {
		if (opt->kind == WIRE_OPT_EOL)
			return false;
		p = opt->raw + opt->len;
	}
	if (p == end)
		return false;

	if (p[0] != WIRE_OPT_EOL && p[0] != WIRE_OPT_NOP &&
	    (end - p < 2 || p[1] < 2 || p[1] > end - p))
		return false;

	opt->kind = p[0];
	opt->len = p[0] == WIRE_OPT_EOL || p[0] == WIRE_OPT_NOP ? 1 : p[1];
	opt->raw = p;
	return true;
}

static bool opt_is(const struct wire_opt *opt, struct wire_optid id)
{
	if (opt->kind != id.kind)
		return false;
	if (!id.exid_len)
		return true;
	if (opt->len < 2 + id.exid_len)
		return false;
	return id.exid == (id.exid_len == 2 ? get16(opt->raw + 2) :
					      get32(opt->raw + 2));
}

const __u8 *wire_opt_find(const struct wire_seg *seg, struct wire_optid id,
			  int nth, int *len)
{
	struct wire_opt opt = {};

	while (wire_opt_next(seg, &opt)) {
		if (!opt_is(&opt, id) || nth-- || opt.len < 2)
			continue;
		if (len)
			*len = opt.len - 2 - id.exid_len;
		return opt.raw + 2 + id.exid_len;
	}
	return NULL;
}

int wire_opt_count(const struct wire_seg *seg, struct wire_optid id)
{
	struct wire_opt opt = {};
	int nr = 0;

	while (wire_opt_next(seg, &opt))
		nr += opt_is(&opt, id);
	return nr;
}

static bool opt_len_ok(const struct wire_opt *opt)
{
	switch (opt->kind) {
	case WIRE_OPT_MSS:
		return opt->len == 4;
	case WIRE_OPT_WSCALE:
		return opt->len == 3;
	case WIRE_OPT_SACK_OK:
		return opt->len == 2;
	case WIRE_OPT_SACK:
		return opt->len > 2 && opt->len % 8 == 2;
	case WIRE_OPT_TS:
		return opt->len == 10;
	case WIRE_OPT_MD5:
		return opt->len == 18;
	case WIRE_OPT_AO:
		return opt->len >= 4;
	case WIRE_OPT_MPTCP:
		return opt->len >= 3;
	case WIRE_OPT_FASTOPEN:
		return opt->len == 2 ||
		       (opt->len >= 6 && opt->len <= 18 && opt->len % 2 == 0);
	case WIRE_OPT_EXP1:
	case WIRE_OPT_EXP2:
		return opt->len >= 4;
	default:
		return true;
	}
}

static bool opt_place_ok(const struct wire_seg *seg, __u8 kind)
{
	switch (kind) {
	case WIRE_OPT_MSS:
	case WIRE_OPT_WSCALE:
	case WIRE_OPT_SACK_OK:
		return seg->flags & WIRE_SYN;
	case WIRE_OPT_SACK:
		return !(seg->flags & WIRE_SYN);
	default:
		return true;
	}
}

int wire_opt_check(const struct wire_seg *seg)
{
	const __u8 *p = seg->opt, *end = seg->opt + seg->opt_len;
	struct wire *w = seg->w;
	struct wire_opt opt = {};
	__u32 seen = 0;

	if (seg->opt_len % 4 || seg->opt_len > WIRE_OPT_MAX)
		return fail(w, -EBADMSG, "%u bytes of options", seg->opt_len);

	while (wire_opt_next(seg, &opt)) {
		p = opt.raw + opt.len;
		if (opt.kind == WIRE_OPT_EOL)
			break;
		if (opt.kind == WIRE_OPT_NOP)
			continue;
		if (!opt_len_ok(&opt))
			return fail(w, -EBADMSG, "option %u of %u bytes",
				    opt.kind, opt.len);
		if (!opt_place_ok(seg, opt.kind))
			return fail(w, -EBADMSG, "option %u with flags %#x",
				    opt.kind, seg->flags);
		/* Those that may come twice have higher numbers */
		if (opt.kind < WIRE_OPT_MPTCP) {
			if (seen & 1U << opt.kind)
				return fail(w, -EBADMSG, "option %u twice",
					    opt.kind);
			seen |= 1U << opt.kind;
		}
	}

	if (!opt.raw || opt.kind != WIRE_OPT_EOL)
		return p == end ? 0 :
		       fail(w, -EBADMSG, "option %u at offset %td", p[0],
			    p - seg->opt);
	for (; p < end; p++)
		if (*p != WIRE_OPT_EOL)
			return fail(w, -EBADMSG, "%#x after the end", *p);
	return 0;
}

static void dump_hex(const __u8 *p, __u32 len, __u32 max)
{
	__u32 i;

	for (i = 0; i < len && i < max; i++)
		printf("%02x", p[i]);
	if (len > max)
		printf("...");
}

static void dump_opts(const struct wire_seg *seg)
{
	const __u8 *p = seg->opt, *end = seg->opt + seg->opt_len;
	struct wire_opt opt = {};

	while (wire_opt_next(seg, &opt)) {
		p = opt.raw + opt.len;
		if (opt.kind == WIRE_OPT_NOP) {
			printf(" nop");
		} else if (opt.kind == WIRE_OPT_EOL) {
			printf(" eol");
		} else if (opt.kind == WIRE_OPT_MSS && opt.len == 4) {
			printf(" mss=%u", get16(opt.raw + 2));
		} else if (opt.kind == WIRE_OPT_WSCALE && opt.len == 3) {
			printf(" wscale=%u", opt.raw[2]);
		} else if (opt.kind == WIRE_OPT_SACK_OK && opt.len == 2) {
			printf(" sack-ok");
		} else if (opt.kind == WIRE_OPT_TS && opt.len == 10) {
			printf(" ts=%u/%u", get32(opt.raw + 2),
			       get32(opt.raw + 6));
		} else {
			printf(" %u:", opt.kind);
			dump_hex(opt.raw + 2, opt.len - 2, WIRE_OPT_MAX);
		}
	}
	if (p < end) {
		printf(" rest:");
		dump_hex(p, end - p, WIRE_OPT_MAX);
	}
}

void wire_dump(const struct wire_seg *seg)
{
	static const char letters[] = "FSRP.UEWA";
	char flags[sizeof(letters)];
	int i, nr = 0;

	for (i = 0; letters[i]; i++)
		if (seg->flags & 1 << i)
			flags[nr++] = letters[i];
	flags[nr] = '\0';

	printf("%u > %u [%s] seq %u ack %u win %u, %u bytes, packet of %u",
	       seg->sport, seg->dport, flags, seg->seq, seg->ack, seg->wnd,
	       seg->len, seg->pkt_len);
	if (seg->opt_len) {
		printf(", <");
		dump_opts(seg);
		printf(" >");
	}
	if (seg->len) {
		printf(" ");
		dump_hex(seg->data, seg->len, DUMP_BYTES);
	}
	printf("\n");
}

void wire_log_dump(struct wire *w, unsigned int last)
{
	unsigned int i = 0;

	if (last && last < w->nr_log)
		i = w->nr_log - last;
	printf("%s: %u packets, %u of them noise, the last %u:\n", w->ifname,
	       w->nr_log, w->nr_noise, w->nr_log - i);
	for (; i < w->nr_log; i++) {
		struct wire_pkt *pkt = w->log[i];

		printf("%5u.%06u %s ", (unsigned int)(pkt->seg.ns / 1000000000),
		       (unsigned int)(pkt->seg.ns % 1000000000 / 1000),
		       pkt_states[pkt->state]);
		if (pkt->split) {
			wire_dump(&pkt->seg);
		} else {
			dump_hex(pkt->bytes, pkt->seg.pkt_len, 60);
			printf("\n");
		}
	}
	if (w->err[0])
		printf("the last error: %s\n", w->err);
}
