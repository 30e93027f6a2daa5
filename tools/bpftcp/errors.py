"""Typed errors, and the exit code each of them becomes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process tells its caller. Higher ranks are not worse: see README."""

    PASSED = 0
    FAILED = 1
    """A test failed, or a patch, a config symbol or the build did."""
    USAGE = 2
    """The command line or the state of the given tree is not acceptable."""
    CRASHED = 3
    """The kernel oopsed, warned, leaked, hung or ran out of memory."""
    MISSING = 4
    """Something outside of this project is missing."""
    INTERNAL = 70
    """A defect of these tools: neither the kernel's nor the caller's fault."""
    INTERRUPTED = 130


class KbuildError(Exception):
    """A stage failed, in a way its user can read.

    message: one sentence. repeat: the shell command that repeats the failing
    step. log: where the whole output is. excerpt: the few lines that matter.
    """

    stage: ClassVar[str] = "kbuild"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(
        self,
        message: str,
        *,
        repeat: str | None = None,
        log: Path | None = None,
        excerpt: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.repeat = repeat
        self.log = log
        self.excerpt = tuple(excerpt)


class UsageError(KbuildError):
    """The caller asked for something that cannot be."""

    stage = "usage"
    exit_code = ExitCode.USAGE


class MissingError(KbuildError):
    """A program, package or file from outside is not there."""

    stage = "setup"
    exit_code = ExitCode.MISSING


class SourceError(KbuildError):
    """The kernel source cannot be had."""

    stage = "source"
    exit_code = ExitCode.MISSING


class TreeError(KbuildError):
    """The tree is in a state that must not be touched."""

    stage = "tree"
    exit_code = ExitCode.USAGE


class SeriesError(KbuildError):
    """patches/ contradicts itself."""

    stage = "series"


class ApplyError(KbuildError):
    """A patch does not apply, or only with fuzz."""

    stage = "apply"


class ConfigError(KbuildError):
    """Config symbols did not take."""

    stage = "config"


class BuildError(KbuildError):
    """The kernel or the selftests do not build."""

    stage = "build"


class BootError(KbuildError):
    """The guest did not come up, hung, or died."""

    stage = "boot"
    exit_code = ExitCode.CRASHED


class LostPortsError(BootError):
    """The guest came up and powered off in order, but nothing it printed reached us."""


class BenchError(KbuildError):
    """A benchmark run is not usable."""

    stage = "bench"


class FiguresError(KbuildError):
    """A run gave no numbers that can be drawn."""

    stage = "figures"
