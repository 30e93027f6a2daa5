"""Where things are: the checkout, the user's cache, the work folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bpftcp.errors import MissingError, UsageError
from bpftcp.progress import say

PATCHED = "series"
UNPATCHED = "unpatched"


@dataclass(frozen=True)
class Base:
    """A kernel the series is kept for; see patches/bases.toml."""

    name: str
    package: str
    suites: tuple[str, ...]
    kconfig: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Paths of one run. root: the checkout; cache: shared by checkouts; work: trees, builds."""

    root: Path
    cache: Path
    work: Path

    @property
    def patches(self) -> Path:
        return self.root / "patches"

    @property
    def kconfig(self) -> Path:
        return self.root / "kconfig"

    @property
    def selftests(self) -> Path:
        return self.root / "selftests"

    @property
    def repository(self) -> Path:
        """The bare git repository all managed trees are worktrees of."""
        return self.cache / "linux.git"

    def variant(self, key: str, variant: str = PATCHED) -> Path:
        """Folder of one kernel: its tree/ and one folder for each profile's build.

        The tree lies beside its builds at the same relative path in every variant, so
        that ccache, told the base folder, finds an object again that does not differ.
        """
        return self.work / key / variant


def find_root(start: Path | None = None) -> Path:
    """The checkout around start (default: the current folder), else the one we run from.

    Raises UsageError outside of a checkout.
    """
    for origin in (start or Path.cwd(), Path(__file__).resolve()):
        for folder in (origin, *origin.parents):
            if (folder / "patches" / "bases.toml").is_file():
                return folder
    raise UsageError("not inside a checkout of this project (no patches/bases.toml above here)")


def user_cache() -> Path:
    """The XDG cache folder of this project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bpftcp"


def make_layout(root: Path, work: Path | None = None) -> Layout:
    """The layout for a checkout; work defaults to its build/ folder."""
    return Layout(root=root, cache=user_cache(), work=(work or root / "build").resolve())


def load_bases(patches: Path) -> tuple[str, dict[str, Base]]:
    """The default base's name and all bases. Raises UsageError where the file is wrong."""
    path = patches / "bases.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        bases = {
            name: Base(name, b["package"], tuple(b["suites"]), tuple(b.get("kconfig", ())))
            for name, b in data["bases"].items()
        }
        default = data["default"]
        if default not in bases:
            raise KeyError(default)
    except FileNotFoundError as e:
        raise MissingError(f"{path} is missing") from e
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as e:
        raise UsageError(f"{path}: {e}") from e
    return default, bases


def tree_key(tree: Path) -> str:
    """Name of the work folder of a tree given by its path."""
    path = str(tree.resolve())
    return f"{tree.resolve().name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold one thing in the folder for this process; others wait and are told so."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{what}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another run is working on {folder.name}/{what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
