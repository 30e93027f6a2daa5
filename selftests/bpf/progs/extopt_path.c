// SPDX-License-Identifier: GPL-2.0
/* A path between a client and a server that does things to one option, and keeps
 * what it sees of the connections of one server port. It runs where segments arrive:
 * what is dropped when it is sent, the sender knows of.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "extopt_path.h"

#define TC_ACT_OK	0
#define TC_ACT_SHOT	2
#define ETH_HLEN	14
#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define OPT_TS		8
#define OPT_TS_LEN	10
#define TCP_FIN		0x01
#define TCP_SYN		0x02
#define TCP_RST		0x04
#define TCP_ACK		0x10

char _license[] SEC("license") = "GPL";
extern unsigned long CONFIG_HZ __kconfig;

__u16 port;			/* the server's */
__u8 kind;			/* of the option */
__u16 exid;			/* 0: none */
int mode;
struct path_way ways[NR_WAYS];
__u8 syn_opt[PATH_OPT_MAX];	/* for PATH_ECHO */

struct seg {
	struct __sk_buff *skb;
	__u32 tcp;		/* offset of the header */
	__u32 hlen;
	__u32 payload;
	__u32 nr;		/* segments, for TSO and GRO */
	__u32 server;		/* comes from the server */
	__u32 seq, ack;
	__u32 flags;
	__u32 at;		/* offset of the option, 0: none */
	__u32 len;		/* its length */
	__u32 ts;		/* offset of the timestamp option */
	__u32 pos;
};

static long walk_one(__u32 i, struct seg *s)
{
	__u8 opt[4] = {};

	if (s->pos >= s->hlen ||
	    bpf_skb_load_bytes(s->skb, s->tcp + s->pos, opt, 1) || !opt[0])
		return 1;
	if (opt[0] == 1) {
		s->pos++;
		return 0;
	}
	if (bpf_skb_load_bytes(s->skb, s->tcp + s->pos, opt, 2) || opt[1] < 2)
		return 1;
	if (opt[1] >= 4)
		bpf_skb_load_bytes(s->skb, s->tcp + s->pos, opt, 4);
	if (opt[0] == OPT_TS)
		s->ts = s->tcp + s->pos;
	if (opt[0] == kind && (!exid || (opt[2] << 8 | opt[3]) == exid)) {
		s->at = s->tcp + s->pos;
		s->len = opt[1];
		return 1;
	}
	s->pos += opt[1];
	return 0;
}

static bool parse(struct __sk_buff *skb, struct seg *s)
{
	__u32 off = ETH_HLEN, len;
	struct tcphdr th;

	__builtin_memset(s, 0, sizeof(*s));
	s->skb = skb;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) ||
		    ip.protocol != IPPROTO_TCP)
			return false;
		off += ip.ihl * 4;
		len = bpf_ntohs(ip.tot_len) - ip.ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip6;

		if (bpf_skb_load_bytes(skb, off, &ip6, sizeof(ip6)) ||
		    ip6.nexthdr != IPPROTO_TCP)
			return false;
		off += sizeof(ip6);
		len = bpf_ntohs(ip6.payload_len);
	} else {
		return false;
	}
	if (bpf_skb_load_bytes(skb, off, &th, sizeof(th)))
		return false;
	s->server = th.source == bpf_htons(port);
	if (!s->server && th.dest != bpf_htons(port))
		return false;
	s->tcp = off;
	s->hlen = th.doff * 4;
	s->flags = ((__u8 *)&th)[13];
	s->seq = bpf_ntohl(th.seq);
	s->ack = bpf_ntohl(th.ack_seq);
	/* Larger than its length can say (BIG TCP) it is not on these devices. */
	s->payload = len > s->hlen ? len - s->hlen : 0;
	s->nr = skb->gso_segs ?: 1;
	s->pos = sizeof(th);
	/* A callback, for the verifier takes its time over a loop. */
	bpf_loop(PATH_OPT_MAX, walk_one, s, 0);
	return true;
}

static void load_opt(const struct seg *s, __u8 *opt)
{
	__u32 len = s->len;

	if (!len)
		return;
	barrier_var(len);	/* two comparisons, which the verifier of 6.12 follows */
	if (len > PATH_OPT_MAX)
		return;
	__builtin_memset(opt, 0, PATH_OPT_MAX);
	bpf_skb_load_bytes(s->skb, s->at, opt, len);
}

/* The checksum is not made yet, there is a device to do that. */
static void store_opt(const struct seg *s, const __u8 *opt)
{
	__u32 len = s->len;

	if (!len)
		return;
	barrier_var(len);
	if (len <= PATH_OPT_MAX)
		bpf_skb_store_bytes(s->skb, s->at, opt, len, 0);
}

/* The answer has what was offered, and nothing of the server's own. */
static void echo(struct seg *s)
{
	__u8 nops[PATH_OPT_MAX], opt[OPT_TS_LEN];
	int i;

	if (!syn_opt[1] || syn_opt[1] > OPT_TS_LEN)
		return;
	for (i = 0; i < OPT_TS_LEN; i++)
		opt[i] = i < syn_opt[1] ? syn_opt[i] : 1;
	if (s->at) {
		__builtin_memset(nops, 1, sizeof(nops));
		store_opt(s, nops);
	}
	if (!bpf_skb_store_bytes(s->skb, s->ts, opt, sizeof(opt), 0))
		ways[TO_CLIENT].echoed++;
}

/* By what the kernel's timers go by: in a guest that has to wait it is behind the clock,
 * and timers would be early.
 */
static __u64 timer_ns(void)
{
	return bpf_jiffies64() * (1000000000 / CONFIG_HZ);
}

static void note(const struct seg *s)
{
	struct path_way *way = &ways[s->server ? TO_CLIENT : TO_SERVER];
	struct path_way *back = &ways[s->server ? TO_SERVER : TO_CLIENT];

	way->segs += s->nr;
	way->last_ns = bpf_ktime_get_ns();
	if (back->flight && (__s32)(s->ack - back->flight_seq) > 0)
		back->flight_over = 1;
	if (s->at) {
		way->opt_len = s->len;
		load_opt(s, way->opt);
	}
	if (s->flags & TCP_RST) {
		way->rsts++;
	} else if (s->flags & TCP_SYN) {
		way->with_syn += !!s->at;
	} else if (s->payload) {
		way->data += s->nr;
		way->with_data += s->at ? s->nr : 0;
		way->unacked += s->nr;
		if (!way->data_ns)
			way->data_ns = timer_ns();
	} else if (!(s->flags & TCP_FIN)) {
		way->acks++;
		way->with_ack += !!s->at;
	}
}

static void spoil(const struct seg *s)
{
	__u32 at = s->at + s->len - 1;
	__u8 last;

	if (bpf_skb_load_bytes(s->skb, at, &last, 1))
		return;
	last ^= 0xff;
	bpf_skb_store_bytes(s->skb, at, &last, 1, 0);
}

static int path(struct __sk_buff *skb, bool from_server)
{
	__u8 nops[PATH_OPT_MAX];
	struct seg s;

	if (!parse(skb, &s) || s.server != from_server)
		return TC_ACT_OK;
	if (mode == PATH_CUT)
		return TC_ACT_SHOT;
	if (mode == PATH_LOSE_ACKS && !from_server && !s.payload &&
	    !(s.flags & (TCP_SYN | TCP_FIN | TCP_RST)))
		return TC_ACT_SHOT;
	note(&s);
	if (mode == PATH_ECHO && from_server && (s.flags & TCP_SYN) && s.ts)
		echo(&s);
	if (!s.at)
		return TC_ACT_OK;
	switch (mode) {
	case PATH_DROP:
		if (s.flags & TCP_SYN)
			return TC_ACT_SHOT;
		break;
	case PATH_STRIP:
		__builtin_memset(nops, 1, sizeof(nops));
		store_opt(&s, nops);
		break;
	case PATH_SPOIL:
		if (s.payload && s.len)
			spoil(&s);
		break;
	case PATH_ECHO:
		if (!from_server && (s.flags & TCP_SYN))
			load_opt(&s, syn_opt);
		break;
	}
	return TC_ACT_OK;
}

SEC("tcx/ingress")
int to_server(struct __sk_buff *skb)
{
	return path(skb, false);
}

SEC("tcx/ingress")
int to_client(struct __sk_buff *skb)
{
	return path(skb, true);
}

/* What an end sends, and when, before the path has delayed it: the first flight,
 * and how long an ACK was delayed.
 */
static int sent(struct __sk_buff *skb, bool from_server)
{
	struct path_way *way, *back;
	struct seg s;
	__u64 delay;

	if (!parse(skb, &s) || s.server != from_server || s.flags & TCP_SYN)
		return TC_ACT_OK;
	way = &ways[from_server ? TO_CLIENT : TO_SERVER];
	back = &ways[from_server ? TO_SERVER : TO_CLIENT];
	if (s.payload && !way->flight)
		way->flight_seq = s.seq;
	if (s.payload && !way->flight_over)
		way->flight += s.nr;
	if (back->data_ns) {
		delay = timer_ns() - back->data_ns + 1;
		back->data_ns = 0;
		if (delay > back->ack_delay)
			back->ack_delay = delay;
		if (delay < PATH_PROMPT_NS && back->unacked < PATH_ACKS_FOR)
			back->acks_for[back->unacked & (PATH_ACKS_FOR - 1)]++;
		back->unacked = 0;
	}
	return TC_ACT_OK;
}

SEC("tcx/egress")
int from_server(struct __sk_buff *skb)
{
	return sent(skb, true);
}

SEC("tcx/egress")
int from_client(struct __sk_buff *skb)
{
	return sent(skb, false);
}
