"""The Kconfig reader: each way a symbol can fail to take, and what hides it from the reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpftcp import kconfig, kconfig_deps
from bpftcp.errors import ConfigError, UsageError
from bpftcp.kconfig_deps import Model

TOP = """
mainmenu "Fake $(KERNELVERSION)"
source "arch/$(SRCARCH)/Kconfig"
osource "no/such/Kconfig"
rsource "sub/Kconfig"
config MODULES
	bool "Modules"
	modules
config OLD
	bool
	transitional
	help
		config NOT_THIS
		depends on NOR_THIS

		depends on THIS_NEITHER
config AFTER_HELP
	bool "After"
	depends on A && \\
		B
"""
ARCH = """
config A
	bool "A"
config LOOSE
	bool "Loose"
	depends on A && B || C=n
comment "Only with NEVER"
	depends on NEVER
config AFTER_COMMENT
	bool "Says \\"why\\" and C#" if EXPERT
config WITH_REMARK
	bool "Remark"
	depends on A # if A: see NEVER
config CONDITIONAL
	bool "Conditional"
	depends on B if A
config NARROW
	bool "Narrow"
	depends on !64BIT
config ONLY_MODULE
	tristate "Only a module"
	depends on m
config NEEDS_TOOL
	bool "Tool"
	depends on $(cc-option,-fnew)
config SIZE
	int "Size"
	range 1 8 if SMALL
	range 1 MAX
config FIXED
	string
	default "fixed"
config ALWAYS
	def_bool y
config SELECTED
	bool "Selected"
config SELECTOR
	bool "Selector"
	select SELECTED if A
config BY_MODULE
	tristate "Follows"
	depends on TRI
config TRI
	tristate "Tri"
"""
SUB = """
menu "Hidden"
	visible if SHOWN
	depends on A
config IN_MENU
	bool "In menu"
endmenu
if A && !B
choice
	prompt "One of" if EXPERT
config ONE
	bool "1"
config TWO
	bool "2"
	depends on C
endchoice
endif
config AT_THE_END
	bool "End"
"""
MAKEFILE = """
allnoconfig:
	@echo configuring
	@cp $(KCONFIG_ALLCONFIG) $(KCONFIG_CONFIG)
	@for s in $$(cat drop 2>/dev/null); do sed -i "/^CONFIG_$$s=/d" $(KCONFIG_CONFIG); done
	@if [ -e fail ]; then echo 'Kconfig:3: syntax error'; exit 1; fi
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "linux"
    texts = {
        "Kconfig": TOP,
        "arch/x86/Kconfig": ARCH,
        "arch/arm/Kconfig": "config ARM\n\tbool\n",
        "sub/Kconfig": SUB,
        "Makefile": MAKEFILE,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def model(tree: Path) -> Model:
    return kconfig_deps.read_tree(tree)


def test_reads_what_is_a_symbol_and_nothing_else(model: Model) -> None:
    assert {"A", "OLD", "MODULES", "IN_MENU", "AT_THE_END"} <= set(model.definitions)
    assert not {"ARM", "NOT_THIS"} & set(model.definitions)


@pytest.mark.parametrize(
    ("symbol", "wanted", "on", "reason"),
    [
        ("NOSUCH", "y", "", "no such symbol in this kernel"),
        ("AFTER_HELP", "y", "A", "needs B (=n)"),
        ("AFTER_HELP", "y", "", "needs A (=n), B (=n)"),
        ("LOOSE", "y", "C", "needs A && B || C = n (A=n, B=n, C=y)"),
        ("LOOSE", "y", "", "its dependencies are met"),
        ("AFTER_COMMENT", "y", "EXPERT", "its dependencies are met"),
        ("AFTER_COMMENT", "y", "", "it is only visible with EXPERT (=n)"),
        ("WITH_REMARK", "y", "", "needs A (=n)"),
        ("CONDITIONAL", "y", "", "its dependencies are met"),
        ("CONDITIONAL", "y", "A", "needs !(A) || (B) (A=y, B=n)"),
        ("NARROW", "y", "64BIT", "needs !64BIT (64BIT=y)"),
        ("ONLY_MODULE", "y", "", "needs MODULES (=n)"),
        ("ONLY_MODULE", "m", "", "m needs MODULES (=n)"),
        ("A", "m", "MODULES", "it is no tristate: only y or n"),
        ("NEEDS_TOOL", "y", "", "depends on $(cc-option,-fnew), which only make can tell"),
        ("SIZE", "99", "MAX", "its range is 1 to y"),
        ("SIZE", "99", "SMALL", "its range is 1 to 8"),
        ("FIXED", '"x"', "", "it has no prompt: its value is always the default"),
        ("OLD", "y", "", "it has no prompt: only another symbol can select it"),
        ("ALWAYS", "n", "ALWAYS", "it has no prompt, and is on by default"),
        ("SELECTED", "n", "SELECTED SELECTOR A", "selected by SELECTOR"),
        ("SELECTED", "n", "SELECTED SELECTOR", "it is on by default and stays so"),
        ("IN_MENU", "y", "A", "it is only visible with SHOWN (=n)"),
        ("IN_MENU", "y", "SHOWN", "needs A (=n)"),
        ("ONE", "y", "A TWO", "it is only visible with EXPERT (=n)"),
        ("ONE", "y", "A TWO EXPERT", "one of a choice, and TWO is chosen"),
        ("ONE", "y", "A B EXPERT", "needs !B (B=y)"),
        ("TWO", "y", "A ONE EXPERT", "needs C (=n)"),
        ("ONE", "n", "A ONE EXPERT", "one of a choice: another one must be set to y"),
        ("AT_THE_END", "y", "", "its dependencies are met"),
    ],
)
def test_reasons(model: Model, symbol: str, wanted: str, on: str, reason: str) -> None:
    config = dict.fromkeys(on.split(), "y")
    assert kconfig_deps.explain(model, config, symbol, wanted) == reason


def test_a_module_limits_what_depends_on_it(model: Model) -> None:
    config = {"MODULES": "y", "TRI": "m", "BY_MODULE": "m"}
    reason = kconfig_deps.explain(model, config, "BY_MODULE", "y")
    assert reason == "no more than m, for TRI (=m)"


@pytest.mark.parametrize(("left", "value"), [("n", False), ("m", True), ("y", True)])
def test_tristates_are_ordered(left: str, value: bool) -> None:
    assert kconfig_deps.evaluate("A >= B", {"A": left, "B": "m"}) is value


def test_relative_paths_are_ours_not_the_trees(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.config").write_text("CONFIG_A=y\n")
    config = kconfig.configure(Path("linux"), Path("out"), [Path("f.config")], log=Path("l"))
    assert config.path == tmp_path / "out/.config"
    assert "configuring" in (tmp_path / "l").read_text()
    assert not (tree / "out").exists()


def test_a_failing_make_shows_its_end_and_can_be_repeated(tree: Path, tmp_path: Path) -> None:
    (tree / "fail").touch()
    (tmp_path / "f.config").write_text("CONFIG_A=y\n")
    with pytest.raises(ConfigError, match="allnoconfig failed") as caught:
        kconfig.configure(
            tree, tmp_path / "out", [tmp_path / "f.config"], make_args=["CC=ccache gcc"]
        )
    assert any("syntax error" in line for line in caught.value.excerpt)
    assert "'CC=ccache gcc'" in (caught.value.repeat or "")
    assert caught.value.log == tmp_path / "out/config.log"
    assert not (tmp_path / "out/.config").exists()


def test_a_symbol_that_did_not_take_can_be_repeated(tree: Path, tmp_path: Path) -> None:
    (tree / "drop").write_text("SELECTED")
    (tmp_path / "f.config").write_text("CONFIG_A=y\nCONFIG_SELECTED=y\n")
    with pytest.raises(ConfigError, match="1 config symbol did not take") as caught:
        kconfig.configure(tree, tmp_path / "out", [tmp_path / "f.config"])
    assert caught.value.excerpt == (
        "CONFIG_SELECTED: wanted y, got n (f.config:2): its dependencies are met",
    )
    assert (caught.value.repeat or "").startswith("make -C ")


@pytest.mark.parametrize("value", ["", "yes", "y # why", '"open', "12abc"])
def test_a_value_that_is_none(tmp_path: Path, value: str) -> None:
    (tmp_path / "f.config").write_text(f"CONFIG_A={value}\n")
    with pytest.raises(ConfigError, match=r"f\.config:1"):
        kconfig.read_fragment(tmp_path / "f.config")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ('[a]\nfragments = "base"\ncpus = 1\nmemory = 1', "must be a list"),
        ('[a]\ncpus = "two"\nmemory = 1', "two"),
        ("x = 1", "no table"),
        ('[a]\nextends = "b"\ncpus = 1\nmemory = 1', "'b' is missing"),
        ("[a]\ncpus = 1\nmemmory = 1", "unknown keys: memmory"),
    ],
)
def test_wrong_profiles_are_the_users_error(tmp_path: Path, text: str, phrase: str) -> None:
    (tmp_path / "profiles.toml").write_text(text)
    with pytest.raises(UsageError, match=phrase):
        kconfig.load_profiles(tmp_path)
