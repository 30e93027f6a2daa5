// SPDX-License-Identifier: GPL-2.0
/* Programs of extension options that the verifier refuses, and why. */
#include <bpf/btf.h>
#include "test_progs.h"
#include "tcp_extopt_fail.skel.h"

static const struct {
	const char *map;
	const char *msg;	/* NULL: accepted */
} cases[] = {
	{ "good_write" },
	{ "good_parse" },
	{ "good_synack" },
	{ "good_negotiated" },
	{ "out_beyond", "not within tcp_extopt_out::data" },
	{ "out_wide", "not within tcp_extopt_out::data" },
	{ "out_max_len", "not within tcp_extopt_out::data" },
	{ "out_segment", "not within tcp_extopt_out::data" },
	{ "out_sk", "not within tcp_extopt_out::data" },
	{ "out_read_beyond", "access beyond struct tcp_extopt_out" },
	{ "out_variable", "invalid variable offset" },
	{ "sock_write", "only read is supported" },
	{ "kfunc_beyond", "invalid access to memory, mem_size=4" },
	{ "kfunc_null", "invalid mem access 'mem_or_null'" },
	{ "kfunc_size", "is not a const" },
	{ "kfunc_stack", "STRUCT tcp_extopt_out" },
	{ "kfunc_map", "STRUCT tcp_extopt_out" },
	{ "kfunc_sock", "expected pointer to STRUCT tcp_extopt_out" },
	{ "in_data_in_write", "bpf_tcp_extopt_in_data is not allowed" },
	{ "ack_now_in_write", "bpf_tcp_extopt_ack_now is not allowed" },
	{ "setsockopt_in_write", "cannot use helper bpf_setsockopt" },
	{ "getsockopt_in_write", "cannot use helper bpf_getsockopt" },
	{ "refuse_in_write", "bpf_tcp_extopt_refuse is not allowed" },
	{ "arm_in_write", "bpf_tcp_extopt_arm is not allowed" },
	{ "setsockopt_in_synack", "cannot use helper bpf_setsockopt" },
	{ "getsockopt_in_synack", "cannot use helper bpf_getsockopt" },
	{ "ack_now_in_synack", "bpf_tcp_extopt_ack_now is not allowed" },
	{ "refuse_in_synack", "bpf_tcp_extopt_refuse is not allowed" },
	{ "arm_in_synack", "bpf_tcp_extopt_arm is not allowed" },
	{ "listener_write", "only read is supported" },
	{ "req_write", "only read is supported" },
	{ "offered_write", "only read is supported" },
	{ "refuse_in_negotiated", "bpf_tcp_extopt_refuse is not allowed" },
	{ "out_in_negotiated", "bpf_tcp_extopt_out_data is not allowed" },
	{ "in_data_write", "only read is supported" },
	{ "in_len_write", "only read is supported" },
	{ "in_read_beyond", "access beyond struct tcp_extopt_in" },
	{ "in_variable", "invalid variable offset" },
	{ "kfunc_rdonly", "cannot write into rdonly_mem" },
	{ "out_data_in_parse", "bpf_tcp_extopt_out_data is not allowed" },
	{ "sleep_write", "attach to unsupported member write" },
	{ "sleep_parse", "attach to unsupported member parse" },
	{ "other_ops", "bpf_tcp_extopt_ack_now is not allowed" },
};

#ifndef ENOTSUPP
#define ENOTSUPP 524
#endif

static char log_buf[1 << 20];

static void test_case(const char *name, const char *msg)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts,
		    .kernel_log_buf = log_buf,
		    .kernel_log_size = sizeof(log_buf),
		    .kernel_log_level = 1);
	struct tcp_extopt_fail *skel;
	struct bpf_map *map;
	bool found = false;
	int err;

	log_buf[0] = 0;
	skel = tcp_extopt_fail__open_opts(&opts);
	if (!ASSERT_OK_PTR(skel, "open"))
		return;
	/* libbpf takes the '?' for the first map of a section only. */
	bpf_object__for_each_map(map, skel->obj) {
		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		found |= !strcmp(bpf_map__name(map), name);
		bpf_map__set_autocreate(map, !strcmp(bpf_map__name(map), name));
	}
	if (!ASSERT_TRUE(found, name))
		goto out;

	err = tcp_extopt_fail__load(skel);
	if (err == -ENOTSUPP && !strcmp(name, "other_ops"))
		/* Before 6.14 it needs CONFIG_MODULES. */
		test__skip();
	else if (!msg)
		ASSERT_OK(err, "load");
	else if (ASSERT_ERR(err, "load"))
		ASSERT_HAS_SUBSTR(log_buf, msg, "reason");
out:
	tcp_extopt_fail__destroy(skel);
}

/* Of struct tcp_extopt_ops, -1 if there is none of that name */
static int member(const struct btf_type *t, const struct btf *btf,
		  const char *name)
{
	int i;

	for (i = 0; i < btf_vlen(t); i++) {
		if (!strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off),
			    name))
			return i;
	}
	return -1;
}

/* Past libbpf, which would not ask for a member that there is not. The kfunc is
 * looked at before the member is, or after it.
 */
static void test_member(void)
{
	struct bpf_insn insns[] = {
		BPF_LDX_MEM(BPF_DW, BPF_REG_1, BPF_REG_1, 8),
		BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 0),
		BPF_MOV64_IMM(BPF_REG_0, 0),
		BPF_EXIT_INSN(),
	};
	const struct {
		const char *what;
		__u32 member;
		const char *msg;	/* NULL: accepted */
	} *c, members[] = {
		{ "parse", 0 },
		{ "write", 0, "bpf_tcp_extopt_ack_now is not allowed" },
		{ "name", 0, "" },
		{ "one too far", 0, "" },
		{ "far", 0x10000, "" },
		{ "very far", 0x7fffffff, "" },
		{ "negative", -1, "" },
		{ "good again", 0 },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .log_buf = log_buf,
		    .log_size = sizeof(log_buf),
		    .log_level = 1);
	const struct btf_type *t;
	struct btf *btf;
	int i, id, fd;

	btf = btf__load_vmlinux_btf();
	if (!ASSERT_OK_PTR(btf, "vmlinux BTF"))
		return;
	id = btf__find_by_name_kind(btf, "bpf_tcp_extopt_ack_now",
				    BTF_KIND_FUNC);
	if (!ASSERT_GT(id, 0, "kfunc"))
		goto out;
	insns[1].imm = id;
	id = btf__find_by_name_kind(btf, "tcp_extopt_ops", BTF_KIND_STRUCT);
	if (!ASSERT_GT(id, 0, "tcp_extopt_ops"))
		goto out;
	opts.attach_btf_id = id;
	t = btf__type_by_id(btf, id);

	for (i = 0; i < ARRAY_SIZE(members); i++) {
		c = &members[i];
		opts.expected_attach_type = c->member;
		if (!strcmp(c->what, "one too far"))
			opts.expected_attach_type = btf_vlen(t);
		else if (!c->member)
			opts.expected_attach_type =
				member(t, btf, !c->msg ? "parse" : c->what);
		log_buf[0] = 0;
		fd = bpf_prog_load(BPF_PROG_TYPE_STRUCT_OPS, "extopt_member",
				   "GPL", insns, ARRAY_SIZE(insns), &opts);
		if (!c->msg) {
			if (!ASSERT_OK_FD(fd, c->what))
				printf("%s\n", log_buf);
		} else if (ASSERT_LT(fd, 0, c->what)) {
			ASSERT_TRUE(fd == -EACCES || fd == -EINVAL, "errno");
			ASSERT_HAS_SUBSTR(log_buf, c->msg, c->what);
		}
		if (fd >= 0)
			close(fd);
	}
out:
	btf__free(btf);
}

void test_tcp_extopt_fail(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (test__start_subtest(cases[i].map))
			test_case(cases[i].map, cases[i].msg);
	}
	if (test__start_subtest("member"))
		test_member();
}
