"""Set up what the commands need, then run them: standard library only.

The virtual environment lies in .venv of the checkout and is made again when
pyproject.toml or the interpreter changes. Debian packages that are missing are
installed with apt-get, through sudo where that is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PACKAGES = ROOT / "tools" / "debian-packages"
MISSING = 4
DEV = "BPFTCP_DEV"
"""Set: the environment also gets what the host-side tests need."""


def main(command: str, argv: list[str]) -> NoReturn:
    """Run a console script of the package, after setting up whatever is missing."""
    offline = "--offline" in argv
    if sys.version_info < (3, 11):  # noqa: UP036
        _fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _debian_packages(offline)
        _virtual_environment(offline)
    script = VENV / "bin" / command
    os.execv(script, [str(script), *argv])


def _fail(message: str) -> NoReturn:
    print(f"setup: {message}", file=sys.stderr)
    raise SystemExit(MISSING)


def _say(message: str) -> None:
    print(f"setup: {message}", file=sys.stderr, flush=True)


def wanted_packages() -> list[str]:
    """Names in tools/debian-packages."""
    lines = PACKAGES.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def missing_packages() -> list[str]:
    """Those of wanted_packages() that dpkg does not know as installed."""
    listing = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Status}\n"], capture_output=True, text=True
    )
    installed = {
        line.split(" ", 1)[0]
        for line in listing.stdout.splitlines()
        if line.endswith("install ok installed")
    }
    return [name for name in wanted_packages() if name not in installed]


def _debian_packages(offline: bool) -> None:
    if not shutil.which("dpkg-query"):
        # Another distribution: whatever is missing will be named when it is needed.
        return
    missing = missing_packages()
    if not missing:
        return
    if offline:
        _fail(f"missing Debian packages, and --offline forbids installing: {' '.join(missing)}")
    root = [] if os.geteuid() == 0 else ["sudo", "env", "DEBIAN_FRONTEND=noninteractive"]
    if root and not shutil.which("sudo"):
        _fail(f"not root and no sudo; as root: apt-get install {' '.join(missing)}")
    _say(f"installing Debian packages: {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A new machine may be busy with its own updates: wait for them.
    apt = [*root, "apt-get", "-qq", "-oDPkg::Lock::Timeout=600"]
    install = [*apt, "install", "-y", "--no-install-recommends", *missing]
    for argv in ([*apt, "update"], install):
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            sys.stderr.buffer.write(done.stdout[-2000:])
            _fail(f"failed: {' '.join(argv)}")


def _digest() -> str:
    parts = (ROOT / "pyproject.toml").read_bytes(), sys.version.encode(), str(ROOT).encode()
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _virtual_environment(offline: bool) -> None:
    dev = bool(os.environ.get(DEV))
    stamp = VENV / "bpftcp.stamp"
    have = stamp.read_text(encoding="utf-8") if stamp.is_file() else ""
    wanted = _digest()
    if have.startswith(wanted) and (not dev or have.endswith("dev")):
        return
    if offline:
        _fail("the virtual environment is missing or old, and --offline forbids making it")
    _say("making the virtual environment .venv")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError as e:
        _fail(f"python -m venv failed ({e}); is ensurepip there (Debian: python3-venv)?")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "--no-input"]
    extra = "[dev]" if dev else ""
    done = subprocess.run(
        [*pip, "-e", f"{ROOT}{extra}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        sys.stderr.buffer.write(done.stdout[-2000:])
        _fail("pip could not install the Python packages")
    stamp.write_text(wanted + (" dev" if dev else ""), encoding="utf-8")
