// SPDX-License-Identifier: GPL-2.0
/* Mainline's sock_ops header options: eight bytes on every segment. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "tcp_opt_cost.h"

#define SOL_TCP			6
#define TCP_USER_TIMEOUT	18

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

static void parse(struct bpf_sock_ops *skops)
{
	struct cost_opt opt = {
		.kind = COST_KIND,
		.len = 4,
		.exid = bpf_htons(COST_EXID),
	};
	int ms = 30000;

	if (bpf_load_hdr_opt(skops, &opt, sizeof(opt), 0) != COST_LEN ||
	    opt.value != bpf_htonl(COST_VALUE))
		return;
	counts.parsed++;
	if (do_setsockopt &&
	    !bpf_setsockopt(skops, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)))
		counts.set++;
}

SEC("sockops")
int cost(struct bpf_sock_ops *skops)
{
	struct cost_opt opt = {
		.kind = COST_KIND,
		.len = COST_LEN,
		.exid = bpf_htons(COST_EXID),
		.value = bpf_htonl(COST_VALUE),
	};

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
		if (!bpf_store_hdr_opt(skops, &opt, sizeof(opt), 0))
			counts.written++;
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		parse(skops);
		break;
	}
	return 1;
}
