/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_DELACK_H
#define __EXTOPT_DELACK_H

struct delack_config {
	__u8 segs;		/* to ask for; 0: as the peer likes */
	__u8 rtt_16th;		/* to ask for; 0: as the peer likes */
	__u8 max_segs;		/* to grant at most */
};

struct delack_stats {
	__u64 applied;
	__u64 ignored;		/* wrong length, reserved bits */
};

struct delack_conn {
	__u16 told;		/* the value announced last */
	__u16 open;		/* it has not been acknowledged */
	__u32 seq;		/* of the first segment that had it */
	__u32 srtt;		/* then */
};

#endif
