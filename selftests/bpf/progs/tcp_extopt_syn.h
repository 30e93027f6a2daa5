/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_EXTOPT_SYN_TEST_H
#define __TCP_EXTOPT_SYN_TEST_H

#define SYN_VALUE_MAX	18

/* Options, each with its entry of opts[] */
enum {
	OPT_NEGO,	/* negotiated, on all segments */
	OPT_PLAIN,	/* not negotiated, on all but FIN */
	OPT_STRICT,	/* negotiated, an echo is no answer */
	OPT_ONCE,	/* sent when asked for */
	OPT_NONCE,	/* negotiated, and sent when asked for */
	OPT_BIG,	/* all the room that a SYN has */
	OPT_OFFER,	/* negotiated, on SYN only: a client's, never answered */
	NR_SYN_OPTS,
};

/* Segments, the bits of enum tcp_extopt_segment */
enum {
	SEG_SYN,
	SEG_SYNACK,
	SEG_ACK,
	SEG_DATA,
	SEG_FIN,
	NR_SEGS,
};

/* What the sock_ops program that selects has to say */
struct syn_select {
	__u32 calls;
	__s32 err;
	__s32 list_err;
	__u32 count;		/* of options, then */
	__u8 state;		/* of the first */
};

struct syn_seen {
	__u32 calls;
	__u32 len;
	__u8 value[SYN_VALUE_MAX];
};

struct syn_opt {
	/* What to do. The value is fill, fill + 1 ... */
	__u32 len[NR_SEGS];	/* bytes to write, 0 for none */
	__u8 fill[NR_SEGS];
	__u8 refuse;		/* what is parsed of a SYN or SYN-ACK */
	__u8 arm;		/* mask of segments that when parsed ask for it */
	__u8 arm_negotiated;
	__u32 iw;		/* to set when a SYN or SYN-ACK is parsed */

	/* What was seen */
	__u32 writes[NR_SEGS];
	struct syn_seen parsed[NR_SEGS];
	struct syn_seen offered;	/* to write_synack */
	__u32 offered_none;		/* calls without an offer */
	__u32 negotiated;		/* calls */
	__u32 state;			/* then */
	__u32 state_segment;
	__u32 parsed_before;		/* SYN and SYN-ACK, when negotiated */
	__s32 arm_err;
	__s32 iw_err;
	__u32 bad_listener;		/* calls of write_synack with another state */
};

#endif
