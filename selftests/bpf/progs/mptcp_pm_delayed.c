// SPDX-License-Identifier: GPL-2.0
/* More subflows only for a session that is worth it: that has lasted for some time,
 * or has carried some bytes.
 */
#include "mptcp_pm.h"
#include "mptcp_pm_delayed.h"

char _license[] SEC("license") = "GPL";

/* bpftool map update name .data.delayed key 0 0 0 0 value ... */
struct delayed_config delayed_config SEC(".data.delayed") = {
	.after_ms = 1000,
	.after_bytes = 1 << 20,
	.look_ms = 50,
	.subflows = 1,
};

PM_SESSIONS(delayed_since, __u64);	/* nanoseconds */

SEC("struct_ops.s")
void BPF_PROG(delayed_established, struct mptcp_sock *msk)
{
	__u64 now = bpf_ktime_get_ns();

	if (!msk->pm.server_side &&
	    bpf_sk_storage_get(&delayed_since, msk, &now,
			       BPF_SK_STORAGE_GET_F_CREATE))
		bpf_mptcp_pm_set_timer(msk, delayed_config.look_ms);
}

SEC("struct_ops.s")
void BPF_PROG(delayed_timeout, struct mptcp_sock *msk)
{
	__u64 *since = bpf_sk_storage_get(&delayed_since, msk, 0, 0);
	int i;

	if (!since)
		return;
	if (msk->bytes_sent + msk->bytes_received < delayed_config.after_bytes &&
	    bpf_ktime_get_ns() - *since < delayed_config.after_ms * 1000000ULL) {
		bpf_mptcp_pm_set_timer(msk, delayed_config.look_ms);
		return;
	}
	bpf_for(i, 0, delayed_config.subflows)
		if (bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0) < 0)
			break;
}

/* The socket can be connected again. */
SEC("struct_ops.s")
void BPF_PROG(delayed_release, struct mptcp_sock *msk)
{
	bpf_sk_storage_delete(&delayed_since, msk);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops delayed = {
	.established = (void *)delayed_established,
	.timeout = (void *)delayed_timeout,
	.release = (void *)delayed_release,
	.name = "delayed",
};
