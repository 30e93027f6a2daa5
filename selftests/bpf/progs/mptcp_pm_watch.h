/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_PM_WATCH_H
#define __MPTCP_PM_WATCH_H

#define WATCH_TICK_MS	20

enum watch_event {
	WATCH_INIT,
	WATCH_ESTABLISHED,
	WATCH_RELEASE,
	WATCH_SUBFLOW_ESTABLISHED,
	WATCH_SUBFLOW_CLOSED,
	WATCH_SUBFLOW_PRIO,
	WATCH_ADDR_ANNOUNCED,
	WATCH_ADDR_REMOVED,
	WATCH_ADDRS_CHANGED,
	WATCH_TIMEOUT,
	WATCH_ACCEPT,
	NR_WATCH,
};

enum watch_op {
	WATCH_NOTHING,
	WATCH_OPEN,
	WATCH_CLOSE,		/* the subflow of the ID */
	WATCH_BACKUP,		/* as well, flags: on */
	WATCH_ANNOUNCE,		/* local */
	WATCH_WITHDRAW,		/* the ID, and that in flags, if any */
	WATCH_DROP,		/* all subflows up to the ID, and their addresses */
	WATCH_TIMER,		/* id: milliseconds */
	WATCH_LIST,		/* how many subflows, and addresses, there are */
	WATCH_WAIT_TCP,		/* until the session is TCP, then try what there is */
	WATCH_HOLD,		/* with it done, while hold is set, seconds at most */
};

/* What is kept of each session */
struct watch_session {
	unsigned int calls;	/* of all that is told */
	unsigned int established;
	unsigned int subflows;
	unsigned int addrs;	/* ours, when it was last told of changes */
	unsigned int changes;	/* how often it was */
};

/* What came of trying what there is, at once: on the last subflow, if there are any */
struct watch_tried {
	int open;
	int announce;
	int withdraw;
	int timer;
	int close;
	int backup;
	int subflows;
};

struct watch_end {
	unsigned char id;
	unsigned short family;	/* 0: unset */
	unsigned short port;	/* network byte order */
	unsigned int addr[4];	/* as well, IPv4 in the first */
};

/* What the session of that token is to do, in the next timeout() */
struct watch_cmd {
	unsigned int token;
	unsigned int op;
	unsigned int id;
	unsigned int ifindex;
	unsigned int flags;
	struct watch_end local;
	struct watch_end remote;
	unsigned int has_local;
	unsigned int has_remote;
	int ret;
	int addrs;
	int addrs_lo;		/* of these, bound to no interface */
};

#endif
