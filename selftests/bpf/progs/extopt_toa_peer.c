// SPDX-License-Identifier: GPL-2.0
/* getpeername() and accept() of servers in a cgroup give the client's address where
 * a proxy has told it, see extopt_toa.c. A server that has IPv4 sockets sees IPv4
 * clients; one that has IPv6 sockets sees both.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "extopt_toa.h"

char _license[] SEC("license") = "GPL";

TOA_CLIENTS(toa_received);

SEC("cgroup/getpeername4")
int toa_peer4(struct bpf_sock_addr *ctx)
{
	struct toa_client *client = ctx->sk ?
		bpf_sk_storage_get(&toa_received, ctx->sk, 0, 0) : 0;

	if (client && client->family == EXTOPT_AF_INET) {
		ctx->user_ip4 = *(__u32 *)&client->addr.b[12];
		ctx->user_port = client->port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int toa_peer6(struct bpf_sock_addr *ctx)
{
	struct toa_client *client = ctx->sk ?
		bpf_sk_storage_get(&toa_received, ctx->sk, 0, 0) : 0;

	if (client && client->family) {
		ctx->user_ip6[0] = ((__u32 *)&client->addr)[0];
		ctx->user_ip6[1] = ((__u32 *)&client->addr)[1];
		ctx->user_ip6[2] = ((__u32 *)&client->addr)[2];
		ctx->user_ip6[3] = ((__u32 *)&client->addr)[3];
		ctx->user_port = client->port;
	}
	return 1;
}
