"""patches/: which patches, in which order, for which base."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bpftcp.errors import SeriesError, UsageError


@dataclass(frozen=True)
class Patch:
    """One mail-formatted patch. path: the file taken for this base; name: topic/file."""

    topic: str
    name: str
    path: Path
    subject: str
    digest: str

    @property
    def overridden(self) -> bool:
        return "overrides" in self.path.parts


@dataclass(frozen=True)
class Series:
    """The patches for one base, in the order of application."""

    base: str
    patches: tuple[Patch, ...]

    @property
    def digest(self) -> str:
        """Changes when any patch does, or their order."""
        return hashlib.sha256("".join(p.digest for p in self.patches).encode()).hexdigest()


def load_series(patches: Path, base: str, topic: str | None = None) -> Series:
    """Read patches/series; topic keeps that topic's patches only.

    Raises SeriesError where the file, a patch or an override contradicts another,
    UsageError for a topic that is not there, or not for this base.
    """
    order = _read_order(patches / "series")
    topics = {name: files for name, (files, bases) in order.items() if not bases or base in bases}
    if topic is not None and topic not in topics:
        why = f"topic {topic!r} is not for {base}" if topic in order else f"no topic {topic!r}"
        raise UsageError(f"{why}; there is: {', '.join(topics) or 'none'}")
    used: set[Path] = set()
    found = []
    for name, (files, _) in order.items():
        for file in files:
            override = patches / "overrides" / base / name / file
            path = override if override.is_file() else patches / name / file
            used.add(patches / name / file)
            if name in topics and topic in (None, name):
                found.append(_read_patch(path, name))
    _check_strays(patches, order, used)
    return Series(base, tuple(found))


def _read_order(path: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Of each topic its files, and the bases that it is for, none: all."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as e:
        raise SeriesError(f"{path} is missing") from e
    topics: dict[str, tuple[list[str], list[str]]] = {}
    current: list[str] | None = None
    for number, raw in enumerate(lines, 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if match := re.fullmatch(r"\[([a-z0-9-]+)\]([ \d.]*)", line):
            current, _ = topics.setdefault(match[1], ([], match[2].split()))
        elif current is None or not line.endswith(".patch"):
            raise SeriesError(f"{path}:{number}: neither [topic] nor NNNN-name.patch: {line}")
        else:
            current.append(line)
    return topics


def _read_patch(path: Path, topic: str) -> Patch:
    try:
        data = path.read_bytes()
    except FileNotFoundError as e:
        raise SeriesError(f"patches/series names {topic}/{path.name}, which is missing") from e
    text = data.decode("utf-8", errors="replace")
    match = re.search(r"^Subject: ((?:.*\n)(?:[ \t].*\n)*)", text, re.M)
    if not text.startswith("From ") or not match:
        raise SeriesError(f"{path}: not in the mail format of git format-patch")
    subject = re.sub(r"^\[[^]]*\]\s*", "", " ".join(match[1].split()))
    return Patch(topic, f"{topic}/{path.name}", path, subject, hashlib.sha256(data).hexdigest())


def _check_strays(patches: Path, topics: Iterable[str], used: set[Path]) -> None:
    for topic in topics:
        for path in sorted((patches / topic).glob("[0-9]*.patch")):
            if path not in used and not path.name.startswith("0000-"):
                raise SeriesError(f"{path} is not named in patches/series")
    for path in sorted((patches / "overrides").glob("*/*/*.patch")):
        if patches / path.parent.name / path.name not in used:
            raise SeriesError(f"{path} overrides no patch of patches/series")
