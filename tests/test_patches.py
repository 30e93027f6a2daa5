"""The series itself: what an override may differ in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bpftcp.series import load_series

ROOT = Path(__file__).parents[1]
PATCHES = ROOT / "patches"
OVERRIDES = PATCHES / "overrides"
BASES = sorted(p.name for p in OVERRIDES.iterdir() if p.is_dir())
NEW_FILE = re.compile(r"^diff --git a/(\S+) b/\S+\nnew file mode ", re.M)


def _new_files(patches: list[Path], folder: Path) -> dict[str, str]:
    """The files that the patches create, as they are after the last of them."""
    folder.mkdir()
    names: list[str] = []
    for patch in patches:
        names += NEW_FILE.findall(patch.read_text())
        include = [f"--include={name}" for name in names]
        if include:
            subprocess.run(["git", "apply", *include, str(patch)], cwd=folder, check=True)
    return {name: (folder / name).read_text() for name in names}


@pytest.mark.parametrize("base", BASES)
def test_files_of_ours_are_the_same_on_every_base(base: str, tmp_path: Path) -> None:
    patches = load_series(PATCHES, base).patches
    ours = _new_files([PATCHES / p.name for p in patches], tmp_path / "canonical")
    assert "net/ipv4/tcp_extopt.c" in ours
    assert _new_files([p.path for p in patches], tmp_path / base) == ours


@pytest.mark.parametrize("path", sorted(OVERRIDES.rglob("*.patch")), ids=lambda p: p.name[:20])
def test_an_override_says_what_its_patch_says(path: Path) -> None:
    """Same subject and message; only the diff is another."""
    canonical = PATCHES / path.relative_to(OVERRIDES / path.relative_to(OVERRIDES).parts[0])
    assert canonical.is_file(), "an override of nothing"
    message, other = (p.read_text().split("\n---\n")[0] for p in (path, canonical))
    assert _without_date(message) == _without_date(other)
    assert path.read_text() != canonical.read_text(), "an override that is not needed"


def _without_date(text: str) -> str:
    return re.sub(r"^Date: .*\n", "", text, flags=re.M)


def test_no_patch_is_signed_off() -> None:
    for path in PATCHES.rglob("*.patch"):
        assert not re.search(r"^Signed-off-by:", path.read_text(), re.M), path


def test_the_example_is_what_the_documentation_shows() -> None:
    """Complete, tested by a selftest, and short: the bar is 40 lines."""
    source = (ROOT / "selftests/bpf/progs/tcp_extopt_example.c").read_text()
    assert len(source.splitlines()) <= 40
    patch = next((PATCHES / "tcp-extopt").glob("*-docs-*.patch")).read_text()
    added = [line[1:] for line in patch.splitlines() if line.startswith("+")]
    shown = "\n".join(line.removeprefix("\t") for line in added)
    assert source.split("*/\n", 1)[1] in shown


@pytest.mark.parametrize(
    ("program", "most"),
    [
        *((f"extopt_{use}", 100) for use in ("uto", "cc", "iw", "delack", "toa")),
        ("mptcp_pm_ndiffports", 40),
        ("mptcp_pm_fullmesh", 120),
    ],
)
def test_the_programs_are_as_short_as_was_promised(program: str, most: int) -> None:
    source = (ROOT / f"selftests/bpf/progs/{program}.c").read_text()
    assert len(source.splitlines()) <= most
