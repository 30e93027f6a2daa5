"""Child processes: one way to run them, and none that outlives us."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bpftcp.errors import KbuildError, MissingError

TERM_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL for a process group that must end."""


@dataclass(frozen=True)
class Done:
    """A process that has ended. output holds stdout and stderr, in order."""

    argv: tuple[str, ...]
    returncode: int
    output: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    def require(self, error: type[KbuildError], message: str) -> str:
        """The output; raises error with the output's end where the process failed."""
        if not self.ok:
            raise error(
                message, repeat=shlex.join(self.argv), excerpt=self.output.splitlines()[-12:]
            )
        return self.output


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment in the C locale, so that output can be parsed."""
    return {**os.environ, "LC_ALL": "C", **(extra or {})}


@contextlib.contextmanager
def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.STDOUT,
) -> Iterator[subprocess.Popen[str]]:
    """Start argv in a session of its own; whatever is left of it ends with the block.

    A session of its own means that Ctrl-C reaches us first, and that one signal to
    the group reaches QEMU too, however many wrappers are around it.
    Raises MissingError when there is no such program.
    """
    try:
        child = subprocess.Popen(
            [os.fspath(a) for a in argv],
            cwd=cwd,
            env=environment(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as e:
        raise MissingError(f"{e.filename}: no such program or directory") from e
    try:
        yield child
    finally:
        end_group(child)


def end_group(child: subprocess.Popen[str]) -> None:
    """End the whole session of a child started by spawn(), politely, then for good.

    A second Ctrl-C does not cut this short: it would leave behind what the first one ended.
    """
    with _uninterrupted():
        _end_group(child)


def _end_group(child: subprocess.Popen[str]) -> None:
    for sig, grace in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, TERM_GRACE)):
        try:
            os.killpg(child.pid, sig)
        except (ProcessLookupError, PermissionError):
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=grace)
        if not _group_alive(child.pid):
            break
    if child.poll() is None:
        child.wait()
    if child.stdout:
        child.stdout.close()
    if child.stderr:
        child.stderr.close()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    old = {s: signal.signal(s, signal.SIG_IGN) for s in signals}
    try:
        yield
    finally:
        for sig, handler in old.items():
            signal.signal(sig, handler)


def _group_alive(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input_text: str | None = None,
    timeout: float | None = None,
) -> Done:
    """Run to the end and keep all output. timeout: seconds, then it counts as failed (124)."""
    stdin = subprocess.PIPE if input_text is not None else subprocess.DEVNULL
    words = tuple(str(a) for a in argv)
    with spawn(argv, cwd=cwd, env=env, stdin=stdin) as child:
        try:
            output, _ = child.communicate(input_text, timeout=timeout)
        except subprocess.TimeoutExpired:
            end_group(child)
            return Done(words, 124, f"no end within {timeout:g} s")
        return Done(words, child.returncode, output)


def stream(
    argv: Sequence[str | os.PathLike[str]],
    on_line: Callable[[str], None],
    *,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run to the end, handing over each line of output as it comes; returns the status."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
        child = stack.enter_context(spawn(argv, cwd=cwd, env=env))
        assert child.stdout is not None
        for line in child.stdout:
            if sink:
                sink.write(line)
                sink.flush()
            on_line(line.rstrip("\n"))
        return child.wait()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn whatever ends us into KeyboardInterrupt, so that every spawn() block cleans up."""

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    try:
        yield
    finally:
        for sig, handler in old.items():
            signal.signal(sig, handler)
