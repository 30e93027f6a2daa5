"""Run the benchmark: the same programs on the unpatched and the patched kernel."""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bpftcp import boot
from bpftcp.benchdata import (
    BASELINE,
    EXTOPT,
    PM,
    SOCKOPS,
    SYN,
    Column,
    Round,
    parse_rounds,
    summarise,
)
from bpftcp.boot import Guest
from bpftcp.errors import BenchError, BootError, UsageError
from bpftcp.layout import PATCHED
from bpftcp.pipeline import Kernel
from bpftcp.progress import stage
from bpftcp.testbuild import TestBuild

PROGRAM = "tcp_opt_cost"
PM_PROGRAM = "mptcp_pm_cost"
ROWS = "*[rk]/*"
"""Request/response, bulk, short connections, path managers. conn/*, that carry nothing, are
there too."""
_E4 = ("insert", "insert-parse", "insert-parse-setsockopt")
SERIES_SETUPS = {
    **dict.fromkeys((EXTOPT + name for name in ("registered", *_E4, SYN)), "tcp-extopt"),
    PM: "mptcp-bpf-pm",
}
"""Set-ups that only a kernel with the series has, and the topic that each is of."""
SETUPS = (BASELINE, *(SOCKOPS + name for name in (*_E4, SYN)), *SERIES_SETUPS)
ICOUNT = "-icount shift=0,sleep=on"
"""One nanosecond an instruction. sleep=on: an idle guest waits for the host's disk in real
time; with off its clock leaps ahead meanwhile, and udev's time-outs pass at boot."""


@dataclass(frozen=True)
class Subject:
    """A kernel to measure. name: unpatched or series; guest: as for tests, without KVM."""

    name: str
    kernel: Kernel
    tests: TestBuild
    guest: Guest


def choose_setups(globs: Sequence[str], topic: str | None = None) -> tuple[str, ...]:
    """The set-ups that any of the globs names, and the baseline; all without globs.

    topic: the only one of the series that the kernel has.
    Raises UsageError for a glob that names none.
    """
    there = [s for s in SETUPS if topic is None or SERIES_SETUPS.get(s, topic) == topic]
    for glob in globs:
        if not fnmatch.filter(there, glob):
            raise UsageError(f"no set-up {glob}; there is: {', '.join(there)}")
    globs = [BASELINE, *globs] if globs else ["*"]
    return tuple(s for s in there if any(fnmatch.fnmatchcase(s, g) for g in globs))


def _runs(subject: Subject, setups: Sequence[str]) -> list[str]:
    """Those of the set-ups that the subject's kernel has."""
    return [s for s in setups if subject.name == PATCHED or s not in SERIES_SETUPS]


def measure(
    subjects: Sequence[Subject],
    *,
    setups: Sequence[str] = SETUPS,
    boots: int = 3,
    rows: str = ROWS,
) -> list[Column]:
    """All columns: each set-up on each kernel that has it, over boots that take turns.

    rows: a glob over names like rr/ipv4/lo. A set-up without any of them has no column.

    Raises BenchError when a run is not usable, BootError when a guest fails.
    """
    rounds: dict[tuple[str, str], list[list[Round]]] = {}
    with stage(f"bench: {boots} boots of {len(subjects)} kernels") as progress:
        for number in range(boots):
            for at, subject in enumerate(subjects):
                progress.update(number * len(subjects) + at, boots * len(subjects), subject.name)
                runs = _runs(subject, setups)
                text = _boot(subject, runs, number, rows)
                for setup, part in zip(runs, _split(text, runs), strict=True):
                    rounds.setdefault((subject.name, setup), []).append(parse_rounds(part))
    return [
        summarise(subject.name, setup, rounds[subject.name, setup])
        for setup in setups
        for subject in subjects
        if setup == BASELINE or any(rounds.get((subject.name, setup), ()))
    ]


def _boot(subject: Subject, setups: Sequence[str], number: int, rows: str) -> str:
    programs = {setup: PM_PROGRAM if setup == PM else PROGRAM for setup in setups}
    paths = (
        shlex.quote(str(subject.tests.bench(name))) for name in dict.fromkeys(programs.values())
    )
    # From a tmpfs: nothing must be waited for while instructions are counted.
    lines = [f"mkdir /dev/shm/b && cp {' '.join(paths)} /dev/shm/b && cd /dev/shm/b"]
    for setup, program in programs.items():
        lines.append(
            f"echo @@setup {setup}; ./{program} -s {setup} -k {shlex.quote(rows)} || exit 1"
        )
    guest = replace(
        subject.guest,
        folder=subject.guest.folder / str(number),
        cpus=1,
        kvm=False,
        qemu_options=(*subject.guest.qemu_options, ICOUNT),
    )
    result = boot.run(guest, "\n".join(lines))
    text = result.output.read_text(encoding="utf-8", errors="replace")
    if result.console.splats or result.outcome is not boot.Outcome.EXITED:
        first = result.console.splats[0].title if result.console.splats else result.outcome.value
        raise BootError(
            f"the {subject.name} kernel failed in the benchmark: {first}",
            log=result.console_log,
            repeat=result.command,
        )
    if result.status != 0:
        raise BenchError(
            f"the benchmark failed on the {subject.name} kernel",
            log=result.output,
            repeat=result.command,
            excerpt=text.splitlines()[-5:],
        )
    return text


def _split(text: str, setups: Sequence[str]) -> list[str]:
    parts = text.split("@@setup ")[1:]
    if [part.split("\n", 1)[0].strip() for part in parts] != list(setups):
        raise BenchError("the guest's output is cut: not all set-ups are there")
    return parts
