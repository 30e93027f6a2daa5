/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_EXTOPT_PATH_TEST_H
#define __TCP_EXTOPT_PATH_TEST_H

/* What the path does to a connection, by the client's port modulo NR_MODES */
enum {
	MODE_PASS,
	MODE_DROP_SYN,		/* with the option */
	MODE_STRIP_SYN,
	MODE_DROP_SYNACK,
	MODE_STRIP_SYNACK,
	MODE_GARBAGE,		/* a SYN-ACK whose option is longer than it */
	MODE_ECHO,		/* a SYN-ACK with what the SYN had */
	NR_MODES,
};

/* Segments, as they pass */
enum {
	CAP_SYN,
	CAP_SYNACK,
	CAP_ACK,		/* the client's, without payload */
	CAP_CLIENT,		/* data */
	CAP_SERVER,
	NR_CAPS,
};

#define OPT_LEN		8	/* 254, 8, ExID, value */
#define EXID		0xebc0
#define VALUE(cap)	(0xc0 + (cap))

struct capture {
	__u32 segs;			/* of this type */
	__u32 with;			/* the option */
	__u8 opt[OPT_LEN];		/* the last one */
};

#endif
