// SPDX-License-Identifier: GPL-2.0
/* When an event was noted, and when the path manager was called for it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "mptcp_pm_cost.h"

/* What is used of the kernel's types. This has to build for a kernel that has
 * none of them, too; ___cost is cut off by libbpf.
 */
struct mptcp_pm_ops___cost {
	char name[16];
	void (*established)(struct mptcp_sock *msk);
	void (*timeout)(struct mptcp_sock *msk);
	void (*addrs_changed)(struct mptcp_sock *msk);
};

extern int bpf_mptcp_pm_open(struct mptcp_sock *msk, const struct mptcp_addr_info *local,
			     const struct mptcp_addr_info *remote, __u32 ifindex,
			     __u32 flags) __ksym;

extern int bpf_mptcp_pm_set_timer(struct mptcp_sock *msk, __u32 ms) __ksym;

char _license[] SEC("license") = "GPL";

struct pm_cost cost;

SEC("fentry/mptcp_schedule_work")
int BPF_PROG(cost_queued, struct sock *sk)
{
	const struct mptcp_sock *msk = bpf_core_cast(sk, struct mptcp_sock);

	if (!cost.queued && !msk->pm.server_side &&
	    (cost.armed || (cost.busy && msk->pm.status & (1 << MPTCP_PM_ESTABLISHED))))
		cost.queued = bpf_ktime_get_ns();
	return 0;
}

SEC("fentry/mptcp_pm_addrs_work")
int BPF_PROG(cost_walked, struct work_struct *work)
{
	cost.walked = bpf_ktime_get_ns();
	return 0;
}

static void open_now(struct mptcp_sock *msk)
{
	if (!cost.queued || cost.opened)
		return;
	cost.opened = bpf_ktime_get_ns();
	cost.err = bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0);
}

SEC("struct_ops.s")
void BPF_PROG(cost_established, struct mptcp_sock *msk)
{
	if (cost.busy)
		open_now(msk);
	else if (!cost.queued && !bpf_mptcp_pm_set_timer(msk, 10))
		cost.armed = 1;
}

SEC("struct_ops.s")
void BPF_PROG(cost_timeout, struct mptcp_sock *msk)
{
	cost.armed = 0;
	open_now(msk);
}

SEC("struct_ops")
void BPF_PROG(cost_addrs_changed, struct mptcp_sock *msk)
{
	cost.told = bpf_ktime_get_ns();
	cost.sessions++;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops___cost pm = {
	.established = (void *)cost_established,
	.timeout = (void *)cost_timeout,
	.addrs_changed = (void *)cost_addrs_changed,
	.name = COST_PM,
};
