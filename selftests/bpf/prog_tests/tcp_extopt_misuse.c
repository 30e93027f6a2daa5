// SPDX-License-Identifier: GPL-2.0
/* What is refused, with which error, and that nothing changes by it: at
 * registration, at an update, in selecting, and from callbacks.
 */
#include <sched.h>
#include <sys/capability.h>
#include <sys/wait.h>
#include <bpf/btf.h>
#include "test_progs.h"
#include "cap_helpers.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"
#include "tcp_extopt_limit.skel.h"
#include "tcp_extopt_misuse.skel.h"

#define NS_NAME		"tcp_extopt_misuse"
#define SYSCTL		"/proc/sys/net/ipv4/tcp_extopt"
#define AVAILABLE	"/proc/sys/net/ipv4/tcp_available_extopt"
#define NR_LIMIT	128		/* TCP_EXTOPT_SLOTS_MAX */

/* A declaration: as in struct tcp_extopt_ops. */
struct decl {
	const char *what;
	const char *name;
	__u32 kind, exid, exid_len, max_len, segments, flags;
	bool no_write, no_parse, synack, negotiated;
	int err;
	const char *msg;	/* in the kernel log */
};

struct option {
	struct tcp_extopt_misuse *skel;
	struct bpf_link *link;
};

static void opt_free(struct option *opt)
{
	bpf_link__destroy(opt->link);
	tcp_extopt_misuse__destroy(opt->skel);
	memset(opt, 0, sizeof(*opt));
}

/* Arrays are not in the skeleton's shadow type. */
static char *opt_name(struct tcp_extopt_misuse *skel)
{
	const struct btf *btf = bpf_object__btf(skel->obj);
	const struct btf_type *t;
	int i, id;

	id = btf__find_by_name_kind(btf, "tcp_extopt_ops", BTF_KIND_STRUCT);
	if (id < 0)
		return NULL;
	t = btf__type_by_id(btf, id);
	for (i = 0; i < btf_vlen(t); i++) {
		if (!strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off),
			    "name"))
			return (char *)skel->struct_ops.opt +
			       btf_member_bit_offset(t, i) / 8;
	}
	return NULL;
}

static int opt_load(struct option *opt, const struct decl *d)
{
	struct tcp_extopt_misuse *skel;
	char *name;

	memset(opt, 0, sizeof(*opt));
	skel = tcp_extopt_misuse__open();
	if (!ASSERT_OK_PTR(skel, "open"))
		return -1;
	opt->skel = skel;

	name = opt_name(skel);
	if (!ASSERT_OK_PTR(name, "name"))
		return -1;
	memset(name, 0, TCP_EXTOPT_NAME_MAX);
	memcpy(name, d->name, strlen(d->name));
	skel->struct_ops.opt->kind = d->kind;
	skel->struct_ops.opt->exid = d->exid;
	skel->struct_ops.opt->exid_len = d->exid_len;
	skel->struct_ops.opt->max_len = d->max_len;
	skel->struct_ops.opt->segments = d->segments;
	skel->struct_ops.opt->flags = d->flags;
	if (d->no_write)
		skel->struct_ops.opt->write = NULL;
	if (d->no_parse)
		skel->struct_ops.opt->parse = NULL;
	if (!d->synack)
		skel->struct_ops.opt->write_synack = NULL;
	if (!d->negotiated)
		skel->struct_ops.opt->negotiated = NULL;
	if (d->no_write && d->no_parse)
		skel->struct_ops.without_link->parse = NULL;

	if (!ASSERT_OK(tcp_extopt_misuse__load(skel), "load")) {
		opt_free(opt);
		return -1;
	}
	return 0;
}

/* Returns the error of the registration. */
static int opt_register(struct option *opt, const struct decl *d)
{
	if (opt_load(opt, d))
		return 1;
	opt->link = bpf_map__attach_struct_ops(opt->skel->maps.opt);
	return opt->link ? 0 : -errno;
}

static bool available(const char *name)
{
	char buf[4096] = " ";
	char want[32];
	int fd, n;

	fd = open(AVAILABLE, O_RDONLY);
	if (!ASSERT_OK_FD(fd, "open"))
		return false;
	n = read(fd, buf + 1, sizeof(buf) - 3);
	close(fd);
	if (!ASSERT_GE(n, 1, "read"))
		return false;
	buf[n] = ' ';		/* for the newline */
	buf[n + 1] = 0;
	snprintf(want, sizeof(want), " %s ", name);
	return strstr(buf, want);
}

static int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

static bool kmsg_has(int fd, const char *msg)
{
	bool found = false;
	char buf[8192];
	int n;

	while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) {
		buf[n] = 0;
		found |= !!strstr(buf, msg);
	}
	return found;
}

#define OK .name = "misuse", .max_len = 4, .segments = EXTOPT_DATA

/* enum tcp_extopt_flags */
#define F_NEGOTIATE	2
#define F_NO_ECHO	4
#define F_ONCE		8

static const struct decl refused[] = {
	{ "EOL", OK, .kind = 0, .err = -EINVAL, .msg = "kind 0 is the kernel" },
	{ "NOP", OK, .kind = 1, .err = -EINVAL, .msg = "kind 1 is the kernel" },
	{ "MSS", OK, .kind = 2, .err = -EINVAL, .msg = "kind 2 is the kernel" },
	{ "WS", OK, .kind = 3, .err = -EINVAL, .msg = "kind 3 is the kernel" },
	{ "SACKOK", OK, .kind = 4, .err = -EINVAL, .msg = "kind 4 is the" },
	{ "SACK", OK, .kind = 5, .err = -EINVAL, .msg = "kind 5 is the kernel" },
	{ "TS", OK, .kind = 8, .err = -EINVAL, .msg = "kind 8 is the kernel" },
	{ "MD5", OK, .kind = 19, .err = -EINVAL, .msg = "kind 19 is the" },
	{ "AO", OK, .kind = 29, .err = -EINVAL, .msg = "kind 29 is the" },
	{ "MPTCP", OK, .kind = 30, .err = -EINVAL, .msg = "kind 30 is the" },
	{ "TFO", OK, .kind = 34, .err = -EINVAL, .msg = "kind 34 is the" },
	{ "ACCECN0", OK, .kind = 172, .err = -EINVAL, .msg = "kind 172 is" },
	{ "ACCECN1", OK, .kind = 174, .err = -EINVAL, .msg = "kind 174 is" },
	{ "ExID of TFO", OK, .kind = 254, .exid = 0xf989, .exid_len = 2,
	  .err = -EINVAL, .msg = "ExID 0xf989 is the kernel" },
	{ "ExID of TFO, 253", OK, .kind = 253, .exid = 0xf989, .exid_len = 2,
	  .err = -EINVAL, .msg = "ExID 0xf989 is the kernel" },
	{ "ExID starts with TFO's", OK, .kind = 254, .exid = 0xf9890001,
	  .exid_len = 4, .err = -EINVAL, .msg = "ExID 0xf9890001 is the" },
	{ "ExID of SMC", OK, .kind = 254, .exid = 0xe2d4c3d9, .exid_len = 4,
	  .err = -EINVAL, .msg = "ExID 0xe2d4c3d9 is the kernel" },
	{ "ExID that starts SMC's", OK, .kind = 254, .exid = 0xe2d4,
	  .exid_len = 2, .err = -EINVAL, .msg = "ExID 0xe2d4 is the kernel" },
	{ "254 written without ExID", OK, .kind = 254, .err = -EINVAL,
	  .msg = "without an ExID can be parsed only" },
	{ "253 written without ExID", OK, .kind = 253, .err = -EINVAL,
	  .msg = "without an ExID can be parsed only" },
	{ "ExID on a plain kind", OK, .kind = 66, .exid = 1, .exid_len = 2,
	  .err = -EINVAL, .msg = "kind 66 has no ExID" },
	{ "ExID without length", OK, .kind = 254, .exid = 1, .err = -EINVAL,
	  .msg = "does not fit 0 bytes" },
	{ "ExID of a byte", OK, .kind = 254, .exid = 1, .exid_len = 1,
	  .err = -EINVAL, .msg = "2 or 4 bytes, not 1" },
	{ "ExID of three bytes", OK, .kind = 254, .exid = 1, .exid_len = 3,
	  .err = -EINVAL, .msg = "2 or 4 bytes, not 3" },
	{ "ExID of five bytes", OK, .kind = 254, .exid = 1, .exid_len = 5,
	  .err = -EINVAL, .msg = "2 or 4 bytes, not 5" },
	{ "ExID too large", OK, .kind = 254, .exid = 0x10000, .exid_len = 2,
	  .err = -EINVAL, .msg = "ExID 0x10000 does not fit 2 bytes" },
	{ "max_len", .name = "misuse", .kind = 66, .max_len = 39,
	  .segments = EXTOPT_DATA, .err = -EINVAL, .msg = "at most 38 does" },
	{ "max_len, ExID 16", .name = "misuse", .kind = 254, .exid = 1,
	  .exid_len = 2, .max_len = 37, .segments = EXTOPT_DATA,
	  .err = -EINVAL, .msg = "at most 36 does" },
	{ "max_len, ExID 32", .name = "misuse", .kind = 254, .exid = 1,
	  .exid_len = 4, .max_len = 35, .segments = EXTOPT_DATA,
	  .err = -EINVAL, .msg = "at most 34 does" },
	{ "max_len 255", .name = "misuse", .kind = 66, .max_len = 255,
	  .segments = EXTOPT_DATA, .err = -EINVAL, .msg = "at most 38 does" },
	{ "no segments", .name = "misuse", .kind = 66, .max_len = 4,
	  .err = -EINVAL, .msg = "both write and the segments" },
	{ "segments without write", OK, .kind = 66, .no_write = true,
	  .err = -EINVAL, .msg = "both write and the segments" },
	{ "SYN without write", .name = "misuse", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_SYN, .no_write = true, .err = -EINVAL,
	  .msg = "both write and the segments" },
	{ "write for SYN-ACK", .name = "misuse", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_SYNACK, .synack = true, .err = -EINVAL,
	  .msg = "both write and the segments" },
	{ "SYN-ACK without write_synack", .name = "misuse", .kind = 66,
	  .max_len = 4, .segments = EXTOPT_SYNACK, .no_write = true,
	  .err = -EINVAL, .msg = "both write_synack and SYNACK" },
	{ "write_synack without SYN-ACK", OK, .kind = 66, .synack = true,
	  .err = -EINVAL, .msg = "both write_synack and SYNACK" },
	{ "254 on SYN-ACK", .name = "misuse", .kind = 254, .max_len = 4,
	  .segments = EXTOPT_SYNACK, .no_write = true, .synack = true,
	  .err = -EINVAL, .msg = "can be parsed only" },
	{ "negotiate by data", OK, .kind = 66, .flags = F_NEGOTIATE,
	  .err = -EINVAL, .msg = "without SYN or SYNACK" },
	{ "negotiated without flag", OK, .kind = 66, .negotiated = true,
	  .err = -EINVAL, .msg = "is not negotiated" },
	{ "NO_ECHO without NEGOTIATE", OK, .kind = 66, .flags = F_NO_ECHO,
	  .err = -EINVAL, .msg = "is not negotiated" },
	{ "once without ACK", OK, .kind = 66, .flags = F_ONCE, .err = -EINVAL,
	  .msg = "needs ACK in segments" },
	{ "unknown segments", .name = "misuse", .kind = 66, .max_len = 4,
	  .segments = 0x88, .err = -EINVAL, .msg = "0x80 are not supported" },
	{ "unknown flags", OK, .kind = 66, .flags = 0x11, .err = -EINVAL,
	  .msg = "unknown flags 0x10" },
	{ "no callback", .name = "misuse", .kind = 66, .max_len = 4,
	  .no_write = true, .no_parse = true, .err = -EINVAL,
	  .msg = "does not implement required ops" },
	{ "no name", .name = "", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_DATA, .err = -EINVAL,
	  .msg = "option of kind 66 has no valid name" },
	{ "blank in the name", .name = "mis use", .kind = 67, .max_len = 4,
	  .segments = EXTOPT_DATA, .err = -EINVAL,
	  .msg = "option of kind 67 has no valid name" },
	{ "tab in the name", .name = "mis\tuse", .kind = 68, .max_len = 4,
	  .segments = EXTOPT_DATA, .err = -EINVAL,
	  .msg = "option of kind 68 has no valid name" },
	{ "umlaut in the name", .name = "mis\xfcse", .kind = 69,
	  .max_len = 4, .segments = EXTOPT_DATA, .err = -EINVAL,
	  .msg = "option of kind 69 has no valid name" },
	{ "name not ended", .name = "sixteen_letters_", .kind = 70,
	  .max_len = 4, .segments = EXTOPT_DATA, .err = -EINVAL,
	  .msg = "option of kind 70 has no valid name" },
};

static const struct decl accepted[] = {
	{ "plain", OK, .kind = 66 },
	{ "UTO", OK, .kind = 28 },
	{ "ExID 16", OK, .kind = 254, .exid = 0xffff, .exid_len = 2 },
	{ "ExID 32", OK, .kind = 253, .exid = 0xffffffff, .exid_len = 4 },
	{ "ExID 0", OK, .kind = 253, .exid = 0, .exid_len = 2 },
	{ "max_len 38", .name = "misuse", .kind = 66, .max_len = 38,
	  .segments = EXTOPT_DATA },
	{ "max_len 36", .name = "misuse", .kind = 254, .exid = 1,
	  .exid_len = 2, .max_len = 36, .segments = EXTOPT_DATA },
	{ "max_len 34", .name = "misuse", .kind = 254, .exid = 1,
	  .exid_len = 4, .max_len = 34, .segments = EXTOPT_DATA },
	{ "254 parsed only", .name = "misuse", .kind = 254, .max_len = 38,
	  .no_write = true },
	{ "written only", OK, .kind = 66, .no_parse = true },
	{ "unprivileged", OK, .kind = 66, .flags = 1 },
	{ "SYN-ACK only", .name = "misuse", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_SYNACK, .no_write = true, .no_parse = true,
	  .synack = true },
	{ "negotiated", .name = "misuse", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_SYN | EXTOPT_SYNACK | EXTOPT_ACK, .synack = true,
	  .negotiated = true, .flags = F_NEGOTIATE | F_NO_ECHO | F_ONCE },
	{ "fifteen letters", .name = "fifteen_letters", .kind = 66,
	  .max_len = 4, .segments = EXTOPT_DATA },
	{ "hyphen in the name", .name = "my-opt", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_DATA },
	{ "odd name", .name = "!\"%~,/:", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_DATA },
};

static void test_register(void)
{
	struct option opt;
	int i, err, kmsg;

	kmsg = kmsg_open();
	if (!ASSERT_OK_FD(kmsg, "kmsg"))
		return;
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		kmsg_has(kmsg, "");
		err = opt_register(&opt, &refused[i]);
		ASSERT_EQ(err, refused[i].err, refused[i].what);
		if (refused[i].msg)
			ASSERT_TRUE(kmsg_has(kmsg, refused[i].msg),
				    refused[i].msg);
		ASSERT_FALSE(available("misuse"), refused[i].what);
		opt_free(&opt);
	}
	close(kmsg);

	for (i = 0; i < ARRAY_SIZE(accepted); i++) {
		err = opt_register(&opt, &accepted[i]);
		ASSERT_OK(err, accepted[i].what);
		ASSERT_TRUE(available(accepted[i].name), accepted[i].what);
		opt_free(&opt);
		ASSERT_FALSE(available(accepted[i].name), accepted[i].what);
	}
}

static const struct decl plain = { "plain", OK, .kind = 66 };

/* Names are unique, whatever else is declared. */
static void test_duplicate(void)
{
	static const struct decl other = { "other", OK, .kind = 67 };
	struct option a, b;
	int kmsg;

	kmsg = kmsg_open();
	if (!ASSERT_OK(opt_register(&a, &plain), "first"))
		return;
	ASSERT_EQ(opt_register(&b, &other), -EEXIST, "second");
	ASSERT_TRUE(kmsg_has(kmsg, "misuse already registered"), "message");
	opt_free(&b);
	opt_free(&a);
	ASSERT_OK(opt_register(&a, &other), "now it is free");
	opt_free(&a);
	close(kmsg);
}

/* Registered by updating the map, taken away by deleting from it. */
static void test_without_link(void)
{
	struct bpf_link *link;
	struct option opt;
	__u32 zero = 0;

	if (opt_load(&opt, &plain))
		return;
	link = bpf_map__attach_struct_ops(opt.skel->maps.without_link);
	if (!ASSERT_OK_PTR(link, "attach"))
		goto out;
	ASSERT_TRUE(available("without_link"), "registered");
	ASSERT_OK(bpf_map_delete_elem(bpf_map__fd(opt.skel->maps.without_link),
				      &zero), "delete");
	ASSERT_FALSE(available("without_link"), "unregistered");
	bpf_link__disconnect(link);
	bpf_link__destroy(link);
out:
	opt_free(&opt);
}

static const struct decl updates[] = {
	{ "name", .name = "misuse2", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_DATA },
	{ "kind", OK, .kind = 67 },
	{ "ExID length", OK, .kind = 254, .exid = 1, .exid_len = 4 },
	{ "max_len", .name = "misuse", .kind = 66, .max_len = 5,
	  .segments = EXTOPT_DATA },
	{ "segments", .name = "misuse", .kind = 66, .max_len = 4,
	  .segments = EXTOPT_DATA | EXTOPT_ACK },
	{ "write", .name = "misuse", .kind = 66, .max_len = 4,
	  .no_write = true },
	{ "flags", OK, .kind = 66, .flags = 1 },
};

static void test_update(void)
{
	static const struct decl exid1 = { "1", OK, .kind = 254, .exid = 1,
					   .exid_len = 2 };
	static const struct decl exid2 = { "2", OK, .kind = 254, .exid = 2,
					   .exid_len = 2 };
	struct option old, new;
	int i, err, kmsg;

	kmsg = kmsg_open();
	if (!ASSERT_OK(opt_register(&old, &plain), "register"))
		return;
	for (i = 0; i < ARRAY_SIZE(updates); i++) {
		if (opt_load(&new, &updates[i]))
			break;
		err = bpf_link__update_map(old.link, new.skel->maps.opt);
		ASSERT_EQ(err, -EINVAL, updates[i].what);
		ASSERT_TRUE(kmsg_has(kmsg, "nothing but the callbacks"),
			    updates[i].what);
		ASSERT_TRUE(available("misuse"), "the old one stays");
		opt_free(&new);
	}
	/* The same again is no change. */
	if (!opt_load(&new, &plain)) {
		ASSERT_OK(bpf_link__update_map(old.link, new.skel->maps.opt),
			  "same");
		opt_free(&new);
	}
	opt_free(&old);

	if (!ASSERT_OK(opt_register(&old, &exid1), "register"))
		goto out;
	if (!opt_load(&new, &exid2)) {
		ASSERT_EQ(bpf_link__update_map(old.link, new.skel->maps.opt),
			  -EINVAL, "exid");
		opt_free(&new);
	}
	opt_free(&old);
out:
	close(kmsg);
}

/* Of one socket: a (66), b (66 too), c and d (254, ExIDs that overlap), e (253
 * with c's ExID), f (254 parsed only), u (unprivileged), and more.
 */
static const struct decl decls[] = {
	{ "a", .name = "a", .kind = 66, .max_len = 1, .segments = EXTOPT_DATA },
	{ "b", .name = "b", .kind = 66, .max_len = 1, .segments = EXTOPT_DATA },
	{ "c", .name = "c", .kind = 254, .exid = 0x1234, .exid_len = 2,
	  .segments = EXTOPT_DATA },
	{ "d", .name = "d", .kind = 254, .exid = 0x12345678, .exid_len = 4,
	  .segments = EXTOPT_DATA },
	{ "e", .name = "e", .kind = 253, .exid = 0x1234, .exid_len = 2,
	  .segments = EXTOPT_DATA },
	{ "f", .name = "f", .kind = 254, .max_len = 38, .no_write = true },
	{ "u", .name = "u", .kind = 67, .segments = EXTOPT_DATA, .flags = 1 },
	{ "g", .name = "g", .kind = 68, .segments = EXTOPT_DATA },
	{ "h", .name = "h", .kind = 69, .segments = EXTOPT_DATA },
	{ "i", .name = "i", .kind = 70, .segments = EXTOPT_DATA },
	{ "j", .name = "j", .kind = 71, .segments = EXTOPT_DATA },
};

static struct option opts[ARRAY_SIZE(decls)];

static int opts_register(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(decls); i++) {
		if (!ASSERT_OK(opt_register(&opts[i], &decls[i]),
			       decls[i].what))
			return -1;
	}
	return 0;
}

static void opts_free(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(decls); i++)
		opt_free(&opts[i]);
}

static const struct {
	const char *names;
	int err;
} selections[] = {
	{ "nosuch", -ENOENT },
	{ "a nosuch", -ENOENT },
	{ "A", -ENOENT },
	{ "a a", -EEXIST },
	{ "a b", -EEXIST },
	{ "c d", -EEXIST },
	{ "d c", -EEXIST },
	{ "a c e f u g h i j", -E2BIG },
	{ "a,c", -ENOENT },
};

static void test_select(int family)
{
	char longer[256];
	int fd, i;

	fd = socket(family, SOCK_STREAM, 0);
	if (!ASSERT_OK_FD(fd, "socket"))
		return;
	ASSERT_STREQ(extopt_names(fd), "", "none at first");
	ASSERT_OK(extopt_select(fd, "u  g\t\nh "), "blanks");
	ASSERT_STREQ(extopt_names(fd), "u g h", "order");

	for (i = 0; i < ARRAY_SIZE(selections); i++) {
		ASSERT_EQ(extopt_select(fd, selections[i].names),
			  selections[i].err, selections[i].names);
		ASSERT_STREQ(extopt_names(fd), "u g h", "as before");
	}
	memset(longer, ' ', sizeof(longer));
	longer[0] = 'a';
	ASSERT_EQ(setsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, longer,
			     sizeof(longer)) ? errno : 0, EINVAL, "too long");
	ASSERT_EQ(setsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, (void *)8, 4) ?
		  errno : 0, EFAULT, "bad pointer");
	ASSERT_STREQ(extopt_names(fd), "u g h", "as before");

	/* The same ExID on the other kind, and the rest of the kind. */
	ASSERT_OK(extopt_select(fd, "c e f"), "no conflict");
	ASSERT_STREQ(extopt_names(fd), "c e f", "selected");
	ASSERT_OK(extopt_select(fd, "a c e f u g h i"), "eight");
	ASSERT_OK(extopt_select(fd, ""), "none");
	ASSERT_STREQ(extopt_names(fd), "", "none");
	ASSERT_OK(extopt_select(fd, "a"), "one");
	ASSERT_OK(setsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, NULL, 0), "length 0");
	ASSERT_STREQ(extopt_names(fd), "", "none");
	close(fd);

	fd = socket(family, SOCK_DGRAM, 0);
	ASSERT_LT(extopt_select(fd, "a"), 0, "UDP");
	close(fd);
}

/* Room for less than all that there is to tell. */
static void test_getsockopt(void)
{
	struct extopt_list list;
	socklen_t len;
	int fd, i;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (!ASSERT_OK_FD(fd, "socket") ||
	    !ASSERT_OK(extopt_select(fd, "a c u"), "select"))
		return;

	for (i = 0; i < (int)sizeof(list); i++) {
		memset(&list, 0xff, sizeof(list));
		len = i;
		if (i < (int)sizeof(list.head)) {
			ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_EXTOPT,
					     &list, &len) ? errno : 0, EINVAL,
				  "no room for the head");
			continue;
		}
		if (!ASSERT_OK(getsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, &list,
					  &len), "getsockopt"))
			break;
		ASSERT_EQ(list.head.count, 3, "count tells all");
		ASSERT_EQ((len - sizeof(list.head)) % sizeof(list.info[0]), 0,
			  "whole entries");
		ASSERT_LE((int)len, i, "no more than there is room");
		ASSERT_GT(len + sizeof(list.info[0]), i <
			  (int)sizeof(list.head) + 3 * 48 ? i : len,
			  "as many as fit");
		if (len < sizeof(list))
			ASSERT_EQ(((unsigned char *)&list)[len], 0xff,
				  "nothing beyond");
	}
	ASSERT_EQ(len, sizeof(list.head) + 3 * sizeof(list.info[0]), "all");
	ASSERT_EQ(list.info[0].reserved | list.head.reserved, 0, "reserved");
	close(fd);
}

/* Without CAP_NET_ADMIN. */
static void test_privilege(void)
{
	int fd, other;
	__u64 old;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	other = socket(AF_INET, SOCK_STREAM, 0);
	if (!ASSERT_OK_FD(fd, "socket") || !ASSERT_OK_FD(other, "socket") ||
	    !ASSERT_OK(extopt_select(fd, "a g"), "privileged") ||
	    !ASSERT_OK(cap_disable_effective(1ULL << CAP_NET_ADMIN, &old),
		       "drop"))
		return;

	ASSERT_EQ(extopt_select(other, "a"), -EPERM, "another's");
	ASSERT_EQ(extopt_select(other, "u a"), -EPERM, "in part");
	ASSERT_STREQ(extopt_names(other), "", "nothing selected");
	ASSERT_OK(extopt_select(other, "u"), "unprivileged option");
	ASSERT_OK(extopt_select(fd, "u g a"), "keeps, and adds what it may");
	ASSERT_STREQ(extopt_names(fd), "u g a", "selected");
	ASSERT_OK(extopt_select(fd, "g"), "may remove");
	ASSERT_EQ(extopt_select(fd, "g a"), -EPERM, "but not add again");
	ASSERT_STREQ(extopt_names(fd), "g", "as before");

	ASSERT_OK(cap_enable_effective(old, NULL), "back");
	close(other);
	close(fd);
}

static void sysctl_expect(const char *value)
{
	char buf[256];
	int fd, n;

	fd = open(SYSCTL, O_RDONLY);
	if (!ASSERT_OK_FD(fd, SYSCTL))
		return;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (!ASSERT_GE(n, 0, "read"))
		return;
	buf[n] = 0;
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	ASSERT_STREQ(buf, value, "sysctl");
}

static void test_sysctl(void)
{
	struct netns_obj *ns;
	char longer[512];
	__u64 old;
	int fd, i;

	ns = netns_new("extopt_sysctl", true);
	if (!ASSERT_OK_PTR(ns, "netns_new"))
		return;
	sysctl_expect("");
	ASSERT_OK(extopt_sysctl("tcp_extopt", "u g\n"), "write");
	sysctl_expect("u g");
	for (i = 0; i < ARRAY_SIZE(selections); i++) {
		ASSERT_EQ(extopt_sysctl("tcp_extopt", selections[i].names),
			  selections[i].err, selections[i].names);
		sysctl_expect("u g");
	}
	memset(longer, ' ', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	longer[0] = 'a';
	ASSERT_EQ(extopt_sysctl("tcp_extopt", longer), -EINVAL, "too long");
	sysctl_expect("u g");
	/* "g" with something behind it, just where it would be cut */
	for (i = 120; i < 140; i++) {
		memset(longer, ' ', i);
		strcpy(longer + i, "gx");
		ASSERT_LT(extopt_sysctl("tcp_extopt", longer), 0, "not cut");
		sysctl_expect("u g");
	}
	fd = open(SYSCTL, O_WRONLY);
	if (ASSERT_OK_FD(fd, SYSCTL)) {
		ASSERT_EQ(write(fd, "u g", 3), 3, "write");
		memset(longer, ' ', 125);
		ASSERT_EQ(write(fd, longer, 125), 125, "and more");
		ASSERT_LT(write(fd, "u", 1), 0, "too long in pieces");
		close(fd);
	}
	ASSERT_OK(extopt_sysctl("tcp_extopt", "u g"), "write");
	sysctl_expect("u g");

	fd = socket(AF_INET6, SOCK_STREAM, 0);
	ASSERT_STREQ(extopt_names(fd), "u g", "a new socket's");
	/* What the namespace selects, its sockets may select too. */
	if (ASSERT_OK(cap_disable_effective(1ULL << CAP_NET_ADMIN, &old),
		      "drop")) {
		ASSERT_OK(extopt_select(fd, ""), "remove");
		ASSERT_OK(extopt_select(fd, "g"), "select");
		ASSERT_EQ(extopt_select(fd, "a"), -EPERM, "another");
		ASSERT_OK(cap_enable_effective(old, NULL), "back");
	}
	close(fd);

	ASSERT_OK(extopt_sysctl("tcp_extopt", "\n"), "empty");
	sysctl_expect("");
	fd = open(AVAILABLE, O_WRONLY);
	if (fd >= 0) {
		ASSERT_LT(write(fd, "a", 1), 0, "read-only");
		close(fd);
	}
	netns_free(ns);
}

/* In a user namespace of its own: 0, an errno, or 255 without one. */
static int sysctl_in_userns(const char *names)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNET) ? 255 :
		      -extopt_sysctl("tcp_extopt", names));
	if (!ASSERT_GT(pid, 0, "fork") ||
	    !ASSERT_EQ(waitpid(pid, &status, 0), pid, "waitpid") ||
	    !ASSERT_TRUE(WIFEXITED(status), "exited"))
		return 255;
	return WEXITSTATUS(status);
}

/* Who may write to the file still has to have CAP_NET_ADMIN where the namespace
 * belongs to, but for options that anybody may select.
 */
static void test_sysctl_privilege(void)
{
	struct netns_obj *ns;
	__u64 old;
	int err;

	ns = netns_new("extopt_sysctl", true);
	if (!ASSERT_OK_PTR(ns, "netns_new"))
		return;
	if (!ASSERT_OK(cap_disable_effective(1ULL << CAP_NET_ADMIN, &old),
		       "drop"))
		goto out;
	ASSERT_EQ(extopt_sysctl("tcp_extopt", "g"), -EPERM, "privileged");
	ASSERT_EQ(extopt_sysctl("tcp_extopt", "u g"), -EPERM, "in part");
	sysctl_expect("");
	ASSERT_OK(extopt_sysctl("tcp_extopt", "u"), "unprivileged");
	sysctl_expect("u");
	ASSERT_EQ(extopt_sysctl("tcp_extopt", "u g"), -EPERM, "to add one");
	sysctl_expect("u");
	ASSERT_OK(extopt_sysctl("tcp_extopt", " "), "none");
	sysctl_expect("");

	/* There is a capability there, whatever there is here. */
	err = sysctl_in_userns("u g");
	if (err == 255)
		printf("no user namespace\n");
	else
		ASSERT_OK(err, "own user namespace");
	sysctl_expect("");
	ASSERT_OK(cap_enable_effective(old, NULL), "back");
	ASSERT_OK(extopt_sysctl("tcp_extopt", "u g"), "with CAP_NET_ADMIN");
	sysctl_expect("u g");
out:
	netns_free(ns);
}

/* So many can be registered, and all of them are listed. */
static void test_limit(void)
{
	struct bpf_link *links[NR_LIMIT] = {}, *link;
	struct bpf_map *map, *last = NULL;
	struct tcp_extopt_limit *skel;
	int i = 0, kmsg;

	kmsg = kmsg_open();
	skel = tcp_extopt_limit__open_and_load();
	if (!ASSERT_OK_FD(kmsg, "kmsg") || !ASSERT_OK_PTR(skel, "load"))
		goto out;
	bpf_object__for_each_map(map, skel->obj) {
		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		if (i == NR_LIMIT) {
			last = map;
			break;
		}
		links[i] = bpf_map__attach_struct_ops(map);
		if (!ASSERT_OK_PTR(links[i], bpf_map__name(map)))
			goto out;
		i++;
	}
	if (!ASSERT_OK_PTR(last, "maps"))
		goto out;
	ASSERT_TRUE(available("limit_of_nam000"), "the first");
	ASSERT_TRUE(available("limit_of_nam177"), "the last");
	kmsg_has(kmsg, "");
	link = bpf_map__attach_struct_ops(last);
	if (!ASSERT_ERR_PTR(link, "one more"))
		bpf_link__destroy(link);
	else
		ASSERT_EQ(errno, ENOSPC, "one more");
	ASSERT_TRUE(kmsg_has(kmsg, "128 options are registered, no more can"),
		    "message");
	ASSERT_FALSE(available("limit_of_nam200"), "one more");

	i = NR_LIMIT / 2;
	bpf_link__destroy(links[i]);
	links[i] = bpf_map__attach_struct_ops(last);
	ASSERT_OK_PTR(links[i], "in place of another");
	ASSERT_TRUE(available("limit_of_nam200"), "in place of another");
	ASSERT_FALSE(available("limit_of_nam100"), "the other");
out:
	for (i = 0; i < NR_LIMIT; i++)
		bpf_link__destroy(links[i]);
	tcp_extopt_limit__destroy(skel);
	if (kmsg >= 0)
		close(kmsg);
}

/* From parse(), and what the kfuncs give. */
static void test_callbacks(void)
{
	static const struct {
		__u32 offset;
		bool ok;
	} offsets[] = {
		{ 0, true }, { 2, true }, { 3, false }, { 4, false },
		{ 40, false }, { 0x7fffffff, false }, { 0xfffffffe, false },
		{ 0xffffffff, false },
	};
	int lfd, cfd = -1, sfd = -1, i, val;
	struct extopt_list own, *list;
	struct bpf_link *cc = NULL;
	struct option opt;
	socklen_t len;
	char c = 'c';

	if (!ASSERT_OK(opt_register(&opt, &plain), "register"))
		return;
	lfd = start_server(AF_INET, SOCK_STREAM, "127.0.0.1", 0, 0);
	if (!ASSERT_OK_FD(lfd, "start_server") ||
	    !ASSERT_OK(extopt_select(lfd, "misuse"), "select"))
		goto out;
	cfd = connect_to_fd(lfd, 0);
	if (!ASSERT_OK_FD(cfd, "connect") ||
	    !ASSERT_OK(extopt_select(cfd, "misuse"), "select"))
		goto out;
	sfd = accept(lfd, NULL, NULL);
	if (!ASSERT_OK_FD(sfd, "accept") || !ASSERT_OK(settimeo(sfd, 0), "to"))
		goto out;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		opt.skel->bss->offset = offsets[i].offset;
		opt.skel->bss->parsed = 0;
		if (!ASSERT_EQ(send(cfd, &c, 1, 0), 1, "send") ||
		    !ASSERT_EQ(recv(sfd, &c, 1, 0), 1, "recv"))
			goto out;
		ASSERT_GT(opt.skel->bss->parsed, 0, "parsed");
		ASSERT_EQ(opt.skel->bss->got_out, offsets[i].ok, "out_data");
		ASSERT_EQ(opt.skel->bss->got_in, offsets[i].ok, "in_data");
	}
	ASSERT_OK(opt.skel->bss->timeout_err, "TCP_USER_TIMEOUT");
	/* What parse() reads is what the socket's owner does. */
	list = (void *)opt.skel->bss->list;
	ASSERT_OK(opt.skel->bss->list_err, "bpf_getsockopt");
	ASSERT_OK(extopt_get(sfd, &own), "getsockopt");
	ASSERT_EQ(own.head.count, 1, "count");
	ASSERT_EQ(own.info[0].parsed, ARRAY_SIZE(offsets), "parsed");
	/* Whether this one counts already does not matter. */
	ASSERT_GE(list->info[0].parsed, own.info[0].parsed - 1, "parsed");
	list->info[0].parsed = own.info[0].parsed;
	ASSERT_OK(memcmp(list, &own, sizeof(own)), "TCP_EXTOPT in parse");
	ASSERT_EQ(opt.skel->bss->nodelay_err, -EOPNOTSUPP, "TCP_NODELAY");
	ASSERT_EQ(opt.skel->bss->extopt_err, -EOPNOTSUPP, "TCP_EXTOPT");
	ASSERT_STREQ(extopt_names(sfd), "misuse", "still selected");

	/* Not by way of another program either: the options are in use. */
	cc = bpf_map__attach_struct_ops(opt.skel->maps.cc);
	if (!ASSERT_OK_PTR(cc, "congestion control"))
		goto out;
	opt.skel->bss->set_cc = true;
	for (i = 0; i < 2; i++) {
		if (!ASSERT_EQ(send(cfd, &c, 1, 0), 1, "send") ||
		    !ASSERT_EQ(recv(sfd, &c, 1, 0), 1, "recv"))
			goto out;
	}
	ASSERT_OK(opt.skel->bss->cc_err, "TCP_CONGESTION");
	ASSERT_GT(opt.skel->bss->cc_inits, 0, "init");
	ASSERT_EQ(opt.skel->bss->busy_err, -EBUSY, "TCP_EXTOPT by init");
	ASSERT_STREQ(extopt_names(sfd), "misuse", "still selected");
	opt.skel->bss->set_cc = false;
	opt.skel->bss->busy_err = -1;
	ASSERT_OK(setsockopt(sfd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4),
		  "reno");
	ASSERT_OK(setsockopt(sfd, IPPROTO_TCP, TCP_CONGESTION, "misuse_cc", 9),
		  "misuse_cc");
	ASSERT_OK(opt.skel->bss->busy_err, "TCP_EXTOPT, not in use");
	ASSERT_STREQ(extopt_names(sfd), "", "none selected");

	len = sizeof(val);
	ASSERT_OK(getsockopt(sfd, IPPROTO_TCP, TCP_NODELAY, &val, &len), "get");
	ASSERT_EQ(val, 0, "TCP_NODELAY is not set");
out:
	if (sfd >= 0)
		close(sfd);
	if (cfd >= 0)
		close(cfd);
	if (lfd >= 0)
		close(lfd);
	bpf_link__destroy(cc);
	opt_free(&opt);
}

/* Names of options are global. */
void serial_test_tcp_extopt_misuse(void)
{
	struct netns_obj *ns;

	ns = netns_new(NS_NAME, true);
	if (!ASSERT_OK_PTR(ns, "netns_new"))
		return;

	if (test__start_subtest("register"))
		test_register();
	if (test__start_subtest("duplicate"))
		test_duplicate();
	if (test__start_subtest("without_link"))
		test_without_link();
	if (test__start_subtest("update"))
		test_update();
	if (test__start_subtest("limit"))
		test_limit();
	if (test__start_subtest("callbacks"))
		test_callbacks();

	if (!opts_register()) {
		if (test__start_subtest("select_v4"))
			test_select(AF_INET);
		if (test__start_subtest("select_v6"))
			test_select(AF_INET6);
		if (test__start_subtest("getsockopt"))
			test_getsockopt();
		if (test__start_subtest("privilege"))
			test_privilege();
		if (test__start_subtest("sysctl"))
			test_sysctl();
		if (test__start_subtest("sysctl_privilege"))
			test_sysctl_privilege();
	}
	opts_free();
	netns_free(ns);
}
