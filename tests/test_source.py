"""Where a kernel comes from: tarballs, the distribution's packages, and their absence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bpftcp import apt, source
from bpftcp.errors import ExitCode, SourceError
from bpftcp.fastimport import import_tarball
from bpftcp.layout import Base
from bpftcp.tree import kernel_version
from conftest import FakeKernel, git

BASE = Base("7.3", "linux-source-7.3", ("trixie-backports", "bookworm-security"), ())


def test_tarball_becomes_the_same_commit_everywhere(kernel: FakeKernel, tmp_path: Path) -> None:
    src = source.from_tarball(kernel.tarball(tmp_path / "linux-7.3.tar.xz"))
    commit = import_tarball(src, tmp_path / "a.git")
    assert import_tarball(src, tmp_path / "b.git") == commit
    bare = tmp_path / "a.git"
    ours = git(bare, "ls-tree", "-r", commit)
    theirs = git(kernel.tree, "ls-tree", "-r", "HEAD")
    assert ours == theirs
    assert "120000 blob" in ours and "100755 blob" in ours
    assert src.sha256 in git(bare, "log", "-1", "--format=%B", commit)


def test_import_happens_once(kernel: FakeKernel, tmp_path: Path) -> None:
    src = source.from_tarball(kernel.tarball(tmp_path / "linux.tar.xz"))
    commit = import_tarball(src, tmp_path / "a.git")
    src.path.unlink()
    assert import_tarball(src, tmp_path / "a.git") == commit


@pytest.mark.parametrize("cut", [200, 4])
def test_truncated_tarball(kernel: FakeKernel, tmp_path: Path, cut: int) -> None:
    """In the data, or only in what follows it: neither may leave a commit behind."""
    path = kernel.tarball(tmp_path / "linux.tar.xz")
    path.write_bytes(path.read_bytes()[:-cut])
    src = source.from_tarball(path)
    with pytest.raises(SourceError, match="not a readable kernel tarball"):
        import_tarball(src, tmp_path / "a.git")
    assert git(tmp_path / "a.git", "for-each-ref") == ""


def test_tarball_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/readme").write_text("hello")
    subprocess.run(["tar", "-cJf", "x.tar.xz", "x"], cwd=tmp_path, check=True)
    with pytest.raises(SourceError, match="holds no kernel"):
        import_tarball(source.from_tarball(tmp_path / "x.tar.xz"), tmp_path / "a.git")


def test_other_file_than_recorded(kernel: FakeKernel, tmp_path: Path) -> None:
    src = source.from_tarball(kernel.tarball(tmp_path / "linux.tar.xz"))
    with pytest.raises(SourceError, match="not the file that was recorded"):
        import_tarball(replace(src, sha256="0" * 64), tmp_path / "a.git")


def test_missing_tarball(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such tarball") as caught:
        source.from_tarball(tmp_path / "nosuch.tar.xz")
    assert caught.value.exit_code is ExitCode.MISSING


def test_offline_without_cache_tells_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--offline") as caught:
        source.from_package(BASE, tmp_path, offline=True)
    assert any("--tree DIR" in line for line in caught.value.excerpt)


def test_mirrors_from_both_formats(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# deb http://no/debian x main\n")
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\n"
    )
    (tmp_path / "sources.list.d/other.list").write_text("deb [arch=amd64] http://o.test/x y main\n")
    found = apt.find_mirrors(tmp_path)
    assert found == apt.Mirrors("http://mirror.test/debian", "http://mirror.test/debian-security")
    (tmp_path / "sources.list.d/debian.sources").unlink()
    with pytest.raises(SourceError, match="no Debian mirror"):
        apt.find_mirrors(tmp_path)


APT_CACHE = """
import sys
words = [a for a in sys.argv[1:] if not a.startswith("-")]
if words[0] == "search":
    print("linux-source-6.12 - Linux kernel source"); print("linux-source-7.2 - the same")
else:
    print(words[1] + ":\\n  Installed: (none)\\n  Candidate: 9.9-1")
"""


def test_package_gone_lists_what_there_is(
    tmp_path: Path, fake_path: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_path("apt-get", "import sys; open(sys.argv[0] + '.log', 'a').write(str(sys.argv))")
    fake_path("apt-cache", APT_CACHE)
    mirrors = apt.Mirrors("http://m.test/debian", "http://m.test/debian-security")
    monkeypatch.setattr(apt, "find_mirrors", lambda: mirrors)
    with pytest.raises(SourceError, match=r"linux-source-7\.3 is in none of") as caught:
        source.from_package(BASE, tmp_path / "cache")
    assert "available: linux-source-7.2 (9.9-1)" in caught.value.excerpt
    # Nothing of the machine's own apt is read or written.
    log = calls.with_name("apt-get.log").read_text()
    for option in ("SourceList", "SourceParts=/dev/null", "State::Lists", "Dir::Cache"):
        assert option in log
    lists = (tmp_path / "cache/apt/7.3/sources.list").read_text()
    assert "m.test/debian trixie-backports main" in lists
    assert "m.test/debian-security bookworm-security main" in lists


def test_kernel_version() -> None:
    text = "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION = -rc1\nNAME = x\n"
    assert kernel_version(text) == "7.3.4-rc1"
    with pytest.raises(SourceError):
        kernel_version("all:\n")
