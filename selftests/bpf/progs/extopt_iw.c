// SPDX-License-Identifier: GPL-2.0
/* A client asks for the initial congestion window that the server is to use. It is
 * granted to those that are known not to be used for floods.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt.h"
#include "extopt_iw.h"

#define RESERVED	0xf000

char _license[] SEC("license") = "GPL";

/* bpftool map update name .data.iw key 0 0 0 0 value ... */
struct iw_config iw_config SEC(".data.iw") = {
	.max = 100,
};
struct iw_stats iw_stats;

EXTOPT_PREFIXES(iw_trusted);

SEC("struct_ops")
int BPF_PROG(iw_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	__u32 want = iw_config.want;

	if (!want || want & ~0xfff)
		return 0;
	opt->data[0] = want >> 8;
	opt->data[1] = want;
	return 2;
}

/* Understood, which is not granted. */
SEC("struct_ops")
int BPF_PROG(iw_write_synack, const struct sock *sk, const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return TCP_EXTOPT_EMPTY;
}

SEC("struct_ops")
void BPF_PROG(iw_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	__u32 v = opt->data[0] << 8 | opt->data[1];
	struct extopt_prefix peer;

	if (opt->segment & TCP_EXTOPT_SYNACK && !opt->len)
		return;
	if (!(opt->segment & TCP_EXTOPT_SYN) || opt->len != 2 || !v || v & RESERVED) {
		COUNT(iw_stats.ignored);
		return;
	}
	/* Fast Open: who the peer is, is not known before the third ACK. */
	extopt_peer(sk, &peer);
	if (((struct tcp_sock *)sk)->fastopen_rsk ||
	    !bpf_map_lookup_elem(&iw_trusted, &peer)) {
		COUNT(iw_stats.untrusted);
		return;
	}
	if (v > iw_config.max) {
		v = iw_config.max;
		COUNT(iw_stats.limited);
	}
	if (bpf_setsockopt(sk, SOL_TCP, TCP_BPF_IW, &v, sizeof(v)))
		COUNT(iw_stats.failed);
	else
		COUNT(iw_stats.applied);
}

SEC(".struct_ops.link")
struct tcp_extopt_ops iw = {
	.write = (void *)iw_write, .write_synack = (void *)iw_write_synack,
	.parse = (void *)iw_parse,
	.name = "iw", .kind = 254, .exid = 0xeb03, .exid_len = 2, .max_len = 2,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK,
	.flags = TCP_EXTOPT_F_NEGOTIATE | TCP_EXTOPT_F_NO_ECHO,
};
