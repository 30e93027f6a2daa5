"""Find what went wrong in a guest's console log.

A splat is a report of the kernel about itself: an oops, a KASAN or lockdep report,
a warning, a stall. Only lines with a kernel time stamp count, so that a program in
the guest that prints "BUG:" is not mistaken for the kernel. Several reports of one
event (a list corruption, the BUG it raises, the oops, the panic) are one splat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

MAX_LINES = 200
"""A splat longer than this is cut; its head and first frames are what matters."""
QUIET_GAP = 2.0
"""Seconds of kernel time without a line that end a splat."""
AT_ONCE = 0.5
"""Seconds of kernel time from KASAN's report of a bad pointer to the fault itself."""
FRAMES = 4
"""Functions in a fingerprint."""


class SplatKind(Enum):
    """What kind of report it is."""

    KASAN = "KASAN"
    UBSAN = "UBSAN"
    LEAK = "leak"
    LOCKDEP = "lockdep"
    ATOMIC = "sleep in atomic"
    DEBUG_OBJECTS = "debug objects"
    REFCOUNT = "refcount"
    REFERENCE = "reference leak"
    CORRUPTION = "corruption"
    STACK = "stack"
    OOPS = "oops"
    BUG = "BUG"
    WARNING = "warning"
    STALL = "stall"
    """A CPU or the RCU machinery makes no progress: soft, hard and RCU stalls."""
    HUNG_TASK = "hung task"
    OOM = "out of memory"
    CHECK_OFF = "check turned off"
    """A check has given up: from here on the log says nothing about what it looks for."""
    PANIC = "panic"


class Ended(StrEnum):
    """How a log ends."""

    POWEROFF = "poweroff"
    RESTART = "restart"
    PANIC = "panic"
    CUT = "cut"
    """It just stops: the guest still runs, hangs, or was killed."""


@dataclass(frozen=True)
class Splat:
    """One report, without time stamps and without what programs printed in between.

    title: the line that says most, mostly the first. line_number: of the title in the log,
    from 1.
    fingerprint: the same for the same fault in another run.
    """

    kind: SplatKind
    title: str
    lines: tuple[str, ...]
    line_number: int
    fingerprint: str


@dataclass(frozen=True)
class ConsoleReport:
    """What a whole log tells.

    booted: the kernel's banner is there; a log without it says nothing, least of all that
    all is well. last_time: seconds of kernel time. truncated: the log stops in the middle
    of a line or of a splat.
    """

    splats: tuple[Splat, ...]
    booted: bool
    ended: Ended
    last_time: float | None
    truncated: bool = False


class _Shape(Enum):
    """How a report ends. What follows its end may still look like a part of it (_TAIL)."""

    MARK = re.compile(r"^---\[ end trace")
    RULER = re.compile(r"^={30,}$")
    TRACE = re.compile(r"^\s*</(?:TASK|IRQ|SOFTIRQ)>|^---\[ end (?:trace|Kernel)|^Kernel Offset: ")
    KILL = re.compile(r"Killed process \d+|^oom_reaper: ")
    LINES = re.compile(r"")


_K, _S = SplatKind, _Shape
# The first that matches decides.
_HEADS: tuple[tuple[SplatKind, _Shape, str], ...] = (
    (_K.KASAN, _S.RULER, r"^BUG: (?:KASAN|KFENCE|KCSAN|KMSAN): "),
    (_K.UBSAN, _S.MARK, r"^UBSAN: "),
    (_K.LEAK, _S.LINES, r"^kmemleak: \d+ new suspected memory leaks|^unreferenced object 0x"),
    (_K.CHECK_OFF, _S.TRACE, r"^BUG: MAX_LOCK\w+ too low|^BUG: MAX_STACK_TRACE_ENTRIES too low"),
    (_K.CHECK_OFF, _S.LINES, r"^kmemleak: .*(?:disabled|too large|pool empty)"),
    (_K.CHECK_OFF, _S.LINES, r"^ODEBUG: (?:Out of memory|selftest .*failed)"),
    (
        _K.LOCKDEP,
        _S.TRACE,
        r"^WARNING: (?:possible (?:circular|recursive|irq lock)|inconsistent lock state"
        r"|suspicious RCU usage|bad (?:unlock balance|contention)|held lock freed"
        r"|lock held when returning|Nested lock was not taken|chain_key collision"
        r"|.* still has locks held|\S+-safe -> \S+-unsafe lock order)",
    ),
    (_K.LOCKDEP, _S.TRACE, r"^\[ BUG: Invalid wait context \]"),
    (_K.LOCKDEP, _S.TRACE, r"^INFO: trying to register non-static key"),
    (_K.LOCKDEP, _S.TRACE, r"^BUG: (?:workqueue leaked|(?:spin|rw)lock |key \S+ has not been)"),
    (_K.ATOMIC, _S.TRACE, r"^BUG: (?:sleeping function called|scheduling (?:while|in a non))"),
    (_K.ATOMIC, _S.TRACE, r"^BUG: (?:using .* in preemptible|assuming )"),
    (_K.DEBUG_OBJECTS, _S.MARK, r"^ODEBUG: (?!selftest passed|\d+ of \d+ active)"),
    (_K.REFCOUNT, _S.MARK, r"^refcount_t: "),
    (_K.CORRUPTION, _S.MARK, r"^list_(?:add|del)(?:_\w+)? corruption"),
    (_K.CORRUPTION, _S.MARK, r"^usercopy: Kernel memory |^mem(?:cpy|move|set): detected "),
    (_K.CORRUPTION, _S.TRACE, r"^BUG \S+ \(.*\): |^BUG: Bad page"),
    (_K.CORRUPTION, _S.LINES, r"^BUG: (?:Bad rss-counter|non-zero pgtables_bytes)"),
    (_K.STACK, _S.MARK, r"^BUG: \S+ stack guard page was hit|^kernel stack overflow"),
    (_K.STACK, _S.TRACE, r"^Kernel panic - not syncing: (?:stack-protector|corrupted stack end)"),
    (_K.OOPS, _S.MARK, r"^BUG: (?:kernel NULL pointer|unable to handle)"),
    (
        _K.OOPS,
        _S.MARK,
        r"^(?:Oops\b|general protection fault|divide error|invalid opcode|int3\b|stack segment"
        r"|double fault|(?:traps: )?PANIC: double fault|kernel tried to execute)",
    ),
    (_K.BUG, _S.MARK, r"^kernel BUG at "),
    (_K.STALL, _S.TRACE, r"^(?:watchdog: )?BUG: soft lockup|hard LOCKUP on cpu"),
    (_K.STALL, _S.LINES, r"^(?:workqueue: )?BUG: workqueue lockup"),
    (_K.STALL, _S.TRACE, r"^(?:rcu: )?INFO: .*detected (?:expedited )?stalls? on"),
    (_K.HUNG_TASK, _S.TRACE, r"^INFO: task .* blocked(?: in I/O wait)? for more than"),
    (_K.OOM, _S.KILL, r" invoked oom-killer: |^(?:Memory cgroup o|O)ut of memory: Killed"),
    (_K.REFERENCE, _S.LINES, r"^unregister_netdevice: waiting for .* to become free"),
    (_K.REFERENCE, _S.LINES, r"^ref_tracker: (?!memory allocation)"),
    (_K.BUG, _S.TRACE, r"^BUG: "),
    (_K.WARNING, _S.MARK, r"^WARNING: (?:CPU: \d+ PID|(?:\S+:\d+ )?at )"),
    (_K.PANIC, _S.TRACE, r"^Kernel panic - not syncing"),
)
_COMPILED = tuple((kind, shape, re.compile(head)) for kind, shape, head in _HEADS)
# Panics that say of themselves that something before them is the cause.
_CONSEQUENCE = re.compile(
    r"^Kernel panic - not syncing: (?:Fatal exception|.*panic_on_|Out of memory"
    r"|System is deadlocked|softlockup: |hung_task: |RCU Stall|Hard LOCKUP|Attempted to kill "
    r"|Fatal machine|.*kasan)"
)
# What KASAN sees coming, and lets happen.
_BAD_POINTER = re.compile(r"^BUG: KASAN: (?:null-ptr-deref|(?:wild|user)-memory-access|probably)")
_SAME_EVENT = {
    (first, then)
    for firsts, thens in (
        ((_K.OOPS, _K.BUG, _K.CORRUPTION, _K.STACK), (_K.OOPS, _K.BUG, _K.STACK)),
        ((_K.STALL,), (_K.STALL,)),
        ((_K.OOM,), (_K.OOM,)),
        ((_K.REFERENCE,), (_K.REFERENCE,)),
    )
    for first in firsts
    for then in thens
}
# A warning or BUG whose message says what is really wrong.
_MESSAGES = (_K.REFCOUNT, _K.DEBUG_OBJECTS, _K.CORRUPTION, _K.CHECK_OFF)
_CUT_HERE = re.compile(r"^-+\[ cut here \]-+$")
_TAIL = re.compile(
    r"^(?:\s|$|[CDEFR][A-Z0-9]{1,2}: |Code: |Call Trace:|Modules linked in:|CPU: \d|Hardware name: "
    r"|Tainted: |Workqueue: |PKRU: |Kernel Offset:|---\[ end|note: |rcu: |task:|irq event stamp"
    r"|(?:hard|soft)irqs last |Sending NMI|NMI backtrace|Showing |INFO: lockdep is"
    r"|INFO: task .* blocked on|(?:\d+ |no )?locks? held by|workqueue |pool |FIX "
    r"|ref_tracker: |Future hung task|Preemption disabled at|stack backtrace:|</?[A-Z]+>|CR2: )"
)
# At the start of a line, or behind what a program left there without a line end.
_STAMP = re.compile(
    r"(?:(?:<\d+>)?\[\s*(\d+\.\d+)\]|.*?\[\s*(\d+\.\d{6})\])(?:\[\s*[TC]\d+\])? ?(.*)$"
)
_REPLAY = "** replaying previous printk message **"


@dataclass
class _Open:
    """A report that is being read. kind is None until the line after "cut here" names it."""

    kind: SplatKind | None
    shape: _Shape
    title: str
    line_number: int
    time: float
    lines: list[str] = field(default_factory=list)
    ended: bool = False
    closed: bool = False

    def splat(self) -> Splat:
        kind = self.kind or SplatKind.WARNING
        title = self.title or (self.lines[0].strip() if self.lines else "")
        return Splat(
            kind, title, tuple(self.lines), self.line_number, fingerprint(kind, self.lines)
        )


class Watcher:
    """Follows a console line by line.

    fatal: turns true with the line that says that the guest will not come back.
    """

    def __init__(self) -> None:
        self.fatal = False
        self.booted = False
        self.ended = Ended.CUT
        self.last_time: float | None = None
        self._reports: list[_Open] = []
        self._number = 0
        self._before = ""

    def feed(self, line: str) -> Splat | None:
        """Take one line of the log, without its line end; returns a splat that it completes.

        Of a splat that is still open, report() knows.
        """
        self._number += 1
        line = line.replace("\r", "")
        match = _STAMP.match(line)
        replayed = self._before == _REPLAY
        self._before = line if match or line == _REPLAY else self._before
        if not match or replayed:
            return None
        time, text = float(match[1] or match[2]), match[3].rstrip()
        self.last_time = time
        self._follow_life(text)
        current = self._reports[-1] if self._reports else None
        if current and current.closed:
            current = None
        if current and time - current.time > QUIET_GAP:
            current.closed = True
        row = next(((k, s) for k, s, head in _COMPILED if head.search(text)), None)
        if row and self._belongs(row[0], text, time):
            if self._add(self._reports[-1], row, text, time):
                self._reports[-1].line_number = self._number
            row = None
        elif row:
            self._reports.append(_Open(row[0], row[1], text.strip(), self._number, time))
            self._reports[-1].lines.append(text)
            self._reports[-1].ended = row[1] is _Shape.LINES
        elif _CUT_HERE.match(text):
            self._reports.append(_Open(None, _Shape.MARK, "", self._number, time))
        elif current and not current.closed:
            if current.ended and not _TAIL.match(text):
                current.closed = True
            else:
                self._add(current, None, text, time)
        if current and (current.closed or current is not self._reports[-1]):
            current.closed = True
            return current.splat()
        return None

    def report(self) -> ConsoleReport:
        """All splats so far; one still open counts, however much of it there is."""
        splats = tuple(r.splat() for r in self._reports if r.lines or r.kind)
        last = self._reports[-1] if self._reports else None
        in_splat = last is not None and not last.closed and not last.ended
        return ConsoleReport(splats, self.booted, self.ended, self.last_time, in_splat)

    def _follow_life(self, text: str) -> None:
        if text.startswith("Linux version "):
            self.booted = True
        elif text.startswith(("reboot: Power down", "reboot: System halted")):
            self.ended = Ended.POWEROFF
        elif text.startswith("reboot: Restarting system"):
            self.ended = Ended.RESTART
        elif text.startswith("Kernel panic - not syncing"):
            self.ended = Ended.PANIC
            self.fatal = True

    def _belongs(self, kind: SplatKind, text: str, time: float) -> bool:
        """Whether a head is a part of the last report: the cause is named first."""
        last = self._reports[-1] if self._reports else None
        if last is None or time - last.time > QUIET_GAP:
            return False
        if self.fatal and not text.startswith("Kernel panic"):
            return True
        if _CONSEQUENCE.match(text):
            return True
        if kind is _K.OOPS and _BAD_POINTER.match(last.title):
            return time - last.time < AT_ONCE
        if last.closed or last.ended:
            return (last.kind, kind) in _SAME_EVENT and last.shape is not _Shape.MARK
        if last.kind is None or (last.kind is _K.WARNING and kind in _MESSAGES):
            return len(last.lines) <= 3
        if kind is _K.WARNING:
            return last.kind in _MESSAGES and not any(s.startswith("WARNING: ") for s in last.lines)
        return (last.kind, kind) in _SAME_EVENT

    @staticmethod
    def _add(report: _Open, row: tuple[SplatKind, _Shape] | None, text: str, time: float) -> bool:
        """Whether the line says more than the title so far, and has become the title."""
        better = row is not None and (
            report.kind is None
            or (report.kind is _K.WARNING and row[0] in _MESSAGES)
            or (report.kind is _K.KASAN and row[0] is _K.OOPS)
        )
        if row and (report.ended or row[0] is _K.PANIC):
            report.ended, report.shape = False, row[1]
        if row and better:
            report.kind, report.title = row[0], text.strip()
        report.time = time
        report.closed = False
        if len(report.lines) < MAX_LINES:
            report.lines.append(text)
        if report.shape.value.search(text):
            report.ended = True
        return better


_FRAME = re.compile(
    r"^\s*(?:\[<[0-9a-fx]+>\]\s*)?(?P<rip>RIP: 0010:)?(?P<maybe>\? )?"
    r"(?P<name>[A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+"
)
_PLACE = re.compile(r"([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
# On every stack of their kind: what reports, what allocates, how the kernel was entered.
_REPORTING = re.compile(
    r"^(?:dump_stack|show_stack|v?panic$|print_|_*kasan_|__asan_|__might_|__schedule_bug|_*die$|_*schedule$"
    r"|__warn|warn_slowpath|report_bug|handle_bug|exc_|check_(?:noncirc|prev|irq|preempt)"
    r"|debug_smp_|lockdep_|_*lock_(?:acquire|release)$|validate_chain|mark_lock|save_trace"
    r"|refcount_warn|debug_print_object|__list_(?:add|del)_\w*report|slab_|object_err|__slab_err"
    r"|_*k[mvz]*alloc|kmemleak|_*kmem_cache_alloc|_*alloc_(?:\w+_)?pages|_*folio_alloc"
    r"|dump_header|oom_kill_process|out_of_memory|_*mutex_lock|_*raw_(?:spin|read|write)_\w*lock)"
)
_ENTRY = re.compile(r"^(?:do_syscall_|x64_sys_call|entry_SYSCALL|ret_from_fork|asm_)")


def fingerprint(kind: SplatKind, lines: Sequence[str]) -> str:
    """Kind and the functions on top of the stack: the same in every run of one build."""
    starts = [i for i, line in enumerate(lines) if line.lstrip().startswith("Call Trace:")]
    names: list[str] = []
    # Before the trace (held locks, a lock's history) only the instruction pointer counts.
    for line in lines[: starts[0] if starts else 0]:
        if (match := _FRAME.match(line)) and match["rip"]:
            _note(names, match["name"])
    interrupt = False
    for line in lines[starts[0] if starts else 0 :]:
        if "<IRQ>" in line:
            interrupt = kind is _K.STALL
        elif "</" in line:
            interrupt = False
            if names:
                break
        elif not interrupt and (match := _FRAME.match(line)) and not match["maybe"]:
            if names and _ENTRY.match(match["name"]):
                break
            _note(names, match["name"])
    if not names:
        found = (m[1] for line in lines for m in _PLACE.finditer(line))
        names = list(dict.fromkeys(found))
    if not names:
        words = re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", "#", lines[0] if lines else "")
        names = [re.sub(r"[^\w#]+", "-", words).strip("-")[:60]]
    return f"{kind.value}:{'/'.join(names[:FRAMES])}"


def _note(names: list[str], name: str) -> None:
    plain = name.split(".")[0]
    if not _REPORTING.match(plain) and not _ENTRY.match(plain) and plain not in names:
        names.append(plain)


def parse(text: str) -> ConsoleReport:
    """A whole log at once."""
    watcher = Watcher()
    for line in text.split("\n"):
        watcher.feed(line)
    report = watcher.report()
    if text and not text.endswith("\n"):
        return ConsoleReport(
            report.splats, report.booted, report.ended, report.last_time, truncated=True
        )
    return report


def parse_kmemleak(text: str) -> tuple[Splat, ...]:
    """The reports of /sys/kernel/debug/kmemleak."""
    splats = []
    blocks = re.split(r"(?m)^(?=unreferenced )", text)
    number = blocks[0].count("\n") + 1
    for block in blocks[1:]:
        lines = tuple(line.rstrip() for line in block.splitlines())
        print_ = fingerprint(_K.LEAK, lines)
        splats.append(Splat(_K.LEAK, lines[0], lines, number, print_))
        number += len(lines)
    return tuple(splats)
