"""Building: once, again only when something changed, the first error, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpftcp.build import Build, Toolchain, build_kernel
from bpftcp.compilerlog import first_error
from bpftcp.errors import BuildError
from bpftcp.tree import Tree
from conftest import FakeKernel, alive

TOOLS = Toolchain(("CC=gcc",), {}, "gcc 12")


def build(kernel: FakeKernel, out: Path, config: str = "digest") -> Build:
    out.mkdir(parents=True, exist_ok=True)
    return build_kernel(Tree(kernel.tree, managed=True), out, config, TOOLS, jobs=1, expected=1)


def times_built(out: Path) -> int:
    return len((out / "times-built").read_text().splitlines())


def test_builds_again_only_when_an_input_changed(kernel: FakeKernel, tmp_path: Path) -> None:
    out = tmp_path / "w/7.3/series/lean"
    first = build(kernel, out)
    assert (first.version, first.objects) == ("7.3.4", 1)
    assert build(kernel, out) == first and times_built(out) == 1
    kernel.edit(3, "a changed line")
    assert build(kernel, out).fingerprint != first.fingerprint and times_built(out) == 2
    (kernel.tree / "net/new.c").write_text("new\n")
    build(kernel, out)
    build(kernel, out, config="other")
    assert times_built(out) == 4
    (out / "vmlinux").unlink()
    build(kernel, out, config="other")
    assert times_built(out) == 5


def test_failure_shows_the_first_error_in_context(kernel: FakeKernel, tmp_path: Path) -> None:
    out = tmp_path / "w/7.3/series/lean"
    build(kernel, out)
    kernel.switch("fail")
    with pytest.raises(BuildError) as caught:
        build(kernel, out)
    assert caught.value.excerpt == (
        "In file included from net/ipv4/tcp.c:1:",
        "net/ipv4/tcp.c: In function 'tcp_init':",
        "net/ipv4/tcp.c:7:2: error: 'nosuch' undeclared (first use in this function)",
        "    7 |  nosuch = 1;",
        "      |  ^~~~~~",
    )
    assert caught.value.log == out / "build.log"
    assert caught.value.repeat is not None and "bzImage" in caught.value.repeat
    # The old kernel must not pass for the one that does not build.
    with pytest.raises(BuildError):
        build(kernel, out)
    (kernel.tree / "fake/fail").unlink()
    assert build(kernel, out).image.is_file()


def test_make_by_hand_in_between_is_another_build(kernel: FakeKernel, tmp_path: Path) -> None:
    out = tmp_path / "w/7.3/series/lean"
    build(kernel, out)
    (out / "vmlinux").write_text("made by hand, of edited sources")
    build(kernel, out)
    assert times_built(out) == 2 and (out / "vmlinux").read_text() == "elf\n"


def test_failed_build_in_between_is_not_forgotten(kernel: FakeKernel, tmp_path: Path) -> None:
    """The inputs are as before it, but the objects in out are not."""
    out = tmp_path / "w/7.3/series/lean"
    build(kernel, out)
    kernel.switch("fail")
    with pytest.raises(BuildError):
        build(kernel, out)
    (kernel.tree / "fake/fail").unlink()
    build(kernel, out)
    assert times_built(out) == 2


def test_tree_changed_while_it_was_built(kernel: FakeKernel, tmp_path: Path) -> None:
    kernel.switch("edit")
    kernel.commit("edit")
    out = tmp_path / "w/7.3/series/lean"
    first = build(kernel, out)
    assert times_built(out) == 2
    assert build(kernel, out) == first and times_built(out) == 2


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_build_leaves_nothing_and_goes_on(
    kernel: FakeKernel, project: Path, sig: signal.Signals
) -> None:
    kernel.switch("slow")
    kernel.commit("slow")
    argv = [sys.executable, "-c", "from bpftcp.cli import kbuild_main; kbuild_main()",
            "build", "--tree", str(kernel.tree)]  # fmt: skip
    child = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    pid_file: list[Path] = []
    deadline = time.monotonic() + 20
    while not pid_file and time.monotonic() < deadline:
        pid_file = list(project.glob("build/*/series/lean/slow.pid"))
        time.sleep(0.02)
    time.sleep(0.1)
    pid = int(pid_file[0].read_text())
    assert alive(pid)
    os.kill(child.pid, sig)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130 and "interrupted" in err
    assert not alive(pid)
    (kernel.tree / "fake/slow").unlink()
    assert subprocess.run(argv, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("  LD  x\nld: a.o: undefined reference to `foo'\nmake: *** [x] Error 1", "undefined"),
        ("make[2]: *** No rule to make target 'x.c', needed by 'y'.  Stop.", "No rule"),
        ("/bin/sh: 1: bc: not found\nmake: *** [z] Error 127", "bc: not found"),
        ("  CC a.o\nmake: *** [a.o] Error 1", "Error 1"),
        ("whatever", "whatever"),
    ],
)
def test_other_errors(log: str, expected: str) -> None:
    assert any(expected in line for line in first_error(log.splitlines()))
