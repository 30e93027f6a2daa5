// SPDX-License-Identifier: GPL-2.0
/* A sender says how its data is to be acknowledged: every so many segments, and
 * after what part of the round-trip time at the latest.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt_delack.h"

#define TICK	(1000000 / (__u32)CONFIG_HZ)	/* microseconds */
/* What is not as it was set, the application has set since, and it stays. */
#define NEXT(now, set, next)	((now) == (set) ? ((set) = (next)) : (now))

char _license[] SEC("license") = "GPL";
extern unsigned long CONFIG_HZ __kconfig;

/* bpftool map update name .data.delack key 0 0 0 0 value ... */
struct delack_config delack_config SEC(".data.delack") = { .max_segs = 64 };
struct delack_stats delack_stats;
EXTOPT_CONNS(delack_conns, struct delack_conn);
#define CONN(sk) bpf_sk_storage_get(&delack_conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE)

static int put(struct tcp_extopt_out *opt)
{
	opt->data[0] = delack_config.segs;
	opt->data[1] = delack_config.rtt_16th;
	return 2;
}

SEC("struct_ops")
int BPF_PROG(delack_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	__u16 want = delack_config.segs << 8 | delack_config.rtt_16th;
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct delack_conn *conn = CONN(sk);
	__u32 srtt = tp->srtt_us;

	if (!conn)
		return 0;
	if (opt->segment & TCP_EXTOPT_SYN) {
		conn->said = conn->set_max = 0;
		return want ? put(opt) : 0;
	}
	/* Again when the RTT has changed by a quarter: the peer is to look at its own. */
	if (want != conn->said || (want && (srtt > conn->srtt + conn->srtt / 4 ||
					    srtt < conn->srtt - conn->srtt / 4))) {
		conn->said = want;
		conn->srtt = srtt;
		conn->saying = 1;
		conn->tell.begun = 0;
	}
	return conn->saying && extopt_tell(&conn->tell, tp) ? put(opt) : 0;
}

SEC("struct_ops")
int BPF_PROG(delack_write_synack, const struct sock *sk, const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return delack_config.segs || delack_config.rtt_16th ? put(opt) : 0;
}

SEC("struct_ops")
void BPF_PROG(delack_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	__u32 segs = opt->data[0], part = opt->data[1], now, max, delay;
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct delack_conn *conn = CONN(sk);

	if (!conn || opt->len != 2 || part > 16) {
		COUNT(delack_stats.ignored);
		return;
	}
	now = tp->delack_segs + 1;
	max = tp->inet_conn.icsk_delack_max;
	if (!conn->set_max) {
		conn->own_segs = conn->set_segs = now;
		conn->own_max = conn->set_max = max;
	}
	if (now != conn->set_segs || max != conn->set_max)
		COUNT(delack_stats.fixed);
	segs = segs ? MIN(segs, delack_config.max_segs) : conn->own_segs;
	segs = NEXT(now, conn->set_segs, segs);
	/* In jiffies, the kernel takes two at the least; both RTTs are in eighths. */
	delay = (tp->rcv_rtt_est.rtt_us ?: tp->srtt_us) / 8 * part / 16 / TICK + 1;
	delay = part ? MIN(MAX(delay, 2), conn->own_max) : conn->own_max;
	delay = NEXT(max, conn->set_max, delay) * TICK;
	if (bpf_setsockopt(sk, SOL_TCP, TCP_DELACK_SEGS, &segs, sizeof(segs)) ||
	    bpf_setsockopt(sk, SOL_TCP, TCP_BPF_DELACK_MAX, &delay, sizeof(delay)))
		COUNT(delack_stats.failed);
	else
		COUNT(delack_stats.applied);
}

SEC(".struct_ops.link")
struct tcp_extopt_ops delack = {
	.write = (void *)delack_write, .parse = (void *)delack_parse,
	.write_synack = (void *)delack_write_synack,
	.name = "delack", .kind = 254, .exid = 0xeb04, .exid_len = 2, .max_len = 2,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK | TCP_EXTOPT_DATA,
};
