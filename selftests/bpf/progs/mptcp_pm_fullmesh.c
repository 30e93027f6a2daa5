// SPDX-License-Identifier: GPL-2.0
/* A subflow from each of our addresses to each that the server has and announces, while
 * they are there. What fails is tried again: an address can be there before its route.
 */
#include "mptcp_pm.h"

#define REMOTES		8
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

	if (!mesh)
		return;
	mesh->wait_ms = now ? FIRST_MS : mesh->wait_ms;
	bpf_mptcp_pm_set_timer(msk, now ? 1 : mesh->wait_ms);
}

static void add(struct mptcp_sock *msk, const struct mptcp_addr_info *addr, __u64 flags)
{
	struct mesh *mesh = bpf_sk_storage_get(&meshes, msk, 0, flags);
	int i;

	for (i = 0; mesh && i < REMOTES; i++)
		if (!mesh->remote[i].family || addr_equal(&mesh->remote[i], addr)) {
			addr_copy(&mesh->remote[i], addr);
			return look(msk, true);
		}
}

SEC("struct_ops.s")
void BPF_PROG(fullmesh_established, struct mptcp_sock *msk)
{
	struct mptcp_addr_info local, addr;

	if (!msk->pm.server_side && pm_initial(msk, &local, &addr))
		add(msk, &addr, BPF_SK_STORAGE_GET_F_CREATE);
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
	int i, j, ifindex, err = 0;
	__u64 cursor = 0;

	pm_drop_gone(msk);
	if (!mesh)
		return;
	mesh->wait_ms = mesh->wait_ms < MAX_MS / 2 ? mesh->wait_ms * 2 : MAX_MS;
	pm_for_each_local(j, msk, cursor, local, ifindex)
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
