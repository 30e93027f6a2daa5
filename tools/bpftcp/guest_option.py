"""In a guest: register an option's programs, then a command, or a connection to look at.

Run by `kbuild boot --option`; standard library only, for it is the guest's Python. Its
arguments: bpftool, the built object, and a shell command if there is one.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

SYSCTL = Path("/proc/sys/net/ipv4")
BPFFS = Path("/sys/fs/bpf")
PORT = 7000
OUTGOING = 4  # PACKET_OUTGOING: on a loopback device each packet passes twice
EXPERIMENTS = (253, 254)
KERNELS = {2: "MSS", 3: "wscale", 4: "SACK-ok", 5: "SACK", 8: "timestamp", 34: "Fast Open"}
FLAGS = ((0x02, "SYN"), (0x01, "FIN"), (0x04, "RST"), (0x10, "ACK"))


def main() -> int:
    bpftool, program, *command = sys.argv[1:]
    names = register(bpftool, Path(program))
    if command:
        return subprocess.run(command[0], shell=True, check=False).returncode
    print(f"\nselected for all new sockets: {names}\n", flush=True)
    for family in (socket.AF_INET, socket.AF_INET6):
        for segment in watch(family):
            print(segment, flush=True)
    print()
    for name, value in counters().items():
        print(f"{name:26} {value}")
    return 0


def register(bpftool: str, program: Path) -> str:
    """Register all options of the object and select them in this namespace; their names."""
    subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=False, capture_output=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    links = BPFFS / "options"
    argv = [bpftool, "struct_ops", "register", str(program), str(links)]
    if subprocess.run(argv, check=False).returncode:
        raise SystemExit(f"{program.name} is not registered; what the kernel says is above")
    names = (SYSCTL / "tcp_available_extopt").read_text(encoding="ascii").strip()
    (SYSCTL / "tcp_extopt").write_text(names, encoding="ascii")
    return names


def watch(family: socket.AddressFamily) -> Iterator[str]:
    """A connection over loopback that carries a few bytes both ways: a line for each segment."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    tap.bind(("lo", 3))
    talk = threading.Thread(target=_talk, args=(family,))
    talk.start()
    tap.settimeout(2)
    while True:
        try:
            packet, address = tap.recvfrom(65535)
        except TimeoutError:
            break
        if address[2] != OUTGOING and (line := describe(packet)):
            yield line
    talk.join()
    tap.close()


def _talk(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, PORT), family=family, reuse_port=True) as listener:
        with socket.create_connection((host, PORT)) as client:
            server, _ = listener.accept()
            client.sendall(b"hello")
            server.recv(5)
            server.sendall(b"world")
            client.recv(5)
        server.recv(1)
        server.close()


def describe(packet: bytes) -> str | None:
    """A line for a TCP segment of our connection, IP header first; None for anything else."""
    if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:
        version, tcp = "IPv4", packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4], "big")]
    elif packet[0] >> 4 == 6 and packet[6] == socket.IPPROTO_TCP:
        version, tcp = "IPv6", packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
    else:
        return None
    source, target = int.from_bytes(tcp[:2], "big"), int.from_bytes(tcp[2:4], "big")
    if PORT not in (source, target):
        return None
    way = "client > server" if target == PORT else "server > client"
    length = (tcp[12] >> 4) * 4
    what = " ".join(name for bit, name in FLAGS if tcp[13] & bit)
    payload = f"{len(tcp) - length} bytes" if len(tcp) > length else ""
    return f"{version} {way}  {what:8} {payload:8} {'  '.join(options(tcp[20:length]))}".rstrip()


def options(data: bytes) -> Iterator[str]:
    """Each option of a TCP header: the kernel's by name, others with their value in hex."""
    while data and data[0]:
        if data[0] == 1:
            data = data[1:]
            continue
        if len(data) < 2 or not 2 <= data[1] <= len(data):
            yield f"malformed: {data.hex(' ')}"
            return
        kind, value = data[0], data[2 : data[1]]
        data = data[data[1] :]
        if kind in KERNELS:
            yield KERNELS[kind]
        elif kind in EXPERIMENTS and len(value) >= 2:
            yield f"[{kind} ExID {value[:2].hex()}: {value[2:].hex(' ') or 'no value'}]"
        else:
            yield f"[{kind}: {value.hex(' ') or 'no value'}]"


def counters() -> dict[str, int]:
    """What nstat says of extension options."""
    lines = Path("/proc/net/netstat").read_text(encoding="ascii").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith("TcpExt:"))
    every = dict(zip(names, map(int, values), strict=True))
    return {name: value for name, value in every.items() if name.startswith("TCPExtOpt")}


if __name__ == "__main__":
    sys.exit(main())
