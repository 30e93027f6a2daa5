// SPDX-License-Identifier: GPL-2.0
/* What the verifier must refuse. Each path manager has one bad program; its test
 * creates that path manager only.
 */
#include "mptcp_pm.h"

char _license[] SEC("license") = "GPL";

#define SESSION(what, member_, sec, ...)				\
SEC("?" sec)								\
void BPF_PROG(prog_##what, struct mptcp_sock *msk)			\
{									\
	__VA_ARGS__							\
}									\
									\
SEC("?.struct_ops.link")						\
struct mptcp_pm_ops what = {						\
	.member_ = (void *)prog_##what,					\
	.name = "fail",							\
}

#define ACCEPT(what, sec, ...)						\
SEC("?" sec)								\
int BPF_PROG(prog_##what, const struct mptcp_sock *msk,			\
	     const struct mptcp_pm_join *join)				\
{									\
	__VA_ARGS__							\
	return 0;							\
}									\
									\
SEC("?.struct_ops.link")						\
struct mptcp_pm_ops what = {						\
	.accept = (void *)prog_##what,					\
	.name = "fail",							\
}

SESSION(good_established, established, "struct_ops.s",
	bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0););
SESSION(good_not_sleepable, timeout, "struct_ops",
	struct mptcp_subflow_context *subflow;
	bpf_for_each(mptcp_subflow, subflow, msk)
		bpf_mptcp_pm_close(msk, subflow););
ACCEPT(good_accept, "struct_ops", if (join->subflows > 3) return -1;);

/* In softirq */
ACCEPT(accept_sleepable, "struct_ops.s");
ACCEPT(accept_open, "struct_ops",
       bpf_mptcp_pm_open((struct mptcp_sock *)msk, NULL, NULL, 0, 0););
ACCEPT(accept_timer, "struct_ops",
       bpf_mptcp_pm_set_timer((struct mptcp_sock *)msk, 1););
ACCEPT(accept_subflows, "struct_ops",
       struct mptcp_subflow_context *subflow;
       bpf_for_each(mptcp_subflow, subflow, (struct mptcp_sock *)msk)
		return 1;);
ACCEPT(accept_addrs, "struct_ops",
       struct mptcp_addr_info local;
       __u64 cursor = 0;
       bpf_mptcp_pm_next_local(msk, &cursor, &local, sizeof(local), 0););
ACCEPT(accept_join_write, "struct_ops",
       ((struct mptcp_pm_join *)join)->backup = 1;);
ACCEPT(accept_msk_write, "struct_ops",
       ((struct mptcp_sock *)msk)->token = 1;);

/* May sleep */
SESSION(open_not_sleepable, established, "struct_ops",
	bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0););
SESSION(timer_not_sleepable, established, "struct_ops",
	bpf_mptcp_pm_set_timer(msk, 1););

SESSION(msk_write, established, "struct_ops.s", msk->token = 1;);
SESSION(other_msk, established, "struct_ops.s",
	bpf_mptcp_pm_open((struct mptcp_sock *)msk->first, NULL, NULL, 0, 0););
SESSION(walked_subflow, established, "struct_ops.s",
	bpf_mptcp_pm_close(msk, (struct mptcp_subflow_context *)
			   msk->conn_list.next););
SESSION(iter_leak, established, "struct_ops.s",
	struct bpf_iter_mptcp_subflow it;
	bpf_iter_mptcp_subflow_new(&it, msk););
SESSION(subflow_null, established, "struct_ops.s",
	struct bpf_iter_mptcp_subflow it;
	bpf_iter_mptcp_subflow_new(&it, msk);
	bpf_printk("%d", bpf_iter_mptcp_subflow_next(&it)->subflow_id);
	bpf_iter_mptcp_subflow_destroy(&it););
/* Out of memory of the program's only, and all of it */
SESSION(local_of_session, established, "struct_ops.s",
	struct mptcp_subflow_context *subflow;
	bpf_for_each(mptcp_subflow, subflow, msk)
		bpf_mptcp_pm_remote(subflow, &msk->pm.local,
				    sizeof(msk->pm.local)););
SESSION(local_short, established, "struct_ops.s",
	struct mptcp_addr_info addr;
	struct mptcp_subflow_context *subflow;
	bpf_for_each(mptcp_subflow, subflow, msk)
		bpf_mptcp_pm_local(subflow, &addr, sizeof(addr) + 8););
SESSION(cursor_of_session, established, "struct_ops.s",
	struct mptcp_addr_info local;
	bpf_mptcp_pm_next_local(msk, (__u64 *)&msk->write_seq, &local,
				sizeof(local), 0););
SESSION(announce_null, established, "struct_ops.s",
	bpf_mptcp_pm_announce(msk, NULL););
SESSION(setsockopt, established, "struct_ops",
	int one = 1;
	bpf_setsockopt(msk, 6, 1, &one, sizeof(one)););

/* Another struct_ops, and no struct_ops */
SEC("?struct_ops")
void BPF_PROG(prog_other_ops, struct sock *sk)
{
	bpf_mptcp_pm_close((struct mptcp_sock *)sk, NULL);
}

SEC("?.struct_ops.link")
struct tcp_congestion_ops other_ops = {
	.init = (void *)prog_other_ops,
	.name = "fail",
};
