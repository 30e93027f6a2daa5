// SPDX-License-Identifier: GPL-2.0
/* A subflow from each of our addresses to each of the server's. Follows the
 * addresses that we have, and those that the server announces and removes.
 */
#include "mptcp_pm.h"

#define REMOTES	8

char _license[] SEC("license") = "GPL";

struct mesh {
	struct mptcp_addr_info remote[REMOTES];	/* family 0: free */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mesh);
} meshes SEC(".maps");

static void fill(struct mptcp_sock *msk, struct mesh *mesh)
{
	struct mptcp_addr_info remote;
	struct mptcp_pm_local *local;
	int i;

	bpf_for_each(mptcp_local_addr, local, msk) {
		bpf_for(i, 0, REMOTES) {
			remote = mesh->remote[i];
			if (local->addr.family == remote.family &&
			    !pm_have_subflow(msk, &local->addr, &remote))
				bpf_mptcp_pm_open(msk, &local->addr, &remote,
						  local->ifindex, 0);
		}
	}
}

static void add(struct mptcp_sock *msk, const struct mptcp_addr_info *addr, __u64 flags)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, flags);
	int i;

	for (i = 0; mesh && i < REMOTES; i++) {
		if (!mesh->remote[i].family || addr_equal(&mesh->remote[i], addr)) {
			addr_copy(&mesh->remote[i], addr);
			return fill(msk, mesh);
		}
	}
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_established, struct mptcp_sock *msk)
{
	struct mptcp_subflow_context *subflow;
	struct mptcp_addr_info addr;

	bpf_for_each(mptcp_subflow, subflow, msk) {
		bpf_mptcp_pm_remote(subflow, &addr);
		if (!msk->pm.server_side)
			add(msk, &addr, BPF_SK_STORAGE_GET_F_CREATE);
		break;
	}
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_announced, struct mptcp_sock *msk,
	      const struct mptcp_addr_info *addr)
{
	add(msk, addr, 0);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_removed, struct mptcp_sock *msk, __u8 id)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, 0);
	int i;

	for (i = 0; mesh && i < REMOTES; i++)
		if (mesh->remote[i].id == id)
			mesh->remote[i].family = 0;
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_addrs_changed, struct mptcp_sock *msk)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, 0);
	struct mptcp_subflow_context *subflow;
	struct mptcp_addr_info addr;

	if (!mesh)
		return;
	bpf_for_each(mptcp_subflow, subflow, msk) {
		bpf_mptcp_pm_local(subflow, &addr);
		if (!pm_have_local(msk, &addr)) {
			bpf_mptcp_pm_withdraw(msk, addr.id);
			bpf_mptcp_pm_close(msk, subflow);
		}
	}
	fill(msk, mesh);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops fullmesh = {
	.established = (void *)fullmesh_established,
	.addr_announced = (void *)fullmesh_announced,
	.addr_removed = (void *)fullmesh_removed,
	.addrs_changed = (void *)fullmesh_addrs_changed,
	.name = "fullmesh",
};
