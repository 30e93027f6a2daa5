"""A splat of another kernel than the vmlinux at hand gets no source lines: they would be wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bpftcp.decode import decode

SOURCE = "volatile int x;\n__attribute__((noinline)) void f(void)\n{\n\tx = 1 / x;\n}\nint main(void)\n{\n\tf();\n\treturn x;\n}\n"  # noqa: E501

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "a.c").write_text(SOURCE)
    argv = ["gcc", "-g", "-O1", "-no-pie", "-o", "vmlinux", f"{tmp_path}/a.c"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    return tmp_path / "vmlinux"


def test_a_function_of_another_size_is_not_decoded(program: Path, tmp_path: Path) -> None:
    lines = [" f+0x4/0x999"]
    out = decode(lines, program, tmp_path)
    assert list(out[:-1]) == lines and "not the kernel that ran" in out[-1]


def test_rip_names_the_very_instruction(program: Path, tmp_path: Path) -> None:
    text = subprocess.run(["objdump", "-d", program], capture_output=True, text=True).stdout
    body = text.split("<main>:\n")[1]
    after = re.search(r"call.*<f>\n\s*(\w+):", body)
    assert after
    offset = int(after[1], 16) - int(body.split(":")[0], 16)
    sizes = subprocess.run(["nm", "-S", program], capture_output=True, text=True).stdout
    size = next(f[1] for f in map(str.split, sizes.splitlines()) if f[-1] == "main")
    frame = f"main+{offset:#x}/0x{size}"
    assert decode([f" {frame}"], program, tmp_path)[1].strip() == "at a.c:8"
    assert decode([f"RIP: 0010:{frame}"], program, tmp_path)[1].strip() == "at a.c:9"


def test_not_a_program_says_so(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_text("no ELF")
    assert decode([" f+0x4/0x9"], tmp_path / "vmlinux", tmp_path)[-1].startswith("(not decoded")
