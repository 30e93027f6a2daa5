// SPDX-License-Identifier: GPL-2.0
/* Options that are in the handshake, each driven by its entry of opts[]. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"
#include "tcp_extopt_syn.h"

#define TCP_BPF_IW	1001

char _license[] SEC("license") = "GPL";

struct syn_opt opts[NR_SYN_OPTS];

static __u32 seg_index(__u8 segment)
{
	if (segment & TCP_EXTOPT_SYN)
		return SEG_SYN;
	if (segment & TCP_EXTOPT_SYNACK)
		return SEG_SYNACK;
	if (segment & TCP_EXTOPT_FIN)
		return SEG_FIN;
	if (segment & TCP_EXTOPT_DATA)
		return SEG_DATA;
	return SEG_ACK;
}

static void take(struct syn_seen *seen, const struct tcp_extopt_in *opt)
{
	const __u8 *data;
	int i;

	seen->calls++;
	seen->len = opt->len;
	for (i = 0; i < SYN_VALUE_MAX; i++) {
		data = bpf_tcp_extopt_in_data(opt, i, 1);
		seen->value[i] = data ? *data : 0;
	}
}

static int do_write(struct tcp_extopt_out *opt, int nr)
{
	struct syn_opt *o = &opts[nr];
	__u32 seg = seg_index(opt->segment);
	__u8 *data;
	int i;

	o->writes[seg]++;
	for (i = 0; i < o->len[seg] && i < SYN_VALUE_MAX; i++) {
		data = bpf_tcp_extopt_out_data(opt, i, 1);
		if (!data)
			break;
		*data = o->fill[seg] + i;
	}
	return o->len[seg];
}

static int do_write_synack(const struct sock *sk,
			   const struct tcp_extopt_in *offered,
			   struct tcp_extopt_out *opt, int nr)
{
	struct syn_opt *o = &opts[nr];

	if (sk->__sk_common.skc_state != BPF_TCP_LISTEN &&
	    sk->__sk_common.skc_state != BPF_TCP_SYN_RECV)
		o->bad_listener++;
	if (offered->segment)
		take(&o->offered, offered);
	else
		o->offered_none++;
	return do_write(opt, nr);
}

static void do_parse(struct sock *sk, const struct tcp_extopt_in *opt, int nr)
{
	struct syn_opt *o = &opts[nr];
	int val;

	take(&o->parsed[seg_index(opt->segment)], opt);
	if (o->refuse)
		bpf_tcp_extopt_refuse(opt);
	if (o->arm & opt->segment)
		o->arm_err = bpf_tcp_extopt_arm(opt);
	val = o->iw;
	if (val)
		o->iw_err = bpf_setsockopt(sk, SOL_TCP, TCP_BPF_IW, &val,
					   sizeof(val));
}

static void do_negotiated(const struct tcp_extopt_in *opt, int nr)
{
	struct syn_opt *o = &opts[nr];

	o->negotiated++;
	o->state = opt->state;
	o->state_segment = opt->segment;
	o->parsed_before = o->parsed[SEG_SYN].calls +
			   o->parsed[SEG_SYNACK].calls;
	if (o->arm_negotiated)
		o->arm_err = bpf_tcp_extopt_arm(opt);
}

#define WRITE(nr)							\
SEC("struct_ops")							\
int BPF_PROG(write_##nr, struct sock *sk, struct tcp_extopt_out *opt)	\
{									\
	return do_write(opt, nr);					\
}									\
									\
SEC("struct_ops")							\
void BPF_PROG(parse_##nr, struct sock *sk,				\
	      const struct tcp_extopt_in *opt)				\
{									\
	do_parse(sk, opt, nr);						\
}

#define WRITE_SYNACK(nr)						\
SEC("struct_ops")							\
int BPF_PROG(write_synack_##nr, const struct sock *listener,		\
	     const struct request_sock *req,				\
	     const struct tcp_extopt_in *offered,			\
	     struct tcp_extopt_out *opt)				\
{									\
	return do_write_synack(listener, offered, opt, nr);		\
}

#define NEGOTIATED(nr)							\
SEC("struct_ops")							\
void BPF_PROG(negotiated_##nr, struct sock *sk,				\
	      const struct tcp_extopt_in *opt)				\
{									\
	do_negotiated(opt, nr);						\
}

#define SYN_SEGMENTS	(TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK)
#define ALL_SEGMENTS	(SYN_SEGMENTS | TCP_EXTOPT_ACK | TCP_EXTOPT_DATA | \
			 TCP_EXTOPT_FIN)

WRITE(OPT_NEGO) WRITE_SYNACK(OPT_NEGO) NEGOTIATED(OPT_NEGO)
WRITE(OPT_PLAIN) WRITE_SYNACK(OPT_PLAIN)
WRITE(OPT_STRICT) WRITE_SYNACK(OPT_STRICT) NEGOTIATED(OPT_STRICT)
WRITE(OPT_ONCE)
WRITE(OPT_NONCE) WRITE_SYNACK(OPT_NONCE) NEGOTIATED(OPT_NONCE)
WRITE(OPT_BIG) WRITE_SYNACK(OPT_BIG)
WRITE(OPT_OFFER) NEGOTIATED(OPT_OFFER)

SEC(".struct_ops.link")
struct tcp_extopt_ops nego = {
	.write = (void *)write_OPT_NEGO,
	.parse = (void *)parse_OPT_NEGO,
	.write_synack = (void *)write_synack_OPT_NEGO,
	.negotiated = (void *)negotiated_OPT_NEGO,
	.name = "nego",
	.kind = 254, .exid = 0xeba0, .exid_len = 2, .max_len = 4,
	.segments = ALL_SEGMENTS, .flags = TCP_EXTOPT_F_NEGOTIATE,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops plain = {
	.write = (void *)write_OPT_PLAIN,
	.parse = (void *)parse_OPT_PLAIN,
	.write_synack = (void *)write_synack_OPT_PLAIN,
	.name = "plain",
	.kind = 80, .max_len = 2,
	.segments = ALL_SEGMENTS & ~TCP_EXTOPT_FIN,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops strict = {
	.write = (void *)write_OPT_STRICT,
	.parse = (void *)parse_OPT_STRICT,
	.write_synack = (void *)write_synack_OPT_STRICT,
	.negotiated = (void *)negotiated_OPT_STRICT,
	.name = "strict",
	.kind = 81, .max_len = 2,
	.segments = ALL_SEGMENTS,
	.flags = TCP_EXTOPT_F_NEGOTIATE | TCP_EXTOPT_F_NO_ECHO,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops once = {
	.write = (void *)write_OPT_ONCE,
	.parse = (void *)parse_OPT_ONCE,
	.name = "once",
	.kind = 82, .max_len = 6,
	.segments = TCP_EXTOPT_ACK | TCP_EXTOPT_DATA,
	.flags = TCP_EXTOPT_F_ONCE,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops nonce = {
	.write = (void *)write_OPT_NONCE,
	.parse = (void *)parse_OPT_NONCE,
	.write_synack = (void *)write_synack_OPT_NONCE,
	.negotiated = (void *)negotiated_OPT_NONCE,
	.name = "nonce",
	.kind = 83, .max_len = 2,
	.segments = ALL_SEGMENTS,
	.flags = TCP_EXTOPT_F_NEGOTIATE | TCP_EXTOPT_F_ONCE,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops big = {
	.write = (void *)write_OPT_BIG,
	.parse = (void *)parse_OPT_BIG,
	.write_synack = (void *)write_synack_OPT_BIG,
	.name = "big",
	.kind = 84, .max_len = 18,
	.segments = SYN_SEGMENTS,
};

SEC(".struct_ops.link")
struct tcp_extopt_ops offer = {
	.write = (void *)write_OPT_OFFER,
	.parse = (void *)parse_OPT_OFFER,
	.negotiated = (void *)negotiated_OPT_OFFER,
	.name = "offer",
	.kind = 85, .max_len = 2,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_DATA,
	.flags = TCP_EXTOPT_F_NEGOTIATE,
};

/* Writes eight bytes of its own on all segments, from the SYN or SYN-ACK on. */
SEC("sockops")
int sock_ops(struct bpf_sock_ops *ctx)
{
	__u8 opt[8] = { 90, 8, 1, 2, 3, 4, 5, 6 };

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		bpf_sock_ops_cb_flags_set(ctx,
					  BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		bpf_reserve_hdr_opt(ctx, sizeof(opt), 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		bpf_store_hdr_opt(ctx, opt, sizeof(opt), 0);
		break;
	}
	return 1;
}

struct syn_select connect_cb, listen_cb, rto_cb, established_cb;

/* The start of a struct tcp_extopt_list */
struct {
	struct tcp_extopt_list head;
	struct tcp_extopt_info first;
} list;

static void do_select(struct bpf_sock_ops *ctx, struct syn_select *sel)
{
	char nego[] = "nego", both[] = "nego strict";

	sel->calls++;
	if (sel == &rto_cb || sel == &established_cb)
		sel->err = bpf_setsockopt(ctx, SOL_TCP, TCP_EXTOPT, both,
					  sizeof(both));
	else
		sel->err = bpf_setsockopt(ctx, SOL_TCP, TCP_EXTOPT, nego,
					  sizeof(nego));
	sel->list_err = bpf_getsockopt(ctx, SOL_TCP, TCP_EXTOPT, &list,
				       sizeof(list));
	sel->count = list.head.count;
	sel->state = list.first.state;
}

/* Selects for its sockets, in time and too late. */
SEC("sockops")
int select_ops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_RTO_CB_FLAG);
		do_select(ctx, &connect_cb);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		do_select(ctx, &listen_cb);
		break;
	case BPF_SOCK_OPS_RTO_CB:
		do_select(ctx, &rto_cb);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		do_select(ctx, &established_cb);
		break;
	}
	return 1;
}
