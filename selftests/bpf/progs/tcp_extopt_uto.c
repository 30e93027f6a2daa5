// SPDX-License-Identifier: GPL-2.0
/* The TCP User Timeout option (RFC 5482), as clients offer it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define ADV_UTO	300	/* seconds, as the limits of RFC 5482, 3.1 */
#define L_LIMIT	100
#define U_LIMIT	3600

char _license[] SEC("license") = "GPL";

SEC("struct_ops")
int BPF_PROG(uto_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	opt->data[0] = ADV_UTO >> 8;
	opt->data[1] = ADV_UTO & 0xff;
	return 2;
}

SEC("struct_ops")
void BPF_PROG(uto_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	int s = (opt->data[0] & 0x7f) << 8 | opt->data[1], ms;

	s = opt->data[0] & 0x80 ? 60 * s : s;	/* the G bit: minutes */
	s = s > ADV_UTO ? s : ADV_UTO;
	ms = 1000 * (s < L_LIMIT ? L_LIMIT : s > U_LIMIT ? U_LIMIT : s);
	if (opt->len == 2)
		bpf_setsockopt(sk, 6, 18 /* TCP_USER_TIMEOUT */, &ms, 4);
}

SEC(".struct_ops.link")
struct tcp_extopt_ops uto = {
	.write = (void *)uto_write, .parse = (void *)uto_parse,
	.name = "uto", .kind = 28, .max_len = 2,
	.segments = TCP_EXTOPT_SYN,
};
