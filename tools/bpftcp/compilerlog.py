"""The first error in the output of a parallel make, with the lines that explain it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COMPILER = re.compile(r"^\S[^:]*:\d+(?::\d+)?: (?:fatal )?error: ")
_HEAD = re.compile(r"^(In file included from |\s+from |\S+: In function |\S+: At top level)")
_CONTEXT = re.compile(r"^\s+(\d+ )?\|")
_OTHERS = (
    re.compile(r"undefined reference to|multiple definition of|^ld(\.lld)?: .*error"),
    re.compile(r"^(?:make\S*: )?\*\*\* No rule to make target"),
    re.compile(r"^make\S*: \*\*\* No rule to make target"),
    re.compile(r"\bError: "),
    re.compile(r"^/bin/(?:ba|da)?sh: .*not found"),
    re.compile(r"^(?:error|ERROR|FAILED|fatal)\b"),
)
_MAKE = re.compile(r"^make\S*: \*\*\* ")
MAX_LINES = 14


def first_error(lines: Sequence[str]) -> list[str]:
    """A few lines: a compiler's error with its head and source context, else the next best.

    Where nothing looks like an error, the end of the log.
    """
    for at, line in enumerate(lines):
        if _COMPILER.match(line):
            return _with_context(lines, at)
    for pattern in (*_OTHERS, _MAKE):
        for at, line in enumerate(lines):
            if pattern.search(line):
                return [text[:300] for text in lines[max(0, at - 2) : at + 3]]
    return [text[:300] for text in lines[-MAX_LINES:]]


def _with_context(lines: Sequence[str], at: int) -> list[str]:
    start = at
    while start > 0 and at - start < 6 and _HEAD.match(lines[start - 1]):
        start -= 1
    end = at + 1
    while end < len(lines) and end - at < 6 and _CONTEXT.match(lines[end]):
        end += 1
    return [text[:300] for text in lines[start:end]]
