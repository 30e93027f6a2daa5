"""In a guest: connections with the options of selftests/bpf/progs/extopt_*.c, as a capture.

How extopt.pcap was made, after a run of the selftests has built the programs:

    tests=$PWD/build/7.3/series/lean/selftests
    tools/kbuild boot -- python3 "$PWD/tests/captures/record.py" "$tests" | base64 -d >FILE

Arguments: the folder of the built programs; the capture goes to standard output, in base64.
Standard library only, for it is the guest's Python.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

BPFFS = Path("/sys/fs/bpf")
SYSCTL = Path("/proc/sys/net/ipv4/tcp_extopt")
OUTGOING = 4  # PACKET_OUTGOING: on a loopback device each packet passes twice
PROGRAMS = ("uto", "cc", "iw", "delack", "toa")
CONFIG = {
    "cc": b"bbr".ljust(16, b"\0"),
    "iw": struct.pack("<II", 25, 100),
    "delack": struct.pack("<BBB", 8, 4, 64),
}
"""What each asks for, as its struct of extopt_<name>.h has it."""
CLIENT = {
    socket.AF_INET: bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, "192.0.2.7"),
    socket.AF_INET6: socket.inet_pton(socket.AF_INET6, "2001:db8::7"),
}
CONNECTIONS = (
    (7001, socket.AF_INET, "uto"),
    (7002, socket.AF_INET6, "uto delack iw"),
    (7003, socket.AF_INET, "cc uto"),
    (7004, socket.AF_INET, "toa4 iw"),
    (7005, socket.AF_INET6, "toa6"),
)


def main() -> int:
    tests = Path(sys.argv[1])
    tool = str(next(tests.parent.parent.glob("**/bpftool/bpftool")))
    subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=False, capture_output=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in PROGRAMS:
        bpftool(tool, "struct_ops", "register", str(tests / f"extopt_{name}.bpf.o"), str(BPFFS))
        if name in CONFIG:
            value = [str(byte) for byte in CONFIG[name]]
            bpftool(tool, "map", "update", "name", f".data.{name}", "key", *"0000", "value", *value)
    packets = [packet for each in CONNECTIONS for packet in record(tool, *each)]
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    print(base64.encodebytes(head + b"".join(packets)).decode())
    return 0


def bpftool(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv}: {done.stderr}")


def record(tool: str, port: int, family: socket.AddressFamily, options: str) -> list[bytes]:
    """A connection with these options selected at both ends: records of a pcap file."""
    SYSCTL.write_text(options, encoding="ascii")
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    tap.bind(("lo", 3))
    tap.settimeout(1)
    thread = threading.Thread(target=talk, args=(tool, port, family, "toa" in options))
    thread.start()
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            packet, address = tap.recvfrom(65535)
            now = time.time_ns() // 1000
            if address[2] != OUTGOING and packet[6 if packet[0] >> 4 == 6 else 9] == 6:
                size = len(packet)
                found.append(struct.pack("<IIII", *divmod(now, 1000000), size, size) + packet)
    thread.join()
    tap.close()
    return found


def talk(tool: str, port: int, family: socket.AddressFamily, proxy: bool) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, port), family=family, reuse_port=True) as listener:
        client = socket.socket(family)
        if proxy:
            where = CLIENT[family] + struct.pack("!H", 4660) + struct.pack("=H", family)
            value = [str(byte) for byte in where]
            key = [str(byte) for byte in struct.pack("=i", client.fileno())]
            argv = [tool, "map", "update", "name", "toa_send", "key", *key, "value", *value]
            # bpftool looks the socket up by number in a process that has it.
            done = subprocess.run(argv, capture_output=True, pass_fds=[client.fileno()])
            if done.returncode:
                raise SystemExit(done.stderr.decode())
        client.connect((host, port))
        server, _ = listener.accept()
        client.sendall(b"hello")
        server.recv(5)
        server.sendall(b"world")
        client.recv(5)
        client.close()
        server.recv(1)
        server.close()


if __name__ == "__main__":
    sys.exit(main())
