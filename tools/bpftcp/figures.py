"""What the use cases are for, drawn: one plot each, from numbers of a run in a guest."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpftcp import boot
from bpftcp.boot import Guest
from bpftcp.errors import FiguresError
from bpftcp.progress import stage
from bpftcp.testbuild import TestBuild

TEST = "extopt_figures"
_LINE = re.compile(r"FIGURE (\w+) (.+)$")


@dataclass(frozen=True)
class Figure:
    """One plot. columns: names of what a row has; the first is x, or names the curve.

    curve: whether rows are of several curves, with the curve's name first.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    curve: bool = False


FIGURES = (
    Figure("uto", "When a connection is given up", ("announced, s", "given up after, ms")),
    Figure(
        "cc",
        "Round-trip time with the congestion control asked for (20 Mbit/s, 20 ms)",
        ("congestion control", "time, ms", "round-trip time, us"),
        curve=True,
    ),
    Figure("iw", "A transfer of 50 KB over 200 ms", ("initial window, segments", "time, ms")),
    Figure(
        "delack",
        "ACKs and throughput with the segments to an ACK asked for (20 Mbit/s, 10 ms)",
        ("segments to an ACK", "run, ms", "bytes", "ACKs"),
    ),
)
Row = tuple[str | int, ...]


def parse(lines: Sequence[str]) -> dict[str, list[Row]]:
    """The rows of each figure, in the order of x. Raises FiguresError for a figure without any."""
    found: dict[str, list[Row]] = {figure.name: [] for figure in FIGURES}
    for line in lines:
        if match := _LINE.search(line):
            if match[1] not in found:
                raise FiguresError(f"no figure of this name: {line}")
            values = match[2].split()
            found[match[1]].append(tuple(int(v) if v.isdigit() else v for v in values))
    for figure in FIGURES:
        rows = found[figure.name]
        if not rows or any(len(row) != len(figure.columns) for row in rows):
            raise FiguresError(f"the run has no usable numbers for {figure.name}")
        rows.sort(key=lambda row: (str(row[0]), row[1:]) if figure.curve else row)
    return found


def measure(tests: TestBuild, guest: Guest) -> dict[str, list[Row]]:
    """Run the test that prints the numbers, with all points. Raises FiguresError, BootError."""
    script = "mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf; cd /dev/shm; "
    script += "export PATH=/usr/sbin:/sbin:$PATH EXTOPT_FIGURES=1; "
    # What the harness says beside, it says in the middle of lines.
    script += f"{shlex.quote(str(tests.test_progs))} -t {TEST} -v 2>err; "
    script += "status=$?; cat err; exit $status"
    lines: list[str] = []
    with stage("figures") as progress:

        def follow(line: str) -> None:
            lines.append(line)
            if match := _LINE.search(line):
                progress.update(len(lines), None, match[1])

        result = boot.run(guest, script, follow)
    if result.status != 0 or result.console.splats:
        raise FiguresError("the run failed", log=result.output, excerpt=lines[-12:])
    return parse(lines)


def write(rows: dict[str, list[Row]], folder: Path, facts: dict[str, object]) -> list[Path]:
    """A PNG and a JSON file for each figure; returns the PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for figure in FIGURES:
        picture = folder / f"{figure.name}.png"
        data = {
            **facts,
            "title": figure.title,
            "columns": figure.columns,
            "rows": rows[figure.name],
        }
        picture.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        _draw(figure, rows[figure.name], picture)
        made.append(picture)
    return made


def delack_rates(row: Row) -> tuple[float, float]:
    """ACKs a second and Mbit/s of a row of "delack", over the time that the run really took."""
    _, ms, sent, acks = map(int, row)
    return 1000 * acks / ms, sent * 8 / ms / 1000


def _draw(figure: Figure, rows: Sequence[Row], path: Path) -> None:
    import matplotlib  # half a second, and needed by nothing else

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    axes.set_title(figure.title, fontsize=10)
    if figure.curve:
        for name in sorted({str(row[0]) for row in rows}):
            points = [row[1:] for row in rows if row[0] == name]
            axes.plot([int(x) for x, _ in points], [int(y) / 1000 for _, y in points], label=name)
        axes.set(xlabel=figure.columns[1], ylabel="round-trip time, ms", ylim=(0, None))
        drawing.legend(loc="outside lower center", ncols=len(axes.lines))
    elif figure.name == "delack":
        x = [int(row[0]) for row in rows]
        rates = [delack_rates(row) for row in rows]
        axes.plot(x, [acks for acks, _ in rates], "o-", color="C0")
        axes.set_xscale("log", base=2)
        axes.set_xticks(x, [str(n) for n in x])
        axes.set_xlabel(figure.columns[0])
        axes.set_ylabel("ACKs a second", color="C0")
        right = axes.twinx()
        right.plot(x, [mbits for _, mbits in rates], "s--", color="C1")
        right.set_ylabel("Mbit/s", color="C1")
        right.set_ylim(0, 1.2 * max(mbits for _, mbits in rates))
    else:
        axes.plot([int(row[0]) for row in rows], [int(row[1]) for row in rows], "o-")
        axes.set(xlabel=figure.columns[0], ylabel=figure.columns[1], ylim=(0, None))
    drawing.savefig(path, dpi=120)
    pyplot.close(drawing)
