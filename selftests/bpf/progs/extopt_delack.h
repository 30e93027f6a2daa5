/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_DELACK_H
#define __EXTOPT_DELACK_H

#include "extopt.h"

struct delack_config {
	/* To ask for, 0: as the peer likes. More than two segments without a delay
	 * is unwise: at the end of what there is to send the peer waits for more up
	 * to 200 ms, and the loss probe (RFC 8985) goes after two round-trip times.
	 */
	__u8 segs;
	__u8 rtt_16th;		/* delay, in 1/16 of the round-trip time */
	__u8 max_segs;		/* to grant at most */
};

struct delack_stats {
	__u64 applied;
	__u64 fixed;		/* of these, in part: the application has set its own */
	__u64 ignored;		/* wrong length, reserved bits */
	__u64 failed;		/* the kernel takes no such value */
};

struct delack_conn {
	struct extopt_tell tell;
	__u32 srtt;		/* when that began */
	__u16 said;		/* what is told ... */
	__u8 saying;		/* ... if it is */
	__u8 own_segs, set_segs;	/* the receiver's, and what was set */
	__u32 own_max, set_max;	/* likewise, jiffies; set_max 0: nothing was */
};

#endif
