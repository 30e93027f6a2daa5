"""Build the kernel, and know when there is nothing to build.

Whether a build is up to date is derived from what goes into it: the tree's
content, the config, the compiler and the make arguments. The fingerprint of the
last good build is kept beside it, with the command that reproduces it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bpftcp import proc
from bpftcp.compilerlog import first_error
from bpftcp.errors import BuildError, MissingError, TreeError
from bpftcp.progress import stage
from bpftcp.tree import Tree

RECORD = "bpftcp-build.json"
IMAGE = Path("arch/x86/boot/bzImage")
_OBJECT = re.compile(r"^  (?:CC|AS|HOSTCC|LD|AR)\s+(\S+)")


@dataclass(frozen=True)
class Toolchain:
    """make arguments and environment of every make run on a kernel."""

    make_args: tuple[str, ...]
    env: dict[str, str]
    compiler: str


@dataclass(frozen=True)
class Build:
    """A kernel that was built. seconds: how long it took; objects: how many were made."""

    out: Path
    fingerprint: str
    version: str
    seconds: float
    objects: int
    reproduce: str
    stamps: tuple[int, ...] = ()
    """Dates of image and vmlinux: a make by hand in between is another build."""

    @property
    def image(self) -> Path:
        return self.out / IMAGE

    @property
    def vmlinux(self) -> Path:
        return self.out / "vmlinux"


def toolchain(base_dir: Path) -> Toolchain:
    """gcc, through ccache where present. base_dir: paths below it do not tell objects apart.

    Raises MissingError without a compiler.
    """
    compiler = proc.run(["gcc", "--version"]).require(MissingError, "gcc does not run")
    env = {
        "KBUILD_BUILD_USER": "bpftcp",
        "KBUILD_BUILD_HOST": "localhost",
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_BASEDIR": str(base_dir),
    }
    cc = "ccache gcc" if shutil.which("ccache") else "gcc"
    return Toolchain((f"CC={cc}", "LOCALVERSION="), env, compiler.splitlines()[0])


def tree_digest(tree: Tree) -> str:
    """Changes when any file of the tree does that git does not ignore."""
    digest = hashlib.sha256(str(tree.repo.head.commit.tree.hexsha).encode())
    diff = tree.git("diff", "--binary", "--no-ext-diff", "HEAD")
    digest.update(diff.require(TreeError, f"git diff failed in {tree.path}").encode())
    others = tree.git("ls-files", "-z", "--others", "--exclude-standard")
    for name in others.require(TreeError, f"git ls-files failed in {tree.path}").split("\0"):
        path = tree.path / name
        if name and path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def fingerprint(tree: Tree, config_digest: str, tools: Toolchain) -> str:
    """What the build is derived from, as one hash."""
    parts = (tree_digest(tree), config_digest, tools.compiler, *tools.make_args)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load_build(out: Path) -> Build | None:
    """The last good build in out, if it is still there."""
    try:
        data = json.loads((out / RECORD).read_text(encoding="utf-8"))
        build = Build(out=out, **{**data, "stamps": tuple(data["stamps"])})
        return build if build.stamps == _stamps(build) else None
    except (FileNotFoundError, json.JSONDecodeError, TypeError, KeyError):
        return None


def _stamps(build: Build) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in (build.image, build.vmlinux))


def build_kernel(
    tree: Tree, out: Path, config_digest: str, tools: Toolchain, *, jobs: int, expected: int
) -> Build:
    """Build bzImage and vmlinux in out, unless they are up to date.

    expected: objects of a build from nothing, for the progress display only.
    Raises BuildError with the first error and its context.
    """
    wanted = fingerprint(tree, config_digest, tools)
    last = load_build(out)
    if last and last.fingerprint == wanted:
        return last
    (out / RECORD).unlink(missing_ok=True)
    argv = ["make", "-C", str(tree.path), f"O={out}", f"-j{jobs}", *tools.make_args, "bzImage"]
    reproduce = shlex.join([*(f"{k}={v}" for k, v in tools.env.items()), *argv])
    log = out / "build.log"
    log.unlink(missing_ok=True)
    start = time.monotonic()
    made = 0
    total = expected if not last and not (out / "vmlinux.o").exists() else None
    with stage(f"build {out.parent.parent.name}/{out.parent.name}/{out.name}") as progress:

        def follow(line: str) -> None:
            nonlocal made
            if match := _OBJECT.match(line):
                made += 1
                progress.update(made, max(total, made) if total else None, match[1])

        status = proc.stream(argv, follow, log=log, env=tools.env)
    if status != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise BuildError(
            "the kernel does not build", repeat=reproduce, log=log, excerpt=first_error(lines)
        )
    build = Build(
        out=out,
        fingerprint=wanted,
        version=_release(out),
        seconds=round(time.monotonic() - start, 1),
        objects=made,
        reproduce=reproduce,
    )
    if not (build.image.is_file() and build.vmlinux.is_file()):
        raise BuildError("make ended well but left no kernel", repeat=reproduce, log=log)
    if fingerprint(tree, config_digest, tools) != wanted:
        # Files were changed while make read them: this is no build of either state.
        return build_kernel(tree, out, config_digest, tools, jobs=jobs, expected=expected)
    build = replace(build, stamps=_stamps(build))
    record = {k: v for k, v in asdict(build).items() if k != "out"}
    (out / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return build


def _release(out: Path) -> str:
    try:
        return (out / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return "unknown"


def default_jobs() -> int:
    """One job for each CPU this process may use."""
    return len(os.sched_getaffinity(0))
