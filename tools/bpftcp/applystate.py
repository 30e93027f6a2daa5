"""What was applied to a tree, kept in the tree's git folder, and how to undo half a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from bpftcp.errors import TreeError
from bpftcp.progress import say
from bpftcp.tree import BRANCH, Tree

STATE = "bpftcp-applied.json"
BY_HAND = "by hand"
KEEP_REF = "refs/bpftcp"
"""Below it lies whatever we had to move out of the way."""


@dataclass(frozen=True)
class Applied:
    """One patch in the tree. how: clean, offset, 3-way, by hand, or upstream (nothing to do)."""

    name: str
    digest: str
    commit: str
    how: str


@dataclass(frozen=True)
class State:
    """base: the commit below the series; busy: set while we change the tree ourselves."""

    base: str
    applied: tuple[Applied, ...] = ()
    busy: bool = False

    @property
    def head(self) -> str:
        return self.applied[-1].commit if self.applied else self.base


def load(tree: Tree) -> State | None:
    """The state recorded for this tree, wherever its HEAD is now."""
    try:
        data = json.loads((tree.git_dir / STATE).read_text(encoding="utf-8"))
        applied = tuple(Applied(**a) for a in data["applied"])
        return State(data["base"], applied, bool(data.get("busy")))
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None


def save(tree: Tree, state: State) -> None:
    """Record the state; the old record or the new one is there at any time."""
    data = {
        "base": state.base,
        "applied": [asdict(a) for a in state.applied],
        "busy": state.busy,
    }
    path = tree.git_dir / STATE
    new = path.with_suffix(".new")
    new.write_text(json.dumps(data, indent=1), encoding="utf-8")
    new.replace(path)


def holds(tree: Tree, state: State) -> bool:
    """Whether the recorded patches are below HEAD: the user may have gone elsewhere."""
    return tree.git("merge-base", "--is-ancestor", state.head, "HEAD").ok


def recorded_base(tree: Tree) -> str | None:
    """The commit below the series, where it is applied in what is checked out."""
    state = load(tree)
    return state.base if state and holds(tree, state) else None


def undo_interrupted(tree: Tree, state: State) -> State:
    """Back to the last patch that was wholly applied, if the tree is as we left it.

    Where somebody has been elsewhere since (another branch, other commits) the record is
    only closed. Changed files are kept in a ref, in case they are not our own half patch.
    """
    state = replace(state, busy=False)
    if _is_ours(tree, state):
        say(f"{tree.path}: an earlier run was interrupted while applying; going on from there")
        stash = tree.git("stash", "create").output.strip()
        if len(stash) == 40:
            keep_commit(tree, stash, "interrupted")
        if tree.busy():
            tree.git("am", "--abort")
        tree.git("reset", "-q", "--hard", state.head).require(TreeError, "cannot go back")
    save(tree, state)
    return state


def _is_ours(tree: Tree, state: State) -> bool:
    if tree.branch() != ("" if tree.managed else BRANCH):
        return False
    ours = {state.base, *(a.commit for a in state.applied)}
    # git am commits before we can record it: one commit on top of the last may be ours too.
    parent = tree.git("rev-parse", "-q", "--verify", "HEAD^").output.strip()
    return tree.head() in ours or parent == state.head


def keep_commit(tree: Tree, commit: str, name: str) -> None:
    """Give a commit a name below KEEP_REF, so that nothing in it is lost."""
    ref = f"{KEEP_REF}/{name}"
    tree.git("update-ref", ref, commit).require(TreeError, f"cannot keep {commit[:12]}")
    say(f"  what was there is kept: git -C {tree.path} show {ref}")


def keep_resolutions(tree: Tree, given_up: Iterable[Applied]) -> None:
    """Name commits that somebody made by hand, before the tree goes back below them."""
    for applied in given_up:
        if applied.how == BY_HAND:
            keep_commit(tree, applied.commit, f"by-hand/{applied.name.removesuffix('.patch')}")
