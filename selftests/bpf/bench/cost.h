/* SPDX-License-Identifier: GPL-2.0 */
/* What the benchmark programs share: they end with a line that says why, and take
 * the time of a guest whose clock counts instructions.
 */
#ifndef __COST_H
#define __COST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__attribute__((format(printf, 1, 2), noreturn))
static inline void die(const char *format, ...)
{
	va_list args;

	printf("{\"error\": \"");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\"}\n");
	exit(1);
}

__attribute__((format(printf, 1, 2)))
static inline void sh(const char *format, ...)
{
	char command[256];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		die("failed: %s", command);
}

static inline long long now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

#endif
