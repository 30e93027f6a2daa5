"""Apply the series to a tree, one patch at a time, and never half a patch.

What was applied is kept in the tree's git folder: a second run finds the patches
that are still right, goes back to the first that changed, and applies from there,
so that only files of changed patches are rebuilt.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from bpftcp import proc
from bpftcp.applystate import (
    BY_HAND,
    Applied,
    State,
    holds,
    keep_resolutions,
    load,
    save,
    undo_interrupted,
)
from bpftcp.errors import ApplyError, TreeError
from bpftcp.progress import say, stage
from bpftcp.series import Patch, Series
from bpftcp.tree import BRANCH, Tree, refuse_unclean

_NO_ANCESTOR = re.compile("could not build fake ancestor|lacks necessary blobs")


@dataclass(frozen=True)
class ApplyResult:
    """base: the commit below the series; local: commits and changed files on top of it.

    In applied, how is `kept` where a patch was there before.
    """

    base: str
    head: str
    applied: tuple[Applied, ...]
    local: tuple[str, ...]


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
    recorded = load(tree)
    if recorded and recorded.busy:
        recorded = undo_interrupted(tree, recorded)
    state = recorded if recorded and holds(tree, recorded) else State(base)
    if not tree.managed and recorded is None:
        refuse_unclean(tree)
    if tree.managed and recorded is None:
        _adopt_attached(tree, series, base)
    if carry_on:
        state = _take_resolution(tree, series, state)
    keep = _still_right(series, state, base)
    whole = len(keep) == len(state.applied) == len(series.patches) and state.base == base
    if whole:
        if recorded is None:
            save(tree, state)
        local = _local_work(tree, state.head)
        if local:
            say(f"{tree.path}: kept as it is, with local work: {'; '.join(local[:3])}")
        return ApplyResult(base, tree.head(), _kept(keep), local)
    _refuse_foreign_work(tree, state, recorded, repeat)
    if not tree.managed:
        _switch_to_our_branch(tree, recorded)
    keep_resolutions(tree, state.applied[len(keep) :])
    return _rebuild(tree, series, State(base, keep, busy=True), repeat, find_blobs)


def _rebuild(
    tree: Tree, series: Series, state: State, repeat: str, find_blobs: Callable[[], None]
) -> ApplyResult:
    kept = len(state.applied)
    save(tree, state)
    try:
        if tree.head() != state.head:
            back = tree.git("reset", "-q", "--hard", state.head)
            back.require(TreeError, f"cannot go back to {state.head[:12]}")
        todo = series.patches[kept:]
        with stage(f"apply {len(todo)} patches to {series.base}") as progress:
            for number, patch in enumerate(todo, kept + 1):
                progress.update(number - 1, len(series.patches), patch.name)
                how = _apply_one(tree, patch, repeat, find_blobs)
                done = Applied(patch.name, patch.digest, tree.head(), how)
                state = replace(state, applied=(*state.applied, done))
                save(tree, state)
                say(f"  {how:8} {patch.name}")
    except Exception:
        # Only an interruption leaves something to undo: this error left the tree in order.
        save(tree, replace(state, busy=False))
        raise
    save(tree, replace(state, busy=False))
    shown = (*_kept(state.applied[:kept]), *state.applied[kept:])
    return ApplyResult(state.base, tree.head(), shown, ())


def _kept(applied: tuple[Applied, ...]) -> tuple[Applied, ...]:
    return tuple(replace(a, how="kept") for a in applied)


def _adopt_attached(tree: Tree, series: Series, base: str) -> None:
    """A worktree whose repository was deleted holds the series as changes on its base.

    Where they are just that they are put back, and applied anew; anything else is refused
    later, as any other local work.
    """
    if tree.head() != base or tree.busy() or not tree.changes():
        return
    index = {"GIT_INDEX_FILE": os.fspath(tree.git_dir / "bpftcp-index")}

    def git(*args: str) -> proc.Done:
        return proc.run(["git", "-C", tree.path, *args], env=index)

    same = git("read-tree", base).ok
    same = same and all(git("apply", "--cached", str(p.path)).ok for p in series.patches)
    git("update-index", "-q", "--refresh")
    status = git("status", "--porcelain", "--untracked-files=all")
    listing = status.output.splitlines()
    (tree.git_dir / "bpftcp-index").unlink(missing_ok=True)
    # Against this index nothing differs but the index itself, from HEAD.
    if same and status.ok and all(line[1] == " " and line[0] != "?" for line in listing):
        say(f"{tree.path}: holds the series and nothing else; applying it again")
        tree.git("reset", "-q", "--hard", base).require(TreeError, "cannot go back")
        tree.git("clean", "-qfd").require(TreeError, "cannot clean up")


def _still_right(series: Series, state: State, base: str) -> tuple[Applied, ...]:
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
    before = tree.head()
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
        return "3-way" if tree.head() != before else "upstream"
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


def _refuse_foreign_work(tree: Tree, state: State, recorded: State | None, repeat: str) -> None:
    refuse_unclean(tree)
    ours = not tree.managed and tree.branch() == BRANCH
    if ours and recorded and not holds(tree, recorded):
        raise TreeError(
            f"{tree.path}: the series on branch {BRANCH} was rewritten; go to your base first",
            repeat=f"git -C {tree.path} switch -",
            excerpt=[f"it was applied on {recorded.base[:12]}"],
        )
    if recorded is not None and tree.head() != state.head:
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


def _switch_to_our_branch(tree: Tree, recorded: State | None) -> None:
    """In a user's tree the series goes on a branch of ours, which must hold nothing else."""
    if tree.branch() == BRANCH:
        return
    tip = tree.git("rev-parse", "-q", "--verify", f"refs/heads/{BRANCH}")
    if tip.ok and (recorded is None or tip.output.strip() != recorded.head):
        raise TreeError(
            f"{tree.path}: branch {BRANCH} holds work that is not the series'; rename it first",
            repeat=f"git -C {tree.path} branch -m {BRANCH} my-work",
        )
    tree.git("switch", "-q", "-C", BRANCH).require(TreeError, f"no branch {BRANCH}")


def _take_resolution(tree: Tree, series: Series, state: State) -> State:
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
        applied.append(Applied(patch.name, patch.digest, commit, BY_HAND))
    state = State(state.base, tuple(applied))
    save(tree, state)
    return state
