/* SPDX-License-Identifier: GPL-2.0 */
/* All the extopt_* programs, for tests of more than one. The test includes their
 * headers of progs/ and skeletons first.
 */
#ifndef __EXTOPT_ALL_H
#define __EXTOPT_ALL_H

#include <netinet/tcp.h>
#include "extopt_sock.h"

#ifndef TCP_DELACK_SEGS
#define TCP_DELACK_SEGS		48
#endif

static struct {
	struct extopt_uto *uto;
	struct extopt_cc *cc;
	struct extopt_iw *iw;
	struct extopt_delack *delack;
	struct extopt_toa *toa;
} skel;

#define LOAD(use)							\
	({								\
		skel.use = extopt_##use##__open_and_load();		\
		ASSERT_OK_PTR(skel.use, #use) &&			\
		ASSERT_OK(extopt_##use##__attach(skel.use), #use);	\
	})

static inline void all_close(void)
{
	/* Pinned by name, for a proxy to find */
	if (skel.toa) {
		bpf_map__unpin(skel.toa->maps.toa_send, NULL);
		bpf_map__unpin(skel.toa->maps.toa_received, NULL);
	}
	extopt_toa__destroy(skel.toa);
	extopt_delack__destroy(skel.delack);
	extopt_iw__destroy(skel.iw);
	extopt_cc__destroy(skel.cc);
	extopt_uto__destroy(skel.uto);
	look_close();
	memset(&skel, 0, sizeof(skel));
}

static inline int all_open(void)
{
	if (!look_open() && LOAD(uto) && LOAD(cc) && LOAD(iw) && LOAD(delack) && LOAD(toa))
		return 0;
	all_close();
	return -1;
}

/* A prefix of v4-mapped or IPv6 addresses whose requests are granted */
static inline int all_trust(const struct extopt_prefix *prefix)
{
	__u8 one = 1;

	return ASSERT_OK(bpf_map_update_elem(bpf_map__fd(skel.iw->maps.iw_trusted),
					     prefix, &one, BPF_ANY), "trust iw") &&
	       ASSERT_OK(bpf_map_update_elem(bpf_map__fd(skel.toa->maps.toa_trusted),
					     prefix, &one, BPF_ANY), "trust toa") ?
	       0 : -1;
}

static inline int all_allow_cc(const char *name)
{
	struct cc_name cc = {};
	__u8 one = 1;

	strcpy(cc.s, name);
	return ASSERT_OK(bpf_map_update_elem(bpf_map__fd(skel.cc->maps.cc_allowed),
					     &cc, &one, BPF_ANY), "allow") ? 0 : -1;
}

/* What a connection has of the five */
struct conn_state {
	int user_timeout;
	char cc[16];
	int cwnd;
	int delack_segs, delack_us;
	struct toa_client client;
};

static inline int get_int(int fd, int opt)
{
	socklen_t len = sizeof(int);
	int val = -1;

	ASSERT_OK(getsockopt(fd, SOL_TCP, opt, &val, &len), "getsockopt");
	return val;
}

static inline struct toa_client client_of(int fd)
{
	struct toa_client client = {};

	bpf_map_lookup_elem(bpf_map__fd(skel.toa->maps.toa_received), &fd,
			    &client);
	return client;
}

static inline struct conn_state state_of(int fd)
{
	struct conn_state st = {};
	struct tcp_info info;
	socklen_t len;

	st.user_timeout = get_int(fd, TCP_USER_TIMEOUT);
	st.delack_segs = get_int(fd, TCP_DELACK_SEGS);
	st.delack_us = look_delack_us(fd);
	len = sizeof(st.cc);
	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_CONGESTION, st.cc, &len), "cc");
	memset(st.cc + strlen(st.cc), 0, sizeof(st.cc) - strlen(st.cc));
	len = sizeof(info);
	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len), "info");
	st.cwnd = info.tcpi_snd_cwnd;
	st.client = client_of(fd);
	return st;
}

#endif
