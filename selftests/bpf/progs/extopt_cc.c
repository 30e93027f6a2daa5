// SPDX-License-Identifier: GPL-2.0
/* A client asks for the congestion control that the server is to use. The answer says
 * that the server has understood, so that a client can see (TCP_EXTOPT) whether it has.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt.h"
#include "extopt_cc.h"

char _license[] SEC("license") = "GPL";

/* What a client asks for. bpftool map update name .data.cc key 0 0 0 0 value ... */
struct cc_name cc_wanted SEC(".data.cc") = {};
struct cc_stats cc_stats;

/* What a server grants */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct cc_name);
	__type(value, __u8);
	__uint(max_entries, 64);
} cc_allowed SEC(".maps");

static int length(const struct cc_name *name)
{
	int i;

	for (i = 0; i < CC_MAX_LEN && name->s[i]; i++)
		;
	return i;
}

SEC("struct_ops")
int BPF_PROG(cc_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	__builtin_memcpy(opt->data, cc_wanted.s, CC_MAX_LEN);
	/* A longer name than there is room for is another name. */
	return cc_wanted.s[CC_MAX_LEN] ? TCP_EXTOPT_SKIP : length(&cc_wanted);
}

SEC("struct_ops")
int BPF_PROG(cc_write_synack, const struct sock *sk, const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return TCP_EXTOPT_EMPTY;
}

SEC("struct_ops")
void BPF_PROG(cc_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	struct cc_name name = {};

	if (opt->segment & TCP_EXTOPT_SYNACK && !opt->len)
		return;
	__builtin_memcpy(name.s, opt->data, CC_MAX_LEN);
	if (!(opt->segment & TCP_EXTOPT_SYN) || !opt->len ||
	    opt->len != length(&name))
		COUNT(cc_stats.ignored);
	else if (!bpf_map_lookup_elem(&cc_allowed, &name))
		COUNT(cc_stats.refused);
	else if (bpf_setsockopt(sk, SOL_TCP, TCP_CONGESTION, name.s,
				sizeof(name.s)))
		COUNT(cc_stats.unknown);
	else
		COUNT(cc_stats.applied);
}

SEC(".struct_ops.link")
struct tcp_extopt_ops cc = {
	.write = (void *)cc_write, .write_synack = (void *)cc_write_synack,
	.parse = (void *)cc_parse,
	.name = "cc", .kind = 254, .exid = 0xeb02, .exid_len = 2,
	.max_len = CC_MAX_LEN, .segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK,
	.flags = TCP_EXTOPT_F_NEGOTIATE | TCP_EXTOPT_F_NO_ECHO,
};
