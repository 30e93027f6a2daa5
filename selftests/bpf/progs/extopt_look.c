// SPDX-License-Identifier: GPL-2.0
/* What a socket is set to where there is no socket option to ask, or no file
 * descriptor: subflows have none.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "extopt_look.h"

#define TCP_ESTABLISHED	1

char _license[] SEC("license") = "GPL";

extern unsigned long CONFIG_HZ __kconfig;

__u64 cookie;			/* of the socket, or ... */
__u16 port;			/* ... 0, and the peer's port, in network order */
int found;
int tick;			/* microseconds */
struct extopt_sock seen;	/* the last of them */

SEC("iter/tcp")
int look(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;

	if (!skc || skc->skc_state != TCP_ESTABLISHED)
		return 0;
	if (cookie ? bpf_get_socket_cookie(skc) != cookie : skc->skc_dport != port)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	found++;
	tick = 1000000 / CONFIG_HZ;
	seen.user_timeout = tp->inet_conn.icsk_user_timeout;
	seen.delack_segs = tp->delack_segs + 1;
	seen.delack_max = tp->inet_conn.icsk_delack_max * 1000000UL / CONFIG_HZ;
	seen.cwnd = tp->snd_cwnd;
	seen.is_mptcp = tp->is_mptcp;
	bpf_probe_read_kernel_str(seen.cc, sizeof(seen.cc),
				  tp->inet_conn.icsk_ca_ops->name);
	return 0;
}
