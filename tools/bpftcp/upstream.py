"""The kernel's own MPTCP tests on the base and on the series, and what differs.

Under emulation some of them fail now and then, and some always. What two runs on the
base do not agree on is unstable and proves nothing; what they agree on the series has
to agree with.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from bpftcp import boot, selftests
from bpftcp.errors import BootError, UsageError
from bpftcp.results import Result, Status
from bpftcp.selection import compile_expression
from bpftcp.selftests import BPF_SUITE, Job, Report
from bpftcp.testbuild import TEST_PROGS

LIST = "upstream.tests"
SUITE = "upstream"
BASE_RUNS = 2
TIME_LIMIT = 4 * 3600.0
"""Seconds all of them may take together, on a kernel that is not slow."""
_SECTION = re.compile(r"\[(\w+)\]")


class Verdict(Enum):
    """What a test on the series says, next to those on the base."""

    SAME = "same"
    UNSTABLE = "unstable on the base"
    WORSE = "regression"
    BETTER = "better than the base"
    LOST = "no result"


BAD = (Verdict.WORSE, Verdict.LOST)
"""What fails the comparison: a test that says nothing anywhere has shown nothing."""


@dataclass(frozen=True)
class Row:
    """One test: how it ended in each run on the base, and on the series."""

    name: str
    base: tuple[Status, ...]
    series: Status
    verdict: Verdict


def read_jobs(selftests_folder: Path, section: str, expression: str | None) -> list[Job]:
    """Jobs of a section of upstream.tests that match. Raises UsageError where there is none."""
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] | None = None
    path = selftests_folder / LIST
    for line in path.read_text(encoding="utf-8").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if match := _SECTION.fullmatch(" ".join(words)):
            current = sections.setdefault(match[1], [])
        elif current is None:
            raise UsageError(f"{path}: {words[0]} is in no section")
        else:
            current.append(words)
    if section not in sections:
        raise UsageError(f"{path} has no section {section}; there is: {', '.join(sections)}")
    matches = compile_expression(expression) if expression else lambda _name: True
    jobs = [_job(words) for words in sections[section]]
    chosen = [job for job in jobs if matches(job.name)]
    if not chosen:
        names = ", ".join(job.name for job in jobs)
        raise UsageError(f"no test matches -k {expression!r}; there is: {names}")
    return chosen


def _job(words: Sequence[str]) -> Job:
    if words[0] == TEST_PROGS:
        test = " ".join(words[1:])
        return Job(f"{BPF_SUITE}/{test}", f"./{words[0]} -a {shlex.quote(test)}", ktap=False)
    name = "".join((words[0].removesuffix(".sh"), *words[1:]))
    return Job(f"{SUITE}/{name}", f"(cd net/mptcp && ./{shlex.join(words)})", ktap=True)


def setup_script(folder: Path) -> list[str]:
    """Shell commands before the jobs. A test said to be flaky may fail here: we compare."""
    copies = (shlex.quote(str(folder / name)) for name in ("net", TEST_PROGS))
    return [
        f"mkdir -p /dev/shm/t && cp -r {' '.join(copies)} /dev/shm/t",
        "cd /dev/shm/t && export PATH=/usr/sbin:/sbin:$PATH TMPDIR=/dev/shm KSFT_MACHINE_SLOW=1",
        "export SELFTESTS_MPTCP_LIB_OVERRIDE_FLAKY=1",
        selftests.MOUNT_BPF,
        "ip link set lo up",
    ]


def run(guest: boot.Guest, folder: Path, jobs: Sequence[Job], checks: Sequence[str] = ()) -> Report:
    """One run, with names shortened to test/subtest. Raises BootError."""
    report = selftests.run(guest, setup_script(folder), jobs, checks)
    return replace(report, results=tuple(_shortened(r) for r in report.results))


def _shortened(result: Result) -> Result:
    """upstream/mptcp_join-f/mptcp_join:_one_subflow has its script's name once."""
    return replace(result, name=re.sub(r"^([^/]+/[^/]+/)\w+:_", r"\1", result.name))


def base_runs(
    path: Path, key: str, wanted: int, one_run: Callable[[int], Report]
) -> list[dict[str, Status]]:
    """Results of runs on the base: those kept in path under this key, the others made now.

    A run that crashed is none: BootError.
    """
    kept = _load(path, key)
    while len(kept) < wanted:
        report = one_run(len(kept))
        if report.crashed:
            raise BootError(
                "the kernel without the series failed in its own tests",
                log=report.guest.console_log,
                repeat=report.guest.command,
                excerpt=[s.title for s in report.splats],
            )
        kept.append({r.name: r.status for r in report.results})
        data = {"key": key, "runs": [{n: s.value for n, s in run.items()} for run in kept]}
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    return kept[:wanted]


def _load(path: Path, key: str) -> list[dict[str, Status]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["key"] != key:
            return []
        return [{n: Status(s) for n, s in run.items()} for run in data["runs"]]
    except (FileNotFoundError, json.JSONDecodeError, KeyError, ValueError):
        return []


def run_key(fingerprint: str, folder: Path, jobs: Sequence[Job]) -> str:
    """Changes with the kernel, the scripts, and which of them are run."""
    digest = hashlib.sha256(fingerprint.encode())
    for job in jobs:
        digest.update(job.command.encode() + b"\0")
    for script in sorted((folder / "net").rglob("*.sh")):
        digest.update(script.read_bytes())
    return digest.hexdigest()


def compare(base: Sequence[dict[str, Status]], series: Iterable[Result]) -> list[Row]:
    """A row for each test of any run; what a run has no result of is LOST in it."""
    now = {r.name: r.status for r in series}
    names = dict.fromkeys(name for run in (*base, now) for name in run)
    rows = []
    for name in names:
        before = tuple(run.get(name, Status.LOST) for run in base)
        after = now.get(name, Status.LOST)
        rows.append(Row(name, before, after, _verdict(before, after)))
    return rows


def _verdict(base: tuple[Status, ...], series: Status) -> Verdict:
    if len(set(base)) > 1:
        return Verdict.UNSTABLE
    if base[0] is series:
        return Verdict.LOST if series is Status.LOST else Verdict.SAME
    # A skipped test has not passed, and has not failed.
    order = (Status.LOST, Status.FAILED, Status.SKIPPED, Status.PASSED)
    return Verdict.WORSE if order.index(series) < order.index(base[0]) else Verdict.BETTER


def write_json(path: Path, rows: Sequence[Row], facts: dict[str, object]) -> None:
    """The comparison for programs; schema 1."""
    data = {
        "schema": 1,
        **facts,
        "tests": [
            {
                "name": row.name,
                "base": [status.value for status in row.base],
                "series": row.series.value,
                "verdict": row.verdict.value,
            }
            for row in rows
        ],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
