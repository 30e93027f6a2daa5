// SPDX-License-Identifier: GPL-2.0

/* The extopt_* programs as an operator has them: each object alone, registered and
 * configured by bpftool and selected by sysctl, is seen to work, and goes away with its
 * pins.
 */

#include <sys/stat.h>
#include "test_progs.h"
#include "progs/extopt.h"
#include "progs/extopt_path.h"
#include "progs/extopt_uto.h"
#include "progs/extopt_cc.h"
#include "progs/extopt_iw.h"
#include "progs/extopt_delack.h"
#include "progs/extopt_toa.h"
#include "extopt_path.skel.h"
#include "extopt_uto.skel.h"
#include "extopt_cc.skel.h"
#include "extopt_iw.skel.h"
#include "extopt_delack.skel.h"
#include "extopt_toa.skel.h"
#include "extopt_net.h"

#ifndef TCP_DELACK_SEGS
#define TCP_DELACK_SEGS	48
#endif

#define PIN_DIR		"/sys/fs/bpf/extopt_bpftool"
#define TOA_SEND	"/sys/fs/bpf/toa_send"
#define TOA_RECEIVED	"/sys/fs/bpf/toa_received"
/* As in README.md: length, little-endian, and ::ffff:10.79.0.0/24 */
#define PREFIX		"key hex 78 00 00 00 " \
			"00 00 00 00 00 00 00 00 00 00 ff ff 0a 4f 00 00 value 1"
#define RENO		"hex 72 65 6e 6f 00 00 00 00 00 00 00 00 00 00 00 00"
#define CLIENT_PORT	1234

static struct extopt_net net;

static void check_uto(void)
{
	ASSERT_EQ(net_int(net.cfd, TCP_USER_TIMEOUT), 7000, "client");
	ASSERT_EQ(net_int(net.sfd, TCP_USER_TIMEOUT), 7000, "server");
}

static void check_cc(void)
{
	char cc[16] = {};
	socklen_t len = sizeof(cc);

	ASSERT_OK(getsockopt(net.sfd, SOL_TCP, TCP_CONGESTION, cc, &len), "get");
	ASSERT_STREQ(cc, "reno", "congestion control");
}

static void check_iw(void)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	ASSERT_OK(getsockopt(net.sfd, SOL_TCP, TCP_INFO, &info, &len), "TCP_INFO");
	ASSERT_EQ(info.tcpi_snd_cwnd, 5, "window");
}

static void check_delack(void)
{
	ASSERT_EQ(net_int(net.sfd, TCP_DELACK_SEGS), 7, "segments to an ACK");
}

/* Before the connection: what a proxy does */
static int tell_toa(void)
{
	const struct toa_client tell = {
		.addr = { { [10] = 0xff, 0xff, 9, 8, 7, 6 } },
		.port = htons(CLIENT_PORT),
		.family = AF_INET,
	};
	int fd = bpf_obj_get(TOA_SEND), err;

	if (!ASSERT_OK_FD(fd, TOA_SEND))
		return -1;
	err = bpf_map_update_elem(fd, &net.cfd, &tell, BPF_ANY);
	close(fd);
	return ASSERT_OK(err, "toa_send") ? 0 : -1;
}

static void check_toa(void)
{
	static const __u8 mapped[16] = { [10] = 0xff, 0xff, 9, 8, 7, 6 };
	struct toa_client client = {};
	int fd = bpf_obj_get(TOA_RECEIVED);

	if (!ASSERT_OK_FD(fd, TOA_RECEIVED))
		return;
	ASSERT_OK(bpf_map_lookup_elem(fd, &net.sfd, &client), "toa_received");
	close(fd);
	ASSERT_EQ(client.port, htons(CLIENT_PORT), "port");
	ASSERT_EQ(client.family, AF_INET, "family");
	ASSERT_OK(memcmp(&client.addr, mapped, sizeof(mapped)), "address");
}

static const struct tool {
	const char *name;
	const void *(*elf)(size_t *len);
	int nr;			/* of options in the object ... */
	const char *names;	/* ... their names ... */
	const char *option;	/* ... and the one to select */
	__u8 opt[20];		/* as it is sent */
	const char *config[2];	/* bpftool map update name ... */
	int (*prepare)(void);
	void (*check)(void);
} tools[] = {
	{ "uto", extopt_uto__elf_bytes, 1, "uto", "uto", { 28, 4, 0, 7 },
	  { ".data.uto key 0 0 0 0 value 7 0 0 0 1 0 0 0 16 14 0 0" },
	  NULL, check_uto },
	{ "cc", extopt_cc__elf_bytes, 1, "cc", "cc",
	  { 254, 8, 0xeb, 2, 'r', 'e', 'n', 'o' },
	  { ".data.cc key 0 0 0 0 value " RENO, "cc_allowed key " RENO " value 1" },
	  NULL, check_cc },
	{ "iw", extopt_iw__elf_bytes, 1, "iw", "iw", { 254, 6, 0xeb, 3, 0, 5 },
	  { ".data.iw key 0 0 0 0 value 5 0 0 0 100 0 0 0", "iw_trusted " PREFIX },
	  NULL, check_iw },
	{ "delack", extopt_delack__elf_bytes, 1, "delack", "delack",
	  { 254, 6, 0xeb, 4, 7, 0 },
	  { ".data.delack key 0 0 0 0 value 7 0 64" },
	  NULL, check_delack },
	{ "toa", extopt_toa__elf_bytes, 4, "toa4 toa6 toa254 toa200", "toa4",
	  { 254, 10, 0xeb, 5, CLIENT_PORT >> 8, CLIENT_PORT & 0xff, 9, 8, 7, 6 },
	  { "toa_trusted " PREFIX }, tell_toa, check_toa },
};

static int write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	if (!ASSERT_OK_FD(fd, path))
		return -1;
	n = write(fd, data, len);
	close(fd);
	return ASSERT_EQ(n, len, path) ? 0 : -1;
}

/* How many of the object's options the registry has; -1 on failure */
static int available(const struct tool *t)
{
	char buf[512] = {}, names[64], padded[32], *name, *rest;
	int fd = open("/proc/sys/net/ipv4/tcp_available_extopt", O_RDONLY);
	int n, found = 0;

	if (!ASSERT_OK_FD(fd, "tcp_available_extopt"))
		return -1;
	n = read(fd, buf + 1, sizeof(buf) - 3);
	close(fd);
	if (!ASSERT_GE(n, 0, "read"))
		return -1;
	/* " one two ... " */
	buf[0] = ' ';
	buf[strcspn(buf, "\n")] = ' ';
	strcpy(names, t->names);
	for (name = strtok_r(names, " ", &rest); name;
	     name = strtok_r(NULL, " ", &rest)) {
		snprintf(padded, sizeof(padded), " %s ", name);
		found += !!strstr(buf, padded);
	}
	return found;
}

/* One connection of sockets that have chosen nothing */
static void connection(const struct tool *t)
{
	struct path_way *way = net_way(&net, TO_SERVER);

	net_watch(&net, t->opt[0], t->opt[0] == 254 ? t->opt[2] << 8 | t->opt[3] : 0);
	net.lfd = net_listen(&net, NULL);
	net.cfd = net_socket(&net, false, NULL);
	if (net.lfd < 0 || net.cfd < 0 || (t->prepare && t->prepare()) ||
	    net_connect(&net, net.cfd))
		return;
	net.sfd = net_accept(net.lfd);
	if (net.sfd < 0)
		return;
	ASSERT_STREQ(extopt_names(net.cfd), t->option, "client's");
	ASSERT_STREQ(extopt_names(net.sfd), t->option, "server's");
	/* Each number that was configured is at its place. */
	ASSERT_GE(way->with_syn, 1, "SYN");
	ASSERT_OK(memcmp(way->opt, t->opt, t->opt[1]), "option");
	t->check();
	net_ping(&net);
}

/* The pins are the last references to the links, which go away a moment later. */
static void unregister(const struct tool *t)
{
	int i;

	SYS_NOFAIL("rm -rf " PIN_DIR " " TOA_SEND " " TOA_RECEIVED);
	for (i = 0; i < NET_TIMEOUT_MS && available(t) > 0; i++)
		usleep(1000);
	ASSERT_EQ(available(t), 0, "unregistered");
}

static void run(const struct tool *t)
{
	char file[] = "/tmp/extopt_bpftool.XXXXXX";
	const void *elf;
	size_t len;
	int fd, i;

	fd = mkstemp(file);
	if (!ASSERT_OK_FD(fd, "mkstemp"))
		return;
	close(fd);
	unregister(t);
	elf = t->elf(&len);
	if (write_file(file, elf, len))
		goto unlink;
	SYS(unregister, "bpftool struct_ops register %s %s >/dev/null", file, PIN_DIR);
	ASSERT_EQ(available(t), t->nr, "registered");
	for (i = 0; i < ARRAY_SIZE(t->config) && t->config[i]; i++)
		SYS(unregister, "bpftool map update name %s", t->config[i]);
	if (net_open(&net, AF_INET))
		goto unregister;
	if (!net_sysctl(NET_CLIENT, "tcp_extopt", t->option) &&
	    !net_sysctl(NET_SERVER, "tcp_extopt", t->option))
		connection(t);
	net_close(&net);
unregister:
	unregister(t);
unlink:
	unlink(file);
}

void serial_test_extopt_bpftool(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(tools); i++)
		if (test__start_subtest(tools[i].name))
			run(&tools[i]);
}
