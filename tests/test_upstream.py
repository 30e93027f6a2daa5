"""The kernel's own MPTCP tests: which, how often on the base, and what counts as worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bpftcp import boot, cli, kvm, selftests, testbuild, upstream
from bpftcp.errors import ExitCode, UsageError
from bpftcp.results import Result, Status
from bpftcp.selftests import Job
from bpftcp.testbuild import TestBuild
from bpftcp.upstream import Verdict
from conftest import FakeKernel
from test_boot import VNG

PASSED, FAILED, SKIPPED, LOST = Status.PASSED, Status.FAILED, Status.SKIPPED, Status.LOST
ROOT = Path(__file__).parents[1]


def test_jobs_of_a_section(tmp_path: Path) -> None:
    (tmp_path / upstream.LIST).write_text(
        "# text\n[ci]\na.sh\njoin.sh -f  # one\ntest_progs mptcp\n[all]\nz.sh\n"
    )
    assert upstream.read_jobs(tmp_path, "ci", None) == [
        Job("upstream/a", "(cd net/mptcp && ./a.sh)", ktap=True),
        Job("upstream/join-f", "(cd net/mptcp && ./join.sh -f)", ktap=True),
        Job("bpf/mptcp", "./test_progs -a mptcp", ktap=False),
    ]
    assert [j.name for j in upstream.read_jobs(tmp_path, "ci", "join")] == ["upstream/join-f"]
    assert [j.name for j in upstream.read_jobs(tmp_path, "all", None)] == ["upstream/z"]
    with pytest.raises(UsageError, match="no section most; there is: ci, all"):
        upstream.read_jobs(tmp_path, "most", None)
    with pytest.raises(UsageError, match="there is: upstream/a, upstream/join-f, bpf/mptcp"):
        upstream.read_jobs(tmp_path, "ci", "z")
    for text in ("a.sh\n", "[ci] is what fits\n"):
        (tmp_path / upstream.LIST).write_text(text)
        with pytest.raises(UsageError, match="in no section"):
            upstream.read_jobs(tmp_path, "ci", None)


def test_the_list_in_the_checkout() -> None:
    for section in ("ci", "all"):
        names = [job.name for job in upstream.read_jobs(ROOT / "selftests", section, None)]
        assert {"bpf/mptcp", "upstream/pm_netlink"} <= set(names) and len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("base", "series", "verdict"),
    [
        ((PASSED, PASSED), PASSED, Verdict.SAME),
        ((FAILED, FAILED), FAILED, Verdict.SAME),
        ((PASSED, FAILED), FAILED, Verdict.UNSTABLE),
        ((PASSED, LOST), PASSED, Verdict.UNSTABLE),
        ((PASSED, PASSED), FAILED, Verdict.WORSE),
        ((PASSED, PASSED), SKIPPED, Verdict.WORSE),
        ((PASSED, PASSED), None, Verdict.WORSE),
        ((SKIPPED, SKIPPED), FAILED, Verdict.WORSE),
        ((FAILED, FAILED), PASSED, Verdict.BETTER),
        ((None, None), PASSED, Verdict.BETTER),
        ((None, PASSED), FAILED, Verdict.UNSTABLE),
        ((SKIPPED, SKIPPED), SKIPPED, Verdict.SAME),
        ((LOST, LOST), LOST, Verdict.LOST),
    ],
)
def test_verdict(base: tuple[Status | None, ...], series: Status | None, verdict: Verdict) -> None:
    runs = [{"t": s} if s else {} for s in base]
    now = [Result("t", series)] if series else []
    (row,) = upstream.compare(runs, now)
    assert row.verdict is verdict


TAP = """
01 one subflow                             [ OK ]
TAP version 13
1..2
ok 1 - join: one subflow/address # time=41ms
{} 2 - join: two subflows # time=7ms
"""


PROGS = """
#1/1     mptcp/base:OK
#1       mptcp:OK
Summary: 1/1 PASSED, 0 SKIPPED, 0 FAILED
"""


@pytest.fixture
def run_upstream(
    project: Path,
    tmp_path: Path,
    fake_path: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., ExitCode]:
    """run-selftests --upstream with one script.

    says: how `two subflows` ends in each run; empty: the script ends before it tests.
    """
    program = fake_path("vng", VNG)
    monkeypatch.setattr(boot, "find_vng", lambda: str(program))
    monkeypatch.setattr(kvm, "usable", lambda *_: False)
    monkeypatch.setenv("FAKE_PID", str(tmp_path / "qemu.pid"))
    monkeypatch.setenv("FAKE_VNG", "run")
    profiles = project / "kconfig/profiles.toml"
    profiles.write_text(profiles.read_text() + '[upstream]\nextends = "lean"\nfragments = []\n')
    (project / "selftests").mkdir()
    (project / "selftests" / upstream.LIST).write_text("[ci]\ntest_progs mptcp\njoin.sh -f\n")

    def build(*args: Path, **_: object) -> Path:
        (args[3] / "upstream/net").mkdir(parents=True, exist_ok=True)
        return args[3] / "upstream"

    def build_tests(*args: Path, **_: object) -> TestBuild:
        args[3].mkdir(parents=True, exist_ok=True)
        (args[3] / "test_progs").touch()
        return TestBuild(args[3], args[4] / "bpftool", ("mptcp",), ())

    monkeypatch.setattr(testbuild, "build_upstream", build)
    monkeypatch.setattr(testbuild, "build_tests", build_tests)
    left: list[str] = []

    def script(*_: object) -> str:
        says = left.pop(0)
        (tmp_path / "says").write_text(
            f"@@bpftcp-begin bpf/mptcp\n{PROGS}@@bpftcp-end bpf/mptcp 0\n"
            f"@@bpftcp-begin upstream/join-f\n{TAP.format(says) if says else ''}"
            f"@@bpftcp-end upstream/join-f {0 if says else 2}\n"
        )
        return f"cat {tmp_path}/says"

    monkeypatch.setattr(selftests, "guest_script", script)

    def run(*argv: str | Path, says: list[str]) -> ExitCode:
        left[:] = says
        words = ["--upstream", *(str(a) for a in argv)]
        code = cli._guarded("run-selftests", cli._selftests_parser(), words)
        assert not left, "runs that did not take place"
        return code

    return run


def test_twice_on_the_base_once_on_the_series(
    kernel: FakeKernel,
    run_upstream: Callable[..., ExitCode],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel.make_patch(1, 10, "first")
    given = ("--tarball", kernel.tarball(tmp_path / "linux.tar.xz"))
    assert run_upstream(*given, says=["ok", "ok", "ok"]) is ExitCode.PASSED
    assert "3 of 3 passed; 3 same, 0 unstable on the base, 0 regression" in capsys.readouterr().out

    # What the base did is kept. A regression says so, and where.
    out = tmp_path / "out.json"
    assert run_upstream(*given, "--json", out, says=["not ok"]) is ExitCode.FAILED
    assert "upstream/join-f/two_subflows: regression" in capsys.readouterr().out
    tests = {t["name"]: t for t in json.loads(out.read_text())["tests"]}
    assert tests["upstream/join-f/two_subflows"]["verdict"] == "regression"
    assert tests["upstream/join-f/two_subflows"]["base"] == ["passed", "passed"]
    assert tests["upstream/join-f/one_subflow/address"]["verdict"] == "same"
    assert tests["bpf/mptcp/base"]["series"] == "passed"


def test_what_the_base_is_not_sure_of(
    kernel: FakeKernel, run_upstream: Callable[..., ExitCode], tmp_path: Path
) -> None:
    given = ("--tarball", kernel.tarball(tmp_path / "linux.tar.xz"))
    assert run_upstream(*given, says=["ok", "not ok", "not ok"]) is ExitCode.PASSED


def test_what_does_not_run_anywhere(
    kernel: FakeKernel,
    run_upstream: Callable[..., ExitCode],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ("--tarball", kernel.tarball(tmp_path / "linux.tar.xz"))
    assert run_upstream(*given, says=["", "", ""]) is ExitCode.FAILED
    assert "1 of 2 passed; 1 same, 0 unstable" in capsys.readouterr().out


def test_usage(
    kernel: FakeKernel, run_upstream: Callable[..., ExitCode], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_upstream("--tree", kernel.tree, "--unpatched", says=[]) is ExitCode.USAGE
    assert run_upstream("--tree", kernel.tree, "-k", "nosuch", says=[]) is ExitCode.USAGE
    assert run_upstream("--tree", kernel.tree, "--list", says=[]) is ExitCode.PASSED
    assert "upstream/join-f\n" in capsys.readouterr().out
