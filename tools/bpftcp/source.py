"""Kernel source as a tarball: from a distribution package, or given by the user.

Sources live in the user's cache, named after package and version, beside a small
record with their SHA-256. A source once fetched is used until the caller asks for
an update: a second run needs no network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bpftcp import apt, proc
from bpftcp.errors import SourceError
from bpftcp.layout import Base
from bpftcp.progress import say, stage

CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A kernel tarball: where it is, what it is called, its SHA-256 in hex."""

    path: Path
    name: str
    sha256: str


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def from_tarball(path: Path) -> Source:
    """A tarball the user has. Raises SourceError where it cannot be read."""
    if not path.is_file():
        raise SourceError(f"{path}: no such tarball")
    return Source(path.resolve(), path.name.split(".tar")[0], sha256_of(path))


def from_package(base: Base, cache: Path, *, update: bool = False, offline: bool = False) -> Source:
    """The base's source package, from the cache or else from the distribution's mirror.

    update looks for a newer point release. Raises SourceError (exit 4), which lists what
    the mirror has instead, when the package cannot be had.
    """
    folder = cache / "sources"
    if not update and (found := _cached(folder, base.package)):
        return found
    if offline:
        raise SourceError(
            f"{base.package} is not in the cache and --offline forbids fetching it",
            excerpt=alternatives(()),
        )
    private = apt.PrivateApt(cache / "apt" / base.name, base.suites, apt.find_mirrors())
    with stage(f"source {base.package}"):
        private.update()
        candidates = private.candidates(r"^linux-source-[0-9]+\.[0-9]+$")
        wanted = [c for c in candidates if c.package == base.package]
        if not wanted:
            raise SourceError(
                f"{base.package} is in none of: {', '.join(base.suites)}",
                excerpt=alternatives(f"{c.package} ({c.version})" for c in candidates),
            )
        path = _tarball_name(folder, wanted[0])
        if not path.exists():
            _extract(private.download(wanted[0]), base.package, path)
    source = Source(path, path.name.removesuffix(".tar.xz"), sha256_of(path))
    record = {**asdict(source), "path": path.name}
    _record_path(folder, base.package).write_text(json.dumps(record, indent=1), encoding="utf-8")
    say(f"{source.name}: sha256 {source.sha256}")
    return source


def alternatives(available: Iterable[str]) -> list[str]:
    """Lines that tell how else to give a kernel source."""
    lines = [f"available: {name}" for name in available]
    return [
        *lines,
        "or pass a kernel yourself: --tree DIR (a git clone or an unpacked tree)",
        "                           --tarball FILE (linux-X.Y.tar.xz)",
    ]


def _record_path(folder: Path, package: str) -> Path:
    return folder / f"{package}.json"


def _tarball_name(folder: Path, candidate: apt.Candidate) -> Path:
    version = candidate.version.replace(":", "_").replace("~", "_")
    return folder / f"{candidate.package}_{version}.tar.xz"


def _cached(folder: Path, package: str) -> Source | None:
    try:
        record = json.loads(_record_path(folder, package).read_text(encoding="utf-8"))
        path = folder / record["path"]
        return Source(path, record["name"], record["sha256"]) if path.is_file() else None
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _extract(deb: Path, package: str, target: Path) -> None:
    """Take the tarball out of the package; the target appears whole or not at all."""
    unpacked = target.parent / f".{target.name}.d"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    try:
        proc.run(["dpkg", "-x", deb, unpacked]).require(SourceError, f"{deb.name} does not unpack")
        tarballs = list((unpacked / "usr" / "src").glob(f"{package}.tar.*"))
        if not tarballs:
            raise SourceError(f"{deb.name} holds no {package}.tar.xz")
        tarballs[0].replace(target)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        deb.unlink(missing_ok=True)
