"""Build the selftests: a slim test_progs, KTAP programs, benchmark programs, bpftool."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from bpftcp import proc
from bpftcp.compilerlog import first_error
from bpftcp.errors import BuildError, MissingError, UsageError
from bpftcp.progress import say, stage

MAKEFILE = Path(__file__).with_name("slim.mk")
TEST_PROGS = "test_progs"
TREE_TESTS = f"{TEST_PROGS}.tests"
KTAP_TESTS = "ktap.tests"
NEEDED = "needs.tests"
_STEP = re.compile(r"^  [A-Z]+ +(\S+)")
_FUNCTION = re.compile(r"^void (?:serial_)?test_(\w+)\((?:void)?\)", re.M)
_STARTS_SUBTEST = re.compile(r'test__start_subtest(?:_with_desc)?\(\s*"([^"%]+)"')


@dataclass(frozen=True)
class TestBuild:
    """Selftests that were built. tests: of test_progs; ktap: programs that speak KTAP.

    watchdog: whether this tree's test_progs ends tests itself, and can be told when.
    """

    __test__ = False  # not for pytest to collect

    out: Path
    bpftool: Path
    tests: tuple[str, ...]
    ktap: tuple[str, ...]
    watchdog: bool = False

    @property
    def test_progs(self) -> Path:
        return self.out / TEST_PROGS

    def bench(self, name: str) -> Path:
        return self.out / "bench" / name

    def program(self, ktap: str) -> Path:
        return self.out / "ktap" / ktap


def read_list(path: Path) -> list[str]:
    """Names in a list file, one a line, # begins a comment."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def list_files(tree: Path, selftests: Path) -> list[str]:
    """Files of prog_tests/ that are built: ours, then those named of the tree's."""
    out = left_out(tree, selftests)
    ours = sorted(p.stem for p in (selftests / "bpf/prog_tests").glob("*.c"))
    named = read_list(selftests / "bpf" / TREE_TESTS)
    return [*(n for n in ours if n not in out), *(n for n in named if n not in ours)]


def left_out(tree: Path, selftests: Path) -> dict[str, str]:
    """Files of our prog_tests/ that this tree is not made for, and the file it lacks."""
    out: dict[str, str] = {}
    for line in read_list(selftests / NEEDED):
        pattern, needed = line.split()
        if not (tree / needed).is_file():
            paths = (selftests / "bpf/prog_tests").glob(f"{pattern}.c")
            out |= {path.stem: needed for path in sorted(paths)}
    return out


def ktap_programs(tree: Path, selftests: Path) -> list[str]:
    """KTAP programs of the list file that this tree has."""
    names = read_list(selftests / KTAP_TESTS)
    return [n for n in names if (tree / "tools/testing/selftests" / f"{n}.c").is_file()]


def tests_in_sources(tree: Path, selftests: Path) -> dict[str, list[str]]:
    """Tests of all files that are built, with the subtests that the source names.

    Subtests whose names are put together at run time are only known after a run.
    Raises UsageError for a file that is nowhere.
    """
    found: dict[str, list[str]] = {}
    for name in list_files(tree, selftests):
        path = _find_file(tree, selftests, name)
        text = path.read_text(encoding="utf-8", errors="replace")
        functions = list(_FUNCTION.finditer(text))
        for function in functions:
            # Subtests are started anywhere in the file; only one test's file tells whose.
            subtests = _STARTS_SUBTEST.findall(text) if len(functions) == 1 else []
            found[function[1]] = list(dict.fromkeys(subtests))
    return found


def _find_file(tree: Path, selftests: Path, name: str) -> Path:
    for folder in (selftests / "bpf", tree / "tools/testing/selftests/bpf"):
        path = folder / "prog_tests" / f"{name}.c"
        if path.is_file():
            return path
    raise UsageError(f"selftests/bpf/{TREE_TESTS} names {name}, which this tree has not")


def build_tests(
    tree: Path, vmlinux: Path, selftests: Path, out: Path, host: Path, *, jobs: int, inputs: str
) -> TestBuild:
    """Build what the chosen tests need. host: folder of bpftool and libbpf, shared by builds.

    inputs: fingerprint of the kernel, so that nothing is looked at when nothing changed.
    Raises BuildError with the first error, UsageError for a test that is nowhere.
    """
    tests = tests_in_sources(tree, selftests)
    for name, needed in left_out(tree, selftests).items():
        say(f"selftests: {name} is left out, this kernel has no {needed}")
    benches = sorted(p.stem for p in (selftests / "bpf/bench").glob("*.c") if ".bpf" not in p.name)
    ktap = ktap_programs(tree, selftests)
    harness = (tree / "tools/testing/selftests/bpf/test_progs.c").read_text(encoding="utf-8")
    watchdog = "watchdog-timeout" in harness
    result = TestBuild(out, host / "bpftool/bpftool", tuple(tests), tuple(ktap), watchdog)
    stamp = out / "bpftcp-tests.sha256"
    wanted = _digest(selftests, inputs)
    made = [result.test_progs, result.bpftool]
    made += [*map(result.bench, benches), *map(result.program, ktap)]
    current = stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted
    if current and all(path.is_file() for path in made):
        return result
    out.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    log = out / "selftests.log"
    log.unlink(missing_ok=True)
    argv = [
        "make", "-f", str(MAKEFILE), f"-j{jobs}", f"TREE={tree}", f"VMLINUX={vmlinux}",
        f"OURS={selftests / 'bpf'}", f"OUT={out}", f"HOST={host}",
        f"TESTS={' '.join(list_files(tree, selftests))}",
        f"BENCHES={' '.join(benches)}", f"KTAP={' '.join(ktap)}", "all",
    ]  # fmt: skip
    done = 0
    with stage(f"build selftests for {out.parent.name}") as progress:

        def follow(line: str) -> None:
            nonlocal done
            if match := _STEP.match(line):
                done += 1
                progress.update(done, None, match[1].rpartition("/")[2])

        env = {"CCACHE_NOHASHDIR": "1"}
        status = proc.stream(argv, follow, log=log, env=env)
    if status != 0:
        raise _build_error("the selftests do not build", argv, log)
    stamp.write_text(wanted, encoding="utf-8")
    return result


def build_upstream(
    tree: Path, vmlinux: Path, selftests: Path, out: Path, host: Path, *, jobs: int
) -> Path:
    """Build what the tree's MPTCP shell tests need; returns the folder with scripts and programs.

    Raises UsageError for a tree without such tests, BuildError with the first error.
    """
    if not (tree / "tools/testing/selftests/net/mptcp/mptcp_lib.sh").is_file():
        raise UsageError(f"{tree} has no MPTCP tests of the kind that --upstream runs")
    out.mkdir(parents=True, exist_ok=True)
    log = out / "upstream.log"
    log.unlink(missing_ok=True)
    argv = [
        "make", "-f", str(MAKEFILE), f"-j{jobs}", f"TREE={tree}", f"VMLINUX={vmlinux}",
        f"OURS={selftests / 'bpf'}", f"OUT={out}", f"HOST={host}", "upstream",
    ]  # fmt: skip
    with stage("build the kernel's MPTCP tests"):
        status = proc.stream(argv, lambda _line: None, log=log)
    if status != 0:
        raise _build_error("the kernel's MPTCP tests do not build", argv, log)
    return out / "upstream"


def _build_error(message: str, argv: list[str], log: Path) -> BuildError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return BuildError(message, repeat=shlex.join(argv), log=log, excerpt=first_error(lines))


def build_program(
    program: Path, tree: Path, vmlinux: Path, selftests: Path, out: Path, host: Path
) -> tuple[Path, Path]:
    """Build one BPF program, a C file, for this kernel; returns the object and bpftool.

    Raises UsageError where there is no such file, BuildError with the first error.
    """
    if not program.is_file() or program.suffix != ".c":
        raise UsageError(f"{program}: not a C file")
    made = out / "programs" / f"{program.stem}.bpf.o"
    log = out / "programs.log"
    log.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    argv = [
        "make", "-f", str(MAKEFILE), f"TREE={tree}", f"VMLINUX={vmlinux}",
        f"OURS={selftests / 'bpf'}", f"OUT={out}", f"HOST={host}",
        f"PROGRAM={program.resolve()}", str(made), str(host / "bpftool/bpftool"),
    ]  # fmt: skip
    with stage(f"build {program.name}"):
        status = proc.stream(argv, lambda _line: None, log=log)
    if status != 0:
        raise _build_error(f"{program.name} does not build", argv, log)
    return made, host / "bpftool/bpftool"


def _digest(selftests: Path, inputs: str) -> str:
    clang = proc.run(["clang-19", "--version"]).require(MissingError, "clang-19 does not run")
    digest = hashlib.sha256(inputs.encode() + clang.encode() + MAKEFILE.read_bytes())
    for path in sorted(p for p in selftests.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(selftests)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
