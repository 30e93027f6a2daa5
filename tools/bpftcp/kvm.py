"""Whether KVM works here: not whether the device exists, but whether a guest comes up."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from bpftcp import proc

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 8.0
"""A guest under working KVM powers off within two; one that hangs never does."""


def usable(image: Path, cache: Path) -> bool:
    """True when a probe guest with this kernel reached its init under KVM.

    The answer is kept until the host boots again: a hanging probe costs PROBE_SECONDS.
    """
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    record = cache / "kvm.json"
    key = _host_key()
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        if data["host"] == key:
            return bool(data["usable"])
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        pass
    answer = probe(image, PROBE_SECONDS)
    cache.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"host": key, "usable": answer}), encoding="utf-8")
    return answer


def probe(image: Path, seconds: float) -> bool:
    """Boot the kernel without a root file system: it must panic about that, and soon."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        return False
    argv = [
        qemu, "-machine", "q35,accel=kvm", "-cpu", "host", "-m", "256M", "-nodefaults",
        "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(image),
        "-append", "console=ttyS0 earlyprintk=serial panic=-1",
    ]  # fmt: skip
    start = time.monotonic()
    done = proc.run(argv, timeout=seconds)
    return (
        done.returncode == 0
        and "Linux version" in done.output
        and "VFS:" in done.output
        and time.monotonic() - start < seconds
    )


def _host_key() -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    return boot_id.read_text(encoding="utf-8").strip() if boot_id.exists() else "unknown"
