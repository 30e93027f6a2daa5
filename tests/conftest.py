"""A tiny kernel: git tree, Kconfig, Makefile and patches, with switches for failure."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpftcp import proc

MAKEFILE = r"""
VERSION = 7
PATCHLEVEL = 3
SUBLEVEL = 4
EXTRAVERSION =

# Switches, as files in the tree: fake/drop names symbols that do not take,
# fake/fail makes a C file break the build, fake/slow makes it never end, fake/edit
# changes the tree while it is built.
allnoconfig:
	@mkdir -p $(O)
	@cp $(KCONFIG_ALLCONFIG) $(KCONFIG_CONFIG)
	@for s in $$(cat fake/drop 2>/dev/null); do \
		sed -i "s/^CONFIG_$$s=.*/# CONFIG_$$s is not set/" $(KCONFIG_CONFIG); done

bzImage:
	@echo '  CC      net/ipv4/tcp.o'
	@if [ -e fake/slow ]; then echo $$$$ > $(O)/slow.pid; exec sleep 600; fi
	@if [ -e fake/edit ]; then rm fake/edit; fi
	@if [ -e fake/fail ]; then \
		echo "In file included from net/ipv4/tcp.c:1:"; \
		echo "net/ipv4/tcp.c: In function 'tcp_init':"; \
		echo "net/ipv4/tcp.c:7:2: error: 'nosuch' undeclared (first use in this function)"; \
		echo "    7 |  nosuch = 1;"; \
		echo "      |  ^~~~~~"; \
		echo "  CC      net/ipv4/udp.o"; exit 1; fi
	@mkdir -p $(O)/arch/x86/boot $(O)/include/config
	@echo image > $(O)/arch/x86/boot/bzImage; echo elf > $(O)/vmlinux
	@echo 7.3.4 > $(O)/include/config/kernel.release
	@echo built >> $(O)/times-built
"""
KCONFIG = """
mainmenu "Fake"
source "net/Kconfig"
"""
NET_KCONFIG = """
config NET
	bool "Networking"
config INET
	bool "TCP/IP"
	depends on NET
	select CRYPTO_HASH
config CRYPTO_HASH
	bool
config EXPERT_ONLY
	bool "For experts" if EXPERT
	depends on INET
config TCP_MD5SIG
	bool "MD5"
	depends on INET && (CRYPTO || BROKEN) && !LEGACY
	help
		depends on NOTHING, this is only text.
choice
	prompt "Ticks"
config HZ_100
	bool "100"
config HZ_1000
	bool "1000"
endchoice
"""
TCP = "".join(f"/* line {n} */\n" for n in range(1, 61))


def git(tree: Path, *args: str) -> str:
    """Run git in tree as a fixed person; fails the test where git does."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    done = proc.run(["git", "-C", tree, *who, *args])
    assert done.ok, done.output
    return done.output


@dataclass
class FakeKernel:
    """The tree, and ways to change it and to make patches against it."""

    tree: Path
    patches: Path

    def switch(self, name: str, text: str = "1") -> None:
        (self.tree / "fake").mkdir(exist_ok=True)
        (self.tree / "fake" / name).write_text(text)

    def commit(self, message: str) -> None:
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "-q", "-m", message)

    def edit(self, line: int, text: str, path: str = "net/ipv4/tcp.c") -> None:
        """Replace a line of a file, counted from 1."""
        lines = (self.tree / path).read_text().splitlines(keepends=True)
        lines[line - 1] = text + "\n"
        (self.tree / path).write_text("".join(lines))

    def make_patch(self, number: int, line: int, text: str, topic: str = "tcp-extopt") -> Path:
        """A patch of one line against HEAD, named in patches/series; the tree is left at HEAD."""
        head = git(self.tree, "rev-parse", "HEAD").strip()
        self.edit(line, text)
        self.commit(f"tcp: change line {line}")
        folder = self.patches / topic
        folder.mkdir(parents=True, exist_ok=True)
        mail = git(self.tree, "format-patch", "-1", "--stdout", "--zero-commit")
        path = folder / f"{number:04}-change-line-{line}.patch"
        path.write_text(mail)
        git(self.tree, "reset", "-q", "--hard", head)
        series = self.patches / "series"
        if not series.exists():
            series.write_text(f"[{topic}]\n")
        series.write_text(series.read_text() + path.name + "\n")
        return path

    def tarball(self, path: Path) -> Path:
        with tarfile.open(path, "w:xz") as tar:
            for file in sorted(self.tree.rglob("*")):
                name = file.relative_to(self.tree)
                if ".git" not in name.parts and (file.is_file() or file.is_symlink()):
                    tar.add(file, Path("linux-source-7.3") / name)
        return path


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A fake kernel in git, and an empty patches folder."""
    tree = tmp_path / "linux"
    (tree / "net/ipv4").mkdir(parents=True)
    (tree / "Makefile").write_text(MAKEFILE)
    (tree / "Kbuild").write_text("obj-y += net/\n")
    (tree / "Kconfig").write_text(KCONFIG)
    (tree / "net/Kconfig").write_text(NET_KCONFIG)
    (tree / "net/ipv4/tcp.c").write_text(TCP)
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("Kbuild")
    git(tmp_path, "init", "-q", "-b", "master", str(tree))
    patches = tmp_path / "project" / "patches"
    patches.mkdir(parents=True)
    fake = FakeKernel(tree, patches)
    fake.commit("base")
    return fake


@pytest.fixture
def project(kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one base, one profile of one fragment, a series file, and no cache."""
    root = tmp_path / "project"
    (root / "kconfig").mkdir()
    (root / "patches" / "bases.toml").write_text(
        textwrap.dedent("""
            default = "7.3"
            [bases."7.3"]
            package = "linux-source-7.3"
            suites = ["trixie-backports"]
        """)
    )
    if not (root / "patches/series").exists():
        (root / "patches" / "series").write_text("[tcp-extopt]\n")
    (root / "kconfig" / "profiles.toml").write_text(
        '[lean]\nfragments = ["net"]\ncpus = 2\nmemory = 512\n'
    )
    (root / "kconfig" / "net.config").write_text("CONFIG_NET=y\nCONFIG_INET=y\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


@pytest.fixture
def fake_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a Python script first on PATH, under the name of some program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def add(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(body)}")
        path.chmod(0o755)
        return path

    return add


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")
