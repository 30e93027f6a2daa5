"""`kbuild figures`: from the lines of the run to a plot and a JSON file for each use case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpftcp.errors import FiguresError
from bpftcp.figures import FIGURES, delack_rates, parse, write

RUN = """\
WATCHDOG: test case extopt_figures/cc executes for 10 seconds...
FIGURE uto 5 5003
FIGURE uto 1 1004
#1/1     extopt_figures/uto:OK
flow:PASS:senderFIGURE cc reno 20 61000
FIGURE cc bbr 40 41000
FIGURE cc bbr 20 40500
FIGURE iw 10 400
FIGURE iw 2 800
FIGURE delack 1 3200 7600000 5400
FIGURE delack 16 3000 7100000 420
""".splitlines()


def test_rows_are_found_and_sorted() -> None:
    rows = parse(RUN)
    assert rows["uto"] == [(1, 1004), (5, 5003)]
    assert rows["cc"] == [("bbr", 20, 40500), ("bbr", 40, 41000), ("reno", 20, 61000)]
    assert rows["iw"] == [(2, 800), (10, 400)]
    assert rows["delack"][1] == (16, 3000, 7100000, 420)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line for line in RUN if " iw " not in line],
        [*RUN, "FIGURE iw 3"],
        [*RUN, "FIGURE other 1 2"],
    ],
)
def test_a_run_that_lacks_numbers_is_an_error(lines: list[str]) -> None:
    with pytest.raises(FiguresError):
        parse(lines)


def test_rates_are_over_the_time_that_the_run_took() -> None:
    acks, mbits = delack_rates((1, 3200, 7_600_000, 5400))
    assert acks == pytest.approx(1687.5)
    assert mbits == pytest.approx(19.0)


def test_a_plot_and_its_numbers_for_each(tmp_path: Path) -> None:
    made = write(parse(RUN), tmp_path / "new", {"base": "7.3"})
    assert [path.stem for path in made] == [figure.name for figure in FIGURES]
    for path in made:
        assert path.read_bytes().startswith(b"\x89PNG")
        data = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert data["base"] == "7.3"
        assert len(data["rows"][0]) == len(data["columns"])
