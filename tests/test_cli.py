"""The command lines: every row of the bad-input table, exit codes, messages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bpftcp import boot, cli, kvm, pipeline, selftests, testbuild, upstream
from bpftcp.errors import ExitCode
from bpftcp.testbuild import TestBuild
from conftest import FakeKernel, git
from test_boot import CONSOLES, VNG

Run = Callable[..., ExitCode]


@pytest.fixture
def kbuild(project: Path) -> Run:
    """kbuild in the fake project; returns the exit code."""

    def run(*argv: str | Path) -> ExitCode:
        return cli._guarded("kbuild", cli._kbuild_parser(), [str(a) for a in argv])

    return run


@pytest.fixture
def run_selftests(
    project: Path,
    tmp_path: Path,
    fake_path: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """run-selftests with one test, bpf/a, whose guest and output the test chooses."""
    program = fake_path("vng", VNG)
    monkeypatch.setattr(boot, "find_vng", lambda: str(program))
    monkeypatch.setattr(kvm, "usable", lambda *_: False)
    monkeypatch.setenv("FAKE_PID", str(tmp_path / "qemu.pid"))
    monkeypatch.setenv("FAKE_VNG", "run")
    prog = project / "selftests/bpf/prog_tests/a.c"
    prog.parent.mkdir(parents=True)
    prog.write_text("void test_a(void)\n{\n}\n")

    def fake_tests(*args: Path, **_: object) -> TestBuild:
        out = args[3]
        out.mkdir(parents=True, exist_ok=True)
        return TestBuild(out, out / "bpftool", ("a",), ())

    monkeypatch.setattr(testbuild, "build_tests", fake_tests)
    monkeypatch.setattr(
        selftests,
        "guest_script",
        lambda *_: f"cat {tmp_path}/says; exit $(cat {tmp_path}/status)",
    )
    (tmp_path / "status").write_text("0")

    def run(*argv: str | Path, says: str = "#1       a:OK", status: int = 0) -> ExitCode:
        marked = f"@@bpftcp-begin bpf/a\n{says}\n@@bpftcp-end bpf/a {status}\n"
        (tmp_path / "says").write_text(marked)
        return cli._guarded("run-selftests", cli._selftests_parser(), [str(a) for a in argv])

    return run


def test_from_tarball_to_build(
    kernel: FakeKernel, kbuild: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.make_patch(1, 10, "first")
    tarball = kernel.tarball(tmp_path / "linux.tar.xz")
    assert kbuild("apply", "--tarball", tarball) is ExitCode.PASSED
    out = capsys.readouterr().out
    assert "clean    tcp-extopt/0001-change-line-10.patch" in out
    assert kbuild("build", "--tarball", tarball) is ExitCode.PASSED
    assert "first" in next(Path().glob("build/*/series/tree/net/ipv4/tcp.c")).read_text()
    assert kbuild("build", "--tarball", tarball, "--unpatched") is ExitCode.PASSED
    assert "first" not in next(Path().glob("build/*/unpatched/tree/net/ipv4/tcp.c")).read_text()
    assert len(list(Path().glob("build/*"))) == 1


def test_unknown_base(kbuild: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert kbuild("apply", "--base", "2.4") is ExitCode.MISSING
    err = capsys.readouterr().err
    assert "base 2.4 is unknown" in err and "--base 7.3" in err and "--tree DIR" in err


def test_source_not_obtainable(kbuild: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert kbuild("apply", "--offline") is ExitCode.MISSING
    err = capsys.readouterr().err
    assert err.startswith("source: ") and "--tarball FILE" in err
    assert "repeat: tools/kbuild apply --offline" in err


def test_patch_that_does_not_apply(
    kernel: FakeKernel, kbuild: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.make_patch(1, 10, "first")
    kernel.edit(10, "other")
    kernel.commit("other")
    assert kbuild("apply", "--tree", kernel.tree) is ExitCode.FAILED
    err = capsys.readouterr().err
    assert "apply: tcp-extopt/0001-change-line-10.patch does not apply: hunk 1 at line 7" in err
    assert "net/ipv4/tcp.c" in err
    assert f"tools/kbuild apply --tree {kernel.tree} --continue" in err


def test_dirty_tree(kernel: FakeKernel, kbuild: Run, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.make_patch(1, 10, "first")
    kernel.edit(20, "mine")
    before = git(kernel.tree, "log", "--all", "--format=%H")
    assert kbuild("apply", "--tree", kernel.tree) is ExitCode.USAGE
    assert "uncommitted changes" in capsys.readouterr().err
    assert git(kernel.tree, "log", "--all", "--format=%H") == before
    assert "mine" in (kernel.tree / "net/ipv4/tcp.c").read_text()


def test_symbol_that_did_not_take(
    kernel: FakeKernel, kbuild: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.switch("drop", "NET INET")
    kernel.commit("drop")
    assert kbuild("config", "--tree", kernel.tree) is ExitCode.FAILED
    err = capsys.readouterr().err
    assert "CONFIG_INET: wanted y, got n (net.config:2): needs NET (=n)" in err


def test_build_error(kernel: FakeKernel, kbuild: Run, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.switch("fail")
    kernel.commit("fail")
    assert kbuild("build", "--tree", kernel.tree) is ExitCode.FAILED
    err = capsys.readouterr().err
    assert "'nosuch' undeclared" in err and "udp.o" not in err
    assert "log:" in err and "build.log" in err and "repeat: " in err


def test_boot_command_and_its_status(
    kernel: FakeKernel, kbuild: Run, run_selftests: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kbuild("boot", "--tree", kernel.tree, "--", "echo", "in the guest") is ExitCode.PASSED
    assert "in the guest" in capsys.readouterr().out
    assert kbuild("boot", "--tree", kernel.tree, "--", "exit 5") is ExitCode.FAILED


def test_selftests_pass_and_write_files(
    kernel: FakeKernel, run_selftests: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml")
    assert run_selftests("--tree", kernel.tree, *files) is ExitCode.PASSED
    assert capsys.readouterr().out.rstrip().endswith("1 passed, 0 failed")
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["results"] == [{"name": "bpf/a", "status": "passed", "detail": []}]
    assert data["guest"] == "exited" and (tmp_path / "r.xml").is_file()


@pytest.mark.parametrize(
    ("says", "status"),
    [("x:FAIL:y\n#1       a:FAIL", 1), ("", 0), ("#1       a:OK", 139)],
)
def test_selftest_fails(kernel: FakeKernel, run_selftests: Run, says: str, status: int) -> None:
    assert run_selftests("--tree", kernel.tree, says=says, status=status) is ExitCode.FAILED


def test_repeated_until_a_run_fails(
    kernel: FakeKernel,
    run_selftests: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The third run fails, with what it says: a fourth there is not."""
    script = (
        f"echo run >> {tmp_path}/runs; [ $(wc -l < {tmp_path}/runs) -lt 3 ] || "
        f"sed -i s/OK/FAIL/ {tmp_path}/says; cat {tmp_path}/says"
    )
    monkeypatch.setattr(selftests, "guest_script", lambda *_: script)
    assert run_selftests("--tree", kernel.tree, "--repeat", "2") is ExitCode.PASSED
    assert "run 2 of 2: 1 passed, 0 failed" in capsys.readouterr().err
    (tmp_path / "runs").unlink()
    assert run_selftests("--tree", kernel.tree, "--repeat", "4") is ExitCode.FAILED
    captured = capsys.readouterr()
    assert "run 3 of 4: 0 passed, 1 failed" in captured.err and "run 4" not in captured.err
    assert "bpf/a: failed" in captured.out


@pytest.mark.parametrize("log", ["oops", "kasan", "lockdep", "panic", "oom"])
def test_a_splat_outranks_results(
    kernel: FakeKernel,
    run_selftests: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    log: str,
) -> None:
    """All tests passed or were lost, whichever: the kernel complained, so exit 3."""
    source = CONSOLES / f"{log}.log"
    assert source.is_file()
    monkeypatch.setenv("FAKE_VNG", "panic")
    monkeypatch.setenv("FAKE_LOG", str(source))
    monkeypatch.setattr(boot, "PANIC_GRACE", 0.1)
    original = pipeline.Pipeline.guest

    def hasty(*args: object, **kwargs: object) -> boot.Guest:
        guest = original(*args, **kwargs)  # type: ignore[arg-type]
        return boot.Guest(guest.image, guest.folder, boot_timeout=5, quiet_timeout=1)

    monkeypatch.setattr(pipeline.Pipeline, "guest", hasty)
    assert run_selftests("--tree", kernel.tree) is ExitCode.CRASHED
    captured = capsys.readouterr()
    assert "console.log:" in captured.err and "passed, 1 failed" in captured.out


def test_files_of_an_earlier_run_do_not_pass_for_this_one(
    kernel: FakeKernel, run_selftests: Run, tmp_path: Path
) -> None:
    old = tmp_path / "r.xml"
    old.write_text("all green")
    kernel.switch("fail")
    kernel.commit("fail")
    assert run_selftests("--tree", kernel.tree, "--junit", old) is ExitCode.FAILED
    assert not old.exists()


def test_a_defect_of_the_tools_is_not_a_failed_test(
    kernel: FakeKernel, kbuild: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(pipeline.Pipeline, "apply", broken)
    assert kbuild("apply", "--tree", kernel.tree) is ExitCode.INTERNAL


def test_a_leak_outranks_results(
    kernel: FakeKernel,
    run_selftests: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script(_build: object, _jobs: object, folder: Path) -> str:
        report = CONSOLES / "kmemleak.txt"
        return f"cat {tmp_path}/says; cp {report} {folder}/kmemleak.txt; exit 0"

    monkeypatch.setattr(selftests, "guest_script", script)
    assert run_selftests("--tree", kernel.tree) is ExitCode.CRASHED
    captured = capsys.readouterr()
    assert "1 passed, 0 failed" in captured.out and "leak: unreferenced object" in captured.err


def test_rebase_in_progress(
    kernel: FakeKernel, kbuild: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.make_patch(1, 10, "first")
    (kernel.tree / ".git/rebase-merge").mkdir()
    assert kbuild("apply", "--tree", kernel.tree) is ExitCode.USAGE
    assert "rebase is in progress" in capsys.readouterr().err


def test_hang(
    kernel: FakeKernel,
    run_selftests: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_VNG", "hang")
    monkeypatch.setattr(
        pipeline.Pipeline,
        "guest",
        lambda self, kernel, run: boot.Guest(kernel.build.image, self.folder, boot_timeout=0.5),
    )
    assert run_selftests("--tree", kernel.tree) is ExitCode.CRASHED
    assert "did not come up within 0.5 s" in capsys.readouterr().err


def test_usage(
    kernel: FakeKernel,
    run_selftests: Run,
    kbuild: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_selftests("--tree", kernel.tree, "-k", "nosuch") is ExitCode.USAGE
    assert run_selftests("--tree", kernel.tree, "-k", "(") is ExitCode.USAGE
    assert run_selftests("--tree", kernel.tree, "--json", tmp_path / "no/r.json") is ExitCode.USAGE
    repeated = ("--tree", kernel.tree, "--upstream", "ci", "--repeat", "2")
    monkeypatch.setattr(upstream, "read_jobs", lambda *_: [])
    assert run_selftests(*repeated) is ExitCode.USAGE
    with pytest.raises(SystemExit, match="2"):
        run_selftests("--tree", kernel.tree, "--repeat", "0")
    assert kbuild("build", "--tree", kernel.tree, "--profile", "nosuch") is ExitCode.USAGE
    assert kbuild("apply", "--tree", kernel.tree, "--topic", "nosuch") is ExitCode.USAGE
    assert kbuild("apply", "--tree", tmp_path / "nosuch") is ExitCode.MISSING


def test_list_runs_nothing(
    kernel: FakeKernel, run_selftests: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_selftests("--tree", kernel.tree, "--list") is ExitCode.PASSED
    assert capsys.readouterr().out == "bpf/a\n"
    assert not (kernel.tree / ".git/bpftcp-applied.json").exists()


def test_outside_of_a_checkout(
    kernel: FakeKernel, kbuild: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "project/kconfig")
    assert kbuild("apply", "--tree", kernel.tree) is ExitCode.USAGE


def test_a_baseline_with_local_work_is_refused(
    kernel: FakeKernel, kbuild: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tarball = kernel.tarball(tmp_path / "linux.tar.xz")
    build = ("build", "--tarball", tarball, "--unpatched")
    assert kbuild(*build) is ExitCode.PASSED
    tree = next(Path().glob("build/*/unpatched/tree")).resolve()
    (tree / "net/ipv4/tcp.c").write_text("mine\n")
    assert kbuild(*build) is ExitCode.USAGE
    assert (tree / "net/ipv4/tcp.c").read_text() == "mine\n"
    git(tree, "commit", "-qam", "mine")
    assert kbuild(*build) is ExitCode.USAGE
    assert "commits of yours" in capsys.readouterr().err
    assert git(tree, "log", "-1", "--format=%s").strip() == "mine"
