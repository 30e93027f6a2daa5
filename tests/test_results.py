"""test_progs and KTAP output become results; selection; files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import JUnitXml

from bpftcp import results, selftests
from bpftcp.errors import UsageError
from bpftcp.results import Result, Status
from bpftcp.selection import compile_expression
from bpftcp.selftests import BEGIN, END, Job
from bpftcp.testbuild import TestBuild

PASS = Status.PASSED
PROGS = """\
WARNING! Selftests relying on bpf_testmod.ko will be skipped.
#1/1     mptcp/base:OK
run_test:FAIL:connect unexpected error: -1 (errno 111)
#1/2     mptcp/sockmap with blank:FAIL
#1/3     mptcp/other:SKIP
#1       mptcp:FAIL
#2       plain:OK
test_dies:FAIL:fd unexpected
#3       alone:FAIL
#4/1     later/one:OK
#4       later:OK (SKIP: 0/1)

All error logs:
#1/2     mptcp/sockmap with blank:FAIL
#1       mptcp:FAIL
Summary: 2/3 PASSED, 1 SKIPPED, 2 FAILED
"""


def test_test_progs() -> None:
    found = results.parse_test_progs(PROGS.splitlines())
    assert [(r.name, r.status) for r in found] == [
        ("bpf/mptcp/base", Status.PASSED),
        ("bpf/mptcp/sockmap with blank", Status.FAILED),
        ("bpf/mptcp/other", Status.SKIPPED),
        ("bpf/plain", Status.PASSED),
        ("bpf/alone", Status.FAILED),
        ("bpf/later/one", Status.PASSED),
    ]
    assert found[1].detail == ("run_test:FAIL:connect unexpected error: -1 (errno 111)",)


def test_a_test_may_fail_outside_of_its_subtests() -> None:
    text = "#1/1     a/b:OK\ncleanup:FAIL:x\n#1       a:FAIL\n"
    assert [(r.name, r.status) for r in results.parse_test_progs(text.splitlines())] == [
        ("bpf/a/b", Status.PASSED),
        ("bpf/a", Status.FAILED),
    ]


KTAP = """\
TAP version 13
1..4
# Starting 2 tests
ok 1 tun.create
# tun.c:1:delete:Expected 1 (1) == 2 (2)
not ok 2 tun.delete # exit=1
ok 3 tun.skipped # SKIP no such device
    1..2
    ok 1 inner one
    not ok 2 inner two
not ok 4 nested
"""


def test_ktap() -> None:
    found = results.parse_ktap(KTAP.splitlines(), "ktap/net/tun")
    assert [(r.name.removeprefix("ktap/net/tun/"), r.status.value) for r in found] == [
        ("tun.create", "passed"),
        ("tun.delete", "failed"),
        ("tun.skipped", "skipped"),
        ("nested/inner_one", "passed"),
        ("nested/inner_two", "failed"),
    ]
    assert found[1].detail[-1] == "tun.c:1:delete:Expected 1 (1) == 2 (2)"


@pytest.mark.parametrize("cut", [3, 4, 6])
def test_cut_ktap_is_never_all_passed(cut: int) -> None:
    found = results.parse_ktap(KTAP.splitlines()[:cut], "x")
    assert found[-1].status is Status.LOST and "planned" in found[-1].detail[0]


def test_no_ktap_at_all() -> None:
    assert results.parse_ktap(["command not found"], "x")[0].status is Status.LOST


def test_files(tmp_path: Path) -> None:
    found = results.parse_test_progs(PROGS.splitlines())
    found.append(Result("bpf/gone", Status.LOST, ("the guest was gone",)))
    results.write_json(tmp_path / "r.json", found, {"base": "7.3"})
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["schema"] == 1 and data["base"] == "7.3"
    assert data["results"][1]["status"] == "failed"
    results.write_junit(tmp_path / "r.xml", found, {"base": "7.3"})
    suite = next(iter(JUnitXml.fromfile(str(tmp_path / "r.xml"))))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 2, 1, 1)
    assert results.summary(found) == "3 passed, 3 failed, 1 skipped"


JOBS = [Job("bpf/a", "./test_progs -a a", ktap=False), Job("ktap/net/b", "./ktap/net/b", ktap=True)]


def guest_output(*parts: str) -> list[str]:
    return "\n".join(parts).splitlines()


def test_a_guest_says_that_it_is_alive_while_a_test_says_nothing(tmp_path: Path) -> None:
    script = selftests.guest_script(["cd /dev/shm"], JOBS, tmp_path)
    first, beat, mark, command, *_ = script.splitlines()
    assert (first, mark, command) == (
        "cd /dev/shm", f"echo '{BEGIN}bpf/a'", "./test_progs -a a 2>&1 </dev/null",
    )  # fmt: skip
    assert "> /dev/kmsg" in beat and beat.endswith("& alive=$!")
    assert "kill $alive" in script


def test_job_results() -> None:
    lines = guest_output(
        BEGIN + "bpf/a", "#1       a:OK", END + "bpf/a 0",
        BEGIN + "ktap/net/b", "1..1", "ok 1 x", END + "ktap/net/b 0",
    )  # fmt: skip
    found = selftests.read_results(lines, JOBS)
    assert [(r.name, r.status.value) for r in found] == [
        ("bpf/a", "passed"),
        ("ktap/net/b/x", "passed"),
    ]


@pytest.mark.parametrize(
    ("lines", "status", "phrase"),
    [
        (guest_output(BEGIN + "bpf/a", "#1       a:OK"), "lost", "come to its end"),
        (guest_output(BEGIN + "bpf/a", END + "bpf/a 0"), "failed", "status 0"),
        (guest_output(BEGIN + "bpf/a", "#1       a:OK", END + "bpf/a 139"), "failed", "139"),
        ([], "lost", "gone before"),
    ],
)
def test_a_job_without_proper_end_never_passes(lines: list[str], status: str, phrase: str) -> None:
    last = selftests.read_results(lines, JOBS[:1])[-1]
    assert last.status.value == status and phrase in last.detail[-1]


def built(tmp_path: Path) -> TestBuild:
    return TestBuild(tmp_path, tmp_path / "bpftool", ("a", "mptcp"), ("net/b",))


KNOWN = {"bpf/a": [], "bpf/mptcp": ["bpf/mptcp/base", "bpf/mptcp/subflow"], "ktap/net/b": []}


@pytest.mark.parametrize(
    ("expression", "commands"),
    [
        (None, ["./test_progs -a a", "./test_progs -a mptcp", "./ktap/net/b"]),
        ("mptcp", ["./test_progs -a mptcp"]),
        ("subflow", ["./test_progs -a mptcp/subflow"]),
        ("not mptcp and bpf", ["./test_progs -a a"]),
        ("mptcp and not base", ["./test_progs -a mptcp/subflow"]),
        ("base or ktap", ["./test_progs -a mptcp/base", "./ktap/net/b"]),
    ],
)
def test_selection(tmp_path: Path, expression: str | None, commands: list[str]) -> None:
    assert [j.command for j in selftests.select(built(tmp_path), KNOWN, expression)] == commands


def test_the_limit_is_told_to_a_harness_that_has_one(tmp_path: Path) -> None:
    """A slow kernel's tests take longer than test_progs would wait."""
    build = replace(built(tmp_path), watchdog=True)
    jobs = selftests.select(build, KNOWN, "mptcp or ktap", limit=1440)
    assert [j.command for j in jobs] == ["./test_progs -w 1440 -a mptcp", "./ktap/net/b"]


@pytest.mark.parametrize("expression", ["", "and", "a or", "(a", "a b", ")", "not"])
def test_bad_expressions(expression: str) -> None:
    with pytest.raises(UsageError, match="-k"):
        compile_expression(expression)


def test_selecting_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no test matches"):
        selftests.select(built(tmp_path), KNOWN, "nosuch")


def test_names_seen_in_a_run_are_known(tmp_path: Path) -> None:
    def known() -> list[str]:
        names: dict[str, list[str]] = json.loads((tmp_path / selftests.KNOWN).read_text())
        return names["bpf/a"]

    job = JOBS[0]
    selftests.remember(tmp_path, [job], [Result("bpf/a/x", Status.FAILED), Result("bpf/a/y", PASS)])
    assert known() == ["bpf/a/x", "bpf/a/y"]
    # A run of some of them tells nothing of the others, nor does one that was cut short.
    part = Job("bpf/a", "", ktap=False, subtests=("bpf/a/x",))
    selftests.remember(tmp_path, [part], [Result("bpf/a/x", PASS)])
    selftests.remember(tmp_path, [job], [Result("bpf/a", Status.LOST)])
    assert known() == ["bpf/a/x", "bpf/a/y"]
    # One that is gone is forgotten by the next whole run.
    selftests.remember(tmp_path, [job], [Result("bpf/a/y", PASS)])
    assert known() == ["bpf/a/y"]


def test_a_chosen_subtest_that_is_gone_did_not_pass() -> None:
    """The harness runs nothing then, and says OK."""
    job = Job("bpf/mptcp", "./test_progs -a mptcp/old", ktap=False, subtests=("bpf/mptcp/old",))
    lines = guest_output(BEGIN + "bpf/mptcp", "#7       mptcp:OK", END + "bpf/mptcp 0")
    (result,) = selftests.read_results(lines, [job])
    assert (result.name, result.status) == ("bpf/mptcp/old", Status.LOST)


def test_a_check_that_does_not_work_is_not_clean() -> None:
    found = selftests.read_checks(["@@bpftcp-checked lockdep"], ["kmemleak", "lockdep"])
    assert [(r.name, r.status.value) for r in found] == [
        ("check/kmemleak", "lost"),
        ("check/lockdep", "passed"),
    ]


def test_junit_holds_crashes_and_only_what_xml_can(tmp_path: Path) -> None:
    found = [Result("bpf/a", Status.FAILED, ("\x1b[31mred\x00", "end\x07"))]
    results.write_junit(tmp_path / "r.xml", found, {}, ["KASAN: use after free"])
    suite = next(iter(JUnitXml.fromfile(str(tmp_path / "r.xml"))))
    assert (suite.tests, suite.failures, suite.errors) == (2, 1, 1)


def test_nested_plan_that_is_not_fulfilled() -> None:
    text = "1..1\n    1..5\n    ok 1 a\nok 1 outer\n"
    found = results.parse_ktap(text.splitlines(), "x")
    assert found[-1].status is Status.LOST and "4 planned" in found[-1].detail[0]
