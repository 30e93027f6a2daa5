/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_UTO_H
#define __EXTOPT_UTO_H

#include "extopt.h"

struct uto_config {		/* seconds */
	__u32 adv;		/* ADV_UTO, what to announce; 0: nothing */
	__u32 lower, upper;	/* bounds of what is used: L_LIMIT, U_LIMIT; the
				 * lower one is above the RTO in any case
				 */
};

struct uto_stats {
	__u64 applied;
	__u64 ignored;		/* wrong length, 0 */
	__u64 fixed;		/* the application has set its own */
	__u64 failed;		/* the kernel takes no such value */
};

struct uto_conn {
	__u32 told;		/* announced last */
	__u32 left;		/* times to announce it */
	__u32 set;		/* user timeout from the option, milliseconds */
};

#endif
