// SPDX-License-Identifier: GPL-2.0
/* As many options as can be registered, 128, and one more. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops")
void BPF_PROG(limit_parse, struct sock *sk, const struct tcp_extopt_in *opt)
{
}

/* With the longest names that there are */
#define ONE(nr)								\
SEC(".struct_ops.link")							\
struct tcp_extopt_ops limit_##nr = {					\
	.parse = (void *)limit_parse,					\
	.name = "limit_of_nam" #nr, .kind = 66, .max_len = 4,		\
};

#define EIGHT(nr)							\
	ONE(nr##0) ONE(nr##1) ONE(nr##2) ONE(nr##3)			\
	ONE(nr##4) ONE(nr##5) ONE(nr##6) ONE(nr##7)

#define SIXTY_FOUR(nr)							\
	EIGHT(nr##0) EIGHT(nr##1) EIGHT(nr##2) EIGHT(nr##3)		\
	EIGHT(nr##4) EIGHT(nr##5) EIGHT(nr##6) EIGHT(nr##7)

SIXTY_FOUR(0)
SIXTY_FOUR(1)
ONE(200)
