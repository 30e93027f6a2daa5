// SPDX-License-Identifier: GPL-2.0
/* Which subflows a client may add: none from the prefixes of a map, and not more
 * than so many.
 */
#include "mptcp_pm.h"
#include "mptcp_pm_refuse.h"

#define EPERM	1

char _license[] SEC("license") = "GPL";

/* bpftool map update name .data.refuse key 0 0 0 0 value ... */
struct refuse_config refuse_config SEC(".data.refuse") = {
	.max = 255,
};
struct refuse_stats refuse_stats;

/* IPv4 as IPv4 mapped into IPv6: 96 bits more */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct refuse_prefix);
	__type(value, __u8);
} refuse_from SEC(".maps");

SEC("struct_ops")
int BPF_PROG(refuse_accept, const struct mptcp_sock *msk,
	     const struct mptcp_pm_join *join)
{
	struct refuse_prefix key = { .bits = 128 };

	if (join->subflows >= refuse_config.max) {
		__sync_fetch_and_add(&refuse_stats.too_many, 1);
		return -EPERM;
	}
	if (join->remote.family == AF_INET) {
		key.addr[2] = bpf_htonl(0xffff);
		key.addr[3] = join->remote.addr.s_addr;
	} else {
		key.addr[0] = join->remote.addr6.in6_u.u6_addr32[0];
		key.addr[1] = join->remote.addr6.in6_u.u6_addr32[1];
		key.addr[2] = join->remote.addr6.in6_u.u6_addr32[2];
		key.addr[3] = join->remote.addr6.in6_u.u6_addr32[3];
	}
	if (bpf_map_lookup_elem(&refuse_from, &key)) {
		__sync_fetch_and_add(&refuse_stats.prefix, 1);
		return -EPERM;
	}
	__sync_fetch_and_add(&refuse_stats.accepted, 1);
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops refuse = {
	.accept = (void *)refuse_accept,
	.name = "refuse",
};
