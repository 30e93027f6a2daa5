// SPDX-License-Identifier: GPL-2.0
/* A subflow from each of our addresses to each that the server has and announces, while
 * they are there. What fails is tried again: an address can be there before its route.
 */
#include "mptcp_pm.h"

#define REMOTES		65	/* the first, and the highest limit */
#define FIRST_MS	100	/* doubled with each try */
#define MAX_MS		60000

char _license[] SEC("license") = "GPL";

struct mesh {
	struct mptcp_addr_info remote[REMOTES];	/* family 0: free */
	__u32 wait_ms;
};

PM_SESSIONS(meshes, struct mesh);

static void look(struct mptcp_sock *msk, bool now)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, 0);

	if (mesh && now)
		mesh->wait_ms = FIRST_MS;
	if (mesh)
		bpf_mptcp_pm_set_timer(msk, now ? 1 : mesh->wait_ms);
}

/* what the ID is of; family 0: nothing */
static void set(struct mptcp_sock *msk, const struct mptcp_addr_info *addr, __u64 flags)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, flags);
	__u32 i, at = REMOTES;

	bpf_for(i, 0, mesh ? REMOTES : 0)
		if (mesh->remote[i].family ? mesh->remote[i].id == addr->id : at == REMOTES)
			at = i;
	if (mesh && at < REMOTES)
		addr_copy(&mesh->remote[at], addr);
	look(msk, true);
}

/* Not for sessions within the host, or the link */
SEC("struct_ops.s")
void BPF_PROG(fullmesh_established, struct mptcp_sock *msk)
{
	struct mptcp_addr_info local, addr;

	if (!msk->pm.server_side && pm_initial(msk, &local, &addr) &&
	    pm_have_local(msk, &local))
		set(msk, &addr, BPF_SK_STORAGE_GET_F_CREATE);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_announced, struct mptcp_sock *msk,
	      const struct mptcp_addr_info *addr)
{
	set(msk, addr, 0);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_removed, struct mptcp_sock *msk, __u8 id)
{
	set(msk, &(struct mptcp_addr_info){ .id = id }, 0);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_addrs_changed, struct mptcp_sock *msk)
{
	look(msk, true);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_closed, struct mptcp_sock *msk,
	      struct mptcp_subflow_context *subflow, int err)
{
	if (err)
		look(msk, subflow->fully_established);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_timeout, struct mptcp_sock *msk)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, 0);
	struct mptcp_addr_info local;
	int i, j, ifindex, err;
	__u64 cursor = 0;

	if (!mesh)
		return;
	err = pm_drop_gone(msk);
	mesh->wait_ms = mesh->wait_ms < MAX_MS / 2 ? mesh->wait_ms * 2 : MAX_MS;
	pm_for_each_local(j, msk, cursor, local, ifindex, 0)
		bpf_for(i, 0, REMOTES)
			if (local.family == mesh->remote[i].family &&
			    !pm_have_subflow(msk, &local, &mesh->remote[i]))
				err |= bpf_mptcp_pm_open(msk, &local, &mesh->remote[i], ifindex, 0);
	if (err < 0)
		look(msk, false);
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_release, struct mptcp_sock *msk)
{
	bpf_sk_storage_delete(&meshes, msk);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops fullmesh = {
	.established = (void *)fullmesh_established,
	.addr_announced = (void *)fullmesh_announced,
	.addr_removed = (void *)fullmesh_removed,
	.addrs_changed = (void *)fullmesh_addrs_changed,
	.subflow_closed = (void *)fullmesh_closed,
	.timeout = (void *)fullmesh_timeout,
	.release = (void *)fullmesh_release,
	.name = "fullmesh",
};
