"""Find what went wrong in a guest's console log.

A splat is a report of the kernel about itself: an oops, a KASAN or lockdep report,
a warning, a stall. Only lines with a kernel time stamp count, so that a program in
the guest that prints "BUG:" is not mistaken for the kernel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

MAX_LINES = 200
"""A splat longer than this is cut; its head and first frames are what matters."""
QUIET_GAP = 2.0
"""Seconds of kernel time without a line that end a splat."""


class SplatKind(Enum):
    """What kind of report it is. The order in _HEADS decides where two fit."""

    KASAN = "KASAN"
    UBSAN = "UBSAN"
    LEAK = "leak"
    LOCKDEP = "lockdep"
    ATOMIC = "sleep in atomic"
    DEBUG_OBJECTS = "debug objects"
    REFCOUNT = "refcount"
    CORRUPTION = "corruption"
    OOPS = "oops"
    BUG = "BUG"
    STALL = "stall"
    HUNG_TASK = "hung task"
    OOM = "out of memory"
    REFERENCE = "reference leak"
    WARNING = "warning"
    PANIC = "panic"


@dataclass(frozen=True)
class Splat:
    """One report. title: its first line; line_number: of the title in the log, from 1."""

    kind: SplatKind
    title: str
    lines: tuple[str, ...]
    line_number: int
    fingerprint: str


@dataclass(frozen=True)
class ConsoleReport:
    """What a whole log tells.

    booted: the kernel's banner is there; a log without it says nothing, least of all that
    all is well. ended: poweroff, panic, or cut (the log just stops).
    """

    splats: tuple[Splat, ...]
    booted: bool
    ended: str
    last_time: float | None


_STAMP = re.compile(r"^(?:<\d+>)?\[\s*(\d+\.\d+)\](?:\[\s*[TC]\d+\])? ?(.*)$")
_HEADS: tuple[tuple[SplatKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (SplatKind.KASAN, r"^BUG: (?:KASAN|KFENCE|KCSAN|KMSAN): "),
        (SplatKind.UBSAN, r"^UBSAN: "),
        (SplatKind.LEAK, r"^kmemleak: \d+ new suspected memory leaks"),
        (SplatKind.LEAK, r"^unreferenced object 0x"),
        (
            SplatKind.LOCKDEP,
            r"^WARNING: (?:possible (?:circular|recursive|irq lock)|inconsistent lock state|"
            r"suspicious RCU usage|bad unlock balance|held lock freed|lock held when returning|"
            r"Nested lock was not taken|.*still has locks held|.*lock order)",
        ),
        (SplatKind.LOCKDEP, r"^\[ BUG: Invalid wait context \]|^BUG: (?:MAX_|held lock freed)"),
        (SplatKind.LOCKDEP, r"^BUG: (?:workqueue leaked|spinlock|rwlock|mutex)"),
        (
            SplatKind.ATOMIC,
            r"^BUG: (?:sleeping function called|scheduling while atomic|using "
            r"(?:__this_cpu|smp_processor_id))",
        ),
        (SplatKind.DEBUG_OBJECTS, r"^ODEBUG: "),
        (SplatKind.REFCOUNT, r"^refcount_t: "),
        (
            SplatKind.CORRUPTION,
            r"^(?:list_(?:add|del) corruption|slab error|page_owner|"
            r"=+ BUG |BUG [\w-]+ \()",
        ),
        (SplatKind.CORRUPTION, r"^(?:BUG: Bad (?:page|rss)|BUG [\w.-]+(?: \([^)]*\))?: )"),
        (SplatKind.OOPS, r"^BUG: (?:kernel NULL pointer|unable to handle)"),
        (
            SplatKind.OOPS,
            r"^(?:Oops|general protection fault|divide error|invalid opcode|"
            r"int3|stack segment|double fault|traps: PANIC)\b",
        ),
        (SplatKind.BUG, r"^kernel BUG at "),
        (SplatKind.STALL, r"^(?:watchdog: )?BUG: (?:soft lockup|workqueue lockup)"),
        (SplatKind.STALL, r"^(?:watchdog: )?(?:BUG: )?.*(?:hard LOCKUP|Hard LOCKUP)"),
        (
            SplatKind.STALL,
            r"^rcu: INFO: .*(?:self-detected stall|detected stalls|expedited stalls)",
        ),
        (SplatKind.HUNG_TASK, r"^INFO: task .* blocked(?: in I/O wait)? for more than"),
        (SplatKind.OOM, r"^(?:.* invoked oom-killer|Out of memory: |Memory cgroup out of memory)"),
        (
            SplatKind.REFERENCE,
            r"^(?:unregister_netdevice: waiting for|ref_tracker: .*"
            r"(?:has|reference)|leaked reference)",
        ),
        (SplatKind.BUG, r"^BUG: "),
        (SplatKind.WARNING, r"^WARNING: (?:CPU: \d|.* at \S+:\d+|\S+:\d+ at )"),
        (SplatKind.PANIC, r"^Kernel panic - not syncing"),
    )
)
_END = re.compile(r"^---\[ end (?:trace|Kernel panic)|^-+\[ cut here ")
_CUT_HERE = re.compile(r"^-+\[ cut here \]-+$")
_RULER = re.compile(r"^={20,}$|^-{20,}$")
_FRAME = re.compile(r"^\s*(?:RIP: \d+:)?(\?\s)?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
_REPORTING = (
    "dump_stack", "print_report", "kasan_", "__kasan", "print_address", "check_noncircular",
    "print_", "report_bug", "handle_bug", "exc_", "asm_exc", "__warn", "warn_slowpath",
    "lock_acquire", "__lock_acquire", "validate_chain", "mark_lock", "__might_", "lockdep_",
    "show_stack", "panic", "vpanic", "page_fault", "no_context", "die", "check_region_inline",
)  # fmt: skip


_MAKE_PANIC = {k for k in SplatKind if k not in (SplatKind.LEAK, SplatKind.PANIC)}


@dataclass
class _Open:
    kind: SplatKind
    title: str
    line_number: int
    lines: list[str] = field(default_factory=list)
    time: float = 0.0
    rulers: int = 0


class Watcher:
    """Follows a console line by line. fatal turns true when the guest cannot come back."""

    def __init__(self) -> None:
        self.fatal = False
        self.booted = False
        self.ended = "cut"
        self.last_time: float | None = None
        self._splats: list[Splat] = []
        self._open: _Open | None = None
        self._last_closed: _Open | None = None
        self._number = 0

    def feed(self, line: str) -> None:
        """One line of the log, without its line end."""
        self._number += 1
        match = _STAMP.match(line.replace("\r", ""))
        if not match:
            return
        time, text = float(match[1]), match[2]
        self.last_time = time
        self._follow_life(text)
        kind = next((kind for kind, head in _HEADS if head.search(text)), None)
        current = self._open
        if current and time - current.time > QUIET_GAP:
            self._close()
            current = None
        if kind is SplatKind.PANIC and current is None:
            current = self._reopen(time)
        if kind and self._starts_new(current, kind):
            self._close()
            current = self._open = _Open(kind, text.strip(), self._number)
        if current:
            current.time = time
            if len(current.lines) < MAX_LINES:
                current.lines.append(text)
            if self._ends(current, text):
                self._close()

    def report(self) -> ConsoleReport:
        """All splats so far; one still open counts, however much of it there is."""
        self._close()
        return ConsoleReport(tuple(self._splats), self.booted, self.ended, self.last_time)

    def _follow_life(self, text: str) -> None:
        if text.startswith("Linux version "):
            self.booted = True
        elif text.startswith(("reboot: Power down", "reboot: System halted")):
            self.ended = "poweroff"
        elif text.startswith("Kernel panic - not syncing"):
            self.ended = "panic"
            self.fatal = True

    @staticmethod
    def _starts_new(current: _Open | None, kind: SplatKind) -> bool:
        """A later head inside a report belongs to it: the cause is named first."""
        if current is None:
            return True
        if kind is SplatKind.PANIC:
            return False
        if current.kind is SplatKind.WARNING and kind is SplatKind.WARNING:
            return True
        follow_up = {SplatKind.OOPS, SplatKind.WARNING, SplatKind.BUG, SplatKind.OOM}
        return kind not in follow_up and kind is not current.kind

    @staticmethod
    def _ends(current: _Open, text: str) -> bool:
        if len(current.lines) > 1 and _END.match(text):
            return True
        if current.kind is SplatKind.KASAN and _RULER.match(text):
            current.rulers += 1
            return True
        return False

    def _reopen(self, time: float) -> _Open | None:
        """The report just closed, where a panic follows at once: that is the same event."""
        last = self._last_closed
        if last is None or time - last.time > QUIET_GAP or last.kind not in _MAKE_PANIC:
            return None
        self._splats.pop()
        self._open = last
        return last

    def _close(self) -> None:
        if self._open:
            o = self._open
            splat = Splat(
                o.kind, o.title, tuple(o.lines), o.line_number, fingerprint(o.kind, o.lines)
            )
            self._splats.append(splat)
            self._last_closed = o
            self._open = None


def fingerprint(kind: SplatKind, lines: Iterable[str]) -> str:
    """Kind and the functions on top of the stack: the same in every run and build."""
    names: list[str] = []
    for line in lines:
        match = _FRAME.match(line)
        if match and not match[1] and not match[2].startswith(_REPORTING):
            name = match[2].split(".")[0]
            if name not in names:
                names.append(name)
        if len(names) == 4:
            break
    if not names:
        first = next(iter(lines), "")
        names = [hashlib.sha256(re.sub(r"[0-9a-fx]{3,}|\d+", "#", first).encode()).hexdigest()[:8]]
    return f"{kind.value}:{'/'.join(names)}"


def parse(text: str) -> ConsoleReport:
    """A whole log at once."""
    watcher = Watcher()
    for line in text.splitlines():
        watcher.feed(line)
    return watcher.report()


def parse_kmemleak(text: str) -> tuple[Splat, ...]:
    """The reports of /sys/kernel/debug/kmemleak."""
    splats = []
    blocks = re.split(r"(?m)^(?=unreferenced object )", text)
    number = blocks[0].count("\n") + 1
    for block in blocks[1:]:
        lines = [line.rstrip() for line in block.splitlines()]
        names = [m[1] for line in lines if (m := re.search(r"([A-Za-z_]\w*)\+0x", line))]
        known = [n for n in names if not n.startswith(("kmem", "__kmalloc", "kmalloc", "__kmem"))]
        print_ = f"{SplatKind.LEAK.value}:{'/'.join(known[:4])}"
        splats.append(Splat(SplatKind.LEAK, lines[0], tuple(lines), number, print_))
        number += len(lines)
    return tuple(splats)
