"""Which files of selftests/ are built for a tree."""

from __future__ import annotations

from pathlib import Path

from bpftcp import testbuild


def _selftests(folder: Path, needs: str) -> Path:
    tests = folder / "selftests/bpf/prog_tests"
    tests.mkdir(parents=True)
    for name in ("plain", "tcp_new", "tcp_new_more"):
        (tests / f"{name}.c").write_text(f"void test_{name}(void)\n{{\n}}\n")
    (folder / "selftests/needs.tests").write_text(needs)
    return folder / "selftests"


def test_what_the_tree_is_not_made_for_is_left_out(tmp_path: Path) -> None:
    selftests = _selftests(tmp_path, "# comment\ntcp_new*\tinclude/new.h\n")
    tree = tmp_path / "tree"
    (tree / "include").mkdir(parents=True)
    assert testbuild.list_files(tree, selftests) == ["plain"]
    assert testbuild.left_out(tree, selftests) == {
        "tcp_new": "include/new.h",
        "tcp_new_more": "include/new.h",
    }
    assert list(testbuild.tests_in_sources(tree, selftests)) == ["plain"]

    (tree / "include/new.h").touch()
    assert testbuild.list_files(tree, selftests) == ["plain", "tcp_new", "tcp_new_more"]
    assert testbuild.left_out(tree, selftests) == {}


def test_no_list_of_needs(tmp_path: Path) -> None:
    selftests = _selftests(tmp_path, "")
    (selftests / "needs.tests").unlink()
    assert len(testbuild.list_files(tmp_path, selftests)) == 3
