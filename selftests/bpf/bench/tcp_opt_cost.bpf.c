// SPDX-License-Identifier: GPL-2.0
/* Mainline's sock_ops header options: eight bytes on every segment, or on SYN
 * and SYN-ACK.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "tcp_opt_cost.h"

#define SOL_TCP			6
#define TCP_USER_TIMEOUT	18
#define TCP_SAVE_SYN		27
#define TCPHDR_SYNACK		0x12

struct cost_opt {
	__u8 kind;
	__u8 len;
	__be16 exid;
	__be32 value;
};

char _license[] SEC("license") = "GPL";

const volatile bool do_parse;
const volatile bool do_setsockopt;

struct cost_counts counts;

static __always_inline bool has_option(struct bpf_sock_ops *skops, __u64 flags)
{
	struct cost_opt opt = {
		.kind = COST_KIND,
		.len = 4,
		.exid = bpf_htons(COST_EXID),
	};

	return bpf_load_hdr_opt(skops, &opt, sizeof(opt), flags) == COST_LEN &&
	       opt.value == bpf_htonl(COST_VALUE);
}

static __always_inline void parse(struct bpf_sock_ops *skops, __u64 flags)
{
	int ms = 30000;

	if (!has_option(skops, flags))
		return;
	counts.parsed++;
	if (do_setsockopt &&
	    !bpf_setsockopt(skops, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)))
		counts.set++;
}

static __always_inline bool write(struct bpf_sock_ops *skops)
{
	struct cost_opt opt = {
		.kind = COST_KIND,
		.len = COST_LEN,
		.exid = bpf_htons(COST_EXID),
		.value = bpf_htonl(COST_VALUE),
	};

	return !bpf_store_hdr_opt(skops, &opt, sizeof(opt), 0);
}

SEC("sockops")
int cost(struct bpf_sock_ops *skops)
{
	switch (skops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(skops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG |
			(do_parse ? BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG : 0));
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		bpf_reserve_hdr_opt(skops, COST_LEN, 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (write(skops))
			counts.written++;
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		parse(skops, 0);
		break;
	}
	return 1;
}

/* The same on SYN and SYN-ACK only, and that only if the SYN had it. */
SEC("sockops")
int cost_syn(struct bpf_sock_ops *skops)
{
	int save = 1;

	switch (skops->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		bpf_setsockopt(skops, SOL_TCP, TCP_SAVE_SYN, &save, sizeof(save));
		bpf_sock_ops_cb_flags_set(skops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(skops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (skops->skb_tcp_flags != TCPHDR_SYNACK ||
		    has_option(skops, BPF_LOAD_HDR_OPT_TCP_SYN))
			bpf_reserve_hdr_opt(skops, COST_LEN, 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (!write(skops))
			break;
		if (skops->skb_tcp_flags == TCPHDR_SYNACK)
			counts.synacks++;
		else
			counts.written++;
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		parse(skops, 0);
		bpf_sock_ops_cb_flags_set(skops, 0);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		parse(skops, BPF_LOAD_HDR_OPT_TCP_SYN);
		bpf_sock_ops_cb_flags_set(skops, 0);
		break;
	}
	return 1;
}
