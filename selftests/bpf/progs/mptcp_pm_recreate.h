/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_PM_RECREATE_H
#define __MPTCP_PM_RECREATE_H

struct recreate_config {
	__u32 first_ms;
	__u32 max_ms;
};

struct recreate_state {
	__u64 opened;		/* the last one, nanoseconds */
	int err;		/* of the last one that was lost */
	__u32 wait_ms;		/* before the next try but one, 0: at once */
	__u32 tries;
};

#endif
