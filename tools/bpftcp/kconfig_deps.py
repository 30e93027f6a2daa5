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
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_COMMENT = re.compile(rf"""((?:{_QUOTED}|[^"'#])*)#.*""")
_TOKEN = re.compile(
    r"""\s*(&&|\|\||!=|<=|>=|[!=<>()]|"[^"]*"|'[^']*'|\$\((?:[^()]|\([^()]*\))*\)|[\w.-]+)"""
)


@dataclass
class Definition:
    """One `config` block: what it depends on, and whether and when its prompt is shown."""

    depends: list[str] = field(default_factory=list)
    visible: list[str] = field(default_factory=list)
    """Conditions of the prompt: its own, and `visible if` of the menus around it."""
    prompted: bool = False
    choice: int | None = None
    type: str = ""
    ranges: list[tuple[str, str]] = field(default_factory=list)
    """Lowest and highest value, and the condition under which they bind."""


@dataclass
class _Block:
    """What a menu, if or choice asks of everything in it."""

    depends: list[str] = field(default_factory=list)
    visible: list[str] = field(default_factory=list)

    def copy(self) -> _Block:
        return _Block(list(self.depends), list(self.visible))


@dataclass
class Model:
    """All definitions, and who selects whom under which condition."""

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    selects: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    choices: dict[int, list[str]] = field(default_factory=dict)


def read_tree(tree: Path) -> Model:
    """Read the tree's Kconfig from the top, as for x86."""
    model = Model()
    _Reader(tree, model).read(tree / "Kconfig", _Block())
    return model


class _Reader:
    def __init__(self, tree: Path, model: Model) -> None:
        self._tree = tree
        self._model = model
        self._choice: int | None = None
        self._choices = 0

    def read(self, path: Path, context: _Block) -> None:
        """One file; context: conditions of the menus and ifs around it."""
        stack = [context]
        current: Definition | None = None
        target = context
        symbol = ""
        for line in _logical_lines(path):
            word, _, rest = line.partition(" ")
            rest = rest.strip()
            if word in ("config", "menuconfig"):
                symbol = rest
                around = stack[-1].copy()
                current = Definition(around.depends, around.visible, choice=self._choice)
                self._model.definitions.setdefault(symbol, []).append(current)
                if self._choice is not None:
                    self._model.choices[self._choice].append(symbol)
            elif word in ("choice", "menu", "if"):
                target = stack[-1].copy()
                stack.append(target)
                current = None
                if word == "if":
                    target.depends.append(rest)
                elif word == "choice":
                    self._choices += 1
                    self._choice = self._choices
                    self._model.choices[self._choice] = []
            elif word in ("endmenu", "endif", "endchoice"):
                if len(stack) > 1:
                    stack.pop()
                if word == "endchoice":
                    self._choice = None
                current, target = None, stack[-1]
            elif word in ("source", "rsource", "osource", "orsource"):
                current = None
                for file in self._resolve(rest, path if "rs" in word else self._tree / "x"):
                    self.read(file, stack[-1].copy())
            elif word == "comment":
                current, target = None, _Block()
            elif word == "depends" and rest.startswith("on "):
                (current or target).depends.append(_conditional(rest[3:]))
            elif word == "visible" and rest.startswith("if "):
                target.visible.append(rest[3:])
            elif current is not None:
                self._attribute(symbol, current, word, rest)
            elif word == "prompt" and (condition := _split_if(rest)[2]):
                target.visible.append(condition)

    def _attribute(self, symbol: str, current: Definition, word: str, rest: str) -> None:
        text, _, condition = _split_if(rest)
        if word in _TYPES or word.startswith("def_"):
            current.type = word.removeprefix("def_")
        if (word in _TYPES or word == "prompt") and text:
            current.prompted = True
            if condition:
                current.visible.append(condition)
        elif word == "range":
            bounds, _, condition = rest.partition(" if ")
            current.ranges.append((bounds.strip(), condition))
        elif word == "select":
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
        if "#" in line and (match := _COMMENT.match(line)):
            line = match[1].rstrip()
        if line:
            yield re.sub(r"\s+", " ", line)


def _split_if(rest: str) -> tuple[str, str, str]:
    """`"text" if COND` or `SYMBOL if COND`: text, separator, condition."""
    match = re.match(rf"({_QUOTED}|[\w.-]+)(\s+if\s+)?(.*)", rest)
    return (match[1], match[2] or "", match[3] if match[2] else "") if match else ("", "", "")


def _conditional(expression: str) -> str:
    """`A if B`, which 7.x knows: A must only hold where B does."""
    wanted, _, condition = expression.partition(" if ")
    return f"!({condition}) || ({wanted.strip()})" if condition else expression


def explain(model: Model, config: Mapping[str, str], symbol: str, wanted: str) -> str:
    """One phrase: what keeps the symbol from having the wanted value."""
    definitions = model.definitions.get(symbol)
    if not definitions:
        return "no such symbol in this kernel"
    if wanted == "n":
        return _why_on(model, config, symbol, definitions)
    if wanted == "m" and not any(d.type == "tristate" for d in definitions):
        return "it is no tristate: only y or n"
    if wanted == "m" and config.get("MODULES", "n") == "n":
        return "m needs MODULES (=n)"
    reasons = [_unmet(d, config) for d in definitions]
    if all(reasons):
        return "; or ".join(dict.fromkeys(reasons))
    if problem := _prompt_problem(definitions, config):
        return problem
    met = [d for d, reason in zip(definitions, reasons, strict=True) if not reason]
    if unknown := _unknown(met, config):
        return f"depends on {unknown}, which only make can tell"
    if chosen := _chosen(model, config, symbol, definitions):
        return f"one of a choice, and {chosen} is chosen"
    for definition in met:
        for bounds, condition in definition.ranges:
            if evaluate(condition, config) is not False:
                return f"its range is {' to '.join(config.get(b, b) for b in bounds.split())}"
    modular = [p for d in met for e in d.depends for p in _conjuncts(e) if config.get(p) == "m"]
    if modular:
        return f"no more than m, for {modular[0]} (=m)"
    return "its dependencies are met"


def _why_on(
    model: Model, config: Mapping[str, str], symbol: str, definitions: list[Definition]
) -> str:
    by = [
        who
        for who, condition in model.selects.get(symbol, [])
        if config.get(who, "n") != "n" and evaluate(condition, config) is not False
    ]
    if by:
        return f"selected by {', '.join(sorted(set(by))[:3])}"
    if not any(d.prompted for d in definitions):
        return "it has no prompt, and is on by default"
    if problem := _prompt_problem(definitions, config):
        return f"on by default, and {problem}"
    if any(d.choice is not None for d in definitions):
        return "one of a choice: another one must be set to y"
    return "it is on by default and stays so"


def _chosen(
    model: Model, config: Mapping[str, str], symbol: str, definitions: list[Definition]
) -> str:
    rivals = (s for d in definitions for s in model.choices.get(d.choice or 0, []))
    return next((s for s in rivals if s != symbol and config.get(s) == "y"), "")


def _prompt_problem(definitions: list[Definition], config: Mapping[str, str]) -> str:
    prompted = [d for d in definitions if d.prompted]
    if not prompted:
        by = "only another symbol can select it"
        if definitions[0].type in ("string", "int", "hex"):
            by = "its value is always the default"
        return f"it has no prompt: {by}"
    hidden = [_false_parts(d.visible, config) for d in prompted]
    if all(hidden):
        return f"it is only visible with {', '.join(hidden[0])}"
    unmet = [_unmet(d, config) for d in prompted]
    return unmet[0] if all(unmet) else ""


def _unmet(definition: Definition, config: Mapping[str, str]) -> str:
    """The parts of a definition's dependencies that do not hold."""
    parts = _false_parts(definition.depends, config)
    return "needs " + ", ".join(parts) if parts else ""


def _false_parts(expressions: list[str], config: Mapping[str, str]) -> list[str]:
    false = (p for e in expressions for p in _conjuncts(e) if evaluate(p, config) is False)
    return list(dict.fromkeys(leaf for part in false for leaf in _leaves(part, config)))


def _unknown(definitions: list[Definition], config: Mapping[str, str]) -> str:
    """Macros in the way of every one of the definitions; "" where one has none."""
    parts: list[str] = []
    for definition in definitions:
        expressions = [*definition.depends, *definition.visible]
        own = [p for e in expressions for p in _conjuncts(e) if evaluate(p, config) is None]
        if not own:
            return ""
        parts += own
    return ", ".join(dict.fromkeys(parts))


def _conjuncts(expression: str) -> list[str]:
    """Split at the && of the top level, unless a || there binds looser."""
    depth = 0
    parts = [""]
    for token in _tokens(expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "||" and depth == 0:
            return [_tidy(expression)]
        if token == "&&" and depth == 0:
            parts.append("")
        else:
            parts[-1] += f" {token}"
    text = [_tidy(part) for part in parts]
    if len(text) == 1 and text[0].startswith("(") and _closes_at_end(text[0]):
        return _conjuncts(text[0][1:-1])
    return text


def _tidy(expression: str) -> str:
    spaced = " ".join(_tokens(expression))
    return re.sub(r"(?<=[!(]) | (?=\))", "", spaced)


def _closes_at_end(text: str) -> bool:
    depth = 0
    for at, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            return at == len(text) - 1
    return False


def _leaves(part: str, config: Mapping[str, str]) -> list[str]:
    if part == "m":
        part = "MODULES"
    if re.fullmatch(r"\w+", part):
        return [f"{part} (={config.get(part, 'n')})"]
    values = {
        token: config.get(token, "n")
        for token in _tokens(part)
        if re.fullmatch(r"[A-Z0-9]*[A-Z]\w*", token)
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
        if token == "m":
            left = self._value("MODULES")
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
    rank = {"n": "0", "m": "1", "y": "2"}
    try:
        a, b = int(rank.get(left, left), 0), int(rank.get(right, right), 0)
    except ValueError:
        return None
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]
