"""Run the selftests in a guest, and turn what it says into results.

Each test is a process of its own between two marker lines, so that a test that
takes the guest down is known by name, and never counts as a result.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpftcp import boot, results, testbuild
from bpftcp.console import Splat, parse_kmemleak
from bpftcp.errors import UsageError
from bpftcp.progress import Stage, stage
from bpftcp.results import Result, Status
from bpftcp.selection import compile_expression
from bpftcp.testbuild import TEST_PROGS, TestBuild

BEGIN = "@@bpftcp-begin "
END = "@@bpftcp-end "
CHECKED = "@@bpftcp-checked "
ALIVE_SECONDS = 20
"""So often the guest's console says that it is alive, however long a test says nothing."""
CHECKS = {"kmemleak": "DEBUG_KMEMLEAK", "lockdep": "PROVE_LOCKING"}
"""Checks of the kernel on itself, and the config symbol that promises each."""
KNOWN = "known-tests.json"
TEST_LIMIT = 240
"""Seconds a test may take on a kernel that is not slow."""
KTAP_SUITE = "ktap"
BPF_SUITE = "bpf"
MOUNT_BPF = "mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf"


@dataclass(frozen=True)
class Job:
    """One process to run in the guest; name: the results' prefix.

    subtests: where only these of its subtests are to run; each must then give a result.
    """

    name: str
    command: str
    ktap: bool
    subtests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All results, and the splats and outcome that outrank them."""

    results: tuple[Result, ...]
    splats: tuple[Splat, ...]
    guest: boot.GuestResult

    @property
    def crashed(self) -> bool:
        return bool(self.splats) or self.guest.outcome is not boot.Outcome.EXITED

    @property
    def failed(self) -> bool:
        return not self.results or any(
            r.status in (Status.FAILED, Status.LOST) for r in self.results
        )


def known_names(tree: Path, selftests: Path, out: Path) -> dict[str, list[str]]:
    """Jobs and their subtests: from the last run in out, else what the sources name."""
    names: dict[str, list[str]] = {}
    for test, subtests in testbuild.tests_in_sources(tree, selftests).items():
        names[f"{BPF_SUITE}/{test}"] = [f"{BPF_SUITE}/{test}/{s}" for s in subtests]
    for program in testbuild.ktap_programs(tree, selftests):
        names[f"{KTAP_SUITE}/{program}"] = []
    try:
        last = json.loads((out / KNOWN).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        last = {}
    return {job: list(dict.fromkeys([*subs, *last.get(job, [])])) for job, subs in names.items()}


def select(
    build: TestBuild,
    known: dict[str, list[str]],
    expression: str | None,
    *,
    limit: float = TEST_LIMIT,
) -> list[Job]:
    """Jobs that match; where only subtests do, the job runs just those. Raises UsageError.

    limit: seconds after which test_progs, if it does that, ends a test that still runs.
    """
    matches = compile_expression(expression) if expression else lambda _name: True
    jobs = []
    for test in build.tests:
        name = f"{BPF_SUITE}/{test}"
        subtests = known.get(name, [])
        chosen = tuple(s for s in subtests if matches(s))
        if not (chosen if subtests else matches(name)):
            continue
        part = chosen if len(chosen) < len(subtests) else ()
        globs = [s.removeprefix(f"{BPF_SUITE}/") for s in part] or [test]
        watchdog = f" -w {limit:.0f}" if build.watchdog else ""
        command = f"./{TEST_PROGS}{watchdog} -a {shlex.quote(','.join(globs))}"
        jobs.append(Job(name, command, ktap=False, subtests=part))
    for program in build.ktap:
        name = f"{KTAP_SUITE}/{program}"
        if matches(name) or any(matches(s) for s in known.get(name, [])):
            jobs.append(Job(name, f"./ktap/{program}", ktap=True))
    if not jobs:
        raise UsageError(f"no test matches -k {expression!r}; see --list")
    return jobs


def setup_script(build: TestBuild) -> list[str]:
    """Shell commands before the jobs: everything from a tmpfs, never from the slow 9p."""
    programs = [build.program(p).relative_to(build.out) for p in build.ktap]
    copies = [TEST_PROGS, *map(str, programs)]
    return [
        "mkdir -p /dev/shm/t && cd " + shlex.quote(str(build.out)),
        "cp --parents " + " ".join(map(shlex.quote, copies)) + " /dev/shm/t",
        f"cp {shlex.quote(str(build.bpftool))} /dev/shm/t",
        "cd /dev/shm/t && export PATH=/dev/shm/t:/usr/sbin:/sbin:$PATH KSFT_MACHINE_SLOW=1",
        MOUNT_BPF,
        "ip link set lo up",
    ]


def _heartbeat() -> list[str]:
    """To the console: on the output it could end up within a line of the test's."""
    beat = f"while sleep {ALIVE_SECONDS}; do echo bpftcp: alive > /dev/kmsg; done"
    return [f"{beat} & alive=$!"]


def guest_script(setup: Sequence[str], jobs: Sequence[Job], folder: Path) -> str:
    """The shell commands the guest runs: setup, then each job between its marks, then checks."""
    lines = [*setup, *_heartbeat()]
    for job in jobs:
        lines.append(f"echo {shlex.quote(BEGIN + job.name)}")
        lines.append(f"{job.command} 2>&1 </dev/null")
        lines.append(f"echo {shlex.quote(END + job.name)} $?")
    leaks = shlex.quote(str(folder / "kmemleak.txt"))
    lines += [
        "kill $alive",
        "if [ -e /sys/kernel/debug/kmemleak ]; then",
        # An object must be five seconds old before it is suspected.
        "  sleep 6; echo scan > /sys/kernel/debug/kmemleak &&",
        "  sleep 6; echo scan > /sys/kernel/debug/kmemleak &&",
        f"  cat /sys/kernel/debug/kmemleak > {leaks} && echo {shlex.quote(CHECKED + 'kmemleak')}",
        "fi",
        "if grep -q '^ debug_locks: *1' /proc/lockdep_stats 2>/dev/null; then",
        f"  echo {shlex.quote(CHECKED + 'lockdep')}",
        "fi",
        "exit 0",
    ]
    return "\n".join(lines)


def run(
    guest: boot.Guest, setup: Sequence[str], jobs: Sequence[Job], checks: Sequence[str] = ()
) -> Report:
    """Boot, run the jobs, and read what came of them. Raises BootError.

    setup: shell commands before the jobs.
    checks: of the kernel on itself (see CHECKS) that must still have worked at the end.
    """
    leaks = guest.folder / "kmemleak.txt"
    leaks.unlink(missing_ok=True)
    with stage("selftests") as progress:
        follower = _Follower(progress, len(jobs))
        result = boot.run(guest, guest_script(setup, jobs, guest.folder), follower.line)
    lines = result.output.read_text(encoding="utf-8", errors="replace").splitlines()
    splats = result.console.splats
    if leaks.is_file():
        splats += parse_kmemleak(leaks.read_text(encoding="utf-8", errors="replace"))
    found = [*read_results(lines, jobs), *read_checks(lines, checks)]
    return Report(tuple(found), splats, result)


def read_checks(lines: Iterable[str], checks: Sequence[str]) -> list[Result]:
    """A result for each check: one that is not working must not look like a clean log."""
    worked = {line[len(CHECKED) :] for line in lines if line.startswith(CHECKED)}
    lost = ("it was off at the end, or before",)
    return [
        Result(f"check/{c}", Status.PASSED)
        if c in worked
        else Result(f"check/{c}", Status.LOST, lost)
        for c in checks
    ]


class _Follower:
    def __init__(self, progress: Stage, jobs: int) -> None:
        self._progress = progress
        self._jobs = jobs
        self._done = 0
        self._name = "boot"

    def line(self, line: str) -> None:
        if line.startswith(BEGIN):
            self._name = line[len(BEGIN) :]
        elif line.startswith(END):
            self._done += 1
        self._progress.update(self._done, self._jobs, self._name)


def read_results(lines: Iterable[str], jobs: Sequence[Job]) -> list[Result]:
    """Results of all jobs in the guest's output; a job without its end mark is LOST."""
    outputs: dict[str, list[str]] = {}
    statuses: dict[str, int] = {}
    current: str | None = None
    for line in lines:
        if line.startswith(BEGIN):
            current = line[len(BEGIN) :]
            outputs[current] = []
        elif match := re.match(re.escape(END) + r"(\S+) (\d+)$", line):
            statuses[match[1]] = int(match[2])
            current = None
        elif current is not None:
            outputs[current].append(line)
    found: list[Result] = []
    for job in jobs:
        found += _job_results(job, outputs.get(job.name), statuses.get(job.name))
    return found


def _job_results(job: Job, output: list[str] | None, status: int | None) -> list[Result]:
    if output is None:
        return [Result(job.name, Status.LOST, ("the guest was gone before it began",))]
    if job.ktap:
        found = results.parse_ktap(output, job.name)
    else:
        found = results.parse_test_progs(output, job.name.partition("/")[0])
    if status is None:
        return [*found, Result(job.name, Status.LOST, (*output[-5:], "it did not come to its end"))]
    missing = [s for s in job.subtests if s not in {r.name for r in found}]
    if missing:
        found = [r for r in found if r.name != job.name]
        return [*found, *(Result(s, Status.LOST, ("no such subtest ran",)) for s in missing)]
    explained = any(r.status in (Status.FAILED, Status.LOST) for r in found)
    if not found or (status != 0 and not explained):
        detail = (*output[-10:], f"ended with status {status}")
        return [*found, Result(job.name, Status.FAILED, detail)]
    return found


def remember(out: Path, jobs: Sequence[Job], found: Sequence[Result]) -> None:
    """Keep the names of subtests that were seen, for --list and -k."""
    path = out / KNOWN
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        known = {}
    for job in jobs:
        names = [r.name for r in found if r.name.startswith(f"{job.name}/") and "(" not in r.name]
        if not job.subtests and not any(r.status is Status.LOST for r in found):
            known[job.name] = names
    path.write_text(json.dumps(known, indent=1), encoding="utf-8")
