"""Offsets in a splat become source lines: on a tiny program of our own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bpftcp.decode import decode

SOURCE = """\
static volatile int x;
static inline __attribute__((always_inline)) void inner(void)
{
	x = 1 / x;
}
__attribute__((noinline)) void outer(void)
{
	inner();
	x++;
}
int main(void)
{
	outer();
	return x;
}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/a.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-O1", "-no-pie", "-o", "vmlinux", f"{tmp_path}/net/a.c"],
                   cwd=tmp_path, check=True)  # fmt: skip
    return tmp_path / "vmlinux"


def size_of(program: Path, name: str) -> int:
    listing = subprocess.run(["nm", "-S", program], capture_output=True, text=True).stdout
    match = re.search(rf"^\w+ (\w+) \w {name}$", listing, re.M)
    assert match
    return int(match[1], 16)


def test_inlined_callers_and_relative_paths(program: Path, tmp_path: Path) -> None:
    size = size_of(program, "outer")
    lines = ["Call Trace:", f" ? outer+0x1/{size:#x}", " nosuch+0x1/0x2"]
    out = decode(lines, program, tmp_path)
    assert out[0] == "Call Trace:" and out[1] == lines[1] and out[-1] == lines[2]
    places = [line.strip() for line in out[2:-1]]
    assert places and all(p.startswith("at net/a.c:") for p in places)


def test_return_address_belongs_to_the_call(program: Path, tmp_path: Path) -> None:
    listing = subprocess.run(["objdump", "-d", program], capture_output=True, text=True).stdout
    main = listing.split("<main>:")[1]
    start = int(re.search(r"^\s*(\w+):", main, re.M)[1], 16)  # type: ignore[index]
    after = re.search(r"call.*<outer>\n\s*(\w+):", main)
    assert after
    offset = int(after[1], 16) - start
    line = f" main+{offset:#x}/{size_of(program, 'main'):#x}"
    assert decode([line], program, tmp_path)[1].strip() == "at net/a.c:13"


def test_no_vmlinux_says_so(tmp_path: Path) -> None:
    assert decode(["f+0x1/0x2"], tmp_path / "nosuch", tmp_path)[-1].startswith("(not decoded")
