"""Function offsets in a splat become source lines, by one run of addr2line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bpftcp import proc

_PLACE = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)")
# These name the very instruction; frames of a stack name the one a call returns to.
_EXACT = re.compile(r"\bRIP: |\bWARNING: ")
SIZE_SLACK = 16
"""Bytes a function's size may differ by (padding) and still be of the kernel that ran."""

_Place = tuple[str, int, int]


def decode(lines: Sequence[str], vmlinux: Path, tree: Path) -> tuple[str, ...]:
    """The lines, each followed by the source places of its frame, inlined callers included.

    Where that cannot be done the lines come back as they are, with a note saying why.
    """
    wanted = {_place(m): line for line in lines for m in _PLACE.finditer(line)}
    if not wanted:
        return tuple(lines)
    if not vmlinux.is_file():
        return (*lines, f"(not decoded: {vmlinux} is missing)")
    symbols = proc.run(["nm", "-n", vmlinux])
    if not symbols.ok:
        return (*lines, f"(not decoded: {symbols.output.strip()[:200]})")
    starts, strange = _starts(set(wanted), symbols.output)
    addresses = {
        place: start + place[1] - (0 if _EXACT.search(wanted[place]) else min(place[1], 1))
        for place, start in starts.items()
    }
    if strange > len(addresses):
        return (*lines, f"(not decoded: {vmlinux} is not the kernel that ran)")
    if not addresses:
        return tuple(lines)
    listing = proc.run(
        ["addr2line", "-i", "-a", "-e", vmlinux, *(hex(a) for a in addresses.values())]
    )
    if not listing.ok:
        return (*lines, f"(not decoded: {listing.output.strip()[:200]})")
    places = _places(listing.output, tree)
    out = []
    for line in lines:
        out.append(line)
        for match in _PLACE.finditer(line):
            address = addresses.get(_place(match))
            found = places.get(address, []) if address is not None else []
            out += [f"        at {place}" for place in found]
    return tuple(out)


def _place(match: re.Match[str]) -> _Place:
    return match[1], int(match[2], 16), int(match[3], 16)


def _starts(wanted: set[_Place], listing: str) -> tuple[dict[_Place, int], int]:
    """Where each place's function starts, and how many are there with other sizes only.

    A function ends where the next one starts, as for the kernel itself when it prints.
    """
    names = {name for name, _, _ in wanted}
    symbols: dict[str, list[tuple[int, int]]] = {}
    pending: list[str] = []
    last = 0
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) != 3 or fields[1] not in "tTwW":
            continue
        address = int(fields[0], 16)
        if address != last:
            for name in pending:
                symbols.setdefault(name, []).append((last, address - last))
            pending, last = [], address
        if fields[2] in names:
            pending.append(fields[2])
    for name in pending:
        symbols.setdefault(name, []).append((last, 0))
    found: dict[_Place, int] = {}
    strange = 0
    for name, offset, size in wanted:
        candidates = sorted(symbols.get(name, []), key=lambda s: abs(s[1] - size))
        if not candidates:
            continue
        start, length = candidates[0]
        if length and abs(length - size) > SIZE_SLACK:
            strange += 1
        else:
            found[name, offset, size] = start
    return found, strange


def _places(listing: str, tree: Path) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if line.startswith("0x"):
            current = places.setdefault(int(line, 16), [])
        elif not line.startswith("??"):
            current.append(_relative(line.split(" (discriminator")[0], tree))
    return places


def _relative(path: str, tree: Path) -> str:
    """Relative to the tree, also where the object was compiled elsewhere (ccache)."""
    path = path.removeprefix(f"{tree}/")
    return re.sub(r"^.*?/?(?:\.\./)+[\w.-]+/", "", path) if "../" in path else path
