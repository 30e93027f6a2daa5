"""What people read at the end: errors, applied patches, results, splats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bpftcp import benchdata, results, upstream
from bpftcp.apply import ApplyResult
from bpftcp.bench import Subject
from bpftcp.benchdata import Column
from bpftcp.boot import GuestResult, Outcome
from bpftcp.console import Splat
from bpftcp.decode import decode
from bpftcp.errors import ExitCode, KbuildError
from bpftcp.pipeline import Kernel
from bpftcp.progress import say
from bpftcp.results import Status
from bpftcp.selftests import Report
from bpftcp.tree import Tree
from bpftcp.upstream import Row, Verdict

SPLAT_LINES = 60
"""Lines of a splat that are shown; all of it is in the log."""

_STYLE = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.SKIPPED: "yellow",
    Status.LOST: "bold magenta",
}


def print_error(error: KbuildError, repeat: str) -> None:
    """Stage, sentence, the lines that matter, the log and the command to repeat it."""
    say(f"{error.stage}: {error.message}")
    for line in error.excerpt:
        say(f"    {line}")
    if error.log:
        say(f"  log:    {error.log}")
    say(f"  repeat: {error.repeat or repeat}")


def print_applied(tree: Tree, result: ApplyResult) -> None:
    """One line for each patch, as in a cover letter's summary."""
    for patch in result.applied:
        print(f"{patch.how:8} {patch.name}")
    print(f"{tree.path}: {tree.version()} with {len(result.applied)} patches")


def _stdout(width: int = 0) -> Console:
    """stdout, wide enough that nothing is cut off: always where it is no terminal.

    width: at least so wide on a terminal too, which then wraps the lines.
    """
    out = Console(highlight=False, soft_wrap=True)
    wide = max(out.width, width) if out.is_terminal else 240
    return Console(highlight=False, soft_wrap=True, width=wide)


def print_results(report: Report, kernel: Kernel) -> None:
    """A table of all results on stdout, the details of what did not pass, a summary line."""
    out = _stdout()
    table = Table(box=None, pad_edge=False)
    table.add_column("test")
    table.add_column("result")
    for result in report.results:
        table.add_row(Text(result.name), Text(result.status.value, style=_STYLE[result.status]))
    out.print(table)
    for result in report.results:
        if result.status in (Status.FAILED, Status.LOST):
            out.print(f"\n{result.name}: {result.status.value}", style="bold", markup=False)
            for line in result.detail[-30:]:
                out.print(f"    {line}", markup=False)
    boot = report.guest.boot_seconds
    came_up = f"first test after {boot:.1f} s" if boot else "never came up"
    out.print(f"\nkernel {kernel.build.version} {kernel.profile.name}: {came_up}", markup=False)
    out.print(results.summary(report.results), markup=False)


def print_comparison(
    rows: Sequence[Row], report: Report, kernel: Kernel, json: Path | None
) -> list[Row]:
    """The kernel's own tests on the base and on the series; returns what fails."""
    out = _stdout()
    table = Table(box=None, pad_edge=False)
    for title in ("test", *(f"base {n + 1}" for n in range(len(rows[0].base))), "series", ""):
        table.add_column(title)
    for row in rows:
        ends = [Text(s.value, style=_STYLE[s]) for s in (*row.base, row.series)]
        table.add_row(
            Text(row.name), *ends, "" if row.verdict is Verdict.SAME else row.verdict.value
        )
    out.print(table)
    bad = [row for row in rows if row.verdict in upstream.BAD]
    details = {r.name: r.detail for r in report.results}
    for row in bad:
        out.print(f"\n{row.name}: {row.verdict.value}", style="bold", markup=False)
        for line in details.get(row.name, ())[-30:]:
            out.print(f"    {line}", markup=False)
    counts = [f"{sum(r.verdict is v for r in rows)} {v.value}" for v in Verdict]
    passed = sum(row.series is Status.PASSED for row in rows)
    out.print(
        f"\nkernel {kernel.build.version}: {passed} of {len(rows)} passed; {', '.join(counts)}",
        markup=False,
    )
    out.print(f"output of the tests: {report.guest.output}", markup=False)
    if json:
        upstream.write_json(json, rows, {"kernel": kernel.build.version})
    return bad


def print_bench(
    columns: Sequence[Column],
    subjects: Sequence[Subject],
    base: str,
    topic: str | None,
    json: Path | None,
) -> ExitCode:
    """The benchmark's table, and whether the idle series is above the unpatched kernel."""
    _stdout(benchdata.WIDTH).print(benchdata.make_table(columns))
    if json:
        facts: dict[str, object] = {
            "base": base,
            "topic": topic,
            "kernels": {
                s.name: {
                    "version": s.kernel.build.version,
                    "config": s.kernel.config.digest,
                    "build": s.kernel.build.fingerprint,
                }
                for s in subjects
            },
        }
        json.write_text(benchdata.to_json(columns, facts), encoding="utf-8")
    worse = benchdata.regressions(columns)
    for row in worse:
        say(f"bench: {row}")
    return ExitCode.FAILED if worse else ExitCode.PASSED


def print_crash(guest: GuestResult, splats: Sequence[Splat], kernel: Kernel) -> bool:
    """Show splats, decoded, and how the guest ended; False where there is nothing to show."""
    for splat in splats:
        say(f"\n{splat.kind.value}: {splat.title}")
        say(f"  {guest.console_log}:{splat.line_number}  [{splat.fingerprint}]")
        for line in _decoded(splat, kernel):
            say(f"    {line}")
    ended = {
        Outcome.DIED: "the guest died",
        Outcome.HUNG: "the guest hung: no sign of life",
        Outcome.TIMEOUT: "the guest did not end in time",
    }.get(guest.outcome)
    if ended:
        say(f"\nboot: {ended}")
    if not splats and not ended:
        return False
    say(f"  log:    {guest.console_log}")
    say(f"  repeat: {guest.command}")
    return True


def _decoded(splat: Splat, kernel: Kernel) -> tuple[str, ...]:
    """A crash stays a crash on a machine that has no binutils."""
    lines = splat.lines[:SPLAT_LINES]
    try:
        return decode(lines, kernel.build.vmlinux, kernel.tree.path)
    except KbuildError as e:
        return (*lines, f"(not decoded: {e.message})")


def write_files(
    report: Report, kernel: Kernel, base: str, json: Path | None, junit: Path | None
) -> None:
    """The machine-readable results, where asked for."""
    facts: dict[str, object] = {
        "base": base,
        "kernel": kernel.build.version,
        "profile": kernel.profile.name,
        "config": kernel.config.digest,
        "build": kernel.build.fingerprint,
        "boot_seconds": report.guest.boot_seconds,
        "seconds": report.guest.seconds,
        "guest": report.guest.outcome.value,
        "splats": [
            {"kind": s.kind.value, "title": s.title, "fingerprint": s.fingerprint}
            for s in report.splats
        ],
    }
    if json:
        results.write_json(json, report.results, facts)
    if junit:
        properties = {k: str(facts[k]) for k in ("base", "kernel", "profile", "guest")}
        crashes = [f"{s.kind.value}: {s.title}" for s in report.splats]
        if report.guest.outcome is not Outcome.EXITED:
            crashes.append(f"the guest {report.guest.outcome.value}")
        results.write_junit(junit, report.results, properties, crashes)
