// SPDX-License-Identifier: GPL-2.0
/* What the verifier must refuse. Each option has one bad program; its test
 * creates that option only.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"

char _license[] SEC("license") = "GPL";

__u32 idx;
__u8 in_map[64];

#define AT(ptr, off) (*(volatile __u8 *)((void *)(ptr) + (off)))

#define BAD_WRITE(what, ...)						\
SEC("?struct_ops")							\
int BPF_PROG(prog_##what, struct sock *sk, struct tcp_extopt_out *opt)	\
{									\
	__VA_ARGS__							\
	return 1;							\
}									\
									\
SEC("?.struct_ops.link")						\
struct tcp_extopt_ops what = {						\
	.write = (void *)prog_##what,					\
	.name = "fail", .kind = 66, .max_len = 4,			\
	.segments = TCP_EXTOPT_DATA,					\
}

#define BAD_PARSE(what, ...)						\
SEC("?struct_ops")							\
void BPF_PROG(prog_##what, struct sock *sk,				\
	      const struct tcp_extopt_in *opt)				\
{									\
	__VA_ARGS__							\
}									\
									\
SEC("?.struct_ops.link")						\
struct tcp_extopt_ops what = {						\
	.parse = (void *)prog_##what,					\
	.name = "fail", .kind = 66, .max_len = 4,			\
}

#define BAD_SYNACK(what, ...)						\
SEC("?struct_ops")							\
int BPF_PROG(prog_##what, const struct sock *sk,			\
	     const struct request_sock *req,				\
	     const struct tcp_extopt_in *offered,			\
	     struct tcp_extopt_out *opt)				\
{									\
	__VA_ARGS__							\
	return 1;							\
}									\
									\
SEC("?.struct_ops.link")						\
struct tcp_extopt_ops what = {						\
	.write_synack = (void *)prog_##what,				\
	.name = "fail", .kind = 66, .max_len = 4,			\
	.segments = TCP_EXTOPT_SYNACK,					\
}

#define BAD_NEGOTIATED(what, ...)					\
BAD_SYNACK(what##_synack,);						\
									\
SEC("?struct_ops")							\
void BPF_PROG(prog_##what, struct sock *sk,				\
	      const struct tcp_extopt_in *opt)				\
{									\
	__VA_ARGS__							\
}									\
									\
SEC("?.struct_ops.link")						\
struct tcp_extopt_ops what = {						\
	.write_synack = (void *)prog_##what##_synack,			\
	.negotiated = (void *)prog_##what,				\
	.name = "fail", .kind = 66, .max_len = 4,			\
	.segments = TCP_EXTOPT_SYNACK,					\
	.flags = TCP_EXTOPT_F_NEGOTIATE,				\
}

/* The same as the bad ones below, and right. */
BAD_WRITE(good_write,
	__u8 *p = bpf_tcp_extopt_out_data(opt, idx, 4);

	if (p)
		p[3] = 1;
	opt->data[39] = opt->max_len;
);

BAD_PARSE(good_parse,
	const __u8 *p = bpf_tcp_extopt_in_data(opt, idx, 4);
	int ms = 30000;

	if (p)
		idx = p[3];
	bpf_tcp_extopt_ack_now(opt);
	bpf_tcp_extopt_refuse(opt);
	bpf_tcp_extopt_arm(opt);
	bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	bpf_getsockopt(sk, SOL_TCP, TCP_EXTOPT, in_map, sizeof(in_map));
);

BAD_SYNACK(good_synack,
	const __u8 *from = bpf_tcp_extopt_in_data(offered, idx, 4);
	__u8 *to = bpf_tcp_extopt_out_data(opt, idx, 4);

	if (from && to)
		to[3] = from[3];
	idx = req->mss + sk->__sk_common.skc_num;
);

BAD_NEGOTIATED(good_negotiated,
	int ms = 30000;

	idx = opt->state;
	bpf_tcp_extopt_arm(opt);
	bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	bpf_getsockopt(sk, SOL_TCP, TCP_EXTOPT, in_map, sizeof(in_map));
);

BAD_WRITE(out_beyond, AT(opt, sizeof(opt->data)) = 1;);
BAD_WRITE(out_wide, *(volatile __u64 *)&opt->data[36] = 1;);
BAD_WRITE(out_max_len, opt->max_len = 40;);
BAD_WRITE(out_segment, opt->segment = 0;);
BAD_WRITE(out_sk, opt->sk = NULL;);
BAD_WRITE(out_read_beyond, idx = AT(opt, sizeof(*opt)););
BAD_WRITE(out_variable, AT(opt, idx & 31) = 1;);
BAD_WRITE(sock_write, ((struct tcp_sock *)sk)->snd_cwnd = 1;);
BAD_WRITE(kfunc_beyond,
	__u8 *p = bpf_tcp_extopt_out_data(opt, 0, 4);

	if (p)
		AT(p, 4) = 1;
);
BAD_WRITE(kfunc_null,
	__u8 *p = bpf_tcp_extopt_out_data(opt, 0, 4);

	*p = 1;
);
BAD_WRITE(kfunc_size, bpf_tcp_extopt_out_data(opt, 0, idx););
BAD_WRITE(kfunc_stack,
	struct tcp_extopt_out mine = {};

	bpf_tcp_extopt_out_data(&mine, 0, 1);
);
BAD_WRITE(kfunc_map, bpf_tcp_extopt_out_data((void *)in_map, 0, 1););
BAD_WRITE(kfunc_sock, bpf_tcp_extopt_out_data((void *)sk, 0, 1););
BAD_WRITE(in_data_in_write, bpf_tcp_extopt_in_data((void *)opt, 0, 1););
BAD_WRITE(ack_now_in_write, bpf_tcp_extopt_ack_now((void *)opt););
BAD_WRITE(setsockopt_in_write,
	int ms = 30000;

	bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
);
BAD_WRITE(getsockopt_in_write,
	bpf_getsockopt(sk, SOL_TCP, TCP_EXTOPT, in_map, sizeof(in_map));
);
BAD_WRITE(refuse_in_write, bpf_tcp_extopt_refuse((void *)opt););
BAD_WRITE(arm_in_write, bpf_tcp_extopt_arm((void *)opt););

BAD_SYNACK(setsockopt_in_synack,
	int ms = 30000;

	bpf_setsockopt((void *)sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
);
BAD_SYNACK(getsockopt_in_synack,
	bpf_getsockopt((void *)sk, SOL_TCP, TCP_EXTOPT, in_map, sizeof(in_map));
);
BAD_SYNACK(ack_now_in_synack, bpf_tcp_extopt_ack_now(offered););
BAD_SYNACK(refuse_in_synack, bpf_tcp_extopt_refuse(offered););
BAD_SYNACK(arm_in_synack, bpf_tcp_extopt_arm(offered););
BAD_SYNACK(listener_write, ((struct tcp_sock *)sk)->snd_cwnd = 1;);
BAD_SYNACK(req_write, ((struct request_sock *)req)->mss = 1;);
BAD_SYNACK(offered_write, ((struct tcp_extopt_in *)offered)->data[0] = 1;);
BAD_NEGOTIATED(refuse_in_negotiated, bpf_tcp_extopt_refuse(opt););
BAD_NEGOTIATED(out_in_negotiated, bpf_tcp_extopt_out_data((void *)opt, 0, 1););

BAD_PARSE(in_data_write, ((struct tcp_extopt_in *)opt)->data[0] = 1;);
BAD_PARSE(in_len_write, ((struct tcp_extopt_in *)opt)->len = 1;);
BAD_PARSE(in_read_beyond, idx = AT(opt, sizeof(*opt)););
BAD_PARSE(in_variable, idx = AT(opt, idx & 31););
BAD_PARSE(kfunc_rdonly,
	__u8 *p = (__u8 *)bpf_tcp_extopt_in_data(opt, 0, 4);

	if (p)
		*p = 1;
);
BAD_PARSE(out_data_in_parse, bpf_tcp_extopt_out_data((void *)opt, 0, 1););

/* Another struct_ops, whose programs see the same kfuncs. */
SEC("?struct_ops")
void BPF_PROG(prog_other_ops, struct sock *sk, __u32 ack, __u32 acked)
{
	bpf_tcp_extopt_ack_now((void *)sk);
}

SEC("?.struct_ops.link")
struct tcp_congestion_ops other_ops = {
	.cong_avoid = (void *)prog_other_ops,
	.name = "extopt_other",
};

SEC("?struct_ops.s")
int BPF_PROG(prog_sleep_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	return 0;
}

SEC("?.struct_ops.link")
struct tcp_extopt_ops sleep_write = {
	.write = (void *)prog_sleep_write,
	.name = "fail", .kind = 66, .max_len = 4,
	.segments = TCP_EXTOPT_DATA,
};

SEC("?struct_ops.s")
void BPF_PROG(prog_sleep_parse, struct sock *sk,
	      const struct tcp_extopt_in *opt)
{
}

SEC("?.struct_ops.link")
struct tcp_extopt_ops sleep_parse = {
	.parse = (void *)prog_sleep_parse,
	.name = "fail", .kind = 66, .max_len = 4,
};
