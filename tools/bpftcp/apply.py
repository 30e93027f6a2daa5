"""Apply the series to a tree, one patch at a time, and never half a patch.

What was applied is kept in the tree's git folder: a second run finds the patches
that are still right, goes back to the first that changed, and applies from there,
so that only files of changed patches are rebuilt.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bpftcp import proc
from bpftcp.errors import ApplyError, TreeError
from bpftcp.progress import say, stage
from bpftcp.series import Patch, Series
from bpftcp.tree import BRANCH, Tree, refuse_unclean

STATE = "bpftcp-applied.json"
_NO_ANCESTOR = re.compile("could not build fake ancestor|lacks necessary blobs")


@dataclass(frozen=True)
class Applied:
    """One patch in the tree. how: clean, offset, 3-way, by hand or kept (from an earlier run)."""

    name: str
    digest: str
    commit: str
    how: str


@dataclass(frozen=True)
class ApplyResult:
    """base: the commit below the series; local: commits and changed files on top of it."""

    base: str
    head: str
    applied: tuple[Applied, ...]
    local: tuple[str, ...]


@dataclass(frozen=True)
class _State:
    base: str
    applied: tuple[Applied, ...]
    busy: bool = False
    """Set while we change the tree: what an interrupted run left there is ours to undo."""

    @property
    def head(self) -> str:
        return self.applied[-1].commit if self.applied else self.base


def apply_series(
    tree: Tree,
    series: Series,
    base: str,
    *,
    carry_on: bool = False,
    repeat: str = "",
    find_blobs: Callable[[], None] = lambda: None,
) -> ApplyResult:
    """Bring the tree from base to base plus series.

    carry_on takes the commits that the user made on top of the last good patch as the
    resolution of the next one. repeat is the command line to name in messages. find_blobs
    is called before a 3-way merge whose common ancestor the repository does not have.
    Raises TreeError before anything is touched where the tree holds other work, and
    ApplyError with the tree at the last good patch.
    """
    recorded = _recorded(tree)
    if recorded and recorded.busy:
        recorded = _undo_interrupted(tree, recorded)
    state = recorded if recorded and _holds(tree, recorded) else _State(base, ())
    if not tree.managed and not (tree.git_dir / STATE).exists():
        refuse_unclean(tree)
    if carry_on:
        state = _take_resolution(tree, series, state)
    keep = _still_right(series, state, base)
    whole = len(keep) == len(state.applied) == len(series.patches) and state.base == base
    if whole:
        if recorded is None:
            _save(tree, state)
        local = _local_work(tree, state.head)
        if local:
            say(f"{tree.path}: kept as it is, with local work: {'; '.join(local[:3])}")
        return ApplyResult(base, tree.head(), _kept(keep), local)
    _refuse_foreign_work(tree, state, repeat)
    if not tree.managed:
        _switch_to_our_branch(tree, recorded)
    return _rebuild(tree, series, base, keep, repeat, find_blobs)


def _rebuild(
    tree: Tree,
    series: Series,
    base: str,
    keep: tuple[Applied, ...],
    repeat: str,
    find_blobs: Callable[[], None],
) -> ApplyResult:
    start = keep[-1].commit if keep else base
    _save(tree, _State(base, tuple(_kept(keep)), busy=True))
    if tree.head() != start:
        tree.git("reset", "-q", "--hard", start).require(
            TreeError, f"cannot go back to {start[:12]}"
        )
    applied = list(_kept(keep))
    with stage(f"apply {len(series.patches) - len(keep)} patches to {series.base}") as progress:
        for number, patch in enumerate(series.patches[len(keep) :], len(keep) + 1):
            progress.update(number - 1, len(series.patches), patch.name)
            try:
                how = _apply_one(tree, patch, repeat, find_blobs)
            except ApplyError:
                _save(tree, _State(base, tuple(applied)))
                raise
            applied.append(Applied(patch.name, patch.digest, tree.head(), how))
            _save(tree, _State(base, tuple(applied), busy=True))
            say(f"  {how:7} {patch.name}")
    _save(tree, _State(base, tuple(applied)))
    return ApplyResult(base, tree.head(), tuple(applied), ())


def _undo_interrupted(tree: Tree, state: _State) -> _State:
    """Back to the last patch that was wholly applied."""
    say(f"{tree.path}: an earlier run was interrupted while applying; going on from there")
    if tree.busy():
        tree.git("am", "--abort")
    tree.git("reset", "-q", "--hard", state.head).require(TreeError, "cannot go back")
    state = _State(state.base, state.applied)
    _save(tree, state)
    return state


def _kept(applied: tuple[Applied, ...]) -> tuple[Applied, ...]:
    return tuple(Applied(a.name, a.digest, a.commit, "kept") for a in applied)


def _still_right(series: Series, state: _State, base: str) -> tuple[Applied, ...]:
    if state.base != base:
        return ()
    keep = []
    for have, want in zip(state.applied, series.patches, strict=False):
        if have.digest != want.digest:
            break
        keep.append(have)
    return tuple(keep)


def _apply_one(tree: Tree, patch: Patch, repeat: str, find_blobs: Callable[[], None]) -> str:
    check = tree.git("apply", "--check", "--verbose", patch.path)
    # Whatever hooks, signing and merging the user has configured is not for these commits.
    settings = ("core.hooksPath=/dev/null", "commit.gpgSign=false", "am.threeWay=false")
    quiet = [word for setting in settings for word in ("-c", setting)]
    am = (*quiet, "am", "-q", "--committer-date-is-author-date", "--keep-non-patch")
    clean = tree.git(*am, patch.path)
    if clean.ok:
        return "offset" if re.search(r"\(offset -?\d+ lines?\)", check.output) else "clean"
    tree.git("am", "--abort")
    merged = tree.git(*am, "-3", patch.path)
    if not merged.ok and _NO_ANCESTOR.search(merged.output):
        tree.git("am", "--abort")
        find_blobs()
        merged = tree.git(*am, "-3", patch.path)
    if merged.ok:
        return "3-way"
    conflicts = tree.git("diff", "--name-only", "--diff-filter=U").output.split()
    tree.git("am", "--abort")
    raise ApplyError(
        f"{patch.name} {_verdict(tree, patch)}; {tree.path} stays at the last good patch",
        repeat=f"git -C {tree.path} am -3 {patch.path}",
        excerpt=[
            *_reasons(check.output),
            *(f"conflict in {name}" for name in conflicts),
            "to continue: repeat by hand as above, resolve, `git am --continue`, then",
            f"    {repeat or 'tools/kbuild apply'} --continue",
        ],
    )


def _reasons(output: str) -> list[str]:
    return [
        line.removeprefix("error: ")
        for line in output.splitlines()
        if line.startswith("error:") or "while searching for" in line
    ][:8]


def _verdict(tree: Tree, patch: Patch) -> str:
    """Whether patch(1) would take it, and with how much fuzz: that is for a person to judge."""
    if shutil.which("patch"):
        command = ["patch", "-p1", "--dry-run", "--force", "-i", str(patch.path.resolve())]
        tried = proc.run(command, cwd=tree.path)
        fuzz = re.findall(r"Hunk #(\d+) succeeded at (\d+) with fuzz (\d+)", tried.output)
        if tried.ok and fuzz:
            hunks = ", ".join(f"hunk {h} at line {at} (fuzz {f})" for h, at, f in fuzz)
            return f"applies only with fuzz: {hunks}"
        if failed := re.findall(r"Hunk #(\d+) FAILED at (\d+)", tried.output):
            hunks = ", ".join(f"hunk {h} at line {at}" for h, at in failed)
            return f"does not apply: {hunks}"
    return "does not apply"


def _local_work(tree: Tree, head: str) -> tuple[str, ...]:
    work = [f"{what} in progress" for what in [tree.busy()] if what]
    log = tree.git("log", "--format=commit %h %s", f"{head}..HEAD").output.splitlines()
    return (*work, *log, *tree.changes())


def _refuse_foreign_work(tree: Tree, state: _State, repeat: str) -> None:
    refuse_unclean(tree)
    if (tree.git_dir / STATE).exists() and tree.head() != state.head:
        log = tree.git("log", "--oneline", f"{state.head}..HEAD").output.splitlines()
        raise TreeError(
            f"{tree.path} has commits that are not in patches/: they would be lost",
            repeat=f"git -C {tree.path} log {state.head[:12]}..HEAD",
            excerpt=[
                *log[:8],
                "where they resolve a patch that did not apply:",
                f"    {repeat or 'tools/kbuild apply'} --continue",
                f"to drop them: git -C {tree.path} reset --hard {state.head[:12]}",
            ],
        )


def _switch_to_our_branch(tree: Tree, recorded: _State | None) -> None:
    """In a user's tree the series goes on a branch of ours, which must hold nothing else."""
    if tree.git("branch", "--show-current").output.strip() == BRANCH:
        return
    tip = tree.git("rev-parse", "-q", "--verify", f"refs/heads/{BRANCH}")
    if tip.ok and (recorded is None or tip.output.strip() != recorded.head):
        raise TreeError(
            f"{tree.path}: branch {BRANCH} holds work that is not the series'; rename it first",
            repeat=f"git -C {tree.path} branch -m {BRANCH} my-work",
        )
    tree.git("switch", "-q", "-C", BRANCH).require(TreeError, f"no branch {BRANCH}")


def _take_resolution(tree: Tree, series: Series, state: _State) -> _State:
    refuse_unclean(tree)
    commits = tree.git("rev-list", "--reverse", f"{state.head}..HEAD").output.split()
    applied = list(state.applied)
    for commit in commits:
        if len(applied) == len(series.patches):
            break
        patch = series.patches[len(applied)]
        subject = tree.git("log", "-1", "--format=%s", commit).output.strip()
        if subject != patch.subject:
            raise TreeError(f"{commit[:12]} ({subject}) does not resolve {patch.name}")
        applied.append(Applied(patch.name, patch.digest, commit, "by hand"))
    state = _State(state.base, tuple(applied))
    _save(tree, state)
    return state


def recorded_base(tree: Tree) -> str | None:
    """The commit below the series, where it is applied in what is checked out."""
    state = _recorded(tree)
    return state.base if state and _holds(tree, state) else None


def _holds(tree: Tree, state: _State) -> bool:
    """Whether the recorded patches are below HEAD: the user may have gone elsewhere."""
    return tree.git("merge-base", "--is-ancestor", state.head, "HEAD").ok


def _recorded(tree: Tree) -> _State | None:
    try:
        data = json.loads((tree.git_dir / STATE).read_text(encoding="utf-8"))
        applied = tuple(Applied(**a) for a in data["applied"])
        return _State(data["base"], applied, bool(data.get("busy")))
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None


def _save(tree: Tree, state: _State) -> None:
    data = {
        "base": state.base,
        "applied": [asdict(a) for a in state.applied],
        "busy": state.busy,
    }
    path: Path = tree.git_dir / STATE
    new = path.with_suffix(".new")
    new.write_text(json.dumps(data, indent=1), encoding="utf-8")
    new.replace(path)
