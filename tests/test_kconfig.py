"""Fragments, profiles, and why a symbol did not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpftcp import kconfig, kconfig_deps
from bpftcp.errors import ConfigError, ExitCode, UsageError
from conftest import FakeKernel

REPOSITORY = Path(__file__).resolve().parents[1]


def fragment(tmp_path: Path, text: str, name: str = "net.config") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_fragment_lines(tmp_path: Path) -> None:
    path = fragment(
        tmp_path, '# why\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x y"\n\nCONFIG_D=n\n'
    )
    assert [(w.symbol, w.value) for w in kconfig.read_fragment(path)] == [
        ("A", "y"),
        ("B", "n"),
        ("C", '"x y"'),
        ("D", "n"),
    ]


@pytest.mark.parametrize("line", ["CONFIG_A", "A=y", "config a", "CONFIG_A = y"])
def test_garbage_in_a_fragment(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.config:2"):
        kconfig.read_fragment(fragment(tmp_path, f"CONFIG_B=y\n{line}\n"))


def test_contradiction_in_a_fragment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set otherwise at net\.config:1"):
        kconfig.read_fragment(fragment(tmp_path, "CONFIG_A=y\nCONFIG_A=n\n"))


def test_later_fragment_overrides(tmp_path: Path) -> None:
    one = fragment(tmp_path, "CONFIG_HZ_1000=y\n", "one.config")
    two = fragment(tmp_path, "CONFIG_HZ_1000=n\n", "two.config")
    assert kconfig.merge([one, two])["HZ_1000"].value == "n"


def test_configure_and_verify(kernel: FakeKernel, tmp_path: Path) -> None:
    path = fragment(tmp_path, "CONFIG_NET=y\nCONFIG_INET=y\n")
    config = kconfig.configure(kernel.tree, tmp_path / "out", [path])
    assert config.symbols == 2
    before = config.path.stat().st_mtime_ns
    again = kconfig.configure(kernel.tree, tmp_path / "out", [path])
    assert again.path.stat().st_mtime_ns == before and again.digest == config.digest
    path.write_text("CONFIG_NET=y\n")
    assert kconfig.configure(kernel.tree, tmp_path / "out", [path]).digest != config.digest


def test_symbols_that_did_not_take_are_named_with_the_reason(
    kernel: FakeKernel, tmp_path: Path
) -> None:
    kernel.switch("drop", "TCP_MD5SIG NOSUCH INET")
    path = fragment(tmp_path, "CONFIG_NET=y\nCONFIG_INET=y\nCONFIG_TCP_MD5SIG=y\nCONFIG_NOSUCH=y\n")
    with pytest.raises(ConfigError, match="3 config symbols did not take") as caught:
        kconfig.configure(kernel.tree, tmp_path / "out", [path])
    lines = "\n".join(caught.value.excerpt)
    assert "CONFIG_TCP_MD5SIG: wanted y, got n (net.config:3): needs INET (=n)" in lines
    assert "CRYPTO || BROKEN (CRYPTO=n, BROKEN=n)" in lines
    assert "NOTHING" not in lines
    assert "CONFIG_NOSUCH: wanted y, got n (net.config:4): no such symbol" in lines
    assert caught.value.exit_code is ExitCode.FAILED


def test_switching_off_what_does_not_exist_is_a_mistake(kernel: FakeKernel, tmp_path: Path) -> None:
    path = fragment(tmp_path, "CONFIG_NET=y\nCONFIG_EXPERT_ONLY=n\nCONFIG_EXPERT_OLNY=n\n")
    with pytest.raises(ConfigError, match="1 config symbol did not take") as caught:
        kconfig.configure(kernel.tree, tmp_path / "out", [path])
    assert "CONFIG_EXPERT_OLNY: wanted n, got n (net.config:3): no such" in caught.value.excerpt[0]


@pytest.mark.parametrize(
    ("symbol", "wanted", "config", "phrase"),
    [
        ("CRYPTO_HASH", "n", {"INET": "y", "CRYPTO_HASH": "y"}, "selected by INET"),
        ("CRYPTO_HASH", "y", {}, "no prompt"),
        ("EXPERT_ONLY", "y", {"NET": "y", "INET": "y"}, "only visible with EXPERT (=n)"),
        ("TCP_MD5SIG", "y", {"NET": "y", "INET": "y", "CRYPTO": "y", "LEGACY": "y"}, "!LEGACY"),
        ("HZ_100", "y", {"HZ_1000": "y"}, "HZ_1000 is chosen"),
    ],
)
def test_explanations(
    kernel: FakeKernel, symbol: str, wanted: str, config: dict[str, str], phrase: str
) -> None:
    model = kconfig_deps.read_tree(kernel.tree)
    assert phrase in kconfig_deps.explain(model, config, symbol, wanted)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("A && B", False),
        ("A || B", True),
        ("!B", True),
        ("A && !(B || A)", False),
        ('NAME = "x y"', True),
        ("N > 5 && N <= 10", True),
        ("$(cc-option,-foo)", None),
        ("B && $(cc-option,-foo)", False),
        ("A || $(cc-option,-foo)", True),
        ("", True),
    ],
)
def test_evaluate(expression: str, value: bool | None) -> None:
    config = {"A": "y", "NAME": '"x y"', "N": "10"}
    assert kconfig_deps.evaluate(expression, config) is value


def test_profiles_of_this_repository() -> None:
    folder = REPOSITORY / "kconfig"
    profiles = kconfig.load_profiles(folder)
    assert set(profiles) == {"lean", "bench", "upstream", "debug"}
    assert profiles["bench"].cpus == 1
    assert profiles["debug"].fragments[: len(profiles["lean"].fragments)] == (
        profiles["lean"].fragments
    )
    for profile in profiles.values():
        merged = kconfig.merge(kconfig.fragment_paths(folder, profile))
        assert merged["MPTCP"].value == "y"
    debug = kconfig.merge(kconfig.fragment_paths(folder, profiles["debug"]))
    for symbol in ("KASAN", "PROVE_LOCKING", "PROVE_RCU", "DEBUG_KMEMLEAK", "DEBUG_OBJECTS",
                   "PANIC_ON_OOPS"):  # fmt: skip
        assert debug[symbol].value == "y"
    lean = kconfig.merge(kconfig.fragment_paths(folder, profiles["lean"]))
    assert lean["HZ_1000"].value == "y" and lean["DEFAULT_CUBIC"].value == "y"


def test_every_fragment_belongs_to_something() -> None:
    folder = REPOSITORY / "kconfig"
    used = {f for p in kconfig.load_profiles(folder).values() for f in p.fragments}
    have = {p.stem for p in folder.glob("*.config")}
    assert have - used <= {"base-6.12"}


@pytest.mark.parametrize("text", ["[a]\nextends = 'a'\ncpus = 1\nmemory = 1", "[a]\ncpus = 1", "x"])
def test_bad_profiles(tmp_path: Path, text: str) -> None:
    (tmp_path / "profiles.toml").write_text(text)
    with pytest.raises(UsageError):
        kconfig.load_profiles(tmp_path)
