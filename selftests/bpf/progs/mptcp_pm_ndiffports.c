// SPDX-License-Identifier: GPL-2.0
/* Subflows between the same addresses, from different ports: for networks that
 * spread flows over several paths.
 */
#include "mptcp_pm.h"

char _license[] SEC("license") = "GPL";

/* bpftool map update name ndiffports_nr key 0 0 0 0 value 4 0 0 0 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} ndiffports_nr SEC(".maps");	/* subflows, the initial one included */

SEC("struct_ops.s")
void BPF_PROG(ndiffports_established, struct mptcp_sock *msk)
{
	__u32 key = 0, *nr = bpf_map_lookup_elem(&ndiffports_nr, &key);
	struct mptcp_addr_info local, remote;
	int i;

	if (!nr || msk->pm.server_side || !pm_initial(msk, &local, &remote))
		return;
	local.port = 0;
	bpf_for(i, 1, *nr)
		if (bpf_mptcp_pm_open(msk, &local, &remote, 0, 0) < 0)
			break;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops ndiffports = {
	.established = (void *)ndiffports_established,
	.name = "ndiffports",
};
