/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_LOOK_H
#define __EXTOPT_LOOK_H

struct extopt_sock {
	__u32 user_timeout;	/* milliseconds */
	__u32 delack_segs;
	__u32 delack_max;	/* microseconds */
	__u32 cwnd;
	__u32 is_mptcp;
	char cc[16];
};

#endif
