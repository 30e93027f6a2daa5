/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_HDR_OPT_GATE_H
#define __TCP_HDR_OPT_GATE_H

enum {
	GATE_ACTIVE,
	GATE_PASSIVE,
	NR_GATE_SIDES,
};

/* What one sock_ops program did for one side of a connection */
struct gate_stat {
	__u32 out;		/* value to write */
	__u32 in;		/* last value parsed */
	__u32 estab_in;		/* value on the SYN or SYN-ACK */
	int estab_err;
	__u32 nr_len;
	__u32 nr_write;
	__u32 nr_parse;
	__u32 nr_parse_opt;	/* nr_parse with the option in the header */
	__u32 nr_estab;
	__u32 nr_err;
};

/* What one side of a connection has put on the wire */
struct gate_wire {
	__u32 val;		/* last value seen */
	__u32 nr_data;
	__u32 nr_opt;
};

#endif
