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

static __always_inline int put(struct sock *sk, struct tcp_extopt_out *opt, int len)
{
	struct toa_client *client = client_of(&toa_send, sk, 0);
	struct extopt_tell *tell = TELL(sk);

	if (!tell || !client || client->family != TOA_FAMILY(len))
		return 0;
	if (opt->segment & TCP_EXTOPT_SYN)
		tell->begun = 0;
	else if (!extopt_tell(tell, (struct tcp_sock *)sk))
		return 0;
	__builtin_memcpy(opt->data, &client->port, 2);
	__builtin_memcpy(opt->data + 2, &client->addr.b[len == TOA_V4 ? 12 : 0], len - 2);
	return len;
}

static __always_inline void take(struct sock *sk, const struct tcp_extopt_in *opt,
				 const int len)
{
	struct extopt_addr addr = { { [10] = 0xff, 0xff } };
	struct toa_client *client;
	struct extopt_prefix peer;
	__u32 *w = (__u32 *)&addr;

	/* Fast Open: who the peer is, is not known before the third ACK. */
	extopt_peer(sk, &peer);
	if (((struct tcp_sock *)sk)->fastopen_rsk ||
	    !bpf_map_lookup_elem(&toa_trusted, &peer)) {
		COUNT(toa_stats.untrusted);
		return;
	}
	__builtin_memcpy(&addr.b[len == TOA_V4 ? 12 : 0], opt->data + 2, len - 2);
	client = client_of(&toa_received, sk, BPF_SK_STORAGE_GET_F_CREATE);
	if (!client || opt->len != len || !(opt->data[0] | opt->data[1]) ||
	    !(len == TOA_V4 ? addr.b[12] : w[0] | w[1] | w[2] | w[3])) {
		COUNT(toa_stats.ignored);
		return;
	}
	__builtin_memcpy(&client->port, opt->data, 2);
	client->addr = addr;
	barrier();	/* The family last: getpeername() of MPTCP has another lock. */
	client->family = TOA_FAMILY(len);
	COUNT(toa_stats.applied);
}

#define PROGRAMS(nm, len)	SEC("struct_ops")				\
int BPF_PROG(nm##_write, struct sock *sk, struct tcp_extopt_out *opt)		\
{ return put(sk, opt, len); }							\
SEC("struct_ops")								\
void BPF_PROG(nm##_parse, struct sock *sk, const struct tcp_extopt_in *opt)	\
{ take(sk, opt, len); }
PROGRAMS(toa4, TOA_V4)
PROGRAMS(toa6, TOA_V6)

SEC("struct_ops")
void BPF_PROG(raw_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
	if (opt->len == TOA_V6)
		take(sk, opt, TOA_V6);
	else
		take(sk, opt, TOA_V4);
}

#define LATER	(TCP_EXTOPT_ACK | TCP_EXTOPT_DATA)
#define TOA(nm, knd, len, prog, ...)	SEC(".struct_ops.link")			\
	struct tcp_extopt_ops nm = { .name = #nm, .kind = knd, .max_len = len,	\
				     .parse = (void *)prog, __VA_ARGS__ }
TOA(toa4, 254, TOA_V4, toa4_parse, .write = (void *)toa4_write,
    .exid = 0xeb05, .exid_len = 2, .segments = TCP_EXTOPT_SYN | LATER);
TOA(toa6, 254, TOA_V6, toa6_parse, .write = (void *)toa6_write,
    .exid = 0xeb06, .exid_len = 2, .segments = LATER);
TOA(toa254, 254, TOA_V6, raw_parse);
TOA(toa200, 200, TOA_V6, raw_parse);
