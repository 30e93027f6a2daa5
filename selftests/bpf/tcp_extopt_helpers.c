// SPDX-License-Identifier: GPL-2.0

#include <net/if.h>
#include "test_progs.h"
#include "network_helpers.h"
#include "tcp_extopt_helpers.h"

int extopt_select(int fd, const char *names)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, names, strlen(names)) ?
	       -errno : 0;
}

int extopt_get(int fd, struct extopt_list *list)
{
	socklen_t len = sizeof(*list);

	memset(list, 0, sizeof(*list));
	return getsockopt(fd, IPPROTO_TCP, TCP_EXTOPT, list, &len) ? -errno : 0;
}

const char *extopt_names(int fd)
{
	static __thread char names[TCP_EXTOPT_MAX * TCP_EXTOPT_NAME_MAX];
	struct extopt_list list;
	int i;

	names[0] = '\0';
	if (extopt_get(fd, &list))
		return "error";
	for (i = 0; i < list.head.count; i++) {
		if (i)
			strcat(names, " ");
		strcat(names, list.info[i].name);
	}
	return names;
}

int extopt_sysctl(const char *name, const char *value)
{
	char path[128];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	err = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return err;
}

long extopt_netstat(const char *name)
{
	char names[8192], values[8192], *n, *v, *np, *vp;
	long ret = -1;
	FILE *f;

	f = fopen("/proc/thread-self/net/netstat", "r");
	if (!ASSERT_OK_PTR(f, "netstat"))
		return -1;
	while (ret < 0 && fgets(names, sizeof(names), f) &&
	       fgets(values, sizeof(values), f)) {
		n = strtok_r(names, " \n", &np);
		v = strtok_r(values, " \n", &vp);
		for (; n && v; n = strtok_r(NULL, " \n", &np),
			       v = strtok_r(NULL, " \n", &vp)) {
			if (!strcmp(n, name))
				ret = atol(v);
		}
	}
	fclose(f);
	ASSERT_GE(ret, 0, name);
	return ret;
}

/* A program stays on lo until the process ends. Else tcx' static keys go on and off
 * with each subtest while packets are under way, and in QEMU without KVM a CPU may
 * still run into the breakpoint of a jump label that another one has patched.
 */
static void keep_tcx_on(const struct bpf_program *prog)
{
	static struct bpf_link *kept[2];
	bool egress = bpf_program__expected_attach_type(prog) == BPF_TCX_EGRESS;

	if (!kept[egress])
		kept[egress] = bpf_program__attach_tcx(prog, if_nametoindex("lo"),
						       NULL);
}

struct bpf_link *ns_attach_tcx(const struct bpf_program *prog, const char *ns,
			       const char *dev)
{
	struct bpf_link *link;
	struct nstoken *token;

	keep_tcx_on(prog);
	token = open_netns(ns);
	if (!ASSERT_OK_PTR(token, "netns"))
		return NULL;
	link = bpf_program__attach_tcx(prog, if_nametoindex(dev), NULL);
	close_netns(token);
	return ASSERT_OK_PTR(link, "attach_tcx") ? link : NULL;
}
