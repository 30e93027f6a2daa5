"""Config fragments and profiles: merged, made a .config, and verified symbol by symbol."""

from __future__ import annotations

import hashlib
import re
import shlex
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpftcp import kconfig_deps, proc
from bpftcp.errors import ConfigError, UsageError
from bpftcp.progress import stage

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_VALUE = re.compile(r"""[ymn]|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*\"""")
_KEYS = {"extends", "fragments", "cpus", "memory", "cmdline", "slowness", "objects"}


@dataclass(frozen=True)
class Profile:
    """What kind of kernel and guest. memory: MiB; slowness: a factor on every time-out."""

    name: str
    fragments: tuple[str, ...]
    cpus: int
    memory: int
    cmdline: tuple[str, ...]
    slowness: float
    objects: int
    """About how many objects a build from nothing makes, for the progress display."""


@dataclass(frozen=True)
class Wanted:
    """One line of a fragment: symbol (without CONFIG_) and value, n where it is to be off."""

    symbol: str
    value: str
    where: str


@dataclass(frozen=True)
class Config:
    """A verified .config. digest changes when any symbol does."""

    path: Path
    digest: str
    symbols: int


def load_profiles(folder: Path) -> dict[str, Profile]:
    """Read kconfig/profiles.toml, resolving `extends`. Raises UsageError where it is wrong."""
    path = folder / "profiles.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _profile(name, data) for name in data}
    except KeyError as e:
        raise UsageError(f"{path}: {e} is missing") from e
    except (FileNotFoundError, ValueError, TypeError) as e:
        raise UsageError(f"{path}: {e}") from e


def _profile(name: str, data: dict[str, dict[str, object]]) -> Profile:
    if not isinstance(data[name], dict):
        raise TypeError(f"{name} is no table")
    if unknown := set(data[name]) - _KEYS:
        raise ValueError(f"{name} has unknown keys: {', '.join(sorted(unknown))}")
    merged: dict[str, object] = {}
    fragments: list[str] = []
    chain = [name]
    while (parent := data[chain[-1]].get("extends")) is not None:
        if parent in chain:
            raise ValueError(f"{name} extends itself")
        chain.append(str(parent))
    for link in reversed(chain):
        merged.update(data[link])
        own = data[link].get("fragments", [])
        if not isinstance(own, list):
            raise TypeError(f"fragments of {link} must be a list")
        fragments += own
    return Profile(
        name=name,
        fragments=tuple(fragments),
        cpus=int(str(merged["cpus"])),
        memory=int(str(merged["memory"])),
        cmdline=tuple(str(merged.get("cmdline", "")).split()),
        slowness=float(str(merged.get("slowness", 1))),
        objects=int(str(merged.get("objects", 0))),
    )


def fragment_paths(folder: Path, profile: Profile, extra: Iterable[str] = ()) -> list[Path]:
    """The profile's fragments and a base's extra ones. Raises UsageError for a missing file."""
    paths = [folder / f"{name}.config" for name in (*profile.fragments, *extra)]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"profile {profile.name} names {path}, which is missing")
    return paths


def read_fragment(path: Path) -> list[Wanted]:
    """All symbols of a fragment. Raises ConfigError at a line that is none, or contradicts."""
    found: dict[str, Wanted] = {}
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        where = f"{path.name}:{number}"
        if match := _UNSET.fullmatch(line):
            wanted = Wanted(match[1], "n", where)
        elif not line or line.startswith("#"):
            continue
        elif (match := _SET.fullmatch(line)) and _VALUE.fullmatch(match[2]):
            wanted = Wanted(match[1], match[2], where)
        else:
            raise ConfigError(f"{where}: neither CONFIG_X=value nor a comment: {line}")
        old = found.setdefault(wanted.symbol, wanted)
        if old.value != wanted.value:
            raise ConfigError(f"{where}: CONFIG_{old.symbol} was set otherwise at {old.where}")
    return list(found.values())


def merge(fragments: Iterable[Path]) -> dict[str, Wanted]:
    """All fragments; a later one overrides an earlier one."""
    return {w.symbol: w for path in fragments for w in read_fragment(path)}


def read_config(path: Path) -> dict[str, str]:
    """Symbols and values of a .config; what is not set is absent."""
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := _SET.fullmatch(line):
            values[match[1]] = match[2]
    return values


def configure(
    tree: Path,
    out: Path,
    fragments: Sequence[Path],
    *,
    make_args: Sequence[str] = (),
    log: Path | None = None,
) -> Config:
    """Make out/.config of the fragments on top of allnoconfig, and verify every symbol.

    The file is only touched when it changes, so that nothing is built again for nothing.
    log: make's output (out/config.log).
    Raises ConfigError, naming each symbol that did not take and why.
    """
    wanted = merge(fragments)
    # make runs in the tree: a relative path would be one below it.
    tree, out = tree.resolve(), out.resolve()
    log = log.resolve() if log else out / "config.log"
    out.mkdir(parents=True, exist_ok=True)
    seed = out / "fragments.config"
    lines = (f"CONFIG_{w.symbol}={w.value}\n" for w in wanted.values())
    seed.write_text("".join(lines), encoding="utf-8")
    target = out / ".config"
    repeat = _make_config(tree, out, seed, make_args, log)
    _verify(tree, target, wanted, repeat, log)
    return Config(target, _digest(target), len(read_config(target)))


def _make_config(tree: Path, out: Path, seed: Path, make_args: Sequence[str], log: Path) -> str:
    """Run allnoconfig with the seed, away from the .config that make compares dates with.

    Returns the command.
    """
    target = out / ".config"
    work = out / "config.work"
    work.mkdir(exist_ok=True)
    argv = [
        "make", "-C", str(tree), f"O={out}", *make_args,
        f"KCONFIG_CONFIG={work / 'new'}", f"KCONFIG_ALLCONFIG={seed}", "allnoconfig",
    ]  # fmt: skip
    with stage(f"config {out.name}"):
        done = proc.run(argv)
    log.write_text(done.output, encoding="utf-8")
    if not done.ok or not (work / "new").exists():
        raise ConfigError(
            "make allnoconfig failed",
            repeat=shlex.join(argv),
            log=log,
            excerpt=done.output.splitlines()[-8:],
        )
    new = (work / "new").read_text(encoding="utf-8")
    if not target.exists() or target.read_text(encoding="utf-8") != new:
        (work / "new").replace(target)
    return shlex.join(argv)


def _digest(config: Path) -> str:
    lines = config.read_text(encoding="utf-8").splitlines()
    symbols = (line for line in lines if _SET.fullmatch(line))
    return hashlib.sha256("\n".join(symbols).encode()).hexdigest()


def _verify(tree: Path, target: Path, wanted: dict[str, Wanted], repeat: str, log: Path) -> None:
    have = read_config(target)
    wrong = [w for w in wanted.values() if have.get(w.symbol, "n") != w.value]
    # Off is also what a misspelt or renamed symbol is: only Kconfig tells them apart.
    off = [w for w in wanted.values() if w.value == have.get(w.symbol, "n") == "n"]
    if not wrong and not off:
        return
    model = kconfig_deps.read_tree(tree)
    wrong += [w for w in off if w.symbol not in model.definitions and w not in wrong]
    if not wrong:
        return
    lines = []
    for w in wrong:
        got = have.get(w.symbol, "n")
        why = kconfig_deps.explain(model, have, w.symbol, w.value)
        lines.append(f"CONFIG_{w.symbol}: wanted {w.value}, got {got} ({w.where}): {why}")
    raise ConfigError(
        f"{len(wrong)} config symbol{'s' if len(wrong) > 1 else ''} did not take",
        repeat=repeat,
        log=log,
        excerpt=lines,
    )
