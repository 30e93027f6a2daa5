"""Function offsets in a splat become source lines, by one run of addr2line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bpftcp import proc

_PLACE = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)")


def decode(lines: Sequence[str], vmlinux: Path, tree: Path) -> tuple[str, ...]:
    """The lines, each followed by the source places of its frame, inlined callers included.

    Where that cannot be done the lines come back as they are, with a note saying why.
    """
    if not vmlinux.is_file():
        return (*lines, f"(not decoded: {vmlinux} is missing)")
    wanted = {(m[1], int(m[2], 16), int(m[3], 16)) for line in lines for m in _PLACE.finditer(line)}
    addresses = _addresses(wanted, vmlinux)
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
        if match := _PLACE.search(line):
            address = addresses.get((match[1], int(match[2], 16), int(match[3], 16)))
            found = places.get(address, []) if address is not None else []
            out += [f"        at {place}" for place in found]
    return tuple(out)


def _addresses(wanted: set[tuple[str, int, int]], vmlinux: Path) -> dict[tuple[str, int, int], int]:
    """Address of each place. A return address points behind the call: one byte back."""
    names = {name for name, _, _ in wanted}
    symbols: dict[str, list[tuple[int, int]]] = {}
    previous: tuple[str, int] | None = None
    for line in proc.run(["nm", "-n", vmlinux]).output.splitlines():
        fields = line.split()
        if len(fields) != 3 or fields[1] not in "tTwW":
            continue
        address = int(fields[0], 16)
        if previous and previous[0] in names and address > previous[1]:
            symbols.setdefault(previous[0], []).append((previous[1], address - previous[1]))
        if previous is None or address > previous[1] or fields[2] in names:
            previous = (fields[2], address)
    if previous and previous[0] in names:
        symbols.setdefault(previous[0], []).append((previous[1], 1 << 30))
    found = {}
    for name, offset, size in wanted:
        # Of several static functions of one name, the one of that size.
        candidates = sorted(symbols.get(name, []), key=lambda s: abs(s[1] - size))
        if candidates:
            found[name, offset, size] = candidates[0][0] + max(offset - 1, 0)
    return found


def _places(listing: str, tree: Path) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if line.startswith("0x"):
            current = places.setdefault(int(line, 16), [])
        elif not line.startswith("??"):
            path = line.split(" (discriminator")[0]
            current.append(_relative(path, tree))
    return places


def _relative(path: str, tree: Path) -> str:
    """Relative to the tree, also where the object was compiled elsewhere (ccache)."""
    path = path.removeprefix(f"{tree}/")
    return re.sub(r"^.*?/?(?:\.\./)+[\w.-]+/", "", path) if "../" in path else path
