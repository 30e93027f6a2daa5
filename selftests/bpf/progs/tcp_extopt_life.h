/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_EXTOPT_LIFE_H
#define __TCP_EXTOPT_LIFE_H

/* What each segment is expected to have of opt_0. */
#define EXPECT_ANY	0
#define EXPECT_NONE	1
#define EXPECT_VALUE	2

#define LIFE_SLOTS	16
#define LIFE_WATCH	64

/* Whose allocations fail. */
#define FAIL_CONN	1
#define FAIL_SOCK	2

#endif
