// SPDX-License-Identifier: GPL-2.0

/* U2: a client asks for the congestion control of the server's end, and gets what is
 * on the server's list and in its kernel.
 */

#include <linux/inet_diag.h>
#include "test_progs.h"
#include "progs/extopt_path.h"
#include "progs/extopt_cc.h"
#include "extopt_path.skel.h"
#include "extopt_cc.skel.h"
#include "extopt_net.h"

#define KIND		254
#define EXID		0xeb02
#define DEFAULT_CC	"cubic"

static struct extopt_net net;
static struct extopt_cc *skel;

static void want(const char *name)
{
	struct cc_name *wanted = &skel->data_cc->cc_wanted;

	memset(wanted, 0, sizeof(*wanted));
	memcpy(wanted->s, name, strlen(name));
	memset(&skel->bss->cc_stats, 0, sizeof(skel->bss->cc_stats));
}

static int allow(const char *name)
{
	struct cc_name key = {};
	__u8 one = 1;

	strcpy(key.s, name);
	return bpf_map_update_elem(bpf_map__fd(skel->maps.cc_allowed), &key, &one,
				   BPF_ANY);
}

static void check_cc(int fd, const char *name)
{
	char cc[16] = {};
	socklen_t len = sizeof(cc);

	ASSERT_OK(getsockopt(fd, SOL_TCP, TCP_CONGESTION, cc, &len), "cc");
	ASSERT_STREQ(cc, name, "congestion control");
}

/* What the client asked for is on the wire, and what the server runs */
static int ask(const char *name, const char *get)
{
	struct path_way *way = net_way(&net, TO_SERVER);

	want(name);
	if (net_pair(&net, "cc", "cc") || net_ping(&net))
		return -1;
	ASSERT_EQ(way->with_syn, !!*name, "SYN");
	if (*name) {
		ASSERT_EQ(way->opt_len, 4 + strlen(name), "length");
		ASSERT_OK(memcmp(way->opt + 4, name, strlen(name)), "name");
	}
	ASSERT_EQ(way->with_data + way->with_ack, 0, "later");
	/* Understood, if there was something */
	ASSERT_EQ(net_way(&net, TO_CLIENT)->with_syn, !!*name, "SYN-ACK");
	if (*name)
		ASSERT_EQ(net_way(&net, TO_CLIENT)->opt_len, 4, "no value");
	check_cc(net.sfd, get);
	check_cc(net.cfd, DEFAULT_CC);
	return 0;
}

static void test_granted(void)
{
	static const char * const names[] = { "reno", "bbr" };
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		union tcp_cc_info cc = {};
		socklen_t len = sizeof(cc);

		if (ask(names[i], names[i]))
			return;
		ASSERT_EQ(skel->bss->cc_stats.applied, 1, "applied");
		if (!strcmp(names[i], "bbr")) {
			/* It is at work: it has measured a bandwidth. */
			if (net_send(net.sfd, net.cfd, 200000))
				return;
			ASSERT_OK(getsockopt(net.sfd, SOL_TCP, TCP_CC_INFO, &cc,
					     &len), "TCP_CC_INFO");
			ASSERT_EQ(len, sizeof(cc.bbr), "bbr's");
			ASSERT_GT(cc.bbr.bbr_bw_lo, 0, "bandwidth");
		}
	}
}

static void test_not_granted(void)
{
	if (ask("", DEFAULT_CC))
		return;
	ASSERT_EQ(skel->bss->cc_stats.applied, 0, "nothing asked for");

	/* Not on the list, though there is one */
	if (bpf_map_delete_elem(bpf_map__fd(skel->maps.cc_allowed),
				&(struct cc_name){ "reno" }) ||
	    ask("reno", DEFAULT_CC))
		return;
	ASSERT_EQ(skel->bss->cc_stats.refused, 1, "refused");
	ASSERT_OK(allow("reno"), "allow");
	/* The whole name counts, and the case */
	if (ask("ren", DEFAULT_CC) || ask("Reno", DEFAULT_CC) ||
	    ask("renoo", DEFAULT_CC))
		return;
	ASSERT_EQ(skel->bss->cc_stats.refused, 1, "refused");

	/* On the list, and there is none; as long as can be */
	if (ask("nonesuch", DEFAULT_CC))
		return;
	ASSERT_EQ(skel->bss->cc_stats.unknown, 1, "unknown");
	if (ask("twelve-chars", DEFAULT_CC))
		return;
	ASSERT_EQ(skel->bss->cc_stats.unknown, 1, "unknown");
	ASSERT_EQ(skel->bss->cc_stats.ignored, 0, "ignored");

	/* Longer, and nothing is asked for: what has room is another name. */
	want("thirteen-char");
	if (net_pair(&net, "cc", "cc") || net_ping(&net))
		return;
	ASSERT_EQ(net_way(&net, TO_SERVER)->with_syn, 0, "SYN");
}

void serial_test_extopt_cc(void)
{
	static const char * const allowed[] = {
		"reno", "bbr", "nonesuch", "twelve-chars",
	};
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "granted", test_granted },
		{ "not_granted", test_not_granted },
	};
	char name[32];
	int i, v6;

	skel = extopt_cc__open_and_load();
	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK(extopt_cc__attach(skel), "register"))
		goto destroy;
	for (i = 0; i < ARRAY_SIZE(allowed); i++)
		if (!ASSERT_OK(allow(allowed[i]), "allow"))
			goto destroy;
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		for (v6 = 0; v6 < 2; v6++) {
			snprintf(name, sizeof(name), "%s_v%d", tests[i].name,
				 v6 ? 6 : 4);
			if (!test__start_subtest(name) ||
			    net_open(&net, v6 ? AF_INET6 : AF_INET))
				continue;
			net_watch(&net, KIND, EXID);
			tests[i].test();
			net_close(&net);
		}
	}
destroy:
	extopt_cc__destroy(skel);
}
