/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_TOA_H
#define __EXTOPT_TOA_H

#include "extopt.h"

struct toa_client {
	struct extopt_addr addr;
	__u16 port;		/* network byte order */
	__u16 family;		/* 0: not known */
};

struct toa_stats {
	__u64 applied;
	__u64 ignored;		/* wrong length, no address */
	__u64 untrusted;
};

#endif
