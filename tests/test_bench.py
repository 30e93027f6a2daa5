"""The benchmark's boots: their turns, lost ports, crashes, cut output."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bpftcp import bench, boot
from bpftcp.bench import Subject
from bpftcp.boot import Guest, Outcome
from bpftcp.errors import BenchError, BootError, LostPortsError


def program_output(setup: str, value: int) -> str:
    rounds = (
        json.dumps({"row": "rr/ipv4/lo", "setup": setup, "round": k, "ops": 1, "ns": value})
        for k in range(5)
    )
    return "\n".join([f"@@setup {setup}", *rounds, json.dumps({"done": setup})])


@pytest.fixture
def subjects(tmp_path: Path) -> list[Subject]:
    tests: Any = SimpleNamespace(bench=lambda name: tmp_path / name)
    kernel: Any = None
    return [
        Subject(name, kernel, tests, Guest(tmp_path / "bzImage", tmp_path / name))
        for name in ("unpatched", "series")
    ]


def answer(guest: Guest, text: str, outcome: Outcome = Outcome.EXITED, status: int = 0) -> Any:
    guest.folder.mkdir(parents=True, exist_ok=True)
    log = guest.folder / "output.log"
    log.write_text(text)
    console = SimpleNamespace(splats=())
    return SimpleNamespace(
        outcome=outcome, status=status, output=log, console=console, console_log=log, command="vng"
    )


def test_columns(subjects: list[Subject], monkeypatch: pytest.MonkeyPatch) -> None:
    order = []

    def run(guest: Guest, command: str) -> Any:
        assert guest.cpus == 1 and not guest.kvm and bench.ICOUNT in guest.qemu_options
        name = guest.folder.parent.name
        order.append(name)
        value = 1000 if name == "unpatched" else 990
        return answer(guest, program_output("none", value) + "\n" + program_output("x", 1200))

    monkeypatch.setattr(boot, "run", run)
    columns = bench.measure(subjects, setups=("none", "x"), boots=2)
    assert order == ["unpatched", "series"] * 2
    assert [(c.kernel, c.setup) for c in columns] == [
        ("unpatched", "none"), ("series", "none"), ("unpatched", "x"), ("series", "x"),
    ]  # fmt: skip
    assert columns[1].measures["rr/ipv4/lo"].per_op == 990


def test_lost_ports_are_tried_again(
    subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def run(guest: Guest, command: str) -> Any:
        tries.append(guest)
        if len(tries) in (1, 2):
            raise LostPortsError("lost")
        return answer(guest, program_output("none", 1000))

    monkeypatch.setattr(boot, "run", run)
    bench.measure(subjects, setups=("none",), boots=1)
    assert len(tries) == 4


def test_a_hang_is_not_tried_again(
    subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def run(guest: Guest, command: str) -> Any:
        tries.append(guest)
        raise BootError("hung")

    monkeypatch.setattr(boot, "run", run)
    with pytest.raises(BootError, match="hung"):
        bench.measure(subjects, setups=("none",), boots=1)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("outcome", "status", "text", "error"),
    [
        (Outcome.DIED, 0, program_output("none", 1), BootError),
        (Outcome.EXITED, 1, '@@setup none\n{"error": "load"}', BenchError),
        (Outcome.EXITED, 0, "", BenchError),
    ],
)
def test_unusable_runs(
    subjects: list[Subject],
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
    status: int,
    text: str,
    error: type[Exception],
) -> None:
    monkeypatch.setattr(boot, "run", lambda guest, _: answer(guest, text, outcome, status))
    with pytest.raises(error):
        bench.measure(subjects, setups=("none",), boots=1)
