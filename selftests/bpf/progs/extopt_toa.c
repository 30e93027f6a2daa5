// SPDX-License-Identifier: GPL-2.0
/* TCP Option Address: a proxy that has put its client's address into toa_send, for its
 * socket to the server, tells the server. What trusted proxies tell goes to toa_received,
 * where extopt_toa_peer.c has getpeername() find it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "extopt_toa.h"
#include "tcp_extopt_common.h"

char _license[] SEC("license") = "GPL";
struct toa_stats toa_stats;

EXTOPT_PREFIXES(toa_trusted);

TOA_CLIENTS(toa_send);
TOA_CLIENTS(toa_received);
EXTOPT_CONNS(toa_tell, struct extopt_tell);
#define TELL(sk) bpf_sk_storage_get(&toa_tell, sk, 0, BPF_SK_STORAGE_GET_F_CREATE)

/* Of the application's socket: with MPTCP the connection's */
static __always_inline struct toa_client *client_of(void *map, struct sock *sk, int flags)
{
	struct sock *msk = bpf_tcp_extopt_mptcp(sk);

	return bpf_sk_storage_get(map, msk ?: sk, 0, flags);
}

static int put(struct sock *sk, struct tcp_extopt_out *opt, __u16 family, int len)
{
	struct toa_client *client = client_of(&toa_send, sk, 0);
	struct extopt_tell *tell = TELL(sk);

	if (!tell || !client || client->family != family)
		return 0;
	if (opt->segment & TCP_EXTOPT_SYN)
		tell->begun = 0;
	else if (!extopt_tell(tell, (struct tcp_sock *)sk))
		return 0;
	__builtin_memcpy(opt->data, &client->port, 2);
	if (family == EXTOPT_AF_INET)
		__builtin_memcpy(opt->data + 2, &client->addr.b[12], 4);
	else
		__builtin_memcpy(opt->data + 2, &client->addr, 16);
	return len;
}

SEC("struct_ops")
int BPF_PROG(toa4_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	return put(sk, opt, EXTOPT_AF_INET, 6);
}

SEC("struct_ops")
int BPF_PROG(toa6_write, struct sock *sk, struct tcp_extopt_out *opt)
{
	return put(sk, opt, EXTOPT_AF_INET6, 18);
}

SEC("struct_ops")
void BPF_PROG(toa_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	struct extopt_addr addr = { { [10] = 0xff, 0xff } };
	struct toa_client *client;
	struct extopt_prefix peer;
	__u32 *w = (__u32 *)&addr;

	extopt_peer(sk, &peer);
	if (!bpf_map_lookup_elem(&toa_trusted, &peer)) {
		COUNT(toa_stats.untrusted);
		return;
	}
	if (opt->len == 18)
		__builtin_memcpy(&addr, opt->data + 2, 16);
	else
		__builtin_memcpy(&addr.b[12], opt->data + 2, 4);
	client = client_of(&toa_received, sk, BPF_SK_STORAGE_GET_F_CREATE);
	if (!client || (opt->len != 6 && opt->len != 18) ||
	    !(opt->data[0] | opt->data[1]) ||
	    !(opt->len == 6 ? addr.b[12] : w[0] | w[1] | w[2] | w[3])) {
		COUNT(toa_stats.ignored);
		return;
	}
	__builtin_memcpy(&client->port, opt->data, 2);
	client->addr = addr;
	barrier();	/* The family last: getpeername() of MPTCP has another lock. */
	client->family = opt->len == 6 ? EXTOPT_AF_INET : EXTOPT_AF_INET6;
	COUNT(toa_stats.applied);
}

#define TOA(nm, ...)	SEC(".struct_ops.link")	\
	struct tcp_extopt_ops nm = { .name = #nm, .parse = (void *)toa_parse, __VA_ARGS__ }

TOA(toa4, .write = (void *)toa4_write, .kind = 254, .exid = 0xeb05, .exid_len = 2,
    .max_len = 6, .segments = TCP_EXTOPT_SYN | TCP_EXTOPT_ACK | TCP_EXTOPT_DATA);
TOA(toa6, .write = (void *)toa6_write, .kind = 254, .exid = 0xeb06, .exid_len = 2,
    .max_len = 18, .segments = TCP_EXTOPT_ACK | TCP_EXTOPT_DATA);
TOA(toa254, .kind = 254, .max_len = 18);
TOA(toa200, .kind = 200, .max_len = 18);
