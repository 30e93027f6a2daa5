"""What the benchmark's guests measured: parsed, summarised, compared."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from bpftcp.errors import BenchError
from bpftcp.layout import PATCHED, UNPATCHED

BASELINE = "none"
SOCKOPS = "sockops-"
EXTOPT = "extopt-"
"""Set-ups of the same work have the same name behind these."""
SYN = "syn"
"""Behind these: an option in the handshake only. It has rows that the others have not."""
PM = "pm"
"""MPTCP path managers in BPF: rows of its own, on a kernel with the series."""
WARM_UP = 2
"""Rounds at the beginning of each row that do not count."""
LIMIT = 0.001
"""To this a row must repeat."""
SYN_LIMIT = 1500
"""Instructions an option in the handshake may cost a connection, on both ends together."""
MPTCP_LIMIT = 20
"""Instructions more that an MPTCP connection may take, whose path manager is the kernel's."""
WORK_LIMIT = 5000
"""Instructions from an event that was noted to the path manager's opening of a subflow."""
WALK_LIMIT = 1.2
"""How much more for each session telling many of a change may take than telling few."""
WIDTH = 125
"""Columns of text that the table takes."""
UNITS = {
    "rr": "instructions per 1-byte request/response",
    "bulk": "instructions per MB (10^6 bytes)",
    "crr": "instructions per connection with a 1-byte request/response",
    "conn": "instructions per connection",
    "mrr": "rr, by MPTCP",
    "mbulk": "bulk, by MPTCP",
    "mcrr": "instructions of the median MPTCP crr, without the end of the connection",
    "pm-work": "instructions from an event of a session to the open of a subflow, CPU idle",
    "pm-busy": "the same in the middle of a send, which the one CPU ends first",
    "pm-walk": "instructions per session until all have been told of an address change",
}
NOTE = "Counts are executed guest instructions (QEMU -icount), both ends together; not cycles."
LEGEND = (
    f"Differences are to {BASELINE} on the {UNPATCHED} kernel. "
    f"of sock_ops: what {EXTOPT}* costs over {BASELINE} on its kernel,\n"
    f"as a fraction of what {SOCKOPS}* costs over {BASELINE} on the {UNPATCHED} kernel."
)


@dataclass(frozen=True)
class Round:
    """One timed round: instructions per operation."""

    row: str
    setup: str
    per_op: float


@dataclass(frozen=True)
class Measure:
    """A row of one column.

    per_op: the lowest of the boots' medians. What disturbs a count only ever adds to it, and
    some boots carry a few instructions more from their beginning to their end.
    spread: how far apart the boots' medians are; with one boot only, its rounds.
    """

    row: str
    per_op: float
    spread: float
    within: float
    """The same inside one boot, the worst of them."""
    boots: int


@dataclass(frozen=True)
class Column:
    """One kernel with one set-up. kernel: unpatched or series."""

    kernel: str
    setup: str
    measures: dict[str, Measure]


def parse_rounds(text: str) -> list[Round]:
    """Rounds in one guest's output. Raises BenchError where it reports an error or is cut."""
    rounds = []
    done = False
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            data = json.loads(line)
            if "error" in data:
                raise BenchError(f"in the guest: {data['error']}")
            if "done" in data:
                done = True
            else:
                rounds.append(Round(data["row"], data["setup"], data["ns"] / data["ops"]))
        except (json.JSONDecodeError, KeyError, TypeError, ZeroDivisionError) as e:
            raise BenchError(f"the guest's output is cut: {line[:80]}") from e
    if not done:
        raise BenchError("the guest's output is cut: it never says that it is done")
    return rounds


def summarise(kernel: str, setup: str, boots: Sequence[Iterable[Round]]) -> Column:
    """One column out of the rounds of several boots. Raises BenchError for too few rounds."""
    medians: dict[str, list[float]] = {}
    within: dict[str, float] = {}
    for boot in boots:
        by_row: dict[str, list[float]] = {}
        for r in boot:
            if r.setup == setup:
                by_row.setdefault(r.row, []).append(r.per_op)
        for row, values in by_row.items():
            kept = values[WARM_UP:]
            if len(kept) < 3:
                raise BenchError(f"{row}: only {len(values)} rounds")
            medians.setdefault(row, []).append(statistics.median(kept))
            within[row] = max(within.get(row, 0.0), _spread(kept))
    if not medians:
        raise BenchError(f"no rounds of set-up {setup}")
    if len({len(m) for m in medians.values()}) > 1:
        raise BenchError(f"set-up {setup}: rows are missing in some boots")
    measures = {
        row: Measure(row, min(m), _spread(m) if len(m) > 1 else within[row], within[row], len(m))
        for row, m in medians.items()
    }
    return Column(kernel, setup, measures)


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / min(values)


def repeatability(columns: Sequence[Column], row: str) -> float:
    """A row's own: the widest spread between boots that any of its columns shows."""
    return max(c.measures[row].spread for c in columns if row in c.measures)


def regressions(columns: Sequence[Column], setup: str = BASELINE) -> list[str]:
    """Rows in which the series misses its bar, one phrase each.

    Idle no row may be above the unpatched kernel by more than it repeats to, as the table says
    it; request/response must be below it; and idle no row may repeat worse than LIMIT: what
    cannot be measured is not shown to be good. An MPTCP connection may take MPTCP_LIMIT more,
    an option in the handshake may cost SYN_LIMIT, path managers are called within WORK_LIMIT on
    a CPU that has nothing else to do.
    """
    by_kernel = {c.kernel: c for c in columns if c.setup == setup}
    base, other = by_kernel[UNPATCHED], by_kernel[PATCHED]
    found = []
    for row, measure in base.measures.items():
        change = other.measures[row].per_op / measure.per_op - 1
        if row.startswith("mcrr/"):
            allowed = MPTCP_LIMIT / measure.per_op
        else:
            allowed = 0 if row.startswith("rr/") else repeatability(columns, row)
        if change > allowed:
            found.append(f"{row}: {change:+.3%} against the unpatched kernel")
        spread = repeatability([base, other], row)
        if spread > LIMIT:
            found.append(f"{row}: repeats only to {spread:.3%}")
    comparison = Comparison(columns)
    for row in comparison.rows:
        cost = comparison.difference(PATCHED, EXTOPT + SYN, row, to=PATCHED)
        if cost is not None and cost > SYN_LIMIT:
            found.append(f"{row}: {EXTOPT}{SYN} costs {cost:,.1f}, more than {SYN_LIMIT:,}")
    return found + _path_manager_regressions(comparison)


def _path_manager_regressions(comparison: Comparison) -> list[str]:
    found = []
    walks: dict[int, float] = {}
    for row in comparison.rows:
        value = comparison.per_op(PATCHED, PM, row)
        if value is None:
            continue
        work, _, what = row.partition("/")
        if work == "pm-walk":
            walks[int(what)] = value
        elif work == "pm-work" and value > WORK_LIMIT:
            found.append(f"{row}: {value:,.0f}, more than {WORK_LIMIT:,}")
    if walks and walks[max(walks)] > WALK_LIMIT * walks[min(walks)]:
        found.append(f"pm-walk: {max(walks)} sessions take more each than {min(walks)} do")
    return found


class Comparison:
    """What columns say about each other."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.rows = tuple(dict.fromkeys(row for c in columns for row in c.measures))
        self.setups = tuple(dict.fromkeys(c.setup for c in columns))
        self._by_name = {(c.kernel, c.setup): c for c in columns}

    def per_op(self, kernel: str, setup: str, row: str) -> float | None:
        column = self._by_name.get((kernel, setup))
        measure = column.measures.get(row) if column else None
        return measure.per_op if measure else None

    def difference(self, kernel: str, setup: str, row: str, to: str = UNPATCHED) -> float | None:
        """Instructions more than without an option, on the kernel `to`."""
        value, base = self.per_op(kernel, setup, row), self.per_op(to, BASELINE, row)
        return None if value is None or base is None else value - base

    def of_sockops(self, kernel: str, setup: str, row: str) -> float | None:
        """Overhead of an extopt set-up, as a fraction of mainline's sock_ops doing the same.

        Each over its own kernel without an option, so that what else the series changes
        counts neither for nor against. None where there is nothing to compare with.
        """
        same = SOCKOPS + setup.removeprefix(EXTOPT)
        overhead = self.difference(kernel, setup, row, to=kernel)
        mainline = self.difference(UNPATCHED, same, row)
        return None if overhead is None or not mainline else overhead / mainline

    def lines(self, row: str) -> Iterator[tuple[str, ...]]:
        """A row's block in the table: a line for each set-up it has, columns for each kernel."""
        base = self.per_op(UNPATCHED, BASELINE, row)
        for setup in self.setups:
            if all(self.per_op(kernel, setup, row) is None for kernel in (UNPATCHED, PATCHED)):
                continue
            cells = [setup]
            for kernel in (UNPATCHED, PATCHED):
                value = self.per_op(kernel, setup, row)
                difference = self.difference(kernel, setup, row)
                cells.append("-" if value is None else _count(value))
                if difference is None or not base or (kernel, setup) == (UNPATCHED, BASELINE):
                    cells += ["", ""]
                else:
                    cells += [_count(difference, "+"), f"{difference / base:+.2%}"]
            part = self.of_sockops(PATCHED, setup, row)
            yield (*cells, "" if part is None else f"{part:.2f} of sock_ops")


def _count(value: float, sign: str = "") -> str:
    """Tenths where they can mean something."""
    return f"{value:{sign},.{0 if abs(value) >= 100_000 else 1}f}"


def make_table(columns: Sequence[Column]) -> Table:
    """A block for each row: lines are set-ups, side by side the kernels."""
    comparison = Comparison(columns)
    table = Table(title="Instructions", caption=f"{NOTE}\n{LEGEND}", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for kernel in (UNPATCHED, PATCHED):
        for title in (kernel, "", ""):
            table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in comparison.rows:
        table.add_row(f"{row}, repeats to {repeatability(columns, row):.3%}", style="bold")
        for cells in comparison.lines(row):
            table.add_row(*cells)
        table.add_row()
    return table


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def to_json(columns: Sequence[Column], facts: dict[str, object]) -> str:
    """All of it for programs; schema 1."""
    comparison = Comparison(columns)
    data = {
        "schema": 1,
        "note": NOTE,
        "legend": LEGEND.replace("\n", " "),
        "units": UNITS,
        **facts,
        "columns": [
            {
                "kernel": c.kernel,
                "setup": c.setup,
                "rows": {
                    m.row: {
                        "per_op": round(m.per_op, 2),
                        "difference": _rounded(comparison.difference(c.kernel, c.setup, m.row), 2),
                        "of_sockops": _rounded(comparison.of_sockops(c.kernel, c.setup, m.row), 4),
                        "spread": round(m.spread, 6),
                        "spread_within_boot": round(m.within, 6),
                        "boots": m.boots,
                    }
                    for m in c.measures.values()
                },
            }
            for c in columns
        ],
        "repeatability": {row: round(repeatability(columns, row), 6) for row in comparison.rows},
    }
    return json.dumps(data, indent=1) + "\n"
