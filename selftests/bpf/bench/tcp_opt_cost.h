/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_OPT_COST_H
#define __TCP_OPT_COST_H

#define COST_KIND	254	/* RFC 6994, with a 16-bit ExID */
#define COST_EXID	0xeb9f
#define COST_LEN	8	/* kind, length, ExID, four bytes of value */
#define COST_VALUE	0x01020304
#define COST_NEGOTIATE	2	/* enum tcp_extopt_flags */
#define COST_NAME	"cost"	/* of tcp_extopt */

/* written: by whoever has a socket; SYN-ACKs are counted by themselves. */
struct cost_counts {
	unsigned long long written, synacks, parsed, set;
};

#endif
