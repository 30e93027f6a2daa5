/* SPDX-License-Identifier: GPL-2.0 */
/* What a path manager in BPF can do, see include/net/mptcp.h for when it is called */
#ifndef __MPTCP_PM_H
#define __MPTCP_PM_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

#ifndef AF_INET
#define AF_INET		2
#define AF_INET6	10
#endif
#define EBUSY		16
#define ENOSPC		28

#define MPTCP_PM_ADDR_FLAG_BACKUP	(1 << 2)
#define MPTCP_FALLBACK_DONE		2

extern int bpf_mptcp_pm_open(struct mptcp_sock *msk,
			     const struct mptcp_addr_info *local__nullable,
			     const struct mptcp_addr_info *remote__nullable,
			     __u32 ifindex, __u32 flags) __ksym;
extern int bpf_mptcp_pm_close(struct mptcp_sock *msk,
			      struct mptcp_subflow_context *subflow) __ksym;
extern int bpf_mptcp_pm_announce(struct mptcp_sock *msk,
				 const struct mptcp_addr_info *addr) __ksym;
extern int bpf_mptcp_pm_withdraw(struct mptcp_sock *msk, __u8 id) __ksym;
extern int bpf_mptcp_pm_set_backup(struct mptcp_sock *msk,
				   struct mptcp_subflow_context *subflow,
				   bool backup) __ksym;
extern int bpf_mptcp_pm_set_timer(struct mptcp_sock *msk, __u32 ms) __ksym;
extern int bpf_mptcp_pm_local(const struct mptcp_subflow_context *subflow,
			      struct mptcp_addr_info *addr, __u32 addr__sz) __ksym;
extern int bpf_mptcp_pm_remote(const struct mptcp_subflow_context *subflow,
			       struct mptcp_addr_info *addr, __u32 addr__sz) __ksym;
extern int bpf_mptcp_pm_next_local(const struct mptcp_sock *msk, __u64 *cursor,
				   struct mptcp_addr_info *addr,
				   __u32 addr__sz, __u32 flags) __ksym;

extern int bpf_iter_mptcp_subflow_new(struct bpf_iter_mptcp_subflow *it,
				      struct mptcp_sock *msk) __weak __ksym;
extern struct mptcp_subflow_context *
bpf_iter_mptcp_subflow_next(struct bpf_iter_mptcp_subflow *it) __weak __ksym;
extern void
bpf_iter_mptcp_subflow_destroy(struct bpf_iter_mptcp_subflow *it) __weak __ksym;

/* For each address that can be used, and its interface; cursor is 0 before. The verifier
 * wants an end.
 */
#define pm_for_each_local(i, msk, cursor, addr, ifindex, flags)		\
	bpf_for(i, 0, 1024)						\
		if (((ifindex) = bpf_mptcp_pm_next_local(msk, &(cursor),	\
				&(addr), sizeof(addr), flags)) < 0)	\
			break;						\
		else

/* What a path manager keeps of each session */
#define PM_SESSIONS(map_name, what)					\
	struct {							\
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);			\
		__uint(map_flags, BPF_F_NO_PREALLOC);			\
		__type(key, int);					\
		__type(value, what);					\
	} map_name SEC(".maps")

/* An assignment would read bytes between the members, which the verifier refuses. */
static __always_inline void addr_copy(struct mptcp_addr_info *to,
				      const struct mptcp_addr_info *from)
{
	bpf_probe_read_kernel(to, sizeof(*to), from);
}

static __always_inline bool addr_equal(const struct mptcp_addr_info *a,
				       const struct mptcp_addr_info *b)
{
	int i;

	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->addr.s_addr == b->addr.s_addr;
	for (i = 0; i < 4; i++)
		if (a->addr6.in6_u.u6_addr32[i] != b->addr6.in6_u.u6_addr32[i])
			return false;
	return true;
}

/* Is there a subflow from here to there, from and to whatever port? */
static __attribute__((unused)) bool
pm_have_subflow(struct mptcp_sock *msk, const struct mptcp_addr_info *local,
		const struct mptcp_addr_info *remote)
{
	struct mptcp_subflow_context *subflow;
	struct mptcp_addr_info l, r;
	bool found = false;

	bpf_for_each(mptcp_subflow, subflow, msk) {
		bpf_mptcp_pm_local(subflow, &l, sizeof(l));
		bpf_mptcp_pm_remote(subflow, &r, sizeof(r));
		found |= addr_equal(&l, local) && addr_equal(&r, remote);
	}
	return found;
}

/* Is it an address of a link that can be used, though it may be deprecated? */
static __attribute__((unused)) bool
pm_have_local(struct mptcp_sock *msk, const struct mptcp_addr_info *addr)
{
	struct mptcp_addr_info local;
	__u64 cursor = 0;
	int i, ifindex;

	pm_for_each_local(i, msk, cursor, local, ifindex, MPTCP_PM_LOCAL_DEPRECATED) {
		if (addr_equal(&local, addr))
			return true;
	}
	return false;
}

/* Is it TCP by now? That can be at any time, also during a callback. */
static __attribute__((unused)) bool pm_is_tcp(const struct mptcp_sock *msk)
{
	return *(volatile unsigned long *)&msk->flags & (1 << MPTCP_FALLBACK_DONE);
}

/* The ends of the first subflow */
static __attribute__((unused)) bool
pm_initial(struct mptcp_sock *msk, struct mptcp_addr_info *local,
	   struct mptcp_addr_info *remote)
{
	struct mptcp_subflow_context *subflow;

	bpf_for_each(mptcp_subflow, subflow, msk)
		return !bpf_mptcp_pm_local(subflow, local, sizeof(*local)) &&
		       !bpf_mptcp_pm_remote(subflow, remote, sizeof(*remote));
	return false;
}

/* Close the subflows from addresses that are gone, and have the peer do so: it is told of
 * them at once, on one that is not closed. Those that there is no room for stay, to be
 * named another time: -EBUSY.
 */
static __attribute__((unused)) int pm_drop_gone(struct mptcp_sock *msk)
{
	struct mptcp_subflow_context *subflow;
	struct mptcp_addr_info addr;
	int err = 0;

	bpf_for_each(mptcp_subflow, subflow, msk) {
		bpf_mptcp_pm_local(subflow, &addr, sizeof(addr));
		if (pm_have_local(msk, &addr))
			continue;
		if (bpf_mptcp_pm_withdraw(msk, addr.id) == -EBUSY)
			err = -EBUSY;
		else
			bpf_mptcp_pm_close(msk, subflow);
	}
	return err;
}

#endif
