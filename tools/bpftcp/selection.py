"""-k: a boolean expression over names, as pytest has it: `mptcp or fin and not misc`."""

from __future__ import annotations

import re
from collections.abc import Callable

from bpftcp.errors import UsageError

Matcher = Callable[[str], bool]
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+)")


def compile_expression(text: str) -> Matcher:
    """A function that tells whether a name matches; words match as substrings, case ignored.

    Raises UsageError where the expression does not parse.
    """
    tokens = _TOKEN.findall(text)
    if not tokens:
        raise UsageError("-k: the expression is empty")
    matcher = _disjunction(tokens, text)
    if tokens:
        raise UsageError(f"-k: unexpected {tokens[0]!r} in {text!r}")
    return matcher


def _disjunction(tokens: list[str], text: str) -> Matcher:
    parts = [_conjunction(tokens, text)]
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        parts.append(_conjunction(tokens, text))
    return lambda name: any(part(name) for part in parts)


def _conjunction(tokens: list[str], text: str) -> Matcher:
    parts = [_factor(tokens, text)]
    while tokens and tokens[0] == "and":
        tokens.pop(0)
        parts.append(_factor(tokens, text))
    return lambda name: all(part(name) for part in parts)


def _factor(tokens: list[str], text: str) -> Matcher:
    token = tokens.pop(0) if tokens else ""
    if token == "not":
        inner = _factor(tokens, text)
        return lambda name: not inner(name)
    if token == "(":
        inner = _disjunction(tokens, text)
        if not tokens or tokens.pop(0) != ")":
            raise UsageError(f"-k: a parenthesis is not closed in {text!r}")
        return inner
    if token in ("", ")", "and", "or"):
        raise UsageError(f"-k: a name is missing in {text!r}")
    return lambda name: token.lower() in name.lower()
