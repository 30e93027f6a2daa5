/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __EXTOPT_TOA_H
#define __EXTOPT_TOA_H

#include "extopt.h"

enum { TOA_V4 = 6, TOA_V6 = 18 };	/* bytes of a value: port and address */
#define TOA_FAMILY(len)	((len) == TOA_V4 ? EXTOPT_AF_INET : EXTOPT_AF_INET6)

struct toa_client {
	struct extopt_addr addr;
	__u16 port;		/* network byte order */
	__u16 family;		/* 0: not known */
};

struct toa_stats {
	__u64 applied;
	__u64 ignored;		/* wrong length, no address or port */
	__u64 untrusted;	/* or Fast Open, which proves no address */
};

#ifdef __VMLINUX_H__

/* Clients by socket, where others find them: with toa_send a proxy */
#define TOA_CLIENTS(map_name)				\
	struct {					\
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);	\
		__uint(map_flags, BPF_F_NO_PREALLOC);	\
		__uint(pinning, LIBBPF_PIN_BY_NAME);	\
		__type(key, int);			\
		__type(value, struct toa_client);	\
	} map_name SEC(".maps")

#endif
#endif
