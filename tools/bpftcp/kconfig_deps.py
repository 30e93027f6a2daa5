"""Why a config symbol did not take: a small reader of Kconfig files, used on failure only.

It knows what is needed to name an unmet dependency (config, choice, menu, if,
source, depends, select, prompt conditions) and passes over everything else.
Macros, $(...), are text whose value is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SRCARCH = "x86"
_TYPES = ("bool", "tristate", "string", "hex", "int")
_TOKEN = re.compile(
    r"""\s*(&&|\|\||!=|<=|>=|[!=<>()]|"[^"]*"|'[^']*'|\$\((?:[^()]|\([^()]*\))*\)|[\w.-]+)"""
)


@dataclass
class Definition:
    """One `config` block: conditions that must hold, and of its prompt (None: no prompt)."""

    depends: list[str] = field(default_factory=list)
    prompt: str | None = None
    prompted: bool = False
    choice: int | None = None


@dataclass
class Model:
    """All definitions, and who selects whom under which condition."""

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    selects: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    choices: dict[int, list[str]] = field(default_factory=dict)


def read_tree(tree: Path) -> Model:
    """Read the tree's Kconfig from the top, as for x86."""
    model = Model()
    _Reader(tree, model).read(tree / "Kconfig", [])
    return model


class _Reader:
    def __init__(self, tree: Path, model: Model) -> None:
        self._tree = tree
        self._model = model
        self._choice: int | None = None
        self._choices = 0

    def read(self, path: Path, context: list[str]) -> None:
        """One file; context: conditions of the menus and ifs around it."""
        stack: list[list[str]] = [context]
        current: Definition | None = None
        symbol = ""
        for line in _logical_lines(path):
            word, _, rest = line.partition(" ")
            rest = rest.strip()
            if word in ("config", "menuconfig"):
                symbol = rest
                current = Definition(depends=list(stack[-1]), choice=self._choice)
                self._model.definitions.setdefault(symbol, []).append(current)
                if self._choice is not None:
                    self._model.choices[self._choice].append(symbol)
            elif word == "choice":
                self._choices += 1
                self._choice = self._choices
                self._model.choices[self._choice] = []
                stack.append(list(stack[-1]))
                current = None
            elif word in ("menu", "if"):
                stack.append([*stack[-1], rest] if word == "if" else list(stack[-1]))
                current = None
            elif word in ("endmenu", "endif", "endchoice"):
                if len(stack) > 1:
                    stack.pop()
                if word == "endchoice":
                    self._choice = None
                current = None
            elif word in ("source", "rsource", "osource", "orsource"):
                current = None
                for file in self._resolve(rest, path if "rs" in word else self._tree / "x"):
                    self.read(file, list(stack[-1]))
            elif word == "comment":
                current = None
                symbol = ""
            elif word == "depends" and rest.startswith("on "):
                (current.depends if current else stack[-1]).append(rest[3:].strip())
            elif current is not None:
                self._attribute(symbol, current, word, rest)

    def _attribute(self, symbol: str, current: Definition, word: str, rest: str) -> None:
        text, _, condition = _split_if(rest)
        if (word in _TYPES or word == "prompt") and text:
            current.prompted = True
            current.prompt = condition or None
        elif word in ("select", "imply") and word == "select":
            self._model.selects.setdefault(text, []).append((symbol, condition))

    def _resolve(self, text: str, origin: Path) -> Iterator[Path]:
        name = text.strip("\"'").replace("$(SRCARCH)", SRCARCH).replace("$SRCARCH", SRCARCH)
        if "$" not in name:
            yield from (p for p in sorted(origin.parent.glob(name)) if p.is_file())


def _logical_lines(path: Path) -> Iterator[str]:
    """Lines without comments, help texts and continuations."""
    help_indent: int | None = None
    in_help = False
    pending = ""
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        expanded = raw.expandtabs(8)
        indent = len(expanded) - len(expanded.lstrip())
        if in_help:
            if not expanded.strip():
                continue
            if help_indent is None:
                help_indent = indent if indent else -1
            if indent >= max(help_indent, 1):
                continue
            in_help = False
        line = (pending + " " + raw.strip()).strip() if pending else raw.strip()
        pending = ""
        if line.endswith("\\"):
            pending = line[:-1].rstrip()
            continue
        if line in ("help", "---help---"):
            in_help, help_indent = True, None
            continue
        if line and not line.startswith("#"):
            yield re.sub(r"\s+", " ", line)


def _split_if(rest: str) -> tuple[str, str, str]:
    """`"text" if COND` or `SYMBOL if COND`: text, separator, condition."""
    match = re.match(r"""("[^"]*"|'[^']*'|[\w.-]+)(\s+if\s+)?(.*)""", rest)
    return (match[1], match[2] or "", match[3] if match[2] else "") if match else ("", "", "")


def explain(model: Model, config: Mapping[str, str], symbol: str, wanted: str) -> str:
    """One phrase: what keeps the symbol from having the wanted value."""
    definitions = model.definitions.get(symbol)
    if not definitions:
        return "no such symbol in this kernel"
    if wanted == "n":
        by = [
            who
            for who, condition in model.selects.get(symbol, [])
            if config.get(who, "n") != "n" and evaluate(condition, config) is not False
        ]
        if by:
            return f"selected by {', '.join(sorted(by)[:3])}"
        return _prompt_problem(definitions, config) or "it is on by default and stays so"
    reasons = [_unmet(d, config) for d in definitions]
    if all(reasons):
        return "; or ".join(dict.fromkeys(filter(None, reasons)))
    if problem := _prompt_problem(definitions, config):
        return problem
    for definition in definitions:
        chosen = [
            s
            for s in model.choices.get(definition.choice or 0, [])
            if s != symbol and config.get(s) == "y"
        ]
        if chosen:
            return f"one of a choice, and {chosen[0]} is chosen"
    return "its dependencies are met: is the value in its range?"


def _prompt_problem(definitions: list[Definition], config: Mapping[str, str]) -> str:
    prompted = [d for d in definitions if d.prompted]
    if not prompted:
        return "it has no prompt: only another symbol can select it"
    hidden = [d.prompt for d in prompted if d.prompt and evaluate(d.prompt, config) is False]
    if len(hidden) == len(prompted):
        return f"it is only visible with {', '.join(_leaves(hidden[0] or '', config))}"
    unmet = [_unmet(d, config) for d in prompted]
    return unmet[0] if all(unmet) else ""


def _unmet(definition: Definition, config: Mapping[str, str]) -> str:
    """The parts of a definition's dependencies that do not hold."""
    parts = []
    for expression in definition.depends:
        for part in _conjuncts(expression):
            if evaluate(part, config) is False:
                parts += _leaves(part, config)
    return "needs " + ", ".join(dict.fromkeys(parts)) if parts else ""


def _conjuncts(expression: str) -> list[str]:
    """Split at the && of the top level."""
    depth = 0
    parts = [""]
    for token in _tokens(expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "&&" and depth == 0:
            parts.append("")
        else:
            parts[-1] += f" {token}"
    text = [re.sub(r"(?<=[!(]) | (?=\))", "", part.strip()) for part in parts]
    if len(text) == 1 and text[0].startswith("(") and _closes_at_end(text[0]):
        return _conjuncts(text[0][1:-1])
    return text


def _closes_at_end(text: str) -> bool:
    depth = 0
    for at, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            return at == len(text) - 1
    return False


def _leaves(part: str, config: Mapping[str, str]) -> list[str]:
    if re.fullmatch(r"\w+", part):
        return [f"{part} (={config.get(part, 'n')})"]
    values = {
        token: config.get(token, "n")
        for token in _tokens(part)
        if re.fullmatch(r"[A-Z]\w*", token) and not token.isdigit()
    }
    shown = ", ".join(f"{k}={v}" for k, v in values.items())
    if part.startswith("(") and _closes_at_end(part):
        part = part[1:-1]
    return [f"{part} ({shown})" if shown else part]


def _tokens(expression: str) -> list[str]:
    return _TOKEN.findall(expression)


def evaluate(expression: str, config: Mapping[str, str]) -> bool | None:
    """Whether the expression is not n; None where that cannot be known."""
    if not expression.strip():
        return True
    return _Parser(_tokens(expression), config).disjunction()


class _Parser:
    def __init__(self, tokens: list[str], config: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._config = config

    def _next(self) -> str:
        return self._tokens.pop(0) if self._tokens else ""

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def disjunction(self) -> bool | None:
        values = [self.conjunction()]
        while self._peek() == "||":
            self._next()
            values.append(self.conjunction())
        return True if True in values else None if None in values else False

    def conjunction(self) -> bool | None:
        values = [self.factor()]
        while self._peek() == "&&":
            self._next()
            values.append(self.factor())
        return False if False in values else None if None in values else True

    def factor(self) -> bool | None:
        token = self._next()
        if token == "!":
            value = self.factor()
            return None if value is None else not value
        if token == "(":
            value = self.disjunction()
            self._next()
            return value
        left = self._value(token)
        if self._peek() in ("=", "!=", "<", ">", "<=", ">="):
            operator, right = self._next(), self._value(self._next())
            if left is None or right is None:
                return None
            return _compare(left, operator, right)
        return None if left is None else left not in ("n", "")

    def _value(self, token: str) -> str | None:
        if token.startswith("$"):
            return None
        if token[:1] in "\"'":
            return None if "$(" in token else token[1:-1]
        if token in ("y", "m", "n") or re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", token):
            return token
        return self._config.get(token, "n").strip('"')


def _compare(left: str, operator: str, right: str) -> bool | None:
    if operator == "=":
        return left == right
    if operator == "!=":
        return left != right
    try:
        a, b = int(left, 0), int(right, 0)
    except ValueError:
        return None
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]
