"""Progress of long stages: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

PLAIN_INTERVAL = 30.0
"""Seconds between two lines about the same stage when not on a terminal."""

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where people read. Results that programs read go to stdout or to files."""


class Stage(Protocol):
    """One long piece of work, told about as it goes on."""

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        """done of total units; total None where it is not known."""


class _PlainStage:
    def __init__(self, name: str) -> None:
        self._name = name
        self._last = time.monotonic()

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        now = time.monotonic()
        if now - self._last < PLAIN_INTERVAL:
            return
        self._last = now
        of = f"/{total}" if total else ""
        say(f"{self._name}: {done}{of} {text}".rstrip())


class _BarStage:
    def __init__(self, bar: Progress, name: str) -> None:
        self._bar = bar
        self._task = bar.add_task(name, total=None, text="")

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        self._bar.update(self._task, completed=done, total=total, text=text[-40:])


def say(text: str) -> None:
    """One line to whoever is reading, in order with the progress bars."""
    console.print(text, markup=False)


@contextlib.contextmanager
def stage(name: str) -> Iterator[Stage]:
    """Announce a stage, follow it, and say how long it took when it ended well."""
    start = time.monotonic()
    if console.is_terminal and sys.stderr.isatty():
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            yield _BarStage(bar, name)
    else:
        say(f"{name} ...")
        yield _PlainStage(name)
    say(f"{name}: done in {time.monotonic() - start:.1f} s")
