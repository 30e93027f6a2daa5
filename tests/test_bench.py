"""The benchmark's boots: their turns, crashes, cut output."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bpftcp import bench, benchdata, boot
from bpftcp.bench import Subject
from bpftcp.boot import Guest, Outcome
from bpftcp.errors import BenchError, BootError, UsageError
from bpftcp.testbuild import MAKEFILE

SELFTESTS = Path(__file__).parents[1] / "selftests/bpf"


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


def test_each_kernel_runs_the_set_ups_it_has_once(
    subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: dict[str, list[str]] = {}

    def run(guest: Guest, command: str) -> Any:
        names = re.findall(r"-s (\S+)", command)
        ran.setdefault(guest.folder.parent.name, []).extend(names)
        return answer(guest, "\n".join(program_output(name, 1000) for name in names))

    monkeypatch.setattr(boot, "run", run)
    columns = bench.measure(subjects, boots=1)
    same = ("insert", "insert-parse", "insert-parse-setsockopt", "syn")
    sockops = ["none", *(f"sockops-{name}" for name in same)]
    extopt = [f"extopt-{name}" for name in ("registered", *same)]
    assert ran == {"unpatched": sockops, "series": [*sockops, *extopt, "pm"]}
    measured = [(c.kernel, c.setup) for c in columns]
    assert sorted(measured) == sorted((k, s) for k, names in ran.items() for s in names)


def test_a_set_up_without_the_rows_has_no_column(
    subjects: list[Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(guest: Guest, command: str) -> Any:
        nothing = f"@@setup extopt-syn\n{json.dumps({'done': 'extopt-syn'})}\n"
        parts = [program_output("none", 1000)]
        if "extopt-syn" in command:
            parts.append(nothing)
        return answer(guest, "\n".join(parts))

    monkeypatch.setattr(boot, "run", run)
    columns = bench.measure(subjects, setups=("none", "extopt-syn"), boots=2, rows="rr/*")
    assert [(c.kernel, c.setup) for c in columns] == [("unpatched", "none"), ("series", "none")]


def test_no_rows_at_all(subjects: list[Subject], monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = f"@@setup none\n{json.dumps({'done': 'none'})}\n"
    monkeypatch.setattr(boot, "run", lambda guest, _: answer(guest, nothing))
    with pytest.raises(BenchError, match="no rounds of set-up none"):
        bench.measure(subjects, setups=("none",), boots=1, rows="x")


@pytest.mark.parametrize(
    ("globs", "chosen"),
    [
        ([], bench.SETUPS),
        (["none"], ("none",)),
        (["*-insert", "sockops-insert"], ("none", "sockops-insert", "extopt-insert")),
        (["extopt-registered"], ("none", "extopt-registered")),
    ],
)
def test_chosen_set_ups(globs: list[str], chosen: tuple[str, ...]) -> None:
    assert bench.choose_setups(globs) == chosen


def test_set_ups_of_a_topic() -> None:
    chosen = bench.choose_setups([], "mptcp-bpf-pm")
    assert chosen == tuple(s for s in bench.SETUPS if not s.startswith("extopt-"))
    assert "pm" not in bench.choose_setups([], "tcp-extopt")
    with pytest.raises(UsageError, match=r"no set-up extopt-\*; there is: none, sockops-[^;]*pm$"):
        bench.choose_setups(["extopt-*"], "mptcp-bpf-pm")


def test_a_set_up_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"no set-up extopt-parse; .*extopt-registered"):
        bench.choose_setups(["none", "extopt-parse"])


def test_the_program_has_these_set_ups() -> None:
    source = (SELFTESTS / f"bench/{bench.PROGRAM}.c").read_text()
    table = source.partition("setups[] = {\n")[2].partition("};")[0]
    assert (*re.findall(r'\{ "([^"]+)"', table), "pm") == bench.SETUPS


def test_rows_that_are_measured() -> None:
    source = (SELFTESTS / f"bench/{bench.PROGRAM}.c").read_text()
    table = source.partition("rows[] = {\n")[2].partition("};")[0]
    names = ["/".join(row) for row in re.findall(r'\{ "(.*?)", "(.*?)", "(.*?)" \}', table)]
    measured = {name.partition("/")[0] for name in fnmatch.filter(names, bench.ROWS)}
    assert measured == {"rr", "bulk", "crr", "mrr", "mbulk", "mcrr"}
    assert {"crr/ipv4/lo", "crr/ipv6/lo"} <= set(names)
    others = re.findall(r'"(pm-\w+)["/]', (SELFTESTS / f"bench/{bench.PM_PROGRAM}.c").read_text())
    assert fnmatch.filter((f"{name}/1" for name in others), bench.ROWS)
    works = {name.partition("/")[0] for name in names} | set(others)
    assert works == set(benchdata.UNITS)


def test_all_skeletons_of_a_bench_are_built(tmp_path: Path) -> None:
    ours, out, host = tmp_path / "ours", tmp_path / "out", tmp_path / "host"
    files = {
        "ours/bench/cost.c": '#include "one.skel.h"\n#include "two.skel.h"\n',
        "ours/bench/plain.c": "",
        "ours/bench/one.bpf.c": "",
        "ours/bench/two.bpf.c": "",
        "host/bpftool/bpftool": "",
        "host/libbpf/libbpf.a": "",
        "vmlinux": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def steps(bench: str) -> list[Any]:
        variables = [f"TREE={tmp_path / 'tree'}", f"VMLINUX={tmp_path / 'vmlinux'}"]
        variables += [f"OURS={ours}", f"OUT={out}", f"HOST={host}", "CLANG=true"]
        argv = ["make", "-n", "-f", str(MAKEFILE), *variables, f"{out}/bench/{bench}"]
        made = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        return re.findall(rf"echo '  ([A-Z]+) +{out}/bench/(\S+)'", made.stdout)

    assert steps("plain") == [("CC", "plain")]
    built = steps("cost")
    assert built[-1] == ("CC", "cost")
    assert {name for step, name in built if step == "SKEL"} == {"one.skel.h", "two.skel.h"}


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
