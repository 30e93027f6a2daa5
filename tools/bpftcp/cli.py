"""The command lines of kbuild and run-selftests: the one place that ends the process."""

from __future__ import annotations

import argparse
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from bpftcp import (
    bench,
    boot,
    figures,
    guest_option,
    kconfig,
    proc,
    report,
    results,
    selftests,
    upstream,
)
from bpftcp.errors import ExitCode, KbuildError, UsageError
from bpftcp.layout import PATCHED, UNPATCHED, find_root, locked, make_layout
from bpftcp.pipeline import Kernel, Pipeline, Request
from bpftcp.progress import say

Command = Callable[[Pipeline, argparse.Namespace], ExitCode]


def kbuild_main() -> NoReturn:
    """Entry point of tools/kbuild."""
    sys.exit(_guarded("kbuild", _kbuild_parser(), sys.argv[1:]))


def run_selftests_main() -> NoReturn:
    """Entry point of tools/run-selftests."""
    sys.exit(_guarded("run-selftests", _selftests_parser(), sys.argv[1:]))


def _guarded(program: str, parser: argparse.ArgumentParser, argv: Sequence[str]) -> ExitCode:
    """Run a command; every error becomes a message and its exit code here."""
    args = parser.parse_args(argv)
    repeat = shlex.join([f"tools/{program}", *argv])
    try:
        with proc.interruptible():
            pipeline = _pipeline(args)
            command: Command = args.command
            profile = pipeline.request.profile
            with locked(pipeline.layout.work / pipeline.key, profile):
                return command(pipeline, args)
    except KbuildError as e:
        report.print_error(e, repeat)
        return e.exit_code
    except OSError as e:
        say(f"system: {e}")
        say(f"  repeat: {repeat}")
        return ExitCode.MISSING
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return ExitCode.INTERRUPTED
    except Exception:
        traceback.print_exc()
        say("this is a defect of these tools, not of the kernel")
        return ExitCode.INTERNAL


def _pipeline(args: argparse.Namespace) -> Pipeline:
    layout = make_layout(find_root(), args.work)
    given = [f"--base {args.base}"] if args.base else []
    given += [f"--tree {shlex.quote(str(args.tree))}"] if args.tree else []
    request = Request(
        base=args.base,
        tree=args.tree,
        tarball=args.tarball,
        topic=getattr(args, "topic", None),
        profile=getattr(args, "profile", None) or _default_profile(args),
        unpatched=getattr(args, "unpatched", False),
        update=getattr(args, "update", False),
        offline=args.offline,
        carry_on=getattr(args, "carry_on", False),
        jobs=args.jobs,
        repeat=" ".join(["tools/kbuild apply", *given]),
    )
    return Pipeline(layout, request)


def _default_profile(args: argparse.Namespace) -> str:
    return "upstream" if getattr(args, "upstream", None) else "lean"


def _common(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("which kernel")
    where.add_argument("--base", help="a base of patches/bases.toml (default: the newest)")
    source = where.add_mutually_exclusive_group()
    source.add_argument("--tree", type=Path, metavar="DIR", help="your own git clone, in place")
    source.add_argument("--tarball", type=Path, metavar="FILE", help="your own kernel tarball")
    parser.add_argument("--work", type=Path, metavar="DIR", help="trees and builds (build/)")
    parser.add_argument("--jobs", "-j", type=int, metavar="N", help="parallel jobs (all CPUs)")
    parser.add_argument("--offline", action="store_true", help="never fetch or install anything")


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", help="of kconfig/profiles.toml (lean)")
    parser.add_argument("--unpatched", action="store_true", help="the base without the series")


def _kbuild_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kbuild", description="Apply the series to a kernel, build it, boot it, measure it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("apply", help="get the source, make a git tree, apply the series")
    _common(one)
    one.add_argument("--topic", help="only this topic of patches/series")
    one.add_argument("--update", action="store_true", help="look for a newer point release")
    one.add_argument(
        "--continue",
        dest="carry_on",
        action="store_true",
        help="take your commits on top as the resolution of the patch that did not apply",
    )
    one.set_defaults(command=_apply)
    for name, text, command in (
        ("config", "make the .config of a profile's fragments, and verify it", _config),
        ("build", "build the kernel", _build),
        ("boot", "a shell, or `-- COMMAND`, in the built kernel", _boot),
    ):
        one = commands.add_parser(name, help=text)
        _common(one)
        _profile(one)
        one.set_defaults(command=command)
        if name == "boot":
            one.add_argument("argv", nargs="*", metavar="COMMAND", help="after --")
            one.add_argument(
                "--option",
                type=Path,
                metavar="FILE.c",
                help="register this option first and select it for all new sockets; "
                "without COMMAND, show a connection that has it",
            )
    one = commands.add_parser("bench", help="instruction counts, unpatched against patched")
    _common(one)
    one.add_argument("--boots", type=int, default=3, metavar="N", help="of each kernel (3)")
    one.add_argument("--rows", default=bench.ROWS, metavar="GLOB", help="like 'crr/*' or '*'")
    one.add_argument(
        "--setup",
        action="append",
        default=[],
        metavar="GLOB",
        help="beside `none`, like 'extopt-*' (all)",
    )
    one.add_argument("--topic", help="patched with only this topic: what it costs by itself")
    one.add_argument("--json", type=Path, metavar="FILE", help="the numbers as JSON")
    one.set_defaults(command=_bench, profile="bench")
    one = commands.add_parser("figures", help="a plot for each use case, from a run in a guest")
    _common(one)
    one.add_argument("-o", dest="output", type=Path, metavar="DIR", help="(build/figures)")
    one.set_defaults(command=_figures)
    return parser


def _selftests_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run-selftests", description="Run the BPF selftests in the built, booted kernel."
    )
    _common(parser)
    _profile(parser)
    parser.add_argument("-k", dest="expression", metavar="EXPR", help="`word and not (a or b)`")
    parser.add_argument("--list", action="store_true", help="name the tests, run nothing")
    parser.add_argument(
        "--repeat",
        type=_count,
        default=1,
        metavar="N",
        help="run them N times, each in a guest of its own, or until a run fails; "
        "the results are of the last one",
    )
    parser.add_argument(
        "--upstream",
        nargs="?",
        const="ci",
        metavar="SECTION",
        help="instead, the kernel's own MPTCP tests of this section of selftests/upstream.tests "
        "(ci; all), twice without the series and once with it, and what differs",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="results as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="results as JUnit XML")
    parser.set_defaults(command=_run_selftests)
    return parser


def _apply(pipeline: Pipeline, _args: argparse.Namespace) -> ExitCode:
    tree, result = pipeline.apply()
    assert result is not None
    report.print_applied(tree, result)
    return ExitCode.PASSED


def _config(pipeline: Pipeline, _args: argparse.Namespace) -> ExitCode:
    _, config = pipeline.configure()
    say(f"{config.path}: {config.symbols} symbols, all fragments took")
    return ExitCode.PASSED


def _build(pipeline: Pipeline, _args: argparse.Namespace) -> ExitCode:
    kernel = pipeline.build()
    say(f"{kernel.build.image} ({kernel.build.version})")
    return ExitCode.PASSED


def _boot(pipeline: Pipeline, args: argparse.Namespace) -> ExitCode:
    kernel = pipeline.build()
    guest = pipeline.guest(kernel, "boot")
    if args.option:
        program, bpftool = pipeline.build_program(kernel, args.option)
        argv = ["python3", guest_option.__file__, str(bpftool), str(program)]
        if args.argv:
            argv.append(args.argv[0] if len(args.argv) == 1 else shlex.join(args.argv))
        args.argv = argv
    if not args.argv:
        status = boot.interactive(guest)
        return ExitCode.PASSED if status == 0 else ExitCode.FAILED
    command = args.argv[0] if len(args.argv) == 1 else shlex.join(args.argv)
    result = boot.run(guest, command, print)
    if report.print_crash(result, result.console.splats, kernel):
        return ExitCode.CRASHED
    return ExitCode.PASSED if result.status == 0 else ExitCode.FAILED


def _prepare_outputs(*paths: Path | None) -> None:
    """Files of an earlier run must not pass for those of one that fails."""
    for path in paths:
        if path and not path.resolve().parent.is_dir():
            raise UsageError(f"{path}: no such folder")
        if path:
            path.unlink(missing_ok=True)


def _bench(pipeline: Pipeline, args: argparse.Namespace) -> ExitCode:
    setups = bench.choose_setups(args.setup, args.topic)
    _prepare_outputs(args.json)
    subjects = []
    for name in (UNPATCHED, PATCHED):
        one = pipeline.variant(unpatched=name == UNPATCHED)
        kernel = one.build()
        tests = one.build_tests(kernel)
        guest = one.guest(kernel, "bench", allow_kvm=False)
        subjects.append(bench.Subject(name, kernel, tests, guest))
    columns = bench.measure(subjects, setups=setups, boots=args.boots, rows=args.rows)
    return report.print_bench(columns, subjects, pipeline.base.name, args.topic, args.json)


def _figures(pipeline: Pipeline, args: argparse.Namespace) -> ExitCode:
    kernel = pipeline.build()
    rows = figures.measure(pipeline.build_tests(kernel), pipeline.guest(kernel, "figures"))
    facts: dict[str, object] = {"base": pipeline.base.name, "kernel": kernel.build.version}
    for path in figures.write(rows, args.output or pipeline.layout.work / "figures", facts):
        say(str(path))
    return ExitCode.PASSED


def _checks(kernel: Kernel) -> list[str]:
    config = kconfig.read_config(kernel.config.path)
    return [name for name, symbol in selftests.CHECKS.items() if config.get(symbol) == "y"]


def _run_upstream(pipeline: Pipeline, args: argparse.Namespace) -> ExitCode:
    jobs = upstream.read_jobs(pipeline.layout.selftests, args.upstream, args.expression)
    if args.list:
        print(*(job.name for job in jobs), sep="\n")
        return ExitCode.PASSED
    if args.unpatched or args.junit:
        raise UsageError("--upstream compares with the base by itself, and writes --json only")
    if args.repeat > 1:
        raise UsageError("--upstream runs as often as it takes to compare; there is no --repeat")
    _prepare_outputs(args.json)

    def one_run(one: Pipeline, kernel: Kernel, tests: Path, name: str) -> selftests.Report:
        guest = one.guest(kernel, name)
        guest = replace(guest, run_timeout=upstream.TIME_LIMIT * kernel.profile.slowness)
        return upstream.run(guest, tests, jobs, _checks(kernel))

    base = pipeline.variant(unpatched=True)
    base_kernel = base.build()
    base_tests = base.build_upstream(base_kernel)
    key = upstream.run_key(base_kernel.build.fingerprint, base_tests, jobs)
    runs = upstream.base_runs(
        base.tests_folder() / f"upstream-{key[:12]}.json",
        key,
        upstream.BASE_RUNS,
        lambda number: one_run(base, base_kernel, base_tests, f"upstream-{number}"),
    )
    kernel = pipeline.build()
    outcome = one_run(pipeline, kernel, pipeline.build_upstream(kernel), "upstream")
    rows = upstream.compare(runs, outcome.results)
    bad = report.print_comparison(rows, outcome, kernel, args.json)
    if report.print_crash(outcome.guest, outcome.splats, kernel):
        return ExitCode.CRASHED
    return ExitCode.FAILED if bad else ExitCode.PASSED


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


def _run_selftests(pipeline: Pipeline, args: argparse.Namespace) -> ExitCode:
    if args.upstream:
        return _run_upstream(pipeline, args)
    if args.list:
        tree = pipeline.folder / "tree" if not args.tree else args.tree
        if not tree.is_dir():
            raise UsageError(f"{tree} is not there yet", repeat=pipeline.request.repeat)
        known = selftests.known_names(tree, pipeline.layout.selftests, pipeline.tests_folder())
        for job, subtests in known.items():
            print(*(subtests or [job]), sep="\n")
        return ExitCode.PASSED
    _prepare_outputs(args.json, args.junit)
    kernel = pipeline.build()
    built = pipeline.build_tests(kernel)
    known = selftests.known_names(kernel.tree.path, pipeline.layout.selftests, built.out)
    limit = selftests.TEST_LIMIT * kernel.profile.slowness
    jobs = selftests.select(built, known, args.expression, limit=limit)
    guest = pipeline.guest(kernel, "selftests")
    for number in range(args.repeat):
        outcome = selftests.run(guest, selftests.setup_script(built), jobs, _checks(kernel))
        if args.repeat > 1:
            say(f"run {number + 1} of {args.repeat}: {results.summary(outcome.results)}")
        if outcome.crashed or outcome.failed:
            break
    selftests.remember(built.out, jobs, outcome.results)
    report.write_files(outcome, kernel, pipeline.base.name, args.json, args.junit)
    report.print_results(outcome, kernel)
    if report.print_crash(outcome.guest, outcome.splats, kernel):
        return ExitCode.CRASHED
    return ExitCode.FAILED if outcome.failed else ExitCode.PASSED
