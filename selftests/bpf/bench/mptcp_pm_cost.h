/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __MPTCP_PM_COST_H
#define __MPTCP_PM_COST_H

#define COST_PM		"cost"	/* the path manager */

/* Times of the guest's clock, that a program takes; 0: not yet */
struct pm_cost {
	unsigned long long queued;	/* a session's work was, for the event waited for */
	unsigned long long opened;	/* just before a subflow is opened for it */
	unsigned long long walked;	/* the walk over the sessions began */
	unsigned long long told;	/* the last session was told */
	unsigned int sessions;		/* that were told */
	int err;			/* of what was opened */
	unsigned int busy;		/* the event: established, or else a timer */
	unsigned int armed;		/* the timer runs */
};

#endif
