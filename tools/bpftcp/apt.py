"""Debian packages of other suites, without touching the machine's own apt.

A private apt configuration has its own source list, package lists and archive
folder; it takes the mirrors from the machine's sources and trusts only the
machine's Debian keyring.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpftcp import proc
from bpftcp.errors import SourceError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")


@dataclass(frozen=True)
class Candidate:
    """A version of a package that can be downloaded now."""

    package: str
    version: str


@dataclass(frozen=True)
class Mirrors:
    """Base addresses of the archive and of its security suites."""

    main: str
    security: str


def find_mirrors(etc: Path = SOURCES) -> Mirrors:
    """Read the machine's own apt sources. Raises SourceError where none is Debian's."""
    main = security = None
    for uri, suite in _entries(etc):
        if suite.endswith("-security") or "/debian-security" in uri:
            security = security or uri
        elif re.search(r"/debian/?$", uri):
            main = main or uri
    if not main:
        raise SourceError(
            "no Debian mirror in this machine's apt sources; "
            "give the kernel by --tree DIR or --tarball FILE"
        )
    return Mirrors(main, security or re.sub(r"/debian/?$", "/debian-security", main))


def _entries(etc: Path) -> Iterator[tuple[str, str]]:
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"^([A-Za-z-]+):\s*(.*)$", stanza, re.M))
                off = fields.get("Enabled", "yes").strip().lower() == "no"
                if off or "deb" not in fields.get("Types", "").split():
                    continue
                for uri in map(_resolve, fields.get("URIs", "").split()):
                    for suite in fields.get("Suites", "").split():
                        yield uri, suite
        elif path.suffix == ".list":
            for match in re.finditer(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text, re.M):
                yield _resolve(match[1]), match[2]


def _resolve(uri: str) -> str:
    """The first mirror of a list file, as Debian's cloud images name one."""
    if not uri.startswith("mirror+file:"):
        return uri
    path = Path(uri.removeprefix("mirror+file:"))
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.split()[0] for line in lines if line.startswith("http")), uri)


class PrivateApt:
    """apt with a configuration of its own below folder, for the given suites."""

    def __init__(self, folder: Path, suites: Sequence[str], mirrors: Mirrors) -> None:
        if not shutil.which("apt-get"):
            raise SourceError(
                "no apt-get on this machine; give the kernel by --tree DIR or --tarball FILE"
            )
        self._folder = folder
        for part in ("lists/partial", "cache/archives/partial", "download"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        lines = []
        for suite in suites:
            uri = mirrors.security if suite.endswith("-security") else mirrors.main
            lines.append(f"deb [signed-by={KEYRING}] {uri} {suite} main\n")
        (folder / "sources.list").write_text("".join(lines), encoding="utf-8")
        self._options = [
            f"-oDir::Etc::SourceList={folder / 'sources.list'}",
            "-oDir::Etc::SourceParts=/dev/null",
            "-oDir::Etc::Preferences=/dev/null",
            "-oDir::Etc::PreferencesParts=/dev/null",
            f"-oDir::State::Lists={folder / 'lists'}",
            f"-oDir::Cache={folder / 'cache'}",
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Languages=none",
        ]

    def update(self) -> None:
        """Fetch the package lists. One suite may be gone; raises SourceError where all are."""
        done = proc.run(["apt-get", *self._options, "-qq", "update"])
        if not any((self._folder / "lists").glob("*Packages*")):
            done.require(SourceError, "the package lists cannot be fetched")

    def candidates(self, pattern: str) -> list[Candidate]:
        """All packages whose name matches the regular expression, newest version each."""
        names = proc.run(["apt-cache", *self._options, "search", "--names-only", pattern]).require(
            SourceError, "apt-cache search failed"
        )
        found = []
        for line in names.splitlines():
            name = line.split(" ", 1)[0]
            policy = proc.run(["apt-cache", *self._options, "policy", name]).output
            match = re.search(r"^  Candidate: (\S+)", policy, re.M)
            if match and match[1] != "(none)":
                found.append(Candidate(name, match[1]))
        return found

    def download(self, candidate: Candidate) -> Path:
        """The .deb, verified by apt against the signed lists. Raises SourceError."""
        folder = self._folder / "download"
        spec = f"{candidate.package}={candidate.version}"
        proc.run(["apt-get", *self._options, "-qq", "download", spec], cwd=folder).require(
            SourceError, f"{spec} cannot be downloaded"
        )
        escaped = candidate.version.replace(":", "%3a")
        for path in folder.glob(f"{candidate.package}_{escaped}_*.deb"):
            return path
        raise SourceError(f"apt-get downloaded no file for {spec}")
