/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_PM_DELAYED_H
#define __MPTCP_PM_DELAYED_H

struct delayed_config {
	__u64 after_bytes;	/* sent and received */
	__u32 after_ms;
	__u32 look_ms;		/* how often */
	__u32 subflows;		/* beside the initial one */
};

#endif
