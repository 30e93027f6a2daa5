"""Evaluation of the benchmark's output."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from bpftcp import benchdata
from bpftcp.benchdata import Column, parse_rounds, summarise
from bpftcp.errors import BenchError


def output(values: list[float], row: str = "rr/ipv4/lo", setup: str = "none") -> str:
    lines = [
        json.dumps({"row": row, "setup": setup, "round": k, "ops": 10, "ns": int(v * 10)})
        for k, v in enumerate(values)
    ]
    return "\n".join(["noise", *lines, json.dumps({"done": setup})])


def column(kernel: str, *boots: list[float], row: str = "rr/ipv4/lo") -> Column:
    return summarise(kernel, "none", [parse_rounds(output(b, row)) for b in boots])


def test_warm_up_does_not_count() -> None:
    measure = column("series", [99999, 99999, 1000, 1001, 1002]).measures["rr/ipv4/lo"]
    assert measure.per_op == 1001 and measure.within == pytest.approx(2 / 1000)


def test_repeatability_is_between_boots() -> None:
    measure = column(
        "series", [0, 0, 1000, 1000, 1000], [0, 0, 1004, 1004, 1004], [0, 0, 1001, 1001, 1001]
    ).measures["rr/ipv4/lo"]
    assert (measure.per_op, measure.boots) == (1000, 3)
    assert measure.spread == pytest.approx(4 / 1000)


@pytest.mark.parametrize(
    "text",
    [
        '{"error": "waited"}\n{"done": "none"}',
        '{"row": "rr/ipv4/lo", "setup": "none", "ops": 1, "ns": 5}',
        '{"row": "rr/ip',
        "",
        '{"row": "rr/ipv4/lo", "setup": "none", "ops": 0, "ns": 5}',
        '{"row": "rr/ipv4/lo"}',
    ],
)
def test_unusable_output(text: str) -> None:
    with pytest.raises(BenchError):
        parse_rounds(text)


def test_too_few_rounds() -> None:
    with pytest.raises(BenchError, match="only 4 rounds"):
        column("series", [1, 1, 1, 1])


def test_bulk_may_be_above_by_what_it_repeats_to() -> None:
    row = "bulk/ipv4/lo"
    base = column("unpatched", [0, 0, 1000, 1000, 1000], [0, 0, 1001, 1001, 1001], row=row)
    same = column("series", [0, 0, 1001, 1001, 1001], row=row)
    worse = column("series", [0, 0, 1003, 1003, 1003], row=row)
    assert benchdata.regressions([base, same]) == []
    assert benchdata.regressions([base, worse]) == [f"{row}: +0.300% against the unpatched kernel"]


def test_request_response_must_not_be_above_at_all() -> None:
    base = column("unpatched", [0, 0, 1000, 1000, 1000], [0, 0, 1001, 1001, 1001])
    above = column("series", [0, 0, 1000.5, 1000.5, 1000.5])
    better = column("series", [0, 0, 990, 990, 990])
    assert benchdata.regressions([base, better]) == []
    assert len(benchdata.regressions([base, above])) == 1


def test_a_row_that_does_not_repeat_is_not_good() -> None:
    base = column("unpatched", [0, 0, 1000, 1000, 1000], [0, 0, 1030, 1030, 1030])
    same = column("series", [0, 0, 990, 990, 990])
    assert benchdata.regressions([base, same]) == ["rr/ipv4/lo: repeats only to 3.000%"]


def test_table_and_json() -> None:
    columns = [
        column("unpatched", [0, 0, 1000, 1000, 1000]),
        column("series", [0, 0, 990, 990, 990]),
    ]
    out = Console(width=200, record=True, file=io.StringIO())
    out.print(benchdata.make_table(columns))
    text = out.export_text()
    assert "1,000.0" in text and "-10.0 -1.00%" in text and "not cycles" in text
    data = json.loads(benchdata.to_json(columns, {"base": "7.3"}))
    assert data["schema"] == 1
    assert data["columns"][1]["rows"]["rr/ipv4/lo"]["per_op"] == 990
