// SPDX-License-Identifier: GPL-2.0
/* TCP_DELACK_SEGS from a program */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SOL_TCP		6
#define TCP_DELACK_SEGS	48

char _license[] SEC("license") = "GPL";

int segs;			/* to set, on either end */
int set_err, get_err, got;

SEC("sockops")
int set_delack_segs(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		set_err = bpf_setsockopt(ctx, SOL_TCP, TCP_DELACK_SEGS, &segs,
					 sizeof(segs));
		get_err = bpf_getsockopt(ctx, SOL_TCP, TCP_DELACK_SEGS, &got,
					 sizeof(got));
	}
	return 1;
}
