/* SPDX-License-Identifier: GPL-2.0 */
/* What user space needs of TCP extension options. <linux/tcp.h> cannot be had
 * beside <netinet/tcp.h>, so these are copies of its definitions.
 */
#ifndef __TCP_EXTOPT_HELPERS_H
#define __TCP_EXTOPT_HELPERS_H

#include <sys/socket.h>
#include <linux/types.h>

struct bpf_link;
struct bpf_program;

/* Not in every C library */
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP		262
#endif
#ifndef SOL_MPTCP
#define SOL_MPTCP		284
#endif

#ifndef TCP_EXTOPT
#define TCP_EXTOPT		47
#define TCP_EXTOPT_NAME_MAX	16

enum {
	TCP_EXTOPT_ST_ACTIVE	= 1,
	TCP_EXTOPT_ST_GONE	= 2,
	TCP_EXTOPT_ST_PENDING	= 3,
	TCP_EXTOPT_ST_NOT_NEGOTIATED = 4,
	TCP_EXTOPT_ST_FALLBACK	= 5,
	TCP_EXTOPT_ST_COOKIE	= 6,
	TCP_EXTOPT_ST_REFUSED	= 7,
	TCP_EXTOPT_ST_ECHOED	= 8,
};

struct tcp_extopt_info {
	char	name[TCP_EXTOPT_NAME_MAX];
	__u32	exid;
	__u8	exid_len;
	__u8	kind;
	__u8	state;
	__u8	reserved;
	__u64	written;
	__u64	parsed;
	__u32	no_room;
	__u32	malformed;
};

#define TCP_EXTOPT_LIST_VERSION	1

struct tcp_extopt_list {
	__u16	version;
	__u16	entry_len;
	__u16	count;
	__u16	reserved;
	struct tcp_extopt_info	entry[];
};
#endif

#ifndef TCP_AO_ADD_KEY
#define TCP_AO_ADD_KEY		38

struct tcp_ao_add {
	struct sockaddr_storage addr;
	char	alg_name[64];
	__s32	ifindex;
	__u32	set_current	:1,
		set_rnext	:1,
		reserved	:30;
	__u16	reserved2;
	__u8	prefix;
	__u8	sndid;
	__u8	rcvid;
	__u8	maclen;
	__u8	keyflags;
	__u8	keylen;
	__u8	key[80];
} __attribute__((aligned(8)));
#endif

#define TCP_EXTOPT_MAX		8

/* enum tcp_extopt_segment of <net/tcp_extopt.h> */
#define EXTOPT_SYN		1
#define EXTOPT_SYNACK		2
#define EXTOPT_ACK		4
#define EXTOPT_DATA		8
#define EXTOPT_FIN		16

/* A list with room for all the options a socket can have. */
struct extopt_list {
	struct tcp_extopt_list	head;
	struct tcp_extopt_info	info[TCP_EXTOPT_MAX];
};

/* The first three return 0 or a negative errno. */
int extopt_select(int fd, const char *names);
int extopt_get(int fd, struct extopt_list *list);
int extopt_sysctl(const char *name, const char *value);	/* of net.ipv4 */

/* Names selected, in order, separated by blanks; valid until the next call of the
 * thread. "error" if there is one.
 */
const char *extopt_names(int fd);

/* A TcpExt or MPTcpExt counter of the thread's namespace, by its name without the
 * prefix; fails the test if there is none of that name.
 */
long extopt_netstat(const char *name);

/* A program of tc on a device of a namespace; fails the test if it cannot be. */
struct bpf_link *ns_attach_tcx(const struct bpf_program *prog, const char *ns,
			       const char *dev);

#endif
