// SPDX-License-Identifier: GPL-2.0
/* What the ten options of tcp_extopt.c are not: one without ExID on a kind that
 * is shared by ExIDs, and one that holds on to the socket's lock.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"

#define HOLD_NS		10000000000ULL

char _license[] SEC("license") = "GPL";

__u64 raw_calls;
__u32 raw_len;
__u8 raw_in[38];

volatile bool held, release;

__u64 unknown_calls;
__s64 select_err;
bool skops_writes;

SEC("struct_ops")
void BPF_PROG(raw_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	const __u8 *data;
	int i;

	raw_calls++;
	raw_len = opt->len;
	for (i = 0; i < sizeof(raw_in); i++) {
		data = bpf_tcp_extopt_in_data(opt, i, 1);
		raw_in[i] = data ? *data : 0;
	}
}

SEC(".struct_ops.link")
struct tcp_extopt_ops opt_raw = {
	.parse = (void *)raw_parse,
	.name = "opt_raw",
	.kind = 254, .max_len = 38,
};

static long hold_step(__u32 i, __u64 *end)
{
	return release || bpf_ktime_get_ns() > *end;
}

/* In send(), that is with the socket owned by the user. */
SEC("struct_ops")
int BPF_PROG(hold_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	__u64 end = bpf_ktime_get_ns() + HOLD_NS;
	int i;

	held = true;
	for (i = 0; i < 64 && !release; i++)
		bpf_loop(1 << 23, hold_step, &end, 0);
	return TCP_EXTOPT_SKIP;
}

SEC(".struct_ops.link")
struct tcp_extopt_ops opt_hold = {
	.write = (void *)hold_write,
	.name = "opt_hold",
	.kind = 253, .exid = 0xb01d, .exid_len = 2, .max_len = 1,
	.segments = TCP_EXTOPT_DATA,
};

/* Wants what the kernel does not know, and selects where it may not. */
SEC("sockops")
int sock_ops(struct bpf_sock_ops *ctx)
{
	__u8 opt[8] = { 90, 8, 1, 2, 3, 4, 5, 6 };
	char name[] = "opt_1";

	switch (ctx->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx,
				BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG |
				BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		select_err = bpf_setsockopt(ctx, SOL_TCP, TCP_EXTOPT, name,
					    sizeof(name));
		if (skops_writes)
			bpf_reserve_hdr_opt(ctx, sizeof(opt), 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (skops_writes)
			bpf_store_hdr_opt(ctx, opt, sizeof(opt), 0);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		unknown_calls++;
		break;
	}
	return 1;
}
