"""Results of tests: read from test_progs and KTAP output, written as JSON and JUnit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite


class Status(Enum):
    """How a test ended. LOST: it was to run and gave no result."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    LOST = "lost"


@dataclass(frozen=True)
class Result:
    """One test or subtest, named suite/test or suite/test/subtest; detail: its own output."""

    name: str
    status: Status
    detail: tuple[str, ...] = ()


_LINE = re.compile(r"^#(\d+)(?:/(\d+))?\s+(\S.*?):(OK|FAIL|SKIP)\b(.*)$")
_KTAP = re.compile(r"^(\s*)(not ok|ok) (\d+)(?: -)?\s*(.*?)(?:\s+# (?:(SKIP|TODO|XFAIL)\b)?.*)?$")
_PLAN = re.compile(r"^(\s*)1\.\.(\d+)")
_WORDS = {"OK": Status.PASSED, "FAIL": Status.FAILED, "SKIP": Status.SKIPPED}


def parse_test_progs(lines: Iterable[str], suite: str = "bpf") -> list[Result]:
    """Results of the kernel's test_progs, subtests each their own.

    A test that has subtests is a result itself only where it failed although none of
    them did. The harness repeats failures at the end: the first report counts.
    """
    found: dict[str, Result] = {}
    with_subtests: dict[str, bool] = {}
    log: list[str] = []
    for line in lines:
        match = _LINE.match(line)
        if not match:
            if line.startswith("Summary:") or line == "All error logs:":
                break
            log.append(line)
            continue
        name = f"{suite}/{match[3]}"
        status = _WORDS[match[4]]
        if match[2]:
            with_subtests.setdefault(match[1], False)
            with_subtests[match[1]] |= status is Status.FAILED
        elif match[1] in with_subtests and (status is not Status.FAILED or with_subtests[match[1]]):
            log = []
            continue
        kept = tuple(log) if status is not Status.PASSED else ()
        found.setdefault(name, Result(name, status, kept))
        log = []
    return list(found.values())


def parse_ktap(lines: Sequence[str], suite: str) -> list[Result]:
    """Results of a KTAP stream, nested ones too; a plan not fulfilled gives LOST results."""
    results: list[Result] = []
    planned: dict[int, int] = {}
    seen: dict[int, int] = {}
    children: dict[int, list[Result]] = {}
    diagnostics: list[str] = []
    missing = 0
    for line in lines:
        if plan := _PLAN.match(line):
            planned[len(plan[1])] = int(plan[2])
            seen[len(plan[1])] = 0
        elif match := _KTAP.match(line):
            depth = len(match[1])
            seen[depth] = seen.get(depth, 0) + 1
            name = re.sub(r"\s+", "_", match[4].strip()) or match[3]
            result = Result(name, _ktap_status(match[2], match[5]), tuple(diagnostics))
            diagnostics = []
            deeper = [d for d in children if d > depth]
            inner = [r for d in sorted(deeper) for r in children.pop(d)]
            for d in [d for d in planned if d > depth]:
                missing += max(0, planned.pop(d) - seen.pop(d, 0))
            if inner and (result.status is not Status.FAILED or _any_failed(inner)):
                nested = [Result(f"{name}/{r.name}", r.status, r.detail) for r in inner]
                children.setdefault(depth, []).extend(nested)
            else:
                children.setdefault(depth, []).append(result)
        elif line.lstrip().startswith("#"):
            diagnostics.append(line.strip().lstrip("# "))
    for depth in sorted(children):
        results += [Result(f"{suite}/{r.name}", r.status, r.detail) for r in children[depth]]
    missing += sum(max(0, count - seen.get(depth, 0)) for depth, count in planned.items())
    if missing or not planned:
        what = f"{missing} planned results are missing" if planned else "no KTAP plan"
        results.append(Result(f"{suite}/(incomplete)", Status.LOST, (what,)))
    return results


def _any_failed(results: Iterable[Result]) -> bool:
    return any(r.status is Status.FAILED for r in results)


def _ktap_status(word: str, directive: str | None) -> Status:
    if directive == "SKIP":
        return Status.SKIPPED
    if directive in ("TODO", "XFAIL"):
        return Status.PASSED
    return Status.PASSED if word == "ok" else Status.FAILED


def summary(results: Sequence[Result]) -> str:
    """`12 passed, 1 failed, 2 skipped`; lost ones count as failed."""
    count = {s: sum(r.status is s for r in results) for s in Status}
    failed = count[Status.FAILED] + count[Status.LOST]
    text = f"{count[Status.PASSED]} passed, {failed} failed"
    return text + (f", {count[Status.SKIPPED]} skipped" if count[Status.SKIPPED] else "")


def write_json(path: Path, results: Sequence[Result], facts: dict[str, object]) -> None:
    """Results and what they were obtained with; schema 1."""
    data = {
        "schema": 1,
        **facts,
        "results": [
            {"name": r.name, "status": r.status.value, "detail": list(r.detail)} for r in results
        ],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _printable(text: str) -> str:
    """Without what XML cannot hold: terminal sequences, NULs."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", "?", text)


def write_junit(
    path: Path,
    results: Sequence[Result],
    properties: dict[str, str],
    crashes: Sequence[str] = (),
) -> None:
    """The same as JUnit XML; crashes, one line each, are errors of their own."""
    suite = TestSuite("selftests")
    for key, value in properties.items():
        suite.add_property(key, value)
    for r in results:
        case = TestCase(r.name.rpartition("/")[2], r.name.rpartition("/")[0].replace("/", "."))
        text = _printable("\n".join(r.detail))
        last = _printable(r.detail[-1]) if r.detail else ""
        if r.status is Status.FAILED:
            case.result = [Failure(last or "failed")]
            case.result[0].text = text
        elif r.status is Status.LOST:
            case.result = [Error("no result")]
            case.result[0].text = text
        elif r.status is Status.SKIPPED:
            case.result = [Skipped(last)]
        suite.add_testcase(case)
    for number, crash in enumerate(crashes, 1):
        case = TestCase(f"crash {number}", "kernel")
        case.result = [Error(_printable(crash))]
        suite.add_testcase(case)
    xml = JUnitXml()
    xml.add_testsuite(suite)
    xml.write(str(path), pretty=True)
