// SPDX-License-Identifier: GPL-2.0
/* An option whose declaration the test changes before it loads it, and what
 * parse() must not do.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"

char _license[] SEC("license") = "GPL";

int nodelay_err, extopt_err, timeout_err;
__u32 offset;
bool got_in, got_out, set_cc;
__u64 written, parsed;
int cc_err, busy_err, list_err;
__u64 list[49];		/* a struct tcp_extopt_list with eight entries */
__u32 cc_inits;

char cc_name[] = "misuse_cc";

SEC("struct_ops")
int BPF_PROG(misuse_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	written++;
	got_out = bpf_tcp_extopt_out_data(opt, offset, 2);
	return 4;
}

SEC("struct_ops")
void BPF_PROG(misuse_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	char none[] = "";
	int val = 12345;

	parsed++;
	got_in = bpf_tcp_extopt_in_data(opt, offset, 2);
	timeout_err = bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &val,
				     sizeof(val));
	nodelay_err = bpf_setsockopt(sk, SOL_TCP, TCP_NODELAY, &val,
				     sizeof(val));
	extopt_err = bpf_setsockopt(sk, SOL_TCP, TCP_EXTOPT, none,
				    sizeof(none));
	list_err = bpf_getsockopt(sk, SOL_TCP, TCP_EXTOPT, list, sizeof(list));
	if (set_cc)
		cc_err = bpf_setsockopt(sk, SOL_TCP, TCP_CONGESTION, cc_name,
					sizeof(cc_name));
}

SEC("struct_ops")
int BPF_PROG(misuse_write_synack, const struct sock *sk,
	     const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return 0;
}

SEC("struct_ops")
void BPF_PROG(misuse_negotiated, struct sock *sk,
	      const struct tcp_extopt_in *opt)
{
}

/* The test takes away what it does not want. */
SEC(".struct_ops.link")
struct tcp_extopt_ops opt = {
	.write = (void *)misuse_write,
	.parse = (void *)misuse_parse,
	.write_synack = (void *)misuse_write_synack,
	.negotiated = (void *)misuse_negotiated,
	.name = "misuse", .kind = 66, .max_len = 4,
	.segments = TCP_EXTOPT_DATA,
};

/* A congestion control that selects options, and parse() sets. */
SEC("struct_ops")
void BPF_PROG(cc_init, struct sock *sk)
{
	char none[] = "";

	cc_inits++;
	busy_err = bpf_setsockopt(sk, SOL_TCP, TCP_EXTOPT, none, sizeof(none));
}

SEC("struct_ops")
void BPF_PROG(cc_cong_control, struct sock *sk, const struct rate_sample *rs)
{
}

SEC("struct_ops")
__u32 BPF_PROG(cc_ssthresh, struct sock *sk)
{
	return 10;
}

SEC("struct_ops")
__u32 BPF_PROG(cc_undo_cwnd, struct sock *sk)
{
	return 10;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops cc = {
	.init = (void *)cc_init,
	.cong_control = (void *)cc_cong_control,
	.ssthresh = (void *)cc_ssthresh,
	.undo_cwnd = (void *)cc_undo_cwnd,
	.name = "misuse_cc",
};

SEC(".struct_ops")
struct tcp_extopt_ops without_link = {
	.parse = (void *)misuse_parse,
	.name = "without_link", .kind = 66, .max_len = 4,
};
