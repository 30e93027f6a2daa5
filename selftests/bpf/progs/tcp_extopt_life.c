// SPDX-License-Identifier: GPL-2.0
/* What the lifecycle test needs beside the options of tcp_extopt.c: a look at
 * each segment that leaves, a look at the registry, failing allocations, and
 * programs that select options.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "tcp_extopt_common.h"
#include "tcp_extopt_life.h"

#define ETH_P_IP	0x0800
#define ETH_P_IPV6	0x86dd
#define EXP2		254U
#define EXID		0xeb90		/* of opt_0 */
#define ENOMEM		12
#define MAX_CPUS	64

char _license[] SEC("license") = "GPL";

/* --- segments --- */

__u32 expect;
__u32 expect_value;
__u64 seg_with, seg_without, seg_wrong, seg_max, seg_probes, seg_rst_with;

struct opt {
	__u8 buf[40];
};

/* The value of opt_0 on the segment, 0 if there is none. Looked for anywhere,
 * which is simpler to verify than to walk the options, and good enough here.
 */
static __u32 find_value(const struct opt *opt)
{
	__u32 head, value, i;

	for (i = 0; i <= 32; i++) {
		__builtin_memcpy(&head, &opt->buf[i], 4);
		if (head == bpf_htonl(EXP2 << 24 | 8 << 16 | EXID)) {
			__builtin_memcpy(&value, &opt->buf[i + 4], 4);
			return bpf_ntohl(value);
		}
	}
	return 0;
}

static void look(struct __sk_buff *skb, __u32 off)
{
	__u32 len, hdr, payload, value = 0;
	struct opt opt = {};
	struct bpf_tcp_sock *tp;
	struct bpf_sock *sk;
	struct tcphdr th;

	if (bpf_skb_load_bytes(skb, off, &th, sizeof(th)) || th.syn)
		return;
	hdr = off + th.doff * 4;
	payload = skb->len - hdr;

	len = (th.doff * 4 - sizeof(th)) & 63;
	if (len > 40)
		return;
	if (len && !bpf_skb_load_bytes(skb, off + sizeof(th), &opt, len))
		value = find_value(&opt);

	if (th.rst) {
		if (value)
			__sync_fetch_and_add(&seg_rst_with, 1);
		return;
	}

	/* A probe has none, ever. TIME_WAIT has no full socket. */
	sk = skb->sk;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	tp = sk ? bpf_tcp_sock(sk) : NULL;
	if (!tp)
		return;
	if (!payload && !th.fin && (int)(bpf_ntohl(th.seq) - tp->snd_una) < 0) {
		__sync_fetch_and_add(&seg_probes, 1);
		return;
	}

	__sync_fetch_and_add(value ? &seg_with : &seg_without, 1);
	if ((expect == EXPECT_NONE && value) ||
	    (expect == EXPECT_VALUE && value != expect_value))
		__sync_fetch_and_add(&seg_wrong, 1);

	if (skb->gso_size)
		payload = skb->gso_size;
	if (payload > seg_max)
		seg_max = payload;
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	struct ipv6hdr ip6;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (!bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) &&
		    ip.protocol == IPPROTO_TCP)
			look(skb, ip.ihl * 4);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (!bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6)) &&
		    ip6.nexthdr == IPPROTO_TCP)
			look(skb, sizeof(ip6));
	}
	return 1;
}

/* --- registry --- */

extern const void tcp_extopt_slots __ksym;
extern const void tcp_extopt_nr_slots __ksym;
extern const void tcp_extopt_key __ksym;

__s32 key, nr_slots, nr_seen;
__s32 slot_refcnt[LIFE_SLOTS];
__u64 slot_addr[LIFE_SLOTS];
char slot_name[LIFE_SLOTS][16];

/* No lock: the one who runs it is the one who registers. */
SEC("syscall")
int registry(void *ctx)
{
	const struct list_head *head = &tcp_extopt_slots, *pos;
	const struct static_key_false *k = &tcp_extopt_key;
	struct tcp_extopt_slot *slot;
	int i;

	key = BPF_CORE_READ(k, key.enabled.counter);
	bpf_probe_read_kernel(&nr_slots, sizeof(nr_slots),
			      &tcp_extopt_nr_slots);

	nr_seen = 0;
	pos = BPF_CORE_READ(head, next);
	for (i = 0; i < LIFE_SLOTS && pos != head; i++) {
		slot = (void *)pos -
		       bpf_core_field_offset(struct tcp_extopt_slot, list);
		slot_addr[i] = (__u64)slot;
		slot_refcnt[i] = BPF_CORE_READ(slot, refcnt.refs.counter);
		bpf_probe_read_kernel_str(slot_name[i], sizeof(slot_name[i]),
					  &slot->name);
		nr_seen++;
		pos = BPF_CORE_READ(pos, next);
	}
	return 0;
}

__u64 peek_addr;
__s32 peek_refcnt;

/* For a slot that is unregistered, and some socket still has. */
SEC("syscall")
int peek(void *ctx)
{
	struct tcp_extopt_slot *slot = (void *)peek_addr;

	peek_refcnt = BPF_CORE_READ(slot, refcnt.refs.counter);
	return 0;
}

__s32 set_refcnt;

/* How many sockets and namespaces share what the socket has selected */
SEC("fentry/tcp_extopt_getsockopt")
int BPF_PROG(sharing, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct tcp_extopt_set *set = BPF_CORE_READ(tp, extopt);

	set_refcnt = set ? BPF_CORE_READ(set, refcnt.refs.counter) : 0;
	return 0;
}

__u64 watch[LIFE_WATCH];
__u32 freed;

SEC("fentry/kvfree_call_rcu")
int BPF_PROG(kvfree, void *head, void *ptr)
{
	int i;

	for (i = 0; i < LIFE_WATCH; i++) {
		if (watch[i] && watch[i] == (__u64)ptr) {
			watch[i] = 0;
			__sync_fetch_and_add(&freed, 1);
		}
	}
	return 0;
}

__u32 net_exits;

SEC("fentry/tcp_extopt_net_exit")
int BPF_PROG(net_exit)
{
	__sync_fetch_and_add(&net_exits, 1);
	return 0;
}

/* --- failing allocations --- */

__u32 fail_where;
__s32 fail_nr;			/* how many are to fail */
__u32 fail_done;
__u8 failing[MAX_CPUS];

static void set_failing(__u32 where, __u8 on)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (fail_where == where && cpu < MAX_CPUS)
		failing[cpu] = on;
}

SEC("?fentry/tcp_extopt_new_conn")
int BPF_PROG(conn_enter)
{
	set_failing(FAIL_CONN, 1);
	return 0;
}

SEC("?fexit/tcp_extopt_new_conn")
int BPF_PROG(conn_exit)
{
	set_failing(FAIL_CONN, 0);
	return 0;
}

SEC("?fentry/inet_csk_clone_lock")
int BPF_PROG(sock_enter)
{
	set_failing(FAIL_SOCK, 1);
	return 0;
}

SEC("?fexit/inet_csk_clone_lock")
int BPF_PROG(sock_exit)
{
	set_failing(FAIL_SOCK, 0);
	return 0;
}

SEC("?fmod_ret/should_failslab")
int BPF_PROG(failslab, struct kmem_cache *s, gfp_t gfp)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (cpu >= MAX_CPUS || !failing[cpu] || fail_nr <= 0)
		return 0;
	fail_nr--;
	fail_done++;
	return -ENOMEM;
}

/* --- programs that select --- */

char names[] = "opt_0";
__s32 select_err;
__u32 selects;

static void do_select(void *ctx)
{
	select_err = bpf_setsockopt(ctx, SOL_TCP, TCP_EXTOPT, names,
				    sizeof(names) - 1);
	__sync_fetch_and_add(&selects, 1);
}

SEC("cgroup/connect4")
int select_connect4(struct bpf_sock_addr *ctx)
{
	do_select(ctx);
	return 1;
}

SEC("cgroup/connect6")
int select_connect6(struct bpf_sock_addr *ctx)
{
	do_select(ctx);
	return 1;
}

SEC("sockops")
int select_sockops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ||
	    ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		do_select(ctx);
	return 1;
}

SEC("?lsm_cgroup/inet_csk_clone")
int BPF_PROG(select_clone, struct sock *newsk, const struct request_sock *req)
{
	do_select(newsk);
	return 1;
}
