// SPDX-License-Identifier: GPL-2.0
/* A sender says how its data is to be acknowledged: every so many segments, and
 * after what part of the round-trip time at the latest.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt.h"
#include "extopt_delack.h"

#define DELAY_MIN	4000	/* microseconds: a few jiffies */
#define DELAY_MAX	200000	/* the kernel's */
#define SEGS		2	/* the kernel's */

char _license[] SEC("license") = "GPL";

/* bpftool map update name .data.delack key 0 0 0 0 value ... */
struct delack_config delack_config SEC(".data.delack") = {
	.max_segs = 64,
};
struct delack_stats delack_stats;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct delack_conn);
} delack_conns SEC(".maps");

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
	__u32 srtt = tp->srtt_us;
	struct delack_conn *conn;

	if (opt->segment & TCP_EXTOPT_SYN)
		return want ? put(opt) : 0;
	conn = bpf_sk_storage_get(&delack_conns, sk, 0,
				  BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn)
		return 0;
	/* On data until one that had it is acknowledged; again when the round-trip
	 * time has changed by a quarter, for the peer to look at its own.
	 */
	if (want != conn->told || (want && (srtt > conn->srtt + conn->srtt / 4 ||
					    srtt < conn->srtt - conn->srtt / 4))) {
		conn->told = want;
		conn->srtt = srtt;
		conn->seq = tp->snd_nxt;
		conn->open = 1;
	}
	if (conn->open && (__s32)(tp->snd_una - conn->seq) > 0)
		conn->open = 0;
	return conn->open ? put(opt) : 0;
}

SEC("struct_ops")
int BPF_PROG(delack_write_synack, const struct sock *sk,
	     const struct request_sock *req,
	     const struct tcp_extopt_in *offered, struct tcp_extopt_out *opt)
{
	return delack_config.segs || delack_config.rtt_16th ? put(opt) : 0;
}

SEC("struct_ops")
void BPF_PROG(delack_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	__u32 segs = opt->data[0] ?: SEGS, part = opt->data[1], delay = DELAY_MAX;
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	if (opt->len != 2 || part > 16) {
		COUNT(delack_stats.ignored);
		return;
	}
	if (segs > delack_config.max_segs)
		segs = delack_config.max_segs;
	if (part)	/* both are in eighths */
		delay = (tp->rcv_rtt_est.rtt_us ?: tp->srtt_us) / 8 * part / 16;
	delay = delay < DELAY_MIN ? DELAY_MIN : delay > DELAY_MAX ? DELAY_MAX : delay;
	bpf_setsockopt(sk, SOL_TCP, TCP_DELACK_SEGS, &segs, sizeof(segs));
	bpf_setsockopt(sk, SOL_TCP, TCP_BPF_DELACK_MAX, &delay, sizeof(delay));
	COUNT(delack_stats.applied);
}

SEC(".struct_ops.link")
struct tcp_extopt_ops delack = {
	.write = (void *)delack_write, .parse = (void *)delack_parse,
	.write_synack = (void *)delack_write_synack,
	.name = "delack", .kind = 254, .exid = 0xeb04, .exid_len = 2, .max_len = 2,
	.segments = TCP_EXTOPT_SYN | TCP_EXTOPT_SYNACK | TCP_EXTOPT_DATA,
};
