// SPDX-License-Identifier: GPL-2.0

#include "bpf_tracing_net.h"
#include <errno.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "tcp_hdr_opt_gate.h"

char _license[] SEC("license") = "GPL";

#define OPT_EOL		0
#define OPT_NOP		1
#define OPT_EXP		254
#define OPT_MAGIC	0xeb9f
#define OPT_SPACE	40

struct exp_opt {
	__u8 kind;
	__u8 len;
	__be16 magic;
	__u32 val;
};

struct gate_stat gate[NR_GATE_SIDES];
struct gate_stat other[NR_GATE_SIDES];
struct gate_wire wire[NR_GATE_SIDES];

__u16 server_port;
/* Set on listeners and on sockets that are about to connect */
int init_flags;

static int load_opt(struct bpf_sock_ops *skops, __u32 *val, int flags)
{
	struct exp_opt opt = {
		.kind = OPT_EXP,
		.len = 4,		/* of what to look for */
		.magic = bpf_htons(OPT_MAGIC),
	};
	int ret;

	ret = bpf_load_hdr_opt(skops, &opt, sizeof(opt), flags);
	if (ret < 0)
		return ret;

	*val = opt.val;
	return 0;
}

static void store_opt(struct bpf_sock_ops *skops, struct gate_stat *stat)
{
	struct exp_opt opt = {
		.kind = OPT_EXP,
		.len = sizeof(opt),
		.magic = bpf_htons(OPT_MAGIC),
		.val = stat->out,
	};

	if (bpf_store_hdr_opt(skops, &opt, sizeof(opt), 0))
		__sync_fetch_and_add(&stat->nr_err, 1);
}

static void established(struct bpf_sock_ops *skops, struct gate_stat *stat,
			int flags)
{
	stat->estab_err = load_opt(skops, &stat->estab_in, flags);
	__sync_fetch_and_add(&stat->nr_estab, 1);
}

static int handle(struct bpf_sock_ops *skops, struct gate_stat *stats)
{
	struct gate_stat *stat = &stats[GATE_ACTIVE];
	int err, on = 1;

	if (skops->local_port == server_port)
		stat = &stats[GATE_PASSIVE];

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		bpf_setsockopt(skops, SOL_TCP, TCP_SAVE_SYN, &on, sizeof(on));
		bpf_sock_ops_cb_flags_set(skops, init_flags);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(skops, init_flags);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		established(skops, stat, 0);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		established(skops, stat, BPF_LOAD_HDR_OPT_TCP_SYN);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		__sync_fetch_and_add(&stat->nr_len, 1);
		if (bpf_reserve_hdr_opt(skops, sizeof(struct exp_opt), 0))
			__sync_fetch_and_add(&stat->nr_err, 1);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		__sync_fetch_and_add(&stat->nr_write, 1);
		store_opt(skops, stat);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		__sync_fetch_and_add(&stat->nr_parse, 1);
		err = load_opt(skops, &stat->in, 0);
		if (!err)
			__sync_fetch_and_add(&stat->nr_parse_opt, 1);
		else if (err != -ENOMSG)
			__sync_fetch_and_add(&stat->nr_err, 1);
		break;
	}

	return 1;
}

SEC("sockops")
int gate_prog(struct bpf_sock_ops *skops)
{
	return handle(skops, gate);
}

SEC("sockops")
int other_prog(struct bpf_sock_ops *skops)
{
	return handle(skops, other);
}

/* setsockopt(SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS): no sock_ops program needed */
SEC("cgroup/setsockopt")
int set_cb_flags(struct bpf_sockopt *ctx)
{
	int flags, *optval = ctx->optval;

	if (ctx->level != SOL_TCP || ctx->optname != TCP_BPF_SOCK_OPS_CB_FLAGS)
		return 1;
	if ((void *)(optval + 1) > ctx->optval_end || !ctx->sk)
		return 0;

	flags = *optval;
	if (bpf_setsockopt(ctx->sk, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS,
			   &flags, sizeof(flags)))
		return 0;

	ctx->optlen = -1;
	return 1;
}

SEC("cgroup/getsockopt")
int get_cb_flags(struct bpf_sockopt *ctx)
{
	int *optval = ctx->optval;
	struct tcp_sock *tp;

	if (ctx->level != SOL_TCP || ctx->optname != TCP_BPF_SOCK_OPS_CB_FLAGS)
		return 1;
	if ((void *)(optval + 1) > ctx->optval_end || !ctx->sk)
		return 0;

	tp = bpf_core_cast(ctx->sk, struct tcp_sock);
	*optval = tp->bpf_sock_ops_cb_flags;
	ctx->optlen = sizeof(*optval);
	ctx->retval = 0;
	return 1;
}

static int tcp_header(struct __sk_buff *skb, struct tcphdr *th)
{
	struct ipv6hdr ip6h;
	struct iphdr iph;
	int off;

	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &iph, sizeof(iph)) ||
		    iph.protocol != IPPROTO_TCP)
			return -1;
		off = ETH_HLEN + iph.ihl * 4;
		break;
	case bpf_htons(ETH_P_IPV6):
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6h, sizeof(ip6h)) ||
		    ip6h.nexthdr != IPPROTO_TCP)
			return -1;
		off = ETH_HLEN + sizeof(ip6h);
		break;
	default:
		return -1;
	}

	return bpf_skb_load_bytes(skb, off, th, sizeof(*th)) ? -1 : off;
}

SEC("tcx/egress")
int watch_wire(struct __sk_buff *skb)
{
	struct gate_wire *w;
	struct tcphdr th;
	int i, off, end;

	off = tcp_header(skb, &th);
	if (off < 0)
		return TCX_PASS;

	if (th.source == bpf_htons(server_port))
		w = &wire[GATE_PASSIVE];
	else if (th.dest == bpf_htons(server_port))
		w = &wire[GATE_ACTIVE];
	else
		return TCX_PASS;

	end = off + th.doff * 4;
	if (skb->len > end)
		__sync_fetch_and_add(&w->nr_data, 1);

	off += sizeof(th);
	for (i = 0; i < OPT_SPACE && off < end; i++) {
		struct exp_opt opt = {};

		if (bpf_skb_load_bytes(skb, off, &opt.kind, 1) ||
		    opt.kind == OPT_EOL)
			break;
		if (opt.kind == OPT_NOP) {
			off++;
			continue;
		}
		if (bpf_skb_load_bytes(skb, off, &opt, 2) || opt.len < 2)
			break;
		if (opt.kind == OPT_EXP && opt.len == sizeof(opt) &&
		    !bpf_skb_load_bytes(skb, off, &opt, sizeof(opt)) &&
		    opt.magic == bpf_htons(OPT_MAGIC)) {
			w->val = opt.val;
			__sync_fetch_and_add(&w->nr_opt, 1);
			break;
		}
		off += opt.len;
	}

	return TCX_PASS;
}
