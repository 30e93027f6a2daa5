/* SPDX-License-Identifier: GPL-2.0 */
/* What the extopt_* programs share: constants that vmlinux.h does not have, and
 * lists of trusted peers. Each program is complete but for this.
 *
 * Their options, all numbers in network byte order. Kind 254 is for experiments (RFC
 * 4727), shared by means of an ExID (RFC 6994); 28 is the User Timeout's (RFC 5482);
 * 200 is not assigned.
 *
 *  option  kind ExID    on                value
 *  uto      28  -       any but a FIN     1 bit unit (1: minutes), 15 bits user
 *                       without data      timeout, not 0
 *  cc      254  0xeb02  SYN               1 to 12 characters: name of the
 *                                         congestion control asked for
 *                       SYN-ACK           none: understood
 *  iw      254  0xeb03  SYN               4 bits 0, 12 bits initial window asked
 *                                         for, in segments, not 0
 *                       SYN-ACK           none: understood
 *  delack  254  0xeb04  SYN, SYN-ACK,     8 bits segments to an ACK, 3 bits 0,
 *                       data              5 bits longest delay in 1/16 RTT, at
 *                                         most 16; 0: the receiver's own
 *  toa4    254  0xeb05  SYN, ACK, data    16 bits port, not 0, 32 bits IPv4 address
 *                                         of the client, not 0.x.y.z
 *  toa6    254  0xeb06  ACK, data         16 bits port, 128 bits IPv6 address,
 *                                         neither 0
 *  toa254  254  -       read only         as toa4 or toa6, without ExID
 *  toa200  200  -       read only         as toa4 or toa6
 *
 * A proxy selects toa4 or toa6, for data has no room for both. A server selects what
 * it wants to hear. toa254 takes any value of 6 or 18 bytes of kind 254 that a trusted
 * peer sends and no ExID selected claims, other experiments' too: select the options
 * with an ExID along with it.
 *
 * With MPTCP and timestamps data has no room for any of them, and no segment has
 * for toa6.
 *
 * A middlebox may copy back what it does not know. A client sees that with cc and iw,
 * whose answer is empty (TCP_EXTOPT_ST_ECHOED). With uto, delack and toa an echo is
 * what a peer that says the same would send: the client follows what it has itself asked
 * for. And where toa or delack is taken out on the way the sender is not told: only the
 * server's counts (delack_stats, toa_stats, TCP_EXTOPT) say whether it came.
 */
#ifndef __EXTOPT_H
#define __EXTOPT_H

#define SOL_TCP			6
#define TCP_CONGESTION		13
#define TCP_USER_TIMEOUT	18
#define TCP_DELACK_SEGS		48
#define TCP_BPF_IW		1001
#define TCP_BPF_DELACK_MAX	1003

#define EXTOPT_AF_INET		2
#define EXTOPT_AF_INET6		10

/* IPv4 addresses are v4-mapped, ::ffff:a.b.c.d; so are their prefixes, 96 bits
 * longer.
 */
struct extopt_addr {
	__u8 b[16];
} __attribute__((aligned(4)));

struct extopt_prefix {
	__u32 len;
	struct extopt_addr addr;
};

/* Something to tell the peer until a segment is acknowledged that had it: any may be
 * lost, and with SYN cookies the SYN's is. After disconnect() there is more to be told.
 */
struct extopt_tell {
	__u64 acked;		/* bytes of the connection, when last asked */
	__u32 seq;		/* of the first segment that had it */
	__u16 begun, told;
};

#ifdef __VMLINUX_H__

#include <bpf/bpf_endian.h>

#define COUNT(what)	__sync_fetch_and_add(&(what), 1)
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))

#define EXTOPT_PREFIXES(map_name)				\
	struct {						\
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);		\
		__type(key, struct extopt_prefix);		\
		__type(value, __u8);				\
		__uint(max_entries, 1024);			\
		__uint(map_flags, BPF_F_NO_PREALLOC);		\
	} map_name SEC(".maps")

/* What a program keeps of each connection */
#define EXTOPT_CONNS(map_name, what)				\
	struct {						\
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);		\
		__uint(map_flags, BPF_F_NO_PREALLOC);		\
		__type(key, int);				\
		__type(value, what);				\
	} map_name SEC(".maps")

/* The peer's address as a key to look up */
static __always_inline void extopt_peer(const struct sock *sk,
					struct extopt_prefix *key)
{
	__u32 *w = (__u32 *)&key->addr;

	key->len = 128;
	if (sk->__sk_common.skc_family == EXTOPT_AF_INET6) {
		w[0] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0];
		w[1] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[1];
		w[2] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[2];
		w[3] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[3];
	} else {
		w[0] = 0;
		w[1] = 0;
		w[2] = bpf_htonl(0xffff);
		w[3] = sk->__sk_common.skc_daddr;
	}
}

static __always_inline bool extopt_tell(struct extopt_tell *tell,
					const struct tcp_sock *tp)
{
	if (!tell->begun || tp->bytes_acked < tell->acked) {
		tell->begun = 1;
		tell->told = 0;
		tell->seq = tp->snd_nxt;
	} else if ((__s32)(tp->snd_una - tell->seq) > 0) {
		tell->told = 1;
	}
	tell->acked = tp->bytes_acked;
	return !tell->told;
}

#endif
#endif
