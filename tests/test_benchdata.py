"""Evaluation of the benchmark's output."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from bpftcp import benchdata
from bpftcp.benchdata import Column, Comparison, parse_rounds, summarise
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


def test_what_a_row_repeats_to_is_what_the_table_says() -> None:
    row = "bulk/ipv4/lo"
    base = column("unpatched", [0, 0, 1000, 1000, 1000], row=row)
    above = column("series", [0, 0, 1000.5, 1000.5, 1000.5], row=row)
    other = summarise(
        "series",
        "sockops-insert",
        [parse_rounds(output([0, 0, v, v, v], row, "sockops-insert")) for v in (2000.0, 2004.0)],
    )
    assert len(benchdata.regressions([base, above])) == 1
    assert benchdata.repeatability([base, above, other], row) == pytest.approx(0.002)
    assert benchdata.regressions([base, above, other]) == []


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


def row_of(kernel: str, setup: str, value: float, row: str = "rr/ipv4/lo") -> Column:
    values = [0, 0, value, value, value]
    return summarise(kernel, setup, [parse_rounds(output(values, row, setup))])


@pytest.fixture
def crr() -> list[Column]:
    """The option in the handshake costs 1,500 on the series, 1,510 to the unpatched kernel."""
    row = "crr/ipv4/lo"
    return [
        row_of("unpatched", "none", 66000, row),
        row_of("series", "none", 66010, row),
        row_of("unpatched", "sockops-syn", 69000, row),
        row_of("series", "extopt-registered", 66020, row),
        row_of("series", "extopt-syn", 67510, row),
    ]


def test_a_connection_idle_may_be_above_by_what_it_repeats_to(crr: list[Column]) -> None:
    worse = benchdata.regressions(crr)
    assert worse == ["crr/ipv4/lo: +0.015% against the unpatched kernel"]
    boots = [parse_rounds(output([0, 0, v, v, v], "crr/ipv4/lo")) for v in (66000.0, 66020.0)]
    assert benchdata.regressions([summarise("unpatched", "none", boots), *crr[1:]]) == []


def test_an_option_in_the_handshake_has_a_limit(crr: list[Column]) -> None:
    row = "crr/ipv4/lo"
    same = [row_of("unpatched", "none", 66010, row), *crr[1:]]
    assert benchdata.regressions(same) == []
    same[-1] = row_of("series", "extopt-syn", 67510.2, row)
    assert benchdata.regressions(same) == [f"{row}: extopt-syn costs 1,500.2, more than 1,500"]
    # To its own kernel: what else the series costs has a bar of its own.
    other = [row_of("unpatched", "none", 67000, row), *same[1:]]
    assert len(benchdata.regressions(other)) == 1
    # Mainline's may cost what it does.
    assert benchdata.regressions([c for c in same if c.setup != "extopt-syn"]) == []


def test_an_mptcp_connection_may_take_some_more() -> None:
    row = "mcrr/ipv4/lo"
    base = row_of("unpatched", "none", 90000, row)
    assert benchdata.regressions([base, row_of("series", "none", 90020, row)]) == []
    assert len(benchdata.regressions([base, row_of("series", "none", 90021, row)])) == 1


def test_path_managers_are_called_soon_and_in_linear_time() -> None:
    idle = [row_of(kernel, "none", 1000) for kernel in ("unpatched", "series")]

    def judge(**values: float) -> list[str]:
        rounds = "\n".join(
            output([0, 0, v, v, v], name.replace("_", "/").replace("pm/", "pm-"), "pm")
            for name, v in values.items()
        )
        pm = summarise("series", "pm", [parse_rounds(rounds)])
        assert "pm-" in str(benchdata.make_table([*idle, pm]).columns[0]._cells)
        return benchdata.regressions([*idle, pm])

    assert judge(pm_work_ipv4=5000, pm_busy_ipv4=9000, pm_walk_125=900, pm_walk_1000=1080) == []
    assert judge(pm_work_ipv4=5001) == ["pm-work/ipv4: 5,001, more than 5,000"]
    assert judge(pm_walk_125=900, pm_walk_1000=1081) == [
        "pm-walk: 1000 sessions take more each than 125 do"
    ]


@pytest.fixture
def e4() -> list[Column]:
    """The series idles at 10 less; its sock_ops costs 400, mainline's 500."""
    return [
        row_of("unpatched", "none", 1000),
        row_of("series", "none", 990),
        row_of("unpatched", "sockops-insert", 1500),
        row_of("series", "sockops-insert", 1390),
        row_of("series", "extopt-registered", 1002),
        row_of("series", "extopt-insert", 1200),
    ]


def test_overhead_is_a_fraction_of_mainlines(e4: list[Column]) -> None:
    comparison = Comparison(e4)

    def of_sockops(setup: str) -> float | None:
        return comparison.of_sockops("series", setup, "rr/ipv4/lo")

    # Over the same kernel without an option: not (1200 - 1000) / 500.
    assert of_sockops("extopt-insert") == pytest.approx(210 / 500)
    assert of_sockops("extopt-registered") is None
    assert of_sockops("sockops-insert") is None
    without = [c for c in e4 if c.kernel == "series" or c.setup == "none"]
    assert Comparison(without).of_sockops("series", "extopt-insert", "rr/ipv4/lo") is None


def printed(columns: list[Column]) -> list[list[str]]:
    out = Console(width=benchdata.WIDTH, record=True, file=io.StringIO())
    out.print(benchdata.make_table(columns))
    table, note, text = out.export_text().partition("Counts are executed")
    assert note and "cycles" in text
    return [line.split() for line in table.splitlines() if line.strip()]


def test_table(e4: list[Column]) -> None:
    assert printed(e4)[1:] == [
        ["unpatched", "series"],
        ["rr/ipv4/lo,", "repeats", "to", "0.000%"],
        ["none", "1,000.0", "990.0", "-10.0", "-1.00%"],
        ["sockops-insert", "1,500.0", "+500.0", "+50.00%", "1,390.0", "+390.0", "+39.00%"],
        ["extopt-registered", "-", "1,002.0", "+2.0", "+0.20%"],
        ["extopt-insert", "-", "1,200.0", "+200.0", "+20.00%", "0.42", "of", "sock_ops"],
    ]


def test_table_has_the_set_ups_of_a_row_only(crr: list[Column]) -> None:
    both = output([0, 0, 1000, 1000, 1000]) + "\n" + output([66000] * 5, "crr/ipv4/lo")
    columns = [summarise(k, "none", [parse_rounds(both)]) for k in ("unpatched", "series")]
    columns += [row_of("series", "extopt-insert", 1200), *crr[2:]]
    lines = printed(columns)
    names = [line[0] for line in lines[2:]]
    assert names == [
        "rr/ipv4/lo,", "none", "extopt-insert",
        "crr/ipv4/lo,", "none", "sockops-syn", "extopt-registered", "extopt-syn",
    ]  # fmt: skip
    assert lines[-1][:4] == ["extopt-syn", "-", "67,510.0", "+1,510.0"]
    assert lines[-1][-3:] == ["0.50", "of", "sock_ops"]
    data = json.loads(benchdata.to_json(columns, {}))
    assert set(data["repeatability"]) == {"rr/ipv4/lo", "crr/ipv4/lo"}
    assert set(data["columns"][-1]["rows"]) == {"crr/ipv4/lo"}


def test_widest_numbers_fit_the_table() -> None:
    name, row = "insert-parse-setsockopt", "bulk/ipv4/veth"
    columns = [
        row_of("unpatched", "none", 2345678, row),
        row_of("series", "none", 2345600, row),
        row_of("unpatched", f"sockops-{name}", 12345678, row),
        row_of("series", f"sockops-{name}", 12345678, row),
        row_of("series", f"extopt-{name}", 12345678, row),
    ]
    line = printed(columns)[-1]
    assert line[0] == f"extopt-{name}" and line[-3:] == ["1.00", "of", "sock_ops"]
    assert line[2:4] == ["12,345,678", "+10,000,000"]


def test_json(e4: list[Column]) -> None:
    data = json.loads(benchdata.to_json(e4, {"base": "7.3"}))
    assert data["schema"] == 1 and data["base"] == "7.3"
    rows = {(c["kernel"], c["setup"]): c["rows"]["rr/ipv4/lo"] for c in data["columns"]}
    assert len(rows) == len(e4)
    assert rows["series", "none"]["per_op"] == 990
    assert rows["series", "none"]["difference"] == -10
    assert rows["series", "none"]["of_sockops"] is None
    assert rows["series", "extopt-insert"]["difference"] == 200
    assert rows["series", "extopt-insert"]["of_sockops"] == 0.42
