"""apply: clean, offset, 3-way, fuzz, conflict; what a tree may and may not lose."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bpftcp import apply
from bpftcp.apply import ApplyResult, apply_series
from bpftcp.errors import ApplyError, ExitCode, SeriesError, TreeError, UsageError
from bpftcp.series import Patch, load_series
from bpftcp.tree import BRANCH, Tree, managed_tree, open_tree
from conftest import FakeKernel, git


def run(kernel: FakeKernel, *, carry_on: bool = False, managed: bool = True) -> ApplyResult:
    tree = Tree(kernel.tree, managed=managed)
    base = git(kernel.tree, "rev-parse", "master").strip()
    return apply_series(tree, load_series(kernel.patches, "7.3"), base, carry_on=carry_on)


def text(kernel: FakeKernel, line: int) -> str:
    return (kernel.tree / "net/ipv4/tcp.c").read_text().splitlines()[line - 1]


@pytest.fixture
def two(kernel: FakeKernel) -> FakeKernel:
    """Two patches, and a detached HEAD as managed trees have."""
    kernel.make_patch(1, 10, "first")
    kernel.make_patch(2, 40, "second")
    git(kernel.tree, "checkout", "-q", "--detach")
    return kernel


def test_clean(two: FakeKernel) -> None:
    result = run(two)
    assert [p.how for p in result.applied] == ["clean", "clean"]
    assert (text(two, 10), text(two, 40)) == ("first", "second")
    assert git(two.tree, "log", "-1", "--format=%an <%ae>").strip() == "Test <test@localhost>"


def test_second_run_keeps_and_does_not_touch(two: FakeKernel) -> None:
    run(two)
    before = (two.tree / "net/ipv4/tcp.c").stat().st_mtime_ns
    assert [p.how for p in run(two).applied] == ["kept", "kept"]
    assert (two.tree / "net/ipv4/tcp.c").stat().st_mtime_ns == before


def test_commits_are_the_same_everywhere(two: FakeKernel) -> None:
    first = run(two).head
    git(two.tree, "reset", "-q", "--hard", "master")
    assert run(two).head == first


def test_offset(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    two.edit(1, "inserted\ninserted too\n/* line 1 */")
    two.commit("shift")
    git(two.tree, "checkout", "-q", "--detach")
    assert run(two).applied[0].how == "offset"


def test_three_way(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    two.edit(12, "context that the patch does not know")
    two.commit("change the context")
    git(two.tree, "checkout", "-q", "--detach")
    result = run(two)
    assert [p.how for p in result.applied] == ["3-way", "clean"]
    assert text(two, 10) == "first"


def without_blobs(patch: Path) -> None:
    """As from a tree whose objects are not here: no 3-way merge possible."""
    lines = patch.read_text().splitlines(keepends=True)
    patch.write_text("".join("index 1111111..2222222 100644\n" if ln.startswith("index ") else ln
                             for ln in lines))  # fmt: skip


def test_fuzz_is_refused_and_named(two: FakeKernel) -> None:
    without_blobs(two.patches / "tcp-extopt/0002-change-line-40.patch")
    git(two.tree, "checkout", "-q", "master")
    two.edit(43, "other context")
    two.commit("change the last line of context")
    git(two.tree, "checkout", "-q", "--detach")
    with pytest.raises(ApplyError) as caught:
        run(two)
    error = caught.value
    assert "only with fuzz: hunk 1 at line 37" in error.message
    assert error.exit_code is ExitCode.FAILED
    assert any("net/ipv4/tcp.c" in line for line in error.excerpt)
    assert any("--continue" in line for line in error.excerpt)
    assert (text(two, 10), text(two, 40)) == ("first", "/* line 40 */")
    assert not (two.tree / ".git/rebase-apply").exists()
    assert git(two.tree, "status", "--porcelain") == ""


def conflict(two: FakeKernel) -> ApplyError:
    git(two.tree, "checkout", "-q", "master")
    two.edit(40, "somebody else was here")
    two.commit("conflicting")
    git(two.tree, "checkout", "-q", "--detach")
    with pytest.raises(ApplyError) as caught:
        run(two)
    return caught.value


def test_conflict_stays_at_the_last_good_patch(two: FakeKernel) -> None:
    error = conflict(two)
    assert "does not apply: hunk 1 at line 37" in error.message
    assert "conflict in net/ipv4/tcp.c" in error.excerpt
    assert error.repeat is not None and "am -3" in error.repeat
    assert (text(two, 10), text(two, 40)) == ("first", "somebody else was here")
    assert git(two.tree, "status", "--porcelain") == ""


def test_continue_after_a_conflict(two: FakeKernel) -> None:
    conflict(two)
    two.edit(40, "second, and somebody else")
    git(two.tree, "add", "-A")
    git(two.tree, "commit", "-q", "-m", "tcp: change line 40")
    with pytest.raises(TreeError, match="would be lost"):
        run(two)
    result = run(two, carry_on=True)
    assert result.applied[1].how == "kept"
    assert text(two, 40) == "second, and somebody else"
    assert [p.how for p in run(two).applied] == ["kept", "kept"]


def test_continue_refuses_another_commit(two: FakeKernel) -> None:
    conflict(two)
    two.edit(50, "unrelated")
    two.commit("tcp: unrelated")
    with pytest.raises(TreeError, match="does not resolve"):
        run(two, carry_on=True)


@pytest.mark.parametrize("at", ["line-10", "line-40"])
def test_interrupted_while_applying(
    two: FakeKernel, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Killed in the middle of git am: the tree is dirty, and that is our own doing."""
    original = apply._apply_one

    def interrupted(tree: Tree, patch: Patch, *rest: object) -> str:
        if at in patch.name:
            (tree.path / "net/ipv4/tcp.c").write_text("half")
            (tree.git_dir / "rebase-apply").mkdir()
            raise KeyboardInterrupt
        return original(tree, patch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(apply, "_apply_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(two)
    monkeypatch.undo()
    (two.tree / ".git/rebase-apply").rmdir()
    assert [p.how for p in run(two).applied][-1] == "clean"
    assert (text(two, 10), text(two, 40)) == ("first", "second")


def test_blobs_are_found_for_a_merge(two: FakeKernel, tmp_path: Path) -> None:
    """The base's own objects are enough for most patches; where not, they are fetched."""
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(two.tree), str(other))
    git(two.tree, "checkout", "-q", "master")
    two.edit(12, "context that the patch does not know")
    two.commit("other context")
    git(two.tree, "checkout", "-q", "--orphan", "alone")
    git(two.tree, "commit", "-q", "-m", "without the objects of the base")
    git(two.tree, "branch", "-q", "-f", "master", "HEAD")
    git(two.tree, "checkout", "-q", "--detach")
    git(two.tree, "reflog", "expire", "--expire=all", "--all")
    git(two.tree, "branch", "-q", "-D", "alone")
    git(two.tree, "gc", "-q", "--prune=now")
    asked: list[str] = []

    def fetch() -> None:
        asked.append("once")
        git(two.tree, "fetch", "-q", str(other), "master")

    base = git(two.tree, "rev-parse", "master").strip()
    series = load_series(two.patches, "7.3")
    with pytest.raises(ApplyError):
        apply_series(Tree(two.tree, managed=True), series, base)
    result = apply_series(Tree(two.tree, managed=True), series, base, find_blobs=fetch)
    assert asked == ["once"] and result.applied[0].how == "3-way"


def test_changed_patch_keeps_those_before_it(two: FakeKernel) -> None:
    before = run(two)
    first, tip = before.applied[0].commit, before.head
    two.patches.joinpath("series").write_text("[tcp-extopt]\n0001-change-line-10.patch\n")
    (two.patches / "tcp-extopt/0002-change-line-40.patch").unlink()
    git(two.tree, "checkout", "-q", "master")
    two.make_patch(2, 41, "another second")
    git(two.tree, "checkout", "-q", tip)
    result = run(two)
    assert [p.how for p in result.applied] == ["kept", "clean"]
    assert result.applied[0].commit == first
    assert (text(two, 40), text(two, 41)) == ("/* line 40 */", "another second")


def test_local_edits_are_kept_while_the_series_is_the_same(two: FakeKernel) -> None:
    run(two)
    two.edit(20, "a developer at work")
    assert run(two).local == (" M net/ipv4/tcp.c",)
    assert text(two, 20) == "a developer at work"


def test_local_edits_are_not_lost_when_the_series_changes(two: FakeKernel) -> None:
    run(two)
    two.edit(20, "a developer at work")
    path = two.patches / "tcp-extopt/0001-change-line-10.patch"
    path.write_text(path.read_text().replace("first", "First"))
    with pytest.raises(TreeError, match="uncommitted"):
        run(two)
    assert text(two, 20) == "a developer at work"


def test_dirty_tree_is_refused_untouched(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    two.edit(20, "unsaved")
    with pytest.raises(TreeError, match="uncommitted") as caught:
        run(two, managed=False)
    assert caught.value.exit_code is ExitCode.USAGE
    assert text(two, 10) == "/* line 10 */"
    assert git(two.tree, "branch", "--show-current").strip() == "master"


def test_rebase_in_progress_is_refused(two: FakeKernel) -> None:
    (two.tree / ".git/rebase-merge").mkdir()
    with pytest.raises(TreeError, match="rebase is in progress"):
        run(two, managed=False)


def test_own_tree_gets_a_branch(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    run(two, managed=False)
    assert git(two.tree, "branch", "--show-current").strip() == BRANCH
    assert git(two.tree, "log", "-1", "--format=%s", "master").strip() == "base"


def test_work_on_our_branch_is_not_lost(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    run(two, managed=False)
    two.edit(30, "precious")
    two.commit("precious work")
    git(two.tree, "checkout", "-q", "master")
    with pytest.raises(TreeError, match=BRANCH):
        run(two, managed=False)
    assert "precious" in git(two.tree, "show", f"{BRANCH}:net/ipv4/tcp.c")


def test_not_a_git_tree(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(TreeError, match="not a git"):
        open_tree(tmp_path / "plain")


def test_worktree_survives_its_cache(two: FakeKernel, tmp_path: Path) -> None:
    commit = git(two.tree, "rev-parse", "master").strip()
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(two.tree), str(bare))
    tree = managed_tree(bare, tmp_path / "work/tree", commit)
    (tree.path / "net/ipv4/tcp.c").write_text("edited\n")
    bare.rename(tmp_path / "gone.git")
    git(tmp_path, "clone", "-q", "--bare", str(two.tree), str(bare))
    again = managed_tree(bare, tmp_path / "work/tree", commit)
    assert again.changes() == [" M net/ipv4/tcp.c"]
    assert (tree.path / "net/ipv4/tcp.c").read_text() == "edited\n"


def test_half_made_worktree_is_made_again(two: FakeKernel, tmp_path: Path) -> None:
    commit = git(two.tree, "rev-parse", "master").strip()
    half = tmp_path / "work/tree"
    half.mkdir(parents=True)
    (half / "rest").write_text("of an interrupted run")
    tree = managed_tree(two.tree / ".git", half, commit)
    assert tree.head() == commit and not (half / "rest").exists()


def test_series_contradictions(two: FakeKernel) -> None:
    stray = two.patches / "tcp-extopt/0003-stray.patch"
    stray.write_text("From x\nSubject: stray\n\n")
    with pytest.raises(SeriesError, match="not named"):
        load_series(two.patches, "7.3")
    stray.unlink()
    with pytest.raises(UsageError, match="no topic 'nosuch'"):
        load_series(two.patches, "7.3", "nosuch")
    override = two.patches / "overrides/6.12/tcp-extopt"
    override.mkdir(parents=True)
    (override / "0009-nothing.patch").write_text("From x\n")
    with pytest.raises(SeriesError, match="overrides no patch"):
        load_series(two.patches, "7.3")


def test_override_takes_the_place_on_its_base(two: FakeKernel) -> None:
    name = "0001-change-line-10.patch"
    override = two.patches / "overrides/6.12/tcp-extopt" / name
    override.parent.mkdir(parents=True)
    override.write_text((two.patches / "tcp-extopt" / name).read_text())
    assert load_series(two.patches, "6.12").patches[0].overridden
    assert not load_series(two.patches, "7.3").patches[0].overridden


def test_topic_for_some_bases(two: FakeKernel) -> None:
    order = two.patches / "series"
    order.write_text(order.read_text().replace("[tcp-extopt]", "[tcp-extopt] 7.3 7.2"))
    assert load_series(two.patches, "7.2").patches == load_series(two.patches, "7.3").patches != ()
    assert load_series(two.patches, "6.12").patches == ()
    with pytest.raises(UsageError, match=r"topic 'tcp-extopt' is not for 6\.12"):
        load_series(two.patches, "6.12", "tcp-extopt")
    (two.patches / "tcp-extopt/0003-stray.patch").write_text("From x\nSubject: stray\n\n")
    with pytest.raises(SeriesError, match="not named"):
        load_series(two.patches, "6.12")


def interrupt_at(two: FakeKernel, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    original = apply._apply_one

    def interrupted(tree: Tree, patch: Patch, *rest: object) -> str:
        if at in patch.name:
            raise KeyboardInterrupt
        return original(tree, patch, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(apply, "_apply_one", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(two, managed=False)


def test_interrupted_then_elsewhere(two: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user does on a branch of their own is not ours to undo."""
    git(two.tree, "checkout", "-q", "master")
    interrupt_at(two, monkeypatch, "line-40")
    git(two.tree, "checkout", "-q", "-b", "own", "master")
    two.edit(50, "committed")
    two.commit("own work")
    two.edit(51, "not committed")
    with pytest.raises(TreeError, match="uncommitted"):
        run(two, managed=False)
    assert git(two.tree, "log", "-1", "--format=%s").strip() == "own work"
    assert text(two, 51) == "not committed"


def test_edits_after_an_interruption_are_kept(
    two: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(two.tree, "checkout", "-q", "master")
    interrupt_at(two, monkeypatch, "line-40")
    two.edit(51, "not committed")
    run(two, managed=False)
    assert "not committed" in git(two.tree, "show", "refs/bpftcp/interrupted:net/ipv4/tcp.c")


def test_rewritten_series_branch_is_not_a_new_base(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    run(two, managed=False)
    git(two.tree, "commit", "-q", "--amend", "-m", "reworded")
    head = git(two.tree, "rev-parse", "HEAD")
    with pytest.raises(TreeError, match="was rewritten"):
        apply_series(Tree(two.tree, managed=False), load_series(two.patches, "7.3"), head.strip())
    assert git(two.tree, "rev-parse", "HEAD") == head


def test_resolution_by_hand_is_kept_when_the_series_goes_back(two: FakeKernel) -> None:
    conflict(two)
    two.edit(40, "second, resolved")
    git(two.tree, "commit", "-qam", "tcp: change line 40")
    run(two, carry_on=True)
    path = two.patches / "tcp-extopt/0001-change-line-10.patch"
    path.write_text(path.read_text().replace("+first", "+First"))
    with pytest.raises(ApplyError):
        run(two)
    ref = "refs/bpftcp/by-hand/tcp-extopt/0002-change-line-40"
    assert "second, resolved" in git(two.tree, "show", f"{ref}:net/ipv4/tcp.c")


def test_patch_that_is_already_upstream(two: FakeKernel) -> None:
    git(two.tree, "checkout", "-q", "master")
    two.edit(10, "first")
    two.commit("upstream took it")
    git(two.tree, "checkout", "-q", "--detach")
    assert [p.how for p in run(two).applied] == ["upstream", "clean"]


def test_cache_deleted_after_apply(two: FakeKernel, tmp_path: Path) -> None:
    """The worktree then holds the series as changes: that is no reason to refuse."""
    commit = git(two.tree, "rev-parse", "master").strip()
    series = load_series(two.patches, "7.3")
    bare = tmp_path / "bare.git"
    for _ in range(2):
        git(tmp_path, "clone", "-q", "--bare", str(two.tree), str(bare))
        tree = managed_tree(bare, tmp_path / "work/tree", commit)
        result = apply_series(tree, series, commit)
        assert [p.how for p in result.applied] == ["clean", "clean"] and not tree.changes()
        shutil.rmtree(bare)
    (tree.path / "net/ipv4/tcp.c").write_text("somebody's work\n")
    git(tmp_path, "clone", "-q", "--bare", str(two.tree), str(bare))
    tree = managed_tree(bare, tmp_path / "work/tree", commit)
    with pytest.raises(TreeError, match="uncommitted"):
        apply_series(tree, series, commit)
    assert (tree.path / "net/ipv4/tcp.c").read_text() == "somebody's work\n"
