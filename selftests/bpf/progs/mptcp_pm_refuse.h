/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_PM_REFUSE_H
#define __MPTCP_PM_REFUSE_H

struct refuse_config {
	__u32 max;		/* subflows beside the initial one */
};

struct refuse_stats {
	__u64 accepted;
	__u64 prefix;
	__u64 too_many;
};

struct refuse_prefix {
	__u32 bits;
	__u32 addr[4];		/* network byte order */
};

#endif
