// SPDX-License-Identifier: GPL-2.0
/* tcp_extopt: the same eight bytes on every segment, or on SYN and SYN-ACK. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "tcp_opt_cost.h"

#define SOL_TCP			6
#define TCP_USER_TIMEOUT	18

/* enum tcp_extopt_segment */
#define EXTOPT_ACK		4
#define EXTOPT_DATA		8
#define EXTOPT_FIN		16

#define EXID_LEN		2
#define VALUE_LEN		(COST_LEN - 2 - EXID_LEN)

/* What is used of the kernel's types. This has to build for a kernel that has
 * none of them, too; ___cost is cut off by libbpf.
 */
struct tcp_extopt_out___cost {
	__u8 data[40];
} __attribute__((preserve_access_index));

struct tcp_extopt_in___cost {
	__u8 data[40];
	__u8 len;
} __attribute__((preserve_access_index));

struct tcp_extopt_ops___cost {
	int (*write)(struct sock *sk, struct tcp_extopt_out___cost *opt);
	void (*parse)(struct sock *sk, const struct tcp_extopt_in___cost *opt);
	int (*write_synack)(const struct sock *listener,
			    const struct request_sock *req,
			    const struct tcp_extopt_in___cost *offered,
			    struct tcp_extopt_out___cost *opt);
	char name[16];
	__u32 exid;
	__u8 exid_len;
	__u8 kind;
	__u8 max_len;
	__u8 segments;
	__u32 flags;
};

char _license[] SEC("license") = "GPL";

const volatile bool do_setsockopt;

struct cost_counts counts;

SEC("struct_ops")
int BPF_PROG(cost_write, struct sock *sk, struct tcp_extopt_out___cost *opt)
{
	*(__be32 *)opt->data = bpf_htonl(COST_VALUE);
	counts.written++;
	return VALUE_LEN;
}

SEC("struct_ops")
void BPF_PROG(cost_parse, struct sock *sk, const struct tcp_extopt_in___cost *opt)
{
	int ms = 30000;

	if (opt->len != VALUE_LEN || *(__be32 *)opt->data != bpf_htonl(COST_VALUE))
		return;
	counts.parsed++;
	if (do_setsockopt &&
	    !bpf_setsockopt(sk, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)))
		counts.set++;
}

SEC("struct_ops")
int BPF_PROG(cost_write_synack, const struct sock *listener,
	     const struct request_sock *req,
	     const struct tcp_extopt_in___cost *offered,
	     struct tcp_extopt_out___cost *opt)
{
	if (offered->len != VALUE_LEN ||
	    *(__be32 *)offered->data != bpf_htonl(COST_VALUE))
		return 0;
	*(__be32 *)opt->data = bpf_htonl(COST_VALUE);
	counts.synacks++;
	return VALUE_LEN;
}

/* On every segment; the handshake's has its own segments and flags. */
SEC(".struct_ops.link")
struct tcp_extopt_ops___cost cost = {
	.write = (void *)cost_write,
	.parse = (void *)cost_parse,
	.write_synack = (void *)cost_write_synack,
	.name = COST_NAME,
	.kind = COST_KIND,
	.exid = COST_EXID,
	.exid_len = EXID_LEN,
	.max_len = VALUE_LEN,
	.segments = EXTOPT_DATA | EXTOPT_ACK | EXTOPT_FIN,
};
