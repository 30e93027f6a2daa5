"""tools/wireshark/tcp_extopt.lua: on a capture of all the extopt_* programs in a guest, and on
options made by hand."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LUA = ROOT / "tools" / "wireshark" / "tcp_extopt.lua"
CAPTURE = Path(__file__).parent / "captures" / "extopt.pcap"
SYN, SYNACK, ACK, PUSH = 0x02, 0x12, 0x10, 0x18


def tshark(
    capture: Path, *fields: str, show: str = "extopt", decode: str | None = None
) -> list[list[str]]:
    """The fields of each segment with an option, as text. decode: what tshark's -d takes."""
    chosen = [arg for field in fields for arg in ("-e", field)]
    chosen += ["-d", decode] if decode else []
    done = subprocess.run(
        ["tshark", "-X", f"lua_script:{LUA}", "-r", capture, "-Y", show, "-T", "fields", *chosen],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Lua" not in done.stderr, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


FIELDS = (
    "name",
    "uto.seconds",
    "cc.name",
    "iw.segments",
    "delack.segments",
    "delack.rtt_16th",
    "toa.port",
    "toa.ipv4",
    "toa.ipv6",
)
UTO = {"uto.seconds": "300"}
DELACK = {"delack.segments": "8", "delack.rtt_16th": "4"}
TOA4 = {"toa.port": "4660", "toa.ipv4": "192.0.2.7"}
TOA6 = {"toa.port": "4660", "toa.ipv6": "2001:db8::7"}
ONLY_UTO = [(flags, {"name": "uto", **UTO}) for flags in (ACK, PUSH, ACK, PUSH, ACK)]


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (7001, [*((flags, {"name": "uto", **UTO}) for flags in (SYN, SYNACK)), *ONLY_UTO]),
        (
            7002,
            [
                (SYN, {"name": "uto,delack,iw", **UTO, **DELACK, "iw.segments": "25"}),
                (SYNACK, {"name": "uto,delack,iw", **UTO, **DELACK}),
                (ACK, {"name": "uto", **UTO}),
                (PUSH, {"name": "uto,delack", **UTO, **DELACK}),
                (ACK, {"name": "uto", **UTO}),
                (PUSH, {"name": "uto,delack", **UTO, **DELACK}),
                (ACK, {"name": "uto", **UTO}),
            ],
        ),
        (
            7003,
            [
                (SYN, {"name": "cc,uto", **UTO, "cc.name": "bbr"}),
                (SYNACK, {"name": "cc,uto", **UTO}),
                *ONLY_UTO,
            ],
        ),
        (
            7004,
            [
                (SYN, {"name": "toa4,iw", **TOA4, "iw.segments": "25"}),
                (SYNACK, {"name": "iw"}),
                *((flags, {"name": "toa4", **TOA4}) for flags in (ACK, PUSH)),
            ],
        ),
        (7005, [(flags, {"name": "toa6", **TOA6}) for flags in (ACK, PUSH)]),
    ],
)
def test_what_the_programs_send_can_be_looked_at(
    port: int, expected: list[tuple[int, dict[str, str]]]
) -> None:
    names = [f"extopt.{field}" for field in FIELDS]
    rows = tshark(CAPTURE, "tcp.flags", *names, show=f"extopt && tcp.port == {port}")
    whole = [
        (int(flags, 16), {k: v for k, v in zip(FIELDS, values, strict=True) if v})
        for flags, *values in rows
    ]
    assert whole == expected
    assert not tshark(CAPTURE, "frame.number", show="extopt.bad")


def segment(options: bytes, flags: int, payload: bytes = b"", port: int = 2) -> bytes:
    """One segment over IPv4, without checksums."""
    assert len(options) % 4 == 0
    head = struct.pack("!HHIIBBHHH", 1, port, 0, 0, (20 + len(options)) << 2, flags, 9, 0, 0)
    tcp = head + options + payload
    return struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, 1, 2) + tcp


def write_capture(path: Path, options: bytes, flags: int = SYN) -> None:
    """One segment with these options."""
    write_packet(path, segment(options, flags))


def write_packet(path: Path, packet: bytes) -> None:
    """One packet in a capture of raw IP."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    path.write_bytes(head + struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


@pytest.mark.parametrize(
    ("options", "name", "bad"),
    [
        ("1c 04 00 09", "uto", False),
        ("1c 04 80 02", "uto", False),
        ("1c 04 00 00", "uto", True),
        ("1c 03 09 01", "uto", True),
        ("1c 02 01 01", "uto", True),
        ("fe 08 eb 02 72 65 6e 6f", "cc", False),
        ("fe 08 eb 02 72 00 6e 6f", "cc", True),
        ("fe 04 eb 02", "cc", True),
        ("fe 06 eb 03 0f ff 01 01", "iw", False),
        ("fe 06 eb 03 10 05 01 01", "iw", True),
        ("fe 06 eb 04 08 10 01 01", "delack", False),
        ("fe 06 eb 04 08 11 01 01", "delack", True),
        ("c8 08 12 34 c0 00 02 07", "toa200", False),
        ("fe 08 12 34 c0 00 02 07", "toa254", False),
        ("fe 08 00 00 c0 00 02 07", "toa254", True),
        ("fe 08 12 34 00 00 02 07", "toa254", True),
        ("fe 14 12 34" + 15 * " 00" + " 01", "toa254", False),
        ("fe 14 12 34" + 16 * " 00", "toa254", True),
        ("fe 0a eb 05 12 34 c0 00 02 07 01 01", "toa4", False),
        ("fe 0a eb 05 12 34 00 00 02 07 01 01", "toa4", True),
        ("fe 16 eb 05 12 34" + 15 * " 00" + " 01 01 01", "toa4", True),
        ("fe 16 eb 06 12 34" + 15 * " 00" + " 01 01 01", "toa6", False),
        ("fe 0a eb 06 12 34 c0 00 02 07 01 01", "toa6", True),
    ],
)
def test_a_value_that_is_none_is_marked(tmp_path: Path, options: str, name: str, bad: bool) -> None:
    capture = tmp_path / "one.pcap"
    write_capture(capture, bytes.fromhex(options))
    assert tshark(capture, "extopt.name") == [[name]]
    assert bool(tshark(capture, "extopt.name", show="extopt.bad")) == bad


@pytest.mark.parametrize(("exid", "name"), [("eb 02", "cc"), ("eb 03", "iw")])
def test_nothing_is_an_answer_and_no_request(tmp_path: Path, exid: str, name: str) -> None:
    capture = tmp_path / "one.pcap"
    for flags, bad in ((SYN, True), (SYNACK, False), (ACK, True)):
        write_capture(capture, bytes.fromhex("fe 04" + exid), flags)
        assert tshark(capture, "extopt.name") == [[name]]
        assert bool(tshark(capture, "extopt.name", show="extopt.bad")) == bad


@pytest.mark.parametrize(
    ("options", "name"), [("fe 08 eb 02 72 65 6e 6f", "cc"), ("fe 06 eb 03 00 05 01 01", "iw")]
)
def test_a_request_is_on_a_syn_only(tmp_path: Path, options: str, name: str) -> None:
    capture = tmp_path / "one.pcap"
    for flags, bad in ((SYN, False), (SYNACK, True), (ACK, True), (PUSH, True)):
        write_capture(capture, bytes.fromhex(options), flags)
        assert tshark(capture, "extopt.name") == [[name]]
        assert bool(tshark(capture, "extopt.name", show="extopt.bad")) == bad


@pytest.mark.parametrize(("flags", "bad"), [(SYN, False), (ACK, True)])
def test_tcp_in_tcp_where_only_the_inner_header_has_options(
    tmp_path: Path, flags: int, bad: bool
) -> None:
    """Each has its own flags. A tunnel that this tshark knows over TCP: GTP."""
    inner = segment(bytes.fromhex("fe 06 eb 03 00 05 01 01"), flags)
    tunnel = struct.pack("!BBHI", 0x30, 0xFF, len(inner), 1) + inner
    capture = tmp_path / "one.pcap"
    for around in (SYN, PUSH):
        write_packet(capture, segment(b"", around, tunnel, port=2152))
        rows = tshark(capture, "tcp.flags", "extopt.name", decode="tcp.port==2152,gtp")
        assert rows == [[f"0x{around:04x},0x{flags:04x}", "iw"]]
        shown = tshark(capture, "extopt.name", show="extopt.bad", decode="tcp.port==2152,gtp")
        assert bool(shown) == bad


@pytest.mark.parametrize(
    "options",
    [
        "fe 02 01 01",
        "fe 04 12 34",
        "fe 0c 12 34 01 02 03 04 05 06 07 08",
        "fe 08 f9 89 01 02 03 04",  # Fast Open's experimental option, RFC 7413
        "fe 08 e2 d4 c3 d9 01 01",  # SMC, RFC 7609
        "fe 06 e2 d4 c3 d9 01 01",
        "fd 08 12 34 c0 00 02 07",
    ],
)
def test_the_options_of_others_are_left_to_them(tmp_path: Path, options: str) -> None:
    capture = tmp_path / "one.pcap"
    write_capture(capture, bytes.fromhex(options))
    assert tshark(capture, "extopt.name") == []


def test_minutes_and_an_option_cut_short(tmp_path: Path) -> None:
    capture = tmp_path / "one.pcap"
    write_capture(capture, bytes.fromhex("1c 04 80 02"))
    assert tshark(capture, "extopt.uto.seconds") == [["120"]]
    write_capture(capture, bytes.fromhex("01 01 1c 04"))
    assert tshark(capture, "extopt.name") == []
