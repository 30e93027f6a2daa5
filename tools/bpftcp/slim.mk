# A slim test_progs: the kernel tree's own harness, with only the chosen tests.
#
# The tree's Makefile builds hundreds of tests and a thousand programs by
# wildcard; this builds what the tests named in TESTS include, and nothing is
# written into the tree.
#
#   TREE     kernel source            VMLINUX  built kernel with BTF
#   OURS     our selftests/bpf        OUT      output folder
#   HOST     output folder of bpftool and libbpf, shared by builds of one tree
#   TESTS    files prog_tests/NAME.c, ours or the tree's; BENCHES of bench/;
#   KTAP     programs of the tree's selftests folder, like net/tun

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: all

CLANG ?= clang-19
LLVM_STRIP ?= llvm-strip-19
CC := $(if $(shell command -v ccache),ccache )gcc
# It would make the names in the .d files relative to it: nothing would be rebuilt
# when a header changes.
unexport CCACHE_BASEDIR

SELF := $(TREE)/tools/testing/selftests/bpf
TOOLS := $(TREE)/tools
LIBBPF := $(HOST)/libbpf/libbpf.a
INCLUDE := $(HOST)/include
BPFTOOL := $(HOST)/bpftool/bpftool

# Ours where we have a file of that name, else the tree's.
pick = $(firstword $(wildcard $(OURS)/$(1) $(SELF)/$(1)))
needs = $(sort $(shell sed -n 's/^\#include "\(.*\)\.skel\.h".*/\1/p' $(1)))

TEST_SRCS := $(foreach t,$(TESTS),$(call pick,prog_tests/$(t).c))
bench_skels = $(patsubst %,$(OUT)/bench/%.skel.h,$(call needs,$(OURS)/bench/$(1).c))
SKELS := $(patsubst %,$(OUT)/%.skel.h,$(call needs,$(TEST_SRCS) /dev/null))
# What the tests are linked with: every C file directly in OURS is part of it.
HARNESS := $(sort $(basename $(notdir $(wildcard $(OURS)/*.c $(addprefix $(SELF)/,test_progs.c \
	cgroup_helpers.c trace_helpers.c network_helpers.c testing_helpers.c \
	btf_helpers.c cap_helpers.c unpriv_helpers.c sysctl_helpers.c \
	netlink_helpers.c jit_disasm_helpers.c io_helpers.c test_loader.c \
	disasm.c disasm_helpers.c json_writer.c bpftool_helpers.c)))))
OBJS := $(HARNESS:%=$(OUT)/harness/%.o) $(TESTS:%=$(OUT)/tests/%.o)

CFLAGS := -g -O2 -rdynamic -std=gnu11 -Wall -Werror -fno-omit-frame-pointer \
	-Wno-unused-but-set-variable -Wno-maybe-uninitialized -Wno-stringop-truncation \
	-fms-extensions -D_GNU_SOURCE= \
	-I$(OUT) -I$(OURS) -I$(SELF) -I$(SELF)/libarena/include -I$(INCLUDE) \
	-I$(TOOLS)/lib -I$(TOOLS)/include -I$(TOOLS)/arch/x86/include \
	-I$(TOOLS)/include/uapi -I$(INCLUDE)/bpf
SYS_INCLUDES := $(shell $(CLANG) -v -E - </dev/null 2>&1 | \
	sed -n '/<...> search starts here:/,/End of search list./{ s| \(/.*\)|-idirafter \1|p }')
BPF_CFLAGS := -g -O2 -Wall -Werror -D__TARGET_ARCH_x86 -DENABLE_ATOMICS_TESTS \
	-mlittle-endian --target=bpfel -mcpu=v3 -std=gnu11 -fno-strict-aliasing \
	-Wno-compare-distinct-pointer-types -Wno-initializer-overrides \
	-Wno-microsoft-anon-tag -fms-extensions \
	-I$(OUT) -I$(INCLUDE) -I$(OURS) -I$(OURS)/progs -I$(SELF) -I$(SELF)/progs \
	-I$(TOOLS)/include/uapi -I$(TOOLS)/include -I$(SELF)/libarena/include $(SYS_INCLUDES)
LDLIBS := -lelf -lz -lrt -lpthread

.PRECIOUS: $(OUT)/%.bpf.o $(OUT)/bench/%.bpf.o %.skel.h
all: $(OUT)/test_progs $(BENCHES:%=$(OUT)/bench/%) $(KTAP:%=$(OUT)/ktap/%) $(BPFTOOL)

# bpftool without its own BPF skeletons: they would tie it to one vmlinux.
$(BPFTOOL): $(wildcard $(TOOLS)/bpf/bpftool/*.[ch] $(TOOLS)/lib/bpf/*.[ch] \
		$(TOOLS)/include/uapi/linux/*.h $(TREE)/kernel/bpf/disasm.[ch])
	@echo '  BPFTOOL $@'
	@mkdir -p $(HOST)/bpftool
	@$(MAKE) -s -C $(TOOLS)/bpf/bpftool FEATURE_DISPLAY= OUTPUT=$(HOST)/bpftool/ CLANG=$(CLANG) \
		LLVM_STRIP=$(LLVM_STRIP) VMLINUX_BTF= VMLINUX_H= SKIP_LLVM=1 SKIP_LIBBFD=1 \
		SKIP_CRYPTO=1 $(BPFTOOL)
	@touch $@

$(LIBBPF): $(wildcard $(TOOLS)/lib/bpf/*.[ch] $(TOOLS)/include/uapi/linux/bpf.h)
	@echo '  LIBBPF  $@'
	@mkdir -p $(HOST)/libbpf
	@$(MAKE) -s -C $(TOOLS)/lib/bpf OUTPUT=$(HOST)/libbpf/ $(HOST)/libbpf/libbpf.a
	@$(MAKE) -s -C $(TOOLS)/lib/bpf OUTPUT=$(HOST)/libbpf/ DESTDIR=$(HOST) prefix= \
		install_headers
	@touch $@

# Only a changed vmlinux.h makes programs build again, not every changed vmlinux.
$(OUT)/vmlinux.h.stamp: $(VMLINUX) $(BPFTOOL)
	@echo '  BTF     $(OUT)/vmlinux.h'
	@mkdir -p $(OUT)
	@$(BPFTOOL) btf dump file $(VMLINUX) format c > $(OUT)/vmlinux.h.new
	@cmp -s $(OUT)/vmlinux.h.new $(OUT)/vmlinux.h || cp $(OUT)/vmlinux.h.new $(OUT)/vmlinux.h
	@rm $(OUT)/vmlinux.h.new
	@touch $@
$(OUT)/vmlinux.h: $(OUT)/vmlinux.h.stamp ;

$(OUT)/prog_tests/tests.h: FORCE
	@mkdir -p $(@D)
	@sed -n -E 's/^void (serial_)?test_([a-zA-Z0-9_]+)\((void)?\).*/DEFINE_TEST(\2)/p' \
		$(TEST_SRCS) > $@.new
	@cmp -s $@.new $@ || cp $@.new $@; rm $@.new

# Only signed light skeletons need a certificate in the session keyring, and we
# build none; nor do our kernels have keyrings, without which the harness would
# not start: a system call that succeeds takes the place of add_key().
$(OUT)/verification_cert.h:
	@mkdir -p $(@D)
	@printf '%s\n' '#include <sys/syscall.h>' '#undef __NR_add_key' \
		'#define __NR_add_key __NR_getpid' \
		'static unsigned char test_progs_verification_cert[1];' \
		'static unsigned int test_progs_verification_cert_len;' > $@

define bpf_object
	@echo '  CLANG   $@'
	@mkdir -p $(@D)
	@$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $@.d -MT $@ -c $< -o $@.unlinked
	@$(BPFTOOL) gen object $@ $@.unlinked
endef

.SECONDEXPANSION:
$(OUT)/%.bpf.o: $$(call pick,progs/$$*.c) $(OUT)/vmlinux.h $(LIBBPF) | $(BPFTOOL)
	$(bpf_object)

# One program of anybody's: PROGRAM=FILE.c, the object is named after it.
$(OUT)/programs/%.bpf.o: $(PROGRAM) $(OUT)/vmlinux.h $(LIBBPF) FORCE | $(BPFTOOL)
	$(bpf_object)

$(OUT)/bench/%.bpf.o: $(OURS)/bench/%.bpf.c $(OUT)/vmlinux.h $(LIBBPF) | $(BPFTOOL)
	$(bpf_object)

%.skel.h: %.bpf.o | $(BPFTOOL)
	@echo '  SKEL    $@'
	@$(BPFTOOL) gen skeleton $< name $(notdir $*) > $@

$(OUT)/harness/%.o: $$(call pick,$$*.c) $(OUT)/prog_tests/tests.h $(OUT)/verification_cert.h $(LIBBPF)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(OUT)/tests/%.o: $$(call pick,prog_tests/$$*.c) $(LIBBPF) | $(SKELS)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -I$(<D) -MMD -MP -MF $@.d -c $< -o $@

$(OUT)/test_progs: $(OBJS) $(LIBBPF)
	@echo '  LINK    $@'
	@$(CC) -rdynamic -o $@ $(OBJS) $(LIBBPF) $(LDLIBS)

$(OUT)/bench/%: $(OURS)/bench/%.c $$(call bench_skels,$$*) $(LIBBPF)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -I$(OUT)/bench -MMD -MP -MF $@.d -o $@ $< $(LIBBPF) $(LDLIBS)

# kselftest_harness programs: one C file each, which prints KTAP.
$(OUT)/ktap/%: $(TREE)/tools/testing/selftests/%.c
	@echo '  CC      $@'
	@mkdir -p $(@D)
	@$(CC) -g -O2 -w -D_GNU_SOURCE= -I$(TREE)/tools/testing/selftests \
		-isystem $(TREE)/tools/include/uapi -MMD -MP -MF $@.d -o $@ $<

# The tree's MPTCP shell tests, laid out as they look for each other; copied, so that
# a guest has all it needs in one folder. Headers of the tree, Debian's are too old.
MPTCP := $(TREE)/tools/testing/selftests/net/mptcp
MPTCP_OUT := $(OUT)/upstream/net/mptcp
MPTCP_HEADERS := $(patsubst %,$(OUT)/upstream/include/linux/%.h,mptcp mptcp_pm tcp)

.PHONY: upstream
upstream: $(patsubst $(MPTCP)/%.c,$(MPTCP_OUT)/%,$(wildcard $(MPTCP)/*.c)) FORCE
	@echo '  COPY    $(MPTCP_OUT)'
	@cp $(MPTCP)/*.sh $(MPTCP_OUT)
	@mkdir -p $(OUT)/upstream/net/lib
	@cp $(MPTCP)/../lib.sh $(OUT)/upstream/net
	@cp -r $(wildcard $(MPTCP)/../lib/sh) $(OUT)/upstream/net/lib

$(OUT)/upstream/include/linux/%.h: $(TREE)/include/uapi/linux/%.h
	@mkdir -p $(@D)
	@sed 's/\b__user\b//' $< > $@

$(MPTCP_OUT)/%: $(MPTCP)/%.c $(MPTCP_HEADERS)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	@$(CC) -g -O2 -w -I$(OUT)/upstream/include -I$(TREE)/tools/include -o $@ $<

.PHONY: FORCE
FORCE:

-include $(wildcard $(OUT)/*.d $(OUT)/*/*.d $(OUT)/*/*/*.d)
