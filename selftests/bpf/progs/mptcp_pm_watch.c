// SPDX-License-Identifier: GPL-2.0
/* Counts what it is told, and does what it is told by the test. */
#include "mptcp_pm.h"
#include "mptcp_pm_watch.h"

#define ENOENT		2
#define ETIMEDOUT	110

char _license[] SEC("license") = "GPL";

__u64 events[NR_WATCH];
__u64 errors;			/* callbacks that were not in order */
int closed_err;
__u32 closed_id;
__u16 closed_port;		/* the remote one */
__u16 closed_from;		/* the local one */
__u8 removed_id;
__u8 prio;
__u32 prio_id;
__u8 join_backup;		/* of the last that the peer added */
struct watch_end announced;
struct watch_tried tried[NR_WATCH];	/* in release(), and in others once it is TCP */
__u64 waiting;			/* for a session to be TCP, or hold to be cleared */
bool hold;
__u32 tick_ms = WATCH_TICK_MS;	/* 0: no timer */
bool reopen;			/* a subflow for each that goes, at once */
__u32 reopened;
__u64 after_update;		/* calls of the program that came later */
struct watch_cmd cmd;

PM_SESSIONS(watch_sessions, struct watch_session);

static struct watch_session *count(struct mptcp_sock *msk, enum watch_event event)
{
	struct watch_session *s;

	__sync_fetch_and_add(&events[event], 1);
	s = bpf_sk_storage_get(&watch_sessions, msk, 0,
			       event == WATCH_INIT ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!s)
		__sync_fetch_and_add(&errors, 1);
	if (s)
		s->calls++;
	return s;
}

static void to_addr(struct mptcp_addr_info *addr, const struct watch_end *end)
{
	int i;

	addr->id = end->id;
	addr->family = end->family;
	addr->port = end->port;
	for (i = 0; i < 4; i++)
		addr->addr6.in6_u.u6_addr32[i] = end->addr[i];
}

static void try_all(struct mptcp_sock *msk, enum watch_event event)
{
	struct watch_tried *t = &tried[event];
	struct mptcp_subflow_context *subflow;
	struct mptcp_addr_info addr = {};

	t->open = bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0);
	t->announce = bpf_mptcp_pm_announce(msk, &addr);
	t->withdraw = bpf_mptcp_pm_withdraw(msk, 1);
	t->timer = bpf_mptcp_pm_set_timer(msk, 1);
	t->subflows = 0;
	bpf_for_each(mptcp_subflow, subflow, msk) {
		t->close = bpf_mptcp_pm_close(msk, subflow);
		t->backup = bpf_mptcp_pm_set_backup(msk, subflow, true);
		t->subflows++;
	}
}

/* That is in softirq, or the test's: the session is locked, and stays so. */
static int wait_for(struct mptcp_sock *msk, enum watch_op op)
{
	__u64 end = bpf_ktime_get_ns() + 10000000000ULL;
	int i, j;

	__sync_fetch_and_add(&waiting, 1);
	bpf_for(i, 0, 1024) {
		bpf_for(j, 0, 1 << 20) {
			if (op == WATCH_HOLD ? !*(volatile bool *)&hold : pm_is_tcp(msk))
				return 0;
			if (bpf_ktime_get_ns() > end)
				return -ETIMEDOUT;
		}
	}
	return -ETIMEDOUT;
}

static int obey(struct mptcp_sock *msk)
{
	struct mptcp_addr_info local = {}, remote = {};
	struct mptcp_subflow_context *subflow;
	struct mptcp_addr_info addr;
	__u64 cursor = 0;
	int i, ifindex, ret = 0;

	to_addr(&local, &cmd.local);
	to_addr(&remote, &cmd.remote);
	switch (cmd.op) {
	case WATCH_OPEN:
		return bpf_mptcp_pm_open(msk, cmd.has_local ? &local : NULL,
					 cmd.has_remote ? &remote : NULL,
					 cmd.ifindex, cmd.flags);
	case WATCH_CLOSE:
		bpf_for_each(mptcp_subflow, subflow, msk)
			if (subflow->subflow_id == cmd.id)
				return bpf_mptcp_pm_close(msk, subflow);
		return -ENOENT;
	case WATCH_BACKUP:
		bpf_for_each(mptcp_subflow, subflow, msk)
			if (subflow->subflow_id == cmd.id)
				return bpf_mptcp_pm_set_backup(msk, subflow,
							       cmd.flags);
		return -ENOENT;
	case WATCH_ANNOUNCE:
		return bpf_mptcp_pm_announce(msk, &local);
	case WATCH_WITHDRAW:
		ret = bpf_mptcp_pm_withdraw(msk, cmd.id);
		if (!ret && cmd.flags)
			ret = bpf_mptcp_pm_withdraw(msk, cmd.flags);
		return ret;
	case WATCH_DROP:
		bpf_for_each(mptcp_subflow, subflow, msk) {
			if (subflow->subflow_id > cmd.id)
				continue;
			bpf_mptcp_pm_local(subflow, &addr, sizeof(addr));
			ret |= bpf_mptcp_pm_close(msk, subflow);
			ret |= bpf_mptcp_pm_withdraw(msk, addr.id);
		}
		return ret;
	case WATCH_TIMER:
		return bpf_mptcp_pm_set_timer(msk, cmd.id);
	case WATCH_LIST:
		bpf_for_each(mptcp_subflow, subflow, msk)
			ret++;
		cmd.addrs = cmd.addrs_lo = 0;
		pm_for_each_local(i, msk, cursor, addr, ifindex, cmd.flags) {
			cmd.addrs++;
			cmd.addrs_lo += !ifindex;
		}
		return ret;
	case WATCH_WAIT_TCP:
		ret = wait_for(msk, cmd.op);
		try_all(msk, WATCH_TIMEOUT);
		return ret;
	}
	return 0;
}

SEC("struct_ops.s")
void BPF_PROG(watch_init, struct mptcp_sock *msk)
{
	count(msk, WATCH_INIT);
	if (tick_ms)
		bpf_mptcp_pm_set_timer(msk, tick_ms);
	if (pm_is_tcp(msk))
		try_all(msk, WATCH_INIT);
}

SEC("struct_ops.s")
void BPF_PROG(watch_established, struct mptcp_sock *msk)
{
	struct watch_session *s = count(msk, WATCH_ESTABLISHED);

	if (s && s->established++)
		__sync_fetch_and_add(&errors, 1);
}

SEC("struct_ops.s")
void BPF_PROG(watch_release, struct mptcp_sock *msk)
{
	try_all(msk, WATCH_RELEASE);
	count(msk, WATCH_RELEASE);
	bpf_sk_storage_delete(&watch_sessions, msk);
}

SEC("struct_ops.s")
void BPF_PROG(watch_subflow_established, struct mptcp_sock *msk,
	      struct mptcp_subflow_context *subflow)
{
	struct watch_session *s = count(msk, WATCH_SUBFLOW_ESTABLISHED);

	if (s)
		s->subflows++;
}

SEC("struct_ops.s")
void BPF_PROG(watch_subflow_closed, struct mptcp_sock *msk,
	      struct mptcp_subflow_context *subflow, int err)
{
	struct mptcp_addr_info addr;

	closed_err = err;
	closed_id = subflow->subflow_id;
	if (!bpf_mptcp_pm_remote(subflow, &addr, sizeof(addr)))
		closed_port = addr.port;
	if (!bpf_mptcp_pm_local(subflow, &addr, sizeof(addr)))
		closed_from = addr.port;
	if (reopen && bpf_mptcp_pm_open(msk, NULL, NULL, 0, 0) > 0)
		__sync_fetch_and_add(&reopened, 1);
	count(msk, WATCH_SUBFLOW_CLOSED);
}

SEC("struct_ops.s")
void BPF_PROG(watch_subflow_prio, struct mptcp_sock *msk,
	      struct mptcp_subflow_context *subflow)
{
	prio = subflow->backup;
	prio_id = subflow->subflow_id;
	count(msk, WATCH_SUBFLOW_PRIO);
}

SEC("struct_ops.s")
void BPF_PROG(watch_addr_announced, struct mptcp_sock *msk,
	      const struct mptcp_addr_info *addr)
{
	int i;

	announced.id = addr->id;
	announced.family = addr->family;
	announced.port = addr->port;
	for (i = 0; i < 4; i++)
		announced.addr[i] = addr->addr6.in6_u.u6_addr32[i];
	count(msk, WATCH_ADDR_ANNOUNCED);
}

SEC("struct_ops.s")
void BPF_PROG(watch_addr_removed, struct mptcp_sock *msk, __u8 id)
{
	removed_id = id;
	count(msk, WATCH_ADDR_REMOVED);
}

SEC("struct_ops.s")
void BPF_PROG(watch_addrs_changed, struct mptcp_sock *msk)
{
	struct watch_session *s = count(msk, WATCH_ADDRS_CHANGED);
	struct mptcp_addr_info addr;
	unsigned int addrs = 0;
	__u64 cursor = 0;
	int i, ifindex;

	pm_for_each_local(i, msk, cursor, addr, ifindex, 0)
		addrs++;
	if (s) {
		s->addrs = addrs;
		s->changes++;
	}
}

SEC("struct_ops.s")
void BPF_PROG(watch_timeout, struct mptcp_sock *msk)
{
	__u32 op;

	count(msk, WATCH_TIMEOUT);
	if (tick_ms)
		bpf_mptcp_pm_set_timer(msk, tick_ms);
	op = cmd.op;
	if (op == WATCH_NOTHING || cmd.token != msk->token)
		return;
	cmd.ret = obey(msk);
	/* with an order to it: the test waits for the operation to be gone */
	__sync_fetch_and_and(&cmd.op, 0);
	/* the next order is to another session */
	if (op == WATCH_HOLD && wait_for(msk, op))
		__sync_fetch_and_add(&errors, 1);
}

SEC("struct_ops")
int BPF_PROG(watch_accept, const struct mptcp_sock *msk,
	     const struct mptcp_pm_join *join)
{
	join_backup = join->backup;
	__sync_fetch_and_add(&events[WATCH_ACCEPT], 1);
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops watch = {
	.init = (void *)watch_init,
	.established = (void *)watch_established,
	.release = (void *)watch_release,
	.subflow_established = (void *)watch_subflow_established,
	.subflow_closed = (void *)watch_subflow_closed,
	.subflow_prio = (void *)watch_subflow_prio,
	.addr_announced = (void *)watch_addr_announced,
	.addr_removed = (void *)watch_addr_removed,
	.addrs_changed = (void *)watch_addrs_changed,
	.timeout = (void *)watch_timeout,
	.accept = (void *)watch_accept,
	.name = "watch",
};

/* The same again, for links to be updated with */
SEC("struct_ops.s")
void BPF_PROG(watch2_timeout, struct mptcp_sock *msk)
{
	__sync_fetch_and_add(&after_update, 1);
	bpf_mptcp_pm_set_timer(msk, tick_ms);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops watch2 = {
	.init = (void *)watch_init,
	.release = (void *)watch_release,
	.timeout = (void *)watch2_timeout,
	.name = "watch",
};
