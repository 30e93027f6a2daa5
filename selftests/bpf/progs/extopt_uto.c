// SPDX-License-Identifier: GPL-2.0
/* The TCP User Timeout option, RFC 5482, both ends: each announces a user timeout,
 * and takes the longer of the two within its limits. What an application has set, by
 * TCP_USER_TIMEOUT, is what it uses and announces.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt_uto.h"

#define MINUTES	0x8000	/* the G bit */
#define REPEAT	3	/* segments: any of them may be lost */

char _license[] SEC("license") = "GPL";
extern unsigned long CONFIG_HZ __kconfig;

/* bpftool map update name .data.uto key 0 0 0 0 value ... ; RFC 5482, 3.1 */
struct uto_config uto_config SEC(".data.uto") = { 300, 100, 3600 };
struct uto_stats uto_stats;

EXTOPT_CONNS(uto_conns, struct uto_conn);

static int put(struct tcp_extopt_out *opt, __u32 v)
{
	v = v < MINUTES ? v : MINUTES | (v < 60 * MINUTES ? v / 60 : MINUTES - 1);
	opt->data[0] = v >> 8;
	opt->data[1] = v;
	return v ? 2 : 0;
}

/* What the application has set, and not the option, milliseconds; 0: nothing */
static __u32 fixed(const struct sock *sk, __u32 set)
{
	__u32 now = ((struct inet_connection_sock *)sk)->icsk_user_timeout;

	return now == set ? 0 : now;
}
#define ADV(sk, set)	((fixed(sk, set) + 999) / 1000 ?: uto_config.adv)

SEC("struct_ops")
int BPF_PROG(uto_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	struct uto_conn *conn;
	__u32 adv;

	conn = bpf_sk_storage_get(&uto_conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn)
		return 0;
	adv = ADV(sk, conn->set);
	if (opt->segment & TCP_EXTOPT_SYN) {
		conn->told = 0;
		return put(opt, adv);
	}
	/* Again after the handshake, for SYN cookies forget it, and when changed */
	if (conn->told != adv) {
		conn->told = adv;
		conn->left = REPEAT;
	}
	return conn->left && conn->left-- ? put(opt, adv) : 0;
}

SEC("struct_ops")
int BPF_PROG(uto_write_synack, const struct sock *sk, const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return put(opt, ADV(sk, 0));
}

SEC("struct_ops")
void BPF_PROG(uto_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	__u32 rto = ((struct inet_connection_sock *)sk)->icsk_rto / (__u32)CONFIG_HZ;
	__u32 v = opt->data[0] << 8 | opt->data[1], s, ms;
	struct uto_conn *conn;

	s = v & MINUTES ? 60 * (v & ~MINUTES) : v;
	conn = bpf_sk_storage_get(&uto_conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (opt->len != 2 || !s || !conn) {
		COUNT(uto_stats.ignored);
		return;
	}
	/* More than the RTO, in whole seconds */
	s = MAX(MAX(s, uto_config.adv), MAX(uto_config.lower, rto + 1));
	ms = 1000 * (s < uto_config.upper ? s : uto_config.upper);
	if (fixed(sk, conn->set)) {
		COUNT(uto_stats.fixed);
	} else if (bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms))) {
		COUNT(uto_stats.failed);
	} else {
		conn->set = ms;
		COUNT(uto_stats.applied);
	}
}

SEC(".struct_ops.link")
struct tcp_extopt_ops uto = {
	.write = (void *)uto_write, .write_synack = (void *)uto_write_synack,
	.parse = (void *)uto_parse, .name = "uto", .kind = 28, .max_len = 2,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK | TCP_EXTOPT_ACK | TCP_EXTOPT_DATA,
};
