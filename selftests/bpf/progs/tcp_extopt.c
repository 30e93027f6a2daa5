// SPDX-License-Identifier: GPL-2.0
/* Ten extension options, each driven by its entry of opts[]. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"
#include "tcp_extopt.h"

char _license[] SEC("license") = "GPL";

struct extopt_state opts[EXTOPT_NR];

static int do_write(struct tcp_extopt_out *opt, int nr)
{
	struct extopt_state *st = &opts[nr];
	int i, len = st->len;
	__u8 *data;

	st->write_calls++;
	st->write_segments |= opt->segment;

	for (i = 0; i < len && i < EXTOPT_VALUE_MAX; i++) {
		data = bpf_tcp_extopt_out_data(opt, i, 1);
		if (!data)
			break;
		if (*data)
			st->dirty++;
		*data = st->fill + i;
	}

	return st->ret ?: len;
}

static void do_parse(const struct tcp_extopt_in *opt, int nr)
{
	struct extopt_state *st = &opts[nr];
	const __u8 *data;
	int i;

	st->parse_calls++;
	st->parse_segments |= opt->segment;
	st->parse_state = opt->sk->__sk_common.skc_state;
	st->in_len = opt->len;
	for (i = 0; i < EXTOPT_VALUE_MAX; i++) {
		data = bpf_tcp_extopt_in_data(opt, i, 1);
		st->in[i] = data ? *data : 0;
		/* Bytewise, so that order is seen too. */
		st->in_sum = st->in_sum * 31 + st->in[i];
	}
	if (st->user_timeout)
		st->setsockopt_err =
			bpf_setsockopt(opt->sk, SOL_TCP, TCP_USER_TIMEOUT,
				       &st->user_timeout,
				       sizeof(st->user_timeout));
	if (st->ack_now)
		bpf_tcp_extopt_ack_now(opt);
}

#define ALL_SEGMENTS (TCP_EXTOPT_ACK | TCP_EXTOPT_DATA | TCP_EXTOPT_FIN)

#define EXTOPT(nr, ...)							\
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
	do_parse(opt, nr);						\
}									\
									\
SEC(".struct_ops.link")							\
struct tcp_extopt_ops opt_##nr = {					\
	.write = (void *)write_##nr,					\
	.parse = (void *)parse_##nr,					\
	.name = "opt_" #nr,						\
	__VA_ARGS__							\
}

EXTOPT(0, .kind = 254, .exid = 0xeb90, .exid_len = 2, .max_len = 4,
       .segments = ALL_SEGMENTS, .flags = TCP_EXTOPT_F_UNPRIV);
EXTOPT(1, .kind = 253, .exid = 0xeb91eb91, .exid_len = 4, .max_len = 2,
       .segments = ALL_SEGMENTS);
EXTOPT(2, .kind = 66, .max_len = 38, .segments = ALL_SEGMENTS);
EXTOPT(3, .kind = 67, .max_len = 26, .segments = TCP_EXTOPT_DATA);
EXTOPT(4, .kind = 68, .max_len = 1, .segments = TCP_EXTOPT_ACK);
EXTOPT(5, .kind = 69, .max_len = 1, .segments = TCP_EXTOPT_FIN);
EXTOPT(6, .kind = 70, .max_len = 1, .segments = ALL_SEGMENTS);
EXTOPT(7, .kind = 71, .max_len = 0, .segments = ALL_SEGMENTS);
EXTOPT(8, .kind = 72, .max_len = 1, .segments = ALL_SEGMENTS);
EXTOPT(9, .kind = 73, .max_len = 1, .segments = ALL_SEGMENTS);

/* What replaces opt_0 in a link update. */
SEC("struct_ops")
int BPF_PROG(write_update, struct sock *sk, struct tcp_extopt_out *opt)
{
	opts[EXTOPT_UPDATE].write_calls++;
	opt->data[0] = 0xaa;
	opt->data[1] = 0xbb;
	opt->data[2] = 0xcc;
	opt->data[3] = 0xdd;
	return 4;
}

SEC("struct_ops")
void BPF_PROG(parse_update, struct sock *sk, const struct tcp_extopt_in *opt)
{
	opts[EXTOPT_UPDATE].parse_calls++;
}

SEC(".struct_ops.link")
struct tcp_extopt_ops opt_update = {
	.write = (void *)write_update,
	.parse = (void *)parse_update,
	.name = "opt_0",
	.kind = 254, .exid = 0xeb90, .exid_len = 2, .max_len = 4,
	.segments = ALL_SEGMENTS, .flags = TCP_EXTOPT_F_UNPRIV,
};
