/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_EXTOPT_TEST_H
#define __TCP_EXTOPT_TEST_H

#define EXTOPT_NR		11
#define EXTOPT_UPDATE		10	/* replaces option 0 */
#define EXTOPT_VALUE_MAX	38

struct extopt_state {
	__u32 len;		/* bytes to write, filled with fill, fill + 1 .. */
	__s32 ret;		/* to return instead of len, if not 0 */
	__u32 user_timeout;	/* to set from parse, if not 0 */
	__u32 fill;
	__u32 ack_now;

	__u64 write_calls;
	__u64 parse_calls;
	__u32 write_segments;
	__u32 parse_segments;
	__u32 parse_state;	/* of the socket, the last time */
	__u32 dirty;		/* bytes not zeroed before write */
	__s32 setsockopt_err;
	__u32 in_len;
	__u32 in_sum;
	__u8 in[EXTOPT_VALUE_MAX];
};

#endif
