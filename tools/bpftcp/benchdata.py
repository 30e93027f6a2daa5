"""What the benchmark's guests measured: parsed, summarised, compared."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from bpftcp.errors import BenchError

WARM_UP = 2
"""Rounds at the beginning of each row that do not count."""
LIMIT = 0.001
"""To this a row must repeat."""
UNITS = {
    "rr": "instructions per 1-byte request/response",
    "bulk": "instructions per MB (10^6 bytes)",
    "conn": "instructions per connection",
}
NOTE = "Counts are executed guest instructions (QEMU -icount), both ends together; not cycles."


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


def regressions(columns: Sequence[Column], setup: str = "none") -> list[str]:
    """Rows in which the series' idle kernel misses its bar, one phrase each.

    No row may be above the unpatched kernel by more than it repeats to; request/response
    must be below it; and no row may repeat worse than LIMIT: what cannot be measured is not
    shown to be good.
    """
    by_kernel = {c.kernel: c for c in columns if c.setup == setup}
    base, other = by_kernel["unpatched"], by_kernel["series"]
    found = []
    for row, measure in base.measures.items():
        change = other.measures[row].per_op / measure.per_op - 1
        spread = repeatability([base, other], row)
        if change > (0 if row.startswith("rr/") else spread):
            found.append(f"{row}: {change:+.3%} against the unpatched kernel")
        if spread > LIMIT:
            found.append(f"{row}: repeats only to {spread:.3%}")
    return found


def make_table(columns: Sequence[Column]) -> Table:
    """Rows by columns; each column's difference to the first one beside it."""
    table = Table(title="Instructions", caption=NOTE, box=None)
    table.add_column("row")
    for column in columns:
        table.add_column(f"{column.kernel}\n{column.setup}", justify="right")
    table.add_column("repeats\nto", justify="right")
    first = columns[0].measures
    for row, reference in first.items():
        cells = []
        for column in columns:
            measure = column.measures[row]
            text = f"{measure.per_op:,.1f}"
            if column is not columns[0]:
                difference = measure.per_op - reference.per_op
                text += f"\n{difference:+,.1f} {difference / reference.per_op:+.2%}"
            cells.append(text)
        table.add_row(row, *cells, f"{repeatability(columns, row):.3%}")
    return table


def to_json(columns: Sequence[Column], facts: dict[str, object]) -> str:
    """All of it for programs; schema 1."""
    data = {
        "schema": 1,
        "note": NOTE,
        "units": UNITS,
        **facts,
        "columns": [
            {
                "kernel": c.kernel,
                "setup": c.setup,
                "rows": {
                    m.row: {
                        "per_op": round(m.per_op, 2),
                        "spread": round(m.spread, 6),
                        "spread_within_boot": round(m.within, 6),
                        "boots": m.boots,
                    }
                    for m in c.measures.values()
                },
            }
            for c in columns
        ],
        "repeatability": {
            row: round(repeatability(columns, row), 6) for row in columns[0].measures
        },
    }
    return json.dumps(data, indent=1) + "\n"
