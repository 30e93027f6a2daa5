"""Console logs of real guests (consoles/*.log) and what must be found in each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpftcp.console import Ended, SplatKind, Watcher, parse, parse_kmemleak

CONSOLES = Path(__file__).parent / "consoles"
K = SplatKind
LKDTM = "lkdtm_do_action/direct_entry/full_proxy_write"
SPINNING = "stall:queued_spin_lock_slowpath/do_raw_spin_lock/lkdtm_do_action/direct_entry"
BANNER = "[    0.000000] Linux version 7.3.4 (build@host)\n"

# Log: how it ends, and of each splat the kind, a part of its title, and its fingerprint.
EXPECTED: dict[str, tuple[Ended, list[tuple[SplatKind, str, str]]]] = {
    "noise": (Ended.POWEROFF, []),
    "panic-stack": (
        Ended.PANIC,
        [
            (
                K.PANIC,
                "sysrq triggered crash",
                "panic:sysrq_handle_crash/__handle_sysrq/write_sysrq_trigger/proc_reg_write",
            )
        ],
    ),
    "init-died": (
        Ended.PANIC,
        [(K.PANIC, "Attempted to kill init", "panic:do_exit/do_group_exit/__x64_sys_exit_group")],
    ),
    "oom-panic": (
        Ended.PANIC,
        [
            (
                K.OOM,
                "tail invoked oom-killer",
                "out of memory:__filemap_get_folio_mpol/filemap_fault/__do_fault/__handle_mm_fault",
            )
        ],
    ),
    # Survived: panic_on_oops was off. The second one is a stack overflow.
    "oops-survived": (
        Ended.PANIC,
        [
            (K.OOPS, "BUG: kernel NULL pointer dereference", f"oops:lkdtm_EXCEPTION/{LKDTM}"),
            (
                K.STACK,
                "BUG: TASK stack guard page was hit",
                "stack:recursive_loop/lkdtm_EXHAUST_STACK/lkdtm_do_action/direct_entry",
            ),
        ],
    ),
    # The first is a false alarm of KASAN's, early in a boot with five-level page tables.
    "oops-softirq": (
        Ended.PANIC,
        [
            (
                K.KASAN,
                "wild-memory-access in rcu_is_watching",
                "KASAN:rcu_is_watching/trace_hardirqs_off_finish/irqentry_enter/common_interrupt",
            ),
            (
                K.OOPS,
                "BUG: kernel NULL pointer dereference",
                "oops:oops_timer/call_timer_fn/__run_timers/run_timer_base",
            ),
        ],
    ),
    "kasan-panic": (
        Ended.PANIC,
        [
            (K.KASAN, "slab-use-after-free", f"KASAN:lkdtm_WRITE_AFTER_FREE/{LKDTM}"),
            (
                K.OOPS,
                "BUG: unable to handle page fault",
                "oops:memset_orig/lkdtm_VMALLOC_LINEAR_OVERFLOW/lkdtm_do_action/direct_entry",
            ),
        ],
    ),
    "kasan-cut": (
        Ended.CUT,
        [(K.KASAN, "slab-use-after-free", f"KASAN:lkdtm_WRITE_AFTER_FREE/{LKDTM}")],
    ),
    "lock-held": (
        Ended.CUT,
        [
            (
                K.ATOMIC,
                "BUG: scheduling while atomic: sh/55",
                "sleep in atomic:exit_to_user_mode_loop",
            ),
            (K.LOCKDEP, "lock held when returning to user space", "lockdep:lkdtm_do_action"),
            (K.STALL, "soft lockup - CPU#0 stuck for 26s!", SPINNING),
            (K.STALL, "soft lockup - CPU#0 stuck for 52s!", SPINNING),
        ],
    ),
    "stalls": (
        Ended.POWEROFF,
        [
            (K.STALL, f"soft lockup - CPU#1 stuck for {n}s!", f"stall:lkdtm_SOFTLOCKUP/{LKDTM}")
            for n in (5, 10, 17, 22, 28)
        ],
    ),
    "hung-task": (
        Ended.POWEROFF,
        [
            (K.HUNG_TASK, f"blocked for more than {n} sec", f"hung task:lkdtm_HUNG_TASK/{LKDTM}")
            for n in (3, 6, 9, 12, 15, 18)
        ],
    ),
}


def read(name: str) -> str:
    return (CONSOLES / f"{name}.log").read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("name", EXPECTED)
def test_real_log(name: str) -> None:
    ended, splats = EXPECTED[name]
    report = parse(read(name))
    assert report.booted and report.ended is ended
    assert [(s.kind, s.fingerprint) for s in report.splats] == [(k, f) for k, _, f in splats]
    for splat, (_, title, _) in zip(report.splats, splats, strict=True):
        assert title in splat.title and len(splat.lines) <= 200
        assert not any(re.match(r"\[ *\d+\.\d", line) for line in splat.lines)
    assert report.last_time is not None and report.last_time > 1
    lines = read(name).split("\n")
    for splat in report.splats:
        assert lines[splat.line_number - 1].strip().endswith(splat.title)


def elsewhere(text: str) -> str:
    """The same log of another build: other addresses, offsets, sizes, times, process ids."""
    text = re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+", "+0x77/0x99", text)
    text = re.sub(r"\bffff[0-9a-f]{12}\b", "ffff888012345678", text)
    text = re.sub(r"(?m)^\[ *(\d+)\.(\d{6})\]", lambda m: f"[{int(m[1]) + 100:5}.{m[2]}]", text)
    return re.sub(r"(?i)\b(PID: |pid=|task \w+:)\d+", r"\g<1>4711", text)


@pytest.mark.parametrize("name", EXPECTED)
def test_fingerprints_compare_between_runs(name: str) -> None:
    text = read(name)
    assert elsewhere(text) != text
    again = parse(elsewhere(text)).splats
    assert [s.fingerprint for s in again] == [s.fingerprint for s in parse(text).splats]


@pytest.mark.parametrize("name", EXPECTED)
def test_caller_ids_and_line_ends_do_not_matter(name: str) -> None:
    text = read(name).replace("\r", "")
    other = re.sub(r"(?m)^(\[ *\d+\.\d{6}\])", r"\1[   T71]", text).replace("\n", "\r\n")
    assert parse(other).splats == parse(text).splats


@pytest.mark.parametrize("name", EXPECTED)
def test_programs_output_in_between_does_not_matter(name: str) -> None:
    lines = read(name).split("\n")
    noisy = "\n".join(f"{line}\nBUG: of a program" for line in lines)
    found = parse(noisy)
    assert [(s.kind, s.lines, s.fingerprint) for s in found.splats] == [
        (s.kind, s.lines, s.fingerprint) for s in parse("\n".join(lines)).splats
    ]


def test_one_event_has_all_its_lines_once() -> None:
    """KASAN, then the fault it announced; the console replays a line in between."""
    text = read("oops-survived")
    assert "** replaying previous printk message **" in text
    lines = parse(text).splats[0].lines
    for start in ("BUG: KASAN", "BUG: kernel NULL", "#PF: error_code", "PGD ", "---[ end trace"):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert sum(line.startswith("Hardware name") for line in lines) == 2


def test_cut_anywhere_is_still_reported() -> None:
    text = read("kasan-panic")
    splat = parse(text).splats[0]
    start = text.index(splat.title)
    for end in range(start + len(splat.title), start + 2500, 37):
        assert "BUG: unable" not in text[:end]
        report = parse(text[:end])
        assert [s.kind for s in report.splats] == [K.KASAN], text[end - 80 : end]
        assert report.truncated and report.ended is Ended.CUT
    assert [s.kind for s in parse(text[: start + len("BUG: KA")]).splats] == [K.BUG]


@pytest.mark.parametrize("text", ["", "\n\n", "no kernel here\n", "[    1.000000] hello\n"])
def test_a_log_without_the_banner_is_not_a_clean_one(text: str) -> None:
    assert not parse(text).booted


def test_watcher_sees_the_end_at_once_and_a_splat_when_complete() -> None:
    watcher = Watcher()
    completed = []
    for line in read("panic-stack").split("\n"):
        if "Kernel panic - not syncing" in line:
            assert not watcher.fatal
            watcher.feed(line)
            assert watcher.fatal and watcher.ended is Ended.PANIC
        elif splat := watcher.feed(line):
            completed.append(splat)
    assert watcher.report() == parse(read("panic-stack")) == watcher.report()
    watcher = Watcher()
    completed = [s for line in read("hung-task").split("\n") if (s := watcher.feed(line))]
    assert tuple(completed) == watcher.report().splats


@pytest.mark.parametrize(
    "line",
    [
        "WARNING! test relies on luck",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
        "INFO: lockdep is turned off.",
        "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
        "printk: legacy console [ttyS0] enabled",
        "ODEBUG: selftest passed",
        "ODEBUG: 12 of 12 active objects replaced",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 37217)",
        "some driver: Oops, wrong argument",
        "virtme-ng-init: BUG: this is no kernel report",
        "** This means that this kernel is built for BUG: hunting **",
    ],
)
def test_not_a_splat(line: str) -> None:
    assert not parse(f"{BANNER}[    1.000000] {line}\n").splats
    assert not parse(f"{BANNER}BUG: soft lockup, says a program\n").splats


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (K.KASAN, "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"),
        (K.UBSAN, "UBSAN: shift-out-of-bounds in net/ipv4/tcp_input.c:1:2"),
        (K.LOCKDEP, "WARNING: possible irq lock inversion dependency detected"),
        (K.LOCKDEP, "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected"),
        (K.LOCKDEP, "WARNING: bad unlock balance detected!"),
        (K.LOCKDEP, "WARNING: held lock freed!"),
        (K.LOCKDEP, "WARNING: sh/70 still has locks held!"),
        (K.LOCKDEP, "[ BUG: Invalid wait context ]"),
        (K.LOCKDEP, "BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[12]"),
        (K.CHECK_OFF, "BUG: MAX_LOCKDEP_ENTRIES too low!"),
        (K.CHECK_OFF, "kmemleak: Memory pool empty, consider increasing CONFIG_X"),
        (K.ATOMIC, "BUG: using __this_cpu_add() in preemptible [00000000] code: sh/70"),
        (K.CORRUPTION, "BUG kmalloc-64 (Not tainted): Poison overwritten"),
        (K.CORRUPTION, "BUG: Bad page state in process sh  pfn:00001"),
        (K.CORRUPTION, "BUG: Bad rss-counter state mm:(____ptrval____) type:MM_FILEPAGES val:1"),
        (K.STACK, "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: f"),
        (K.OOPS, "BUG: kernel NULL pointer dereference, address: 0000000000000008"),
        (K.OOPS, "Oops: general protection fault, probably for non-canonical address 0xdf: 0000"),
        (K.OOPS, "general protection fault, probably for non-canonical address 0xdf: 0000 [#1]"),
        (K.STALL, "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1"),
        (K.STALL, "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!"),
        (K.STALL, "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
        (K.STALL, "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-..... }"),
        (K.REFERENCE, "unregister_netdevice: waiting for lo to become free. Usage count = 2"),
        (K.BUG, "BUG: something new"),
        (K.WARNING, "WARNING: CPU: 0 PID: 71 at net/ipv4/tcp.c:12 f+0x1/0x2"),
        (K.PANIC, "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block"),
    ],
)
def test_heads_no_guest_could_be_made_to_print(kind: SplatKind, line: str) -> None:
    report = parse(f"{BANNER}[    1.000000] {line}\n")
    assert [(s.kind, s.title, s.line_number) for s in report.splats] == [(kind, line, 2)]
    # Behind what a program left on the line.
    report = parse(f"{BANNER}some prompt: [    1.000000] {line}\n")
    assert [(s.kind, s.title) for s in report.splats] == [(kind, line)]


def test_message_before_the_warning_as_older_kernels_print_it() -> None:
    report = parse(
        BANNER
        + "[    1.000000] ------------[ cut here ]------------\n"
        + "[    1.000001] refcount_t: underflow; use-after-free.\n"
        + "[    1.000002] WARNING: CPU: 0 PID: 71 at lib/refcount.c:28 refcount_warn+0x1/0x2\n"
        + "[    1.000003] Call Trace:\n[    1.000004]  f+0x1/0x2\n"
        + "[    1.000005] ---[ end trace 0000000000000000 ]---\n"
    )
    assert [(s.kind, s.title, len(s.lines)) for s in report.splats] == [
        (K.REFCOUNT, "refcount_t: underflow; use-after-free.", 5)
    ]
    assert report.splats[0].fingerprint == "refcount:f"


def test_a_quiet_gap_and_a_later_panic_are_another_event() -> None:
    lines = [
        "[    1.000000] WARNING: CPU: 0 PID: 71 at net/ipv4/tcp.c:12 f+0x1/0x2",
        "[    1.000001]  g+0x1/0x2",
        "[    9.000000] eth0: link up",
        "[    9.000001] Kernel panic - not syncing: Fatal exception",
    ]
    report = parse(BANNER + "\n".join(lines) + "\n")
    assert [(s.kind, len(s.lines)) for s in report.splats] == [(K.WARNING, 2), (K.PANIC, 1)]


def test_a_splat_is_bounded() -> None:
    body = "".join(f"[    1.{i:06}]  f{i}+0x1/0x2\n" for i in range(1000))
    splat = parse(f"{BANNER}[    1.000000] kernel BUG at a.c:1!\n{body}").splats[0]
    assert len(splat.lines) == 200
    assert splat.fingerprint == "BUG:f0/f1/f2/f3"


def test_kmemleak() -> None:
    text = (CONSOLES / "kmemleak.txt").read_text()
    leaks = parse_kmemleak(text)
    assert [s.kind for s in leaks] == [K.LEAK] * 3
    assert {s.fingerprint for s in leaks} == {f"leak:lkdtm_X_LEAK/{LKDTM}"}
    assert leaks[1].title.startswith("unreferenced object 0x") and "(size 128):" in leaks[1].title
    assert text.split("\n")[leaks[1].line_number - 1] == leaks[1].title
    assert parse_kmemleak("") == ()
