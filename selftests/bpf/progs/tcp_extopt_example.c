// SPDX-License-Identifier: GPL-2.0
/* The example of Documentation/networking/tcp-extopt.rst. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

__u64 last_seen;

SEC("struct_ops")
int BPF_PROG(hop_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	opt->data[0] = 64;
	return 1;		/* bytes of value; 0: not on this segment */
}

SEC("struct_ops")
void BPF_PROG(hop_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	if (opt->len == 1)
		last_seen = opt->data[0];
}

SEC(".struct_ops.link")
struct tcp_extopt_ops hop = {
	.write		= (void *)hop_write,
	.parse		= (void *)hop_parse,
	.name		= "hop",
	.kind		= 254,		/* experimental, RFC 4727 ... */
	.exid		= 0x1a2b,	/* ... and RFC 6994 */
	.exid_len	= 2,
	.max_len	= 1,
	.segments	= TCP_EXTOPT_DATA | TCP_EXTOPT_ACK | TCP_EXTOPT_FIN,
};
