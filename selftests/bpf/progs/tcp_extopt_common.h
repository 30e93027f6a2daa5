/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TCP_EXTOPT_COMMON_H
#define __TCP_EXTOPT_COMMON_H

#define SOL_TCP			6
#define TCP_NODELAY		1
#define TCP_CONGESTION		13
#define TCP_USER_TIMEOUT	18
#define TCP_EXTOPT		47

extern __u8 *bpf_tcp_extopt_out_data(struct tcp_extopt_out *opt, __u32 offset,
				     const size_t rdwr_buf_size) __weak __ksym;
extern const __u8 *bpf_tcp_extopt_in_data(const struct tcp_extopt_in *opt,
					  __u32 offset,
					  const size_t rdonly_buf_size)
					  __weak __ksym;
extern void bpf_tcp_extopt_ack_now(const struct tcp_extopt_in *opt)
				   __weak __ksym;
extern void bpf_tcp_extopt_refuse(const struct tcp_extopt_in *opt)
				  __weak __ksym;
extern int bpf_tcp_extopt_arm(const struct tcp_extopt_in *opt) __weak __ksym;
extern struct sock *bpf_tcp_extopt_mptcp(struct sock *sk) __weak __ksym;

#endif
