// SPDX-License-Identifier: GPL-2.0
/* One more subflow, and as many again when one is lost, the first too, or could not be
 * opened: at once, then after a time that doubles until one lasts for longer.
 */
#include "mptcp_pm.h"
#include "mptcp_pm_recreate.h"

#define SUBFLOWS	2

char _license[] SEC("license") = "GPL";

/* bpftool map update name .data.recreate key 0 0 0 0 value ... */
struct recreate_config recreate_config SEC(".data.recreate") = {
	.first_ms = 1000,
	.max_ms = 60000,
};

PM_SESSIONS(recreate_states, struct recreate_state);

static void again(struct mptcp_sock *msk, struct recreate_state *state)
{
	__u32 ms = state->wait_ms;

	state->wait_ms = ms ? ms * 2 : recreate_config.first_ms;
	if (state->wait_ms > recreate_config.max_ms)
		state->wait_ms = recreate_config.max_ms;
	bpf_mptcp_pm_set_timer(msk, ms ?: 1);
}

SEC("struct_ops.s")
void BPF_PROG(recreate_timeout, struct mptcp_sock *msk)
{
	struct recreate_state *state = bpf_sk_storage_get(&recreate_states, msk, 0, 0);
	struct mptcp_subflow_context *subflow;
	int i, nr = 0;

	if (!state)
		return;
	bpf_for_each(mptcp_subflow, subflow, msk)
		nr++;
	bpf_for(i, nr, SUBFLOWS) {
		state->tries++;
		state->opened = bpf_ktime_get_ns();
		if (bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0) < 0) {
			again(msk, state);
			break;
		}
	}
}

SEC("struct_ops.s")
void BPF_PROG(recreate_established, struct mptcp_sock *msk)
{
	struct recreate_state *state;

	if (msk->pm.server_side)
		return;
	state = bpf_sk_storage_get(&recreate_states, msk, 0,
				   BPF_SK_STORAGE_GET_F_CREATE);
	if (state)
		again(msk, state);
}

SEC("struct_ops.s")
void BPF_PROG(recreate_subflow_closed, struct mptcp_sock *msk,
	      struct mptcp_subflow_context *subflow, int err)
{
	struct recreate_state *state = bpf_sk_storage_get(&recreate_states, msk, 0, 0);

	if (!state || !err)
		return;
	state->err = err;
	/* A server that refuses it does so after the handshake. */
	if (subflow->fully_established &&
	    bpf_ktime_get_ns() - state->opened > state->wait_ms * 1000000ULL)
		state->wait_ms = 0;
	again(msk, state);
}

/* The socket can be connected again. */
SEC("struct_ops.s")
void BPF_PROG(recreate_release, struct mptcp_sock *msk)
{
	bpf_sk_storage_delete(&recreate_states, msk);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops recreate = {
	.established = (void *)recreate_established,
	.subflow_closed = (void *)recreate_subflow_closed,
	.timeout = (void *)recreate_timeout,
	.release = (void *)recreate_release,
	.name = "recreate",
};
