"""Kernel trees: managed worktrees of the cache's repository, or the user's own clone.

A managed tree is a git worktree, so any number of bases and variants share one
object store. A user's tree is worked on in place, on a branch of ours.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import git

from bpftcp import proc
from bpftcp.errors import SourceError, TreeError
from bpftcp.progress import say, stage

BRANCH = "bpftcp"
"""The branch that carries the series in a tree the user gave."""

_BUSY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or git am",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "BISECT_LOG": "a bisection",
}


@dataclass(frozen=True)
class Tree:
    """A kernel tree in git. managed: we made it, and may make it again."""

    path: Path
    managed: bool

    @property
    def repo(self) -> git.Repo:
        return git.Repo(self.path)

    @property
    def git_dir(self) -> Path:
        return Path(self.repo.git_dir)

    def git(self, *args: str | Path) -> proc.Done:
        """Run git here, as a committer that needs no configuration."""
        ident = {"GIT_COMMITTER_NAME": "bpftcp", "GIT_COMMITTER_EMAIL": "bpftcp@localhost"}
        return proc.run(["git", "-C", self.path, *args], env=ident)

    def head(self) -> str:
        """The id of the commit that is checked out."""
        commit: str = self.repo.head.commit.hexsha
        return commit

    def branch(self) -> str:
        """The branch that is checked out; empty where HEAD is detached."""
        return self.git("branch", "--show-current").output.strip()

    def busy(self) -> str | None:
        """What unfinished git operation is going on here, if any."""
        return next((what for name, what in _BUSY.items() if (self.git_dir / name).exists()), None)

    def changes(self) -> list[str]:
        """Changed and untracked files, as git status --porcelain names them."""
        status = self.git("status", "--porcelain", "--untracked-files=all")
        return status.require(TreeError, f"git status failed in {self.path}").splitlines()

    def version(self) -> str:
        """The kernel version that the tree's Makefile states, like 7.3.4."""
        return kernel_version((self.path / "Makefile").read_text(encoding="utf-8"))


def kernel_version(makefile: str) -> str:
    """VERSION.PATCHLEVEL.SUBLEVEL+EXTRAVERSION out of a kernel's top Makefile."""
    values = dict(
        re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)", makefile, re.M)
    )
    if "VERSION" not in values or "PATCHLEVEL" not in values:
        raise SourceError("not a kernel tree: no VERSION and PATCHLEVEL in its Makefile")
    numbers = ".".join(values[k] for k in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if values.get(k))
    return str(numbers + values.get("EXTRAVERSION", ""))


def open_tree(path: Path) -> Tree:
    """The user's own clone. Raises TreeError where it is not usable, SourceError if no kernel.

    Nothing is touched here: a tree with changes or an unfinished operation is refused first.
    """
    if not path.is_dir():
        raise SourceError(f"{path}: no such tree")
    try:
        tree = Tree(Path(str(git.Repo(path).working_tree_dir)), managed=False)
    except (git.InvalidGitRepositoryError, TypeError) as e:
        raise TreeError(
            f"{path} is not a git working tree",
            excerpt=[
                f"make it one:  git -C {path} init && git -C {path} add -A && "
                f"git -C {path} commit -m base",
                "or pack it:   --tarball FILE",
            ],
        ) from e
    tree.version()
    if (tree.path / ".config").exists() or (tree.path / "include/config").exists():
        raise TreeError(
            f"{tree.path} was built in place: the kernel then refuses to be built elsewhere",
            excerpt=["`make mrproper` there cleans it; it deletes the tree's .config too"],
        )
    return tree


def refuse_unclean(tree: Tree) -> None:
    """Raise TreeError where work of somebody's lies in the tree."""
    if what := tree.busy():
        raise TreeError(
            f"{tree.path}: {what} is in progress; finish or abort it first",
            repeat=f"git -C {tree.path} status",
        )
    if changes := tree.changes():
        raise TreeError(
            f"{tree.path} has uncommitted changes; commit or stash them first",
            repeat=f"git -C {tree.path} status",
            excerpt=[*changes[:8], *([f"... and {len(changes) - 8} more"] if changes[8:] else [])],
        )


def managed_tree(repository: Path, path: Path, commit: str) -> Tree:
    """A worktree of the cache's repository at path, made at commit where it is not there.

    Both the cache and the worktree may have been deleted in between: a worktree without
    its repository is attached again, keeping its files. Raises TreeError.
    """
    tree = Tree(path, managed=True)
    if (path / ".git").exists():
        link = (path / ".git").read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        if not Path(link).is_dir():
            _attach_again(repository, path, commit)
        return tree
    if path.exists() and any(path.iterdir()):
        say(f"{path}: left half-made by an interrupted run, making it again")
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    with stage(f"check out {path.name}"):
        _add_worktree(repository, unfinished, commit)
        proc.run(
            ["git", "-C", unfinished, "-c", "checkout.workers=0", "reset", "-q", "--hard", commit]
        ).require(TreeError, f"cannot check out {path}")
        proc.run(["git", "-C", repository, "worktree", "move", "-f", unfinished, path]).require(
            TreeError, f"cannot move the new tree to {path}"
        )
    return tree


def _add_worktree(repository: Path, path: Path, commit: str) -> None:
    proc.run(["git", "-C", repository, "worktree", "prune"])
    proc.run(
        [
            "git",
            "-C",
            repository,
            "worktree",
            "add",
            "-f",
            "--no-checkout",
            "--detach",
            path,
            commit,
        ]
    ).require(TreeError, f"cannot make a worktree at {path}")


def _attach_again(repository: Path, path: Path, commit: str) -> None:
    say(f"{path}: its repository was deleted, attaching it to the new one")
    spare = path.with_name(path.name + ".attach")
    shutil.rmtree(spare, ignore_errors=True)
    _add_worktree(repository, spare, commit)
    (path / ".git").write_text((spare / ".git").read_text(encoding="utf-8"), encoding="utf-8")
    shutil.rmtree(spare)
    proc.run(["git", "-C", repository, "worktree", "repair", path]).require(
        TreeError, f"{path} cannot be attached to {repository}"
    )
    proc.run(["git", "-C", path, "reset", "-q", "--mixed", commit]).require(
        TreeError, f"{path} cannot be compared with its base"
    )
