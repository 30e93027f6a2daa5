"""What `kbuild boot --option` shows of segments, and what it says of files that are none."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from bpftcp.errors import UsageError
from bpftcp.guest_option import PORT, describe, options
from bpftcp.testbuild import build_program

SYN, ACK, PSH, FIN = 0x02, 0x10, 0x08, 0x01


def segment(
    flags: int, opts: bytes = b"", payload: bytes = b"", *, v6: bool = False, to: int = PORT
) -> bytes:
    ports = (40000, to) if to == PORT else (PORT, 40000)
    length = 20 + len(opts)
    tcp = struct.pack("!HHIIBBHHH", *ports, 0, 0, length << 2, flags, 0, 0, 0) + opts + payload
    if v6:
        return struct.pack("!IHBB", 6 << 28, len(tcp), socket.IPPROTO_TCP, 64) + bytes(32) + tcp
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0)
    return head + bytes(8) + tcp


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", []),
        ("01 01 08 0a 00 00 00 01 00 00 00 02", ["timestamp"]),
        ("fe 05 1a 2b 40 01 01 01", ["[254 ExID 1a2b: 40]"]),
        ("fd 04 1a 2b", ["[253 ExID 1a2b: no value]"]),
        ("fe 03 09 01", ["[254: 09]"]),
        ("1c 04 01 2c 03 03 07 00", ["[28: 01 2c]", "wscale"]),
        ("4e 02 00 ff", ["[78: no value]"]),
        ("1c 01 00 00", ["malformed: 1c 01 00 00"]),
        ("01 1c 09 00", ["malformed: 1c 09 00"]),
        ("01 01 01 1c", ["malformed: 1c"]),
    ],
)
def test_options_are_told_apart(data: str, expected: list[str]) -> None:
    assert list(options(bytes.fromhex(data))) == expected


@pytest.mark.parametrize("v6", [False, True])
def test_a_segment_is_a_line(v6: bool) -> None:
    version = "IPv6" if v6 else "IPv4"
    opts = bytes.fromhex("1c04012c")
    assert describe(segment(SYN, opts, v6=v6)) == (
        f"{version} client > server  SYN               [28: 01 2c]"
    )
    assert describe(segment(ACK | PSH, b"", b"hello", v6=v6, to=0)) == (
        f"{version} server > client  ACK      5 bytes"
    )
    # What follows the IP packet is the device's
    assert describe(segment(FIN | ACK, v6=v6) + bytes(6)) == f"{version} client > server  FIN ACK"


def test_other_traffic_is_none() -> None:
    assert describe(segment(SYN, to=0).replace(struct.pack("!H", PORT), b"\x00\x01")) is None
    udp = bytearray(segment(SYN))
    udp[9] = socket.IPPROTO_UDP
    assert describe(bytes(udp)) is None
    assert describe(b"\x00" * 40) is None


@pytest.mark.parametrize("name", ["none.c", "option.o"])
def test_what_is_no_program_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "option.o").write_bytes(b"")
    with pytest.raises(UsageError, match="not a C file"):
        build_program(tmp_path / name, tmp_path, tmp_path, tmp_path, tmp_path, tmp_path)
