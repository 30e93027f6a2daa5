// SPDX-License-Identifier: GPL-2.0
/* Programs of path managers that the verifier refuses, and why. */
#include "test_progs.h"
#include "mptcp_pm_fail.skel.h"

static const struct {
	const char *map;
	const char *msg;	/* NULL: accepted */
} cases[] = {
	{ "good_established" },
	{ "good_not_sleepable" },
	{ "good_accept" },
	{ "accept_sleepable", "attach to unsupported member accept" },
	{ "accept_open", "bpf_mptcp_pm_open is not allowed" },
	{ "accept_timer", "bpf_mptcp_pm_set_timer is not allowed" },
	{ "accept_subflows", "bpf_iter_mptcp_subflow_new is not allowed" },
	{ "accept_addrs", "bpf_mptcp_pm_next_local is not allowed" },
	{ "accept_join_write", "only read is supported" },
	{ "accept_msk_write", "only read is supported" },
	{ "open_not_sleepable", "must be sleepable to call sleepable kfunc" },
	{ "timer_not_sleepable", "must be sleepable to call sleepable kfunc" },
	{ "msk_write", "only read is supported" },
	{ "other_msk", "R1 must be referenced or trusted" },
	{ "walked_subflow", "R2 must be referenced or trusted" },
	{ "iter_leak", "Unreleased reference" },
	{ "subflow_null", "invalid mem access" },
	{ "local_of_session", "Pass a stack, map, context" },
	{ "local_short", "invalid" },
	{ "cursor_of_session", "suitable read and write" },
	{ "announce_null", "Possibly NULL pointer passed to trusted R2" },
	{ "setsockopt", "cannot use helper bpf_setsockopt" },
	{ "other_ops", "bpf_mptcp_pm_close is not allowed" },
};

static char log_buf[1 << 20];

static void test_case(const char *name, const char *msg)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts,
		    .kernel_log_buf = log_buf,
		    .kernel_log_size = sizeof(log_buf),
		    .kernel_log_level = 1);
	struct mptcp_pm_fail *skel;
	struct bpf_map *map;
	bool found = false;
	int err;

	log_buf[0] = 0;
	skel = mptcp_pm_fail__open_opts(&opts);
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

	err = mptcp_pm_fail__load(skel);
	if (!msg)
		ASSERT_OK(err, "load");
	else if (ASSERT_ERR(err, "load"))
		ASSERT_HAS_SUBSTR(log_buf, msg, "reason");
out:
	mptcp_pm_fail__destroy(skel);
}

void test_mptcp_pm_fail(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (test__start_subtest(cases[i].map))
			test_case(cases[i].map, cases[i].msg);
}
