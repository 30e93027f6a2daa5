/* SPDX-License-Identifier: GPL-2.0 */
/* What the benchmark programs share: they end with a line that says why, and take
 * the time of a guest whose clock counts instructions.
 */
#ifndef __COST_H
#define __COST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP	262
#endif
#ifndef SOL_MPTCP
#define SOL_MPTCP	284
#endif
#define PORT		5001

enum { CLIENT, SERVER, ENDS };

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

/* A reset leaves no TIME_WAIT behind, which would grow from round to round. */
static inline void disconnect(int fds[ENDS])
{
	struct linger linger = { .l_onoff = 1 };

	for (int end = 0; end < ENDS; end++) {
		setsockopt(fds[end], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fds[end]);
	}
}

#endif
