"""Guests, with a stand-in for virtme-ng: coming up, hanging, dying, being interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bpftcp import boot, kvm
from bpftcp.boot import Guest, Outcome
from bpftcp.errors import BootError, ExitCode, LostPortsError
from conftest import alive

CONSOLES = Path(__file__).parent / "consoles"

# Like vng: the console goes to the file named by -set, the command's output to stdout.
VNG = r"""
import os, re, subprocess, sys, time
argv = " ".join(sys.argv)
console = open(re.search(r"chardev.console.path=(\S+)", argv)[1], "w", buffering=1)
mode = os.environ["FAKE_VNG"]
boots = open(os.environ["FAKE_PID"] + ".boots", "a")
boots.write("."); boots.flush()
if mode == "silent":
    sys.exit(1)
console.write("[    0.000000] Linux version 7.3.4\n")
if mode == "diesonce":
    log = os.environ["FAKE_LOG"]
    mode = "bootpanic" if os.path.exists(log) else "run"
    if mode == "bootpanic":
        os.environ["FAKE_LOG"] = log + ".seen"
        os.rename(log, log + ".seen")
if mode == "noports":
    mode = "lost" if boots.tell() <= int(os.environ["FAKE_LOST"]) else "run"
qemu = subprocess.Popen(["sleep", "600"])
open(os.environ["FAKE_PID"], "w").write(str(qemu.pid))
if mode == "hang":
    qemu.wait()
if mode == "noinit":
    qemu.kill(); sys.exit(255)
status = 0
if mode == "killed":
    print("@@bpftcp-ready", flush=True); qemu.kill(); sys.exit(1)
if mode not in ("bootpanic", "lost"):
    print("@@bpftcp-ready", flush=True)
if mode in ("run", "interrupt", "quiet"):
    script = re.search(r"sh (\S+guest\.sh)", argv)[1]
    text = open(script).read().split("\n", 1)[1]
    status = subprocess.run(["sh", "-c", text]).returncode
if mode in ("panic", "bootpanic", "panicgone"):
    console.write(open(os.environ["FAKE_LOG"]).read()); console.flush()
    if mode == "panicgone":
        qemu.kill(); sys.exit(0)
    qemu.wait()
console.write("[    9.000000] reboot: Power down\n")
qemu.kill()
sys.exit(status)
"""


@pytest.fixture
def guest(
    tmp_path: Path, fake_path: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Guest:
    program = fake_path("vng", VNG)
    monkeypatch.setattr(boot, "find_vng", lambda: str(program))
    monkeypatch.setenv("FAKE_PID", str(tmp_path / "qemu.pid"))
    return Guest(tmp_path / "bzImage", tmp_path / "run", boot_timeout=10, quiet_timeout=10)


def boots(tmp_path: Path) -> int:
    """How often the guest was started."""
    return len((tmp_path / "qemu.pid.boots").read_text())


def qemu_gone(tmp_path: Path) -> bool:
    return not alive(int((tmp_path / "qemu.pid").read_text()))


def test_output_and_status(guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_VNG", "run")
    lines: list[str] = []
    result = boot.run(guest, "echo hi; echo err >&2; exit 3", lines.append)
    assert (result.outcome, result.status) == (Outcome.EXITED, 3)
    assert sorted(lines) == ["err", "hi"] and "hi" in result.output.read_text()
    assert result.boot_seconds is not None and result.console.ended == "poweroff"
    assert qemu_gone(tmp_path)


def test_no_output_is_lost_to_a_slow_reader(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VNG", "run")
    lines: list[str] = []

    def slow(line: str) -> None:
        time.sleep(0.0005)
        lines.append(line)

    boot.run(guest, "seq 3000", slow)
    assert lines == [str(n) for n in range(1, 3001)]


def test_no_power_off_is_no_end(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody killed virtme-ng: whatever its status, that is not the command's."""
    monkeypatch.setenv("FAKE_VNG", "killed")
    result = boot.run(guest, "true")
    assert (result.outcome, result.status) == (Outcome.DIED, None)


def test_kvm_only_when_it_was_proven(guest: Guest) -> None:
    assert "--disable-kvm" in boot.vng_argv(guest, "true")
    assert "--disable-kvm" not in boot.vng_argv(replace(guest, kvm=True), "true")


def test_hang_before_init(guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_VNG", "hang")
    with pytest.raises(BootError, match=r"did not come up within 0\.5 s") as caught:
        boot.run(replace(guest, boot_timeout=0.5), "true")
    assert caught.value.exit_code is ExitCode.CRASHED
    assert any("Linux version" in line for line in caught.value.excerpt)
    assert boots(tmp_path) == 1
    assert qemu_gone(tmp_path)


@pytest.mark.parametrize(
    ("mode", "message"),
    [("silent", "before the kernel printed anything"), ("noinit", "before it ran the command")],
)
def test_never_up(guest: Guest, monkeypatch: pytest.MonkeyPatch, mode: str, message: str) -> None:
    monkeypatch.setenv("FAKE_VNG", mode)
    with pytest.raises(BootError, match=message):
        boot.run(guest, "true")


def test_a_console_that_is_not_recorded_is_not_clean(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_VNG", "run")
    command = f": > {tmp_path}/run/console.log"
    with pytest.raises(BootError, match="console was not recorded"):
        boot.run(guest, command)


@pytest.mark.parametrize(
    ("mode", "booted"), [("panic", True), ("panicgone", True), ("bootpanic", False)]
)
def test_panic_ends_the_guest_soon_and_is_no_result(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, booted: bool
) -> None:
    monkeypatch.setenv("FAKE_VNG", mode)
    monkeypatch.setenv("FAKE_LOG", str(CONSOLES / "panic.log"))
    monkeypatch.setattr(boot, "PANIC_GRACE", 0.2)
    start = time.monotonic()
    result = boot.run(guest, "true")
    assert time.monotonic() - start < 8
    assert (result.outcome, result.status) == (Outcome.DIED, None)
    assert result.console.splats and (result.boot_seconds is not None) is booted
    assert qemu_gone(tmp_path)


@pytest.mark.parametrize(
    ("oops", "kvm", "outcome"),
    [
        ("int3: 0000 [#1] SMP", False, Outcome.EXITED),
        ("int3: 0000 [#1] SMP", True, Outcome.DIED),
        ("invalid opcode: 0000 [#1] SMP", False, Outcome.DIED),
    ],
)
def test_stale_code_of_the_emulator_is_booted_once_more(
    guest: Guest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    oops: str,
    kvm: bool,
    outcome: Outcome,
) -> None:
    log = tmp_path / "stale.log"
    log.write_text(
        f"[    0.830702] Oops: {oops}\n"
        "[    0.830702] RIP: 0010:set_next_task_fair+0x4f6/0x660\n"
        "[    0.830702] Kernel panic - not syncing: Fatal exception in interrupt\n"
    )
    monkeypatch.setenv("FAKE_VNG", "diesonce")
    monkeypatch.setenv("FAKE_LOG", str(log))
    monkeypatch.setattr(boot, "PANIC_GRACE", 0.2)
    result = boot.run(replace(guest, kvm=kvm), "true")
    assert result.outcome is outcome
    assert ("once more" in capsys.readouterr().err) is (outcome is Outcome.EXITED)
    assert qemu_gone(tmp_path)


@pytest.mark.parametrize("lost", range(boot.BOOTS + 1))
def test_lost_ports_are_booted_again(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: int
) -> None:
    monkeypatch.setenv("FAKE_VNG", "noports")
    monkeypatch.setenv("FAKE_LOST", str(lost))
    if lost < boot.BOOTS:
        assert boot.run(guest, "true").outcome is Outcome.EXITED
    else:
        with pytest.raises(LostPortsError):
            boot.run(guest, "true")
    assert boots(tmp_path) == min(lost + 1, boot.BOOTS)
    assert qemu_gone(tmp_path)


def test_silence_is_a_hang(guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_VNG", "quiet")
    result = boot.run(replace(guest, quiet_timeout=0.5), "echo begun; sleep 60")
    assert (result.outcome, result.status) == (Outcome.HUNG, None)
    assert qemu_gone(tmp_path)


def test_time_out_although_it_talks(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VNG", "quiet")
    short = replace(guest, boot_timeout=0.5, run_timeout=0.5)
    result = boot.run(short, "while :; do echo again; sleep 0.1; done")
    assert result.outcome is Outcome.TIMEOUT


def test_interrupt_leaves_no_qemu(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_VNG", "interrupt")
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        boot.run(guest, "sleep 60")
    assert qemu_gone(tmp_path)


def test_a_device_that_hangs_guests_is_not_usable(
    tmp_path: Path, fake_path: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = fake_path("qemu-system-x86_64", "import time; time.sleep(60)")
    monkeypatch.setattr(kvm, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(kvm, "DEVICE", tmp_path)
    assert not kvm.usable(tmp_path / "bzImage", tmp_path / "cache")
    # The answer is kept: a second call must not wait for a probe.
    qemu.unlink()
    assert not kvm.usable(tmp_path / "bzImage", tmp_path / "cache")


def test_a_probe_that_comes_up_is_usable(
    tmp_path: Path, fake_path: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_path("qemu-system-x86_64", "print('Linux version 7.3.4\\nVFS: Unable to mount root fs')")
    monkeypatch.setattr(kvm, "DEVICE", tmp_path)
    assert kvm.usable(tmp_path / "bzImage", tmp_path / "cache")
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "nosuch")
    assert not kvm.usable(tmp_path / "bzImage", tmp_path / "cache2")


def test_the_console_script_is_there() -> None:
    scripts = Path(sys.executable).parent
    for name in ("run-selftests", "kbuild"):
        done = subprocess.run([scripts / name, "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "usage" in done.stdout
