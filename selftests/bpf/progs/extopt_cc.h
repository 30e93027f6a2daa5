/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_CC_H
#define __EXTOPT_CC_H

#define CC_MAX_LEN	12	/* a SYN has no room for more beside others */

struct cc_name {
	char s[16];		/* filled up with zeroes */
};

struct cc_stats {
	__u64 applied;
	__u64 ignored;		/* wrong length, no name, not on a SYN */
	__u64 refused;		/* not on the list */
	__u64 unknown;		/* on the list, and the kernel has not got it */
};

#endif
