"""Splats in real console logs, and none where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpftcp import console
from bpftcp.console import SplatKind, parse

CONSOLES = Path(__file__).parent / "consoles"
EXPECTED = [
    ("clean-lean", [], "poweroff"),
    ("clean-debug", [], "poweroff"),
    ("panic", [(SplatKind.PANIC, "sysrq triggered crash")], "panic"),
    ("oops", [(SplatKind.OOPS, "NULL pointer dereference")], "panic"),
    ("kasan", [(SplatKind.KASAN, "slab-use-after-free")], "poweroff"),
    ("lockdep", [(SplatKind.LOCKDEP, "possible circular locking")], "poweroff"),
    ("irq", [(SplatKind.LOCKDEP, "Invalid wait context")], "poweroff"),
    (
        "rcu-atomic",
        [
            (SplatKind.LOCKDEP, "suspicious RCU usage"),
            (SplatKind.ATOMIC, "sleeping function called"),
            (SplatKind.LOCKDEP, "bad unlock balance"),
        ],
        "poweroff",
    ),
    ("bug", [(SplatKind.BUG, "kernel BUG at drivers/misc")], "panic"),
    (
        "netref",
        [(SplatKind.REFERENCE, "waiting for dummy0"), (SplatKind.REFERENCE, "dummy0")],
        "poweroff",
    ),
    (
        "warnings",
        [
            (SplatKind.WARNING, "lkdtm_WARNING+"),
            (SplatKind.WARNING, "lkdtm_WARNING_MESSAGE+"),
            (SplatKind.WARNING, "lkdtm_X_TWO+"),
            (SplatKind.WARNING, "lkdtm_X_TWO+"),
            (SplatKind.REFCOUNT, "saturated"),
            (SplatKind.DEBUG_OBJECTS, "free active"),
            (SplatKind.CORRUPTION, "list_add corruption"),
        ],
        "poweroff",
    ),
    ("oom", [(SplatKind.OOM, "invoked oom-killer")], "poweroff"),
    ("hang", [], "cut"),
]


def load(name: str) -> str:
    return (CONSOLES / f"{name}.log").read_text(errors="replace")


@pytest.mark.parametrize(("name", "splats", "ended"), EXPECTED)
def test_corpus(name: str, splats: list[tuple[SplatKind, str]], ended: str) -> None:
    report = parse(load(name))
    assert [s.kind for s in report.splats] == [kind for kind, _ in splats]
    for splat, (_, title) in zip(report.splats, splats, strict=True):
        assert title in splat.title
    assert report.booted and report.ended == ended
    for splat in report.splats:
        line = load(name).splitlines()[splat.line_number - 1]
        assert line.endswith(splat.title)


def test_the_whole_report_belongs_to_one_splat() -> None:
    (splat,) = parse(load("kasan")).splats
    text = "\n".join(splat.lines)
    assert "Allocated by task" in text and "Freed by task" in text and "Memory state" in text
    splat = parse(load("oops")).splats[-1]
    assert any("RIP: 0010:" in line for line in splat.lines)
    assert any("Kernel panic" in line for line in splat.lines)


@pytest.mark.parametrize("name", ["kasan", "oops", "lockdep"])
def test_truncated_anywhere_inside_is_still_a_splat(name: str) -> None:
    text = load(name)
    whole = parse(text).splats[0]
    start = text.index(whole.title)
    for extra in (len(whole.title) + 1, 200, 777):
        report = parse(text[: start + extra])
        assert [s.kind for s in report.splats] == [whole.kind]
        assert report.ended == "cut"


@pytest.mark.parametrize("name", ["kasan", "oops", "lockdep"])
def test_fingerprint_is_the_same_in_another_build(name: str) -> None:
    text = load(name)
    splat = parse(text).splats[-1]
    moved = re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+", "+0x123/0x456", text)
    moved = re.sub(r"\b[0-9a-f]{16}\b", "ffff888012345678", moved)
    again = parse(moved).splats[-1]
    assert again.fingerprint == splat.fingerprint
    assert splat.fingerprint.startswith(f"{splat.kind.value}:") and "0x" not in splat.fingerprint


def test_different_splats_differ() -> None:
    prints = {parse(load(n)).splats[-1].fingerprint for n in ("kasan", "oops", "lockdep", "oom")}
    assert len(prints) == 4


@pytest.mark.parametrize("text", ["", "QEMU: cannot open display\n", "\x1b[2J"])
def test_a_log_that_says_nothing_is_not_clean(text: str) -> None:
    report = parse(text)
    assert not report.booted and report.ended == "cut"


@pytest.mark.parametrize(
    "line",
    [
        "BUG: KASAN: printed by a program in the guest",
        "WARNING! Selftests relying on bpf_testmod.ko will be skipped.",
        "[    1.0] Spectre V2 : WARNING: Unprivileged eBPF is enabled",
        "[    1.0] printk: legacy console [ttyS0] enabled",
        "[    1.0] lockdep: MAX_LOCKDEP_SUBCLASSES: 8",
        "[    1.0] kmemleak: Kernel memory leak detector initialized",
        "[    1.0] WARNING: command line ignored",
    ],
)
def test_no_false_alarm(line: str) -> None:
    assert parse(f"[    0.000000] Linux version 7.3.4\n{line}\n").splats == ()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("WARNING: CPU: 0 PID: 1 at net/ipv4/tcp.c:5 f+0x1/0x2", SplatKind.WARNING),
        ("WARNING: net/ipv4/tcp.c:5 at f+0x1/0x2, CPU#0: a/1", SplatKind.WARNING),
        ("WARNING: suspicious RCU usage", SplatKind.LOCKDEP),
        ("WARNING: inconsistent lock state", SplatKind.LOCKDEP),
        ("BUG: sleeping function called from invalid context at a.c:1", SplatKind.ATOMIC),
        ("BUG: scheduling while atomic: a/1/0x2", SplatKind.ATOMIC),
        ("UBSAN: array-index-out-of-bounds in a.c:1:2", SplatKind.UBSAN),
        ("refcount_t: underflow; use-after-free.", SplatKind.REFCOUNT),
        ("list_add corruption. next->prev should be prev", SplatKind.CORRUPTION),
        ("ODEBUG: free active (active state 0) object: 00", SplatKind.DEBUG_OBJECTS),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]", SplatKind.STALL),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", SplatKind.STALL),
        ("INFO: task a:1 blocked for more than 120 seconds.", SplatKind.HUNG_TASK),
        ("kernel BUG at net/ipv4/tcp.c:5!", SplatKind.BUG),
        ("general protection fault, probably for non-canonical address", SplatKind.OOPS),
        ("unregister_netdevice: waiting for lo to become free.", SplatKind.REFERENCE),
        ("kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", SplatKind.LEAK),
    ],
)  # fmt: skip
def test_heads(line: str, kind: SplatKind) -> None:
    for stamp in ("[   12.345678] ", "[   12.345678][    T1] ", "<4>[   12.345678] "):
        (splat,) = parse(f"{stamp}{line}\r\n").splats
        assert splat.kind is kind and splat.title == line


def test_two_events_apart_are_two() -> None:
    text = "[  1.0] refcount_t: underflow\n[  9.0] BUG: KASAN: slab-out-of-bounds in f+0x1/0x2\n"
    assert [s.kind for s in parse(text).splats] == [SplatKind.REFCOUNT, SplatKind.KASAN]


def test_kmemleak_file() -> None:
    text = (
        'unreferenced object 0xffff888 (size 64):\n  comm "a", pid 1\n  backtrace (crc 1):\n'
        "    kmalloc_trace+0x1/0x2\n    tcp_extopt_new+0x10/0x20\n"
        "unreferenced object 0xffff889 (size 8):\n  backtrace:\n    [<0>] other_new+0x1/0x2\n"
    )
    leaks = console.parse_kmemleak(text)
    assert [s.fingerprint for s in leaks] == ["leak:tcp_extopt_new", "leak:other_new"]
    assert leaks[1].line_number == 6
    assert console.parse_kmemleak("") == ()
