// SPDX-License-Identifier: GPL-2.0
/* A negotiated option and one that is not, and a path between the two ends that
 * does things to the negotiated one and keeps what it sees.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"
#include "tcp_extopt_path.h"

#define TC_ACT_OK	0
#define TC_ACT_SHOT	2
#define ETH_HLEN	14
#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define OPTS_MAX	40
#define TCP_SYN		0x02
#define TCP_ACK		0x10

char _license[] SEC("license") = "GPL";

extern unsigned int CONFIG_HZ __kconfig;

__u16 watched;			/* client port */
__u16 declining;		/* server port whose listener does not answer */
struct capture caps[NR_CAPS];
__u32 rto_ms;			/* of SYN and SYN-ACK; 0: as it is */
__u32 dropped;
__u64 negotiated[16];		/* by state */

static int put_value(struct tcp_extopt_out *opt, __u8 value)
{
	opt->data[0] = value;
	opt->data[1] = 1;
	opt->data[2] = 2;
	opt->data[3] = 3;
	return 4;
}

/* The client's port is odd and below the server's, see the test. */
static bool is_client(const struct sock *sk)
{
	return sk->__sk_common.skc_num < bpf_ntohs(sk->__sk_common.skc_dport);
}

SEC("struct_ops")
int BPF_PROG(conn_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	if (opt->segment & TCP_EXTOPT_SYN)
		return put_value(opt, VALUE(CAP_SYN));
	if (opt->segment & TCP_EXTOPT_DATA)
		return put_value(opt, VALUE(is_client(sk) ? CAP_CLIENT :
					    CAP_SERVER));
	return put_value(opt, VALUE(CAP_ACK));
}

SEC("struct_ops")
int BPF_PROG(conn_write_synack, const struct sock *sk,
	     const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	if (sk->__sk_common.skc_num == declining)
		return 0;
	return put_value(opt, VALUE(CAP_SYNACK));
}

SEC("struct_ops")
void BPF_PROG(conn_negotiated, struct sock *sk,
	      const struct tcp_extopt_in *opt)
{
	__sync_fetch_and_add(&negotiated[opt->state & 15], 1);
}

SEC("struct_ops")
int BPF_PROG(plain_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	opt->data[0] = opt->segment;
	return 1;
}

SEC(".struct_ops.link")
struct tcp_extopt_ops conn = {
	.write = (void *)conn_write,
	.write_synack = (void *)conn_write_synack,
	.negotiated = (void *)conn_negotiated,
	.name = "conn",
	.kind = 254, .exid = EXID, .exid_len = 2, .max_len = 4,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK | TCP_EXTOPT_ACK |
		    TCP_EXTOPT_DATA,
	.flags = TCP_EXTOPT_F_NEGOTIATE | TCP_EXTOPT_F_NO_ECHO,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops plain = {
	.write = (void *)plain_write,
	.name = "plain",
	.kind = 80, .max_len = 1,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_ACK | TCP_EXTOPT_DATA,
};

struct walk {
	struct __sk_buff *skb;
	__u32 off, len, at, found;
};

static long walk_one(__u32 i, struct walk *w)
{
	__u8 opt[4] = {};

	if (w->at >= w->len ||
	    bpf_skb_load_bytes(w->skb, w->off + w->at, opt, 1) || !opt[0])
		return 1;
	if (opt[0] == 1) {
		w->at++;
		return 0;
	}
	if (bpf_skb_load_bytes(w->skb, w->off + w->at, opt, 4) || opt[1] < 2)
		return 1;
	if (opt[0] == 254 && opt[2] == EXID >> 8 && opt[3] == (EXID & 0xff)) {
		w->found = w->off + w->at;
		return 1;
	}
	w->at += opt[1];
	return 0;
}

/* Where the option is, 0 if it is not there. A callback, for the verifier takes
 * its time over a loop, and under KASAN a quarter of an hour.
 */
static __u32 find_opt(struct __sk_buff *skb, __u32 off, __u32 len)
{
	struct walk w = { .skb = skb, .off = off, .len = len };

	bpf_loop(OPTS_MAX, walk_one, &w, 0);
	return w.found;
}

static void see(struct __sk_buff *skb, __u32 cap, __u32 at)
{
	struct capture *c;

	if (cap >= NR_CAPS)
		return;
	c = &caps[cap];
	c->segs++;
	if (at) {
		c->with++;
		bpf_skb_load_bytes(skb, at, c->opt, OPT_LEN);
	}
}

/* The checksum is not made yet, there is a device to do that. */
static void overwrite(struct __sk_buff *skb, __u32 at, const void *what,
		      __u32 len)
{
	bpf_skb_store_bytes(skb, at, what, len, 0);
}

static int path(struct __sk_buff *skb, bool from_client)
{
	__u8 nops[OPT_LEN] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	__u8 echo[OPT_LEN] = { 254, OPT_LEN, EXID >> 8, EXID & 0xff,
			       VALUE(CAP_SYN), 1, 2, 3 };
	__u32 off = ETH_HLEN, thlen, len, at;
	__u8 garbage = 33, flags;
	struct tcphdr th;
	__u16 port;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) ||
		    ip.protocol != IPPROTO_TCP)
			return TC_ACT_OK;
		off += ip.ihl * 4;
		len = bpf_ntohs(ip.tot_len) - ip.ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip6;

		if (bpf_skb_load_bytes(skb, off, &ip6, sizeof(ip6)) ||
		    ip6.nexthdr != IPPROTO_TCP)
			return TC_ACT_OK;
		off += sizeof(ip6);
		len = bpf_ntohs(ip6.payload_len);
	} else {
		return TC_ACT_OK;
	}
	if (bpf_skb_load_bytes(skb, off, &th, sizeof(th)))
		return TC_ACT_OK;

	thlen = th.doff * 4;
	if (thlen < sizeof(th))
		return TC_ACT_OK;
	port = bpf_ntohs(from_client ? th.source : th.dest);
	flags = ((__u8 *)&th)[13];
	at = find_opt(skb, off + sizeof(th), thlen - sizeof(th));

	if (flags & TCP_SYN) {
		bool synack = flags & TCP_ACK;

		if (port == watched)
			see(skb, synack ? CAP_SYNACK : CAP_SYN, at);
		if (!at)
			return TC_ACT_OK;
		switch (port % NR_MODES) {
		case MODE_DROP_SYN:
		case MODE_DROP_SYNACK:
			if (synack == (port % NR_MODES == MODE_DROP_SYNACK)) {
				__sync_fetch_and_add(&dropped, 1);
				return TC_ACT_SHOT;
			}
			break;
		case MODE_STRIP_SYN:
		case MODE_STRIP_SYNACK:
			if (synack == (port % NR_MODES == MODE_STRIP_SYNACK))
				overwrite(skb, at, nops, sizeof(nops));
			break;
		case MODE_GARBAGE:
			if (synack)
				overwrite(skb, at + 1, &garbage, 1);
			break;
		case MODE_ECHO:
			if (synack)
				overwrite(skb, at, echo, sizeof(echo));
			break;
		}
		return TC_ACT_OK;
	}

	if (port != watched || flags & 0x5)	/* RST, FIN */
		return TC_ACT_OK;
	if (len > thlen)
		see(skb, from_client ? CAP_CLIENT : CAP_SERVER, at);
	else if (from_client)
		see(skb, CAP_ACK, at);
	return TC_ACT_OK;
}

SEC("tc")
int to_server(struct __sk_buff *skb)
{
	return path(skb, true);
}

SEC("tc")
int to_client(struct __sk_buff *skb)
{
	return path(skb, false);
}

SEC("sockops")
int timeout(struct bpf_sock_ops *ctx)
{
	ctx->reply = ctx->op == BPF_SOCK_OPS_TIMEOUT_INIT && rto_ms ?
		     rto_ms * CONFIG_HZ / 1000 : -1;
	return 1;
}
