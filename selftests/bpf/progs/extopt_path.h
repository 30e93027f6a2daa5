/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_PATH_H
#define __EXTOPT_PATH_H

/* What the path does to the option that is watched */
enum {
	PATH_PASS,
	PATH_STRIP,		/* makes it NOPs, on all segments */
	PATH_DROP,		/* drops SYNs that have it */
	PATH_ECHO,		/* copies it from the SYN to the SYN-ACK, over
				 * the timestamp: at most ten bytes
				 */
	PATH_CUT,		/* drops everything */
	PATH_LOSE_ACKS,		/* drops pure ACKs to the server */
	PATH_SPOIL,		/* changes its last byte, on segments with payload */
};

enum { TO_SERVER, TO_CLIENT, NR_WAYS };

#define PATH_OPT_MAX	40
#define PATH_ACKS_FOR	32
#define PATH_PROMPT_NS	30000000	/* a delayed ACK takes longer */

/* What it has seen of a connection, before what it does to it */
struct path_way {
	__u32 segs;		/* payload or not, SYN and RST too */
	__u32 data;		/* segments with payload */
	__u32 acks;		/* without payload, SYN, FIN or RST */
	__u32 rsts;
	__u32 with_syn;		/* SYNs that came with the option ... */
	__u32 with_data;	/* ... segments with payload ... */
	__u32 with_ack;		/* ... and pure ACKs */
	__u32 opt_len;		/* of the one seen last */
	__u8 opt[PATH_OPT_MAX];	/* with kind and length */
	__u32 flight;		/* data segments sent before any was acknowledged */
	__u32 flight_seq;	/* of the first */
	__u32 flight_over;
	__u64 last_ns;		/* arrival of the last segment */
	__u64 data_ns;		/* in jiffies, of the first data that has no ACK yet, 0: none */
	__u64 ack_delay;	/* from that to the ACK, the longest, nanoseconds; not 0 */
	__u32 unacked;		/* data segments since the last ACK */
	__u32 acks_for[PATH_ACKS_FOR]; /* by data segments: ACKs, but of timers */
	__u32 echoed;		/* SYN-ACKs that PATH_ECHO has changed */
};

#endif
