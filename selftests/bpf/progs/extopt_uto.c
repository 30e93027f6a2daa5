// SPDX-License-Identifier: GPL-2.0
/* The TCP User Timeout option, RFC 5482, both ends: each announces how long it
 * keeps data that is not acknowledged, and takes the other's into account.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt.h"
#include "extopt_uto.h"

#define MINUTES	0x8000	/* the G bit */
#define REPEAT	3	/* ACKs: any of them may be lost */

char _license[] SEC("license") = "GPL";

/* bpftool map update name .data.uto key 0 0 0 0 value ... ; RFC 5482, 3.1 */
struct uto_config uto_config SEC(".data.uto") = { 300, 100, 3600 };
struct uto_stats uto_stats;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct uto_conn);
} uto_conns SEC(".maps");

static int put(struct tcp_extopt_out *opt)
{
	__u32 v = uto_config.adv;

	v = v < MINUTES ? v : MINUTES | (v < 60 * MINUTES ? v / 60 : MINUTES - 1);
	opt->data[0] = v >> 8;
	opt->data[1] = v;
	return v ? 2 : 0;
}

SEC("struct_ops")
int BPF_PROG(uto_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	struct uto_conn *conn;

	if (opt->segment & TCP_EXTOPT_SYN)
		return put(opt);
	/* Again after the handshake, a SYN cookie has forgotten it, and when
	 * it has changed.
	 */
	conn = bpf_sk_storage_get(&uto_conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn)
		return 0;
	if (conn->told != uto_config.adv) {
		conn->told = uto_config.adv;
		conn->left = REPEAT;
	}
	return conn->left && conn->left-- ? put(opt) : 0;
}

SEC("struct_ops")
int BPF_PROG(uto_write_synack, const struct sock *sk,
	     const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return put(opt);
}

SEC("struct_ops")
void BPF_PROG(uto_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	__u32 v = opt->data[0] << 8 | opt->data[1], s, ms, now = 0;
	struct uto_conn *conn;

	s = v & MINUTES ? 60 * (v & ~MINUTES) : v;
	conn = bpf_sk_storage_get(&uto_conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (opt->len != 2 || !s || !conn) {
		COUNT(uto_stats.ignored);
		return;
	}
	s = s > uto_config.adv ? s : uto_config.adv;
	s = s > uto_config.lower ? s : uto_config.lower;
	ms = 1000 * (s < uto_config.upper ? s : uto_config.upper);

	/* An application that has set its own has the last word. */
	bpf_getsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &now, sizeof(now));
	if (now && now != conn->set) {
		COUNT(uto_stats.fixed);
		return;
	}
	conn->set = ms;
	bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	COUNT(uto_stats.applied);
}

SEC(".struct_ops.link")
struct tcp_extopt_ops uto = {
	.write = (void *)uto_write, .write_synack = (void *)uto_write_synack,
	.parse = (void *)uto_parse,
	.name = "uto", .kind = 28, .max_len = 2,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK | TCP_EXTOPT_ACK,
};
