/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_IW_H
#define __EXTOPT_IW_H

struct iw_config {		/* segments */
	__u32 want;		/* what to ask for; 0: nothing */
	__u32 max;		/* what to grant at most */
};

struct iw_stats {
	__u64 applied;
	__u64 limited;		/* of these, to max */
	__u64 ignored;		/* wrong length, 0, reserved bits, not on a SYN */
	__u64 untrusted;	/* or Fast Open, which proves no address */
	__u64 failed;		/* too late, data was sent */
};

#endif
