"""Boot a kernel in virtme-ng, run a command there, and watch its console.

The guest sees the host's root file system read-only; folders named in the guest's
description are writable. A guest that dies, hangs or prints nothing is an error of
its own and never the result of the command.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO

from bpftcp import proc
from bpftcp.console import ConsoleReport, Ended, Watcher, parse
from bpftcp.errors import BootError, LostPortsError, MissingError
from bpftcp.progress import say

READY = "@@bpftcp-ready"
"""What the guest prints first, on its standard output, when the command is about to run."""
DRAIN_TIMEOUT = 60.0
"""Seconds to read what a guest that has ended has printed."""
PORTS = "-global virtio-serial-pci.max_ports=2"
"""virtme-ng gives each of its ports a controller, which has room for 31: 64 queues each that
the guest sets up, and that QEMU polls whenever a timer of the guest is set. Port 0 is a
console's, hence two."""
ROOT_FLAGS = "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
"""virtme-ng's, and a cache: without one the guest reads each program from the host each time
that it is run. What the guest shares to write is mounted apart from this."""
UDEV = "udev.children_max=1"
"""udevd's own choice, a dozen, is for disks that are waited for. Under emulation they are in
each other's way: a debug kernel takes more than the five minutes that virtme-ng waits."""
STALE_CODE = "Oops: int3"
"""While the kernel patches its code there is an int3 in it. QEMU's TCG now and then goes on with
its translation of that after the kernel has taken it out: in some hundreds of boots, one."""
BOOTS = 3
"""Times a guest is booted that does not come up for the emulator's sake."""
PANIC_GRACE = 3.0
"""Seconds a panicking guest has to finish its report."""


@dataclass(frozen=True)
class Guest:
    """A guest to boot. memory: MiB; timeouts: seconds of the host."""

    image: Path
    folder: Path
    """Logs, and what the command may write to."""
    cpus: int = 2
    memory: int = 1024
    kvm: bool = False
    cmdline: tuple[str, ...] = ()
    qemu_options: tuple[str, ...] = ()
    writable: tuple[Path, ...] = ()
    boot_timeout: float = 120.0
    run_timeout: float = 1800.0
    quiet_timeout: float = 300.0
    """No output and no console line for so long: the guest hangs."""


class Outcome(Enum):
    """How a guest ended."""

    EXITED = "exited"
    """The command ended and the guest was powered off."""
    DIED = "died"
    HUNG = "hung"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class GuestResult:
    """What came of it. status: the command's exit status; boot_seconds: until it started."""

    outcome: Outcome
    status: int | None
    output: Path
    console_log: Path
    console: ConsoleReport
    boot_seconds: float | None
    seconds: float
    command: str


@dataclass
class _Watch:
    """What the reading threads have seen."""

    ready_at: float | None = None
    last_sign: float = field(default_factory=time.monotonic)
    fatal_at: float | None = None


def find_vng() -> str:
    """virtme-ng: the one beside our interpreter, else on PATH. Raises MissingError."""
    beside = str(Path(sys.executable).parent)
    vng = shutil.which("vng", path=beside) or shutil.which("vng")
    if not vng:
        raise MissingError("virtme-ng (vng) is not installed")
    return vng


def vng_argv(guest: Guest, command: str | None) -> list[str]:
    """The virtme-ng command line; command None gives a shell. Raises MissingError."""
    argv = [find_vng(), "--run", str(guest.image), "--cpus", str(guest.cpus)]
    argv += ["--memory", f"{guest.memory}M"]
    cmdline = list(guest.cmdline)
    if not guest.kvm:
        argv += ["--disable-kvm", "--force-9p"]
        cmdline += [ROOT_FLAGS, UDEV]
    for folder in (guest.folder, *guest.writable):
        argv.append(f"--rwdir={folder}")
    options = list(guest.qemu_options)
    if command is not None:
        cmdline.insert(0, "loglevel=8")
        # virtme-ng sends the console of a scripted guest to /dev/null.
        options.append(f"-set chardev.console.path={guest.folder / 'console.log'}")
    argv += [f"--append={' '.join(cmdline)}", f"--qemu-opts={PORTS}"]
    argv += [f"--qemu-opts={option}" for option in options]
    if command is not None:
        argv += ["--", command]
    return argv


def run(guest: Guest, command: str, on_line: Callable[[str], None] | None = None) -> GuestResult:
    """Run a shell command in the guest; its output lines go to on_line and to output.log.

    A guest that never got there for the emulator's sake (its stale code killed the kernel,
    or udev's time-outs for the ports passed while 9p was waited for) is booted again.
    Raises BootError when the command was never reached. The guest is gone on return,
    whatever happens.
    """
    for _ in range(BOOTS - 1):
        try:
            result = _run(guest, command, on_line)
        except LostPortsError as e:
            why = e.message
        else:
            if not _stale_code(guest, result):
                return result
            why = f"{STALE_CODE} before the command: QEMU's, not the kernel's"
        say(f"boot: {why}; once more")
    return _run(guest, command, on_line)


def _stale_code(guest: Guest, result: GuestResult) -> bool:
    emulated_boot = not guest.kvm and result.boot_seconds is None
    splats = result.console.splats
    return emulated_boot and bool(splats) and splats[0].title.startswith(STALE_CODE)


def _run(guest: Guest, command: str, on_line: Callable[[str], None] | None) -> GuestResult:
    guest.folder.mkdir(parents=True, exist_ok=True)
    console_log = guest.folder / "console.log"
    output_log = guest.folder / "output.log"
    script = guest.folder / "guest.sh"
    script.write_text(f"echo {READY}\n{command}\n", encoding="utf-8")
    console_log.write_text("", encoding="utf-8")
    argv = vng_argv(guest, f"sh {shlex.quote(str(script))} 2>&1")
    watch = _Watch()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(output_log.open("w", encoding="utf-8"))
        path = {"PATH": f"{Path(argv[0]).parent}:{proc.environment()['PATH']}"}
        child = stack.enter_context(proc.spawn(argv, env=path))
        reader = threading.Thread(target=_read_output, args=(child, out, watch, on_line))
        reader.start()
        stack.callback(reader.join, 10.0)
        stack.callback(proc.end_group, child)
        outcome = _wait(child, guest, watch, console_log, start)
        if outcome is Outcome.EXITED:
            # Its output ends by itself; what is still in the pipe belongs to the result.
            reader.join(DRAIN_TIMEOUT)
            if reader.is_alive():
                raise BootError("the guest ended, but its output does not", log=output_log)
    seconds = time.monotonic() - start
    console = parse(console_log.read_text(encoding="utf-8", errors="replace"))
    status = child.returncode if outcome is Outcome.EXITED else None
    if outcome is Outcome.EXITED and console.ended is not Ended.POWEROFF:
        outcome, status = Outcome.DIED, None
    result = GuestResult(
        outcome=outcome,
        status=status,
        output=output_log,
        console_log=console_log,
        console=console,
        boot_seconds=watch.ready_at - start if watch.ready_at else None,
        seconds=seconds,
        command=shlex.join(argv),
    )
    if watch.ready_at is not None and not console.booted:
        raise BootError(
            "the guest ran, but its console was not recorded: splats would go unseen",
            repeat=result.command,
            log=output_log,
        )
    if watch.ready_at is None and not console.splats:
        lost_ports = result.outcome is Outcome.EXITED
        raise (LostPortsError if lost_ports else BootError)(
            _never_came_up(result, guest),
            repeat=result.command,
            log=console_log if console_log.stat().st_size else output_log,
            excerpt=_tail(console_log) or _tail(output_log),
        )
    return result


def interactive(guest: Guest) -> int:
    """A shell in the guest, on this terminal; returns its exit status."""
    guest.folder.mkdir(parents=True, exist_ok=True)
    argv = vng_argv(guest, None)
    path = {"PATH": f"{Path(argv[0]).parent}:{proc.environment()['PATH']}"}
    # A process group of its own, in the foreground of our terminal: Ctrl-C is the guest's,
    # and one signal ends all of it when we have to go.
    terminal = sys.stdin.isatty()
    child = subprocess.Popen(argv, env=proc.environment(path), process_group=0, text=True)
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        if terminal:
            os.tcsetpgrp(0, child.pid)
        return child.wait()
    finally:
        if terminal:
            os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, old)
        proc.end_group(child)


def _read_output(
    child: subprocess.Popen[str],
    out: IO[str],
    watch: _Watch,
    on_line: Callable[[str], None] | None,
) -> None:
    assert child.stdout is not None
    with contextlib.suppress(ValueError, OSError):
        for line in child.stdout:
            watch.last_sign = time.monotonic()
            text = line.rstrip("\r\n")
            if watch.ready_at is None and text.endswith(READY):
                watch.ready_at = watch.last_sign
                continue
            out.write(text + "\n")
            out.flush()
            if on_line:
                on_line(text)


def _wait(
    child: subprocess.Popen[str], guest: Guest, watch: _Watch, console_log: Path, start: float
) -> Outcome:
    watcher = Watcher()
    with console_log.open("r", encoding="utf-8", errors="replace") as console:
        while child.poll() is None:
            for line in _new_lines(console):
                watch.last_sign = time.monotonic()
                watcher.feed(line)
            now = time.monotonic()
            if watcher.fatal and watch.fatal_at is None:
                watch.fatal_at = now
            if watch.fatal_at is not None and now - watch.fatal_at > PANIC_GRACE:
                return Outcome.DIED
            if watch.ready_at is None and now - start > guest.boot_timeout:
                return Outcome.HUNG
            if now - watch.last_sign > guest.quiet_timeout:
                return Outcome.HUNG
            if now - start > guest.boot_timeout + guest.run_timeout:
                return Outcome.TIMEOUT
            time.sleep(0.1)
        # A panicking guest may be gone before its last lines were looked at.
        for line in _new_lines(console):
            watcher.feed(line)
    return Outcome.DIED if watcher.fatal else Outcome.EXITED


def _new_lines(console: IO[str]) -> Iterator[str]:
    while line := console.readline():
        yield line.rstrip("\r\n")


def _never_came_up(result: GuestResult, guest: Guest) -> str:
    if result.outcome is Outcome.HUNG:
        return f"the guest did not come up within {guest.boot_timeout:g} s"
    if not result.console.booted:
        return "QEMU ended before the kernel printed anything"
    return "the guest ended before it ran the command"


def _tail(path: Path, lines: int = 12) -> Sequence[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line[:200] for line in text.splitlines()[-lines:]]
