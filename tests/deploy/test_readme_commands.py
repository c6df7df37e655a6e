"""What the documentation has people type: that it exists. And the figures, files and tests that it names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from math import prod

import pytest

from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.rates import ROW_BYTES, ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S, default_rates
from tests.support.documentation import ROOT, blocks, pages

PAGES = pages()
EVERYTHING = "\n".join(PAGES.values())
OPERATORS = {"&&", "||", "|", ";", ">", "2>&1"}


def shell_lines() -> list[str]:
    """The lines of all shell blocks, continued ones joined, comments left out."""
    joined = "\n".join(block for page in PAGES.values() for block in blocks(page, "sh")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def commands() -> list[list[str]]:
    """All simple commands, as words; those inside quotes and substitutions too."""
    found: list[list[str]] = []
    texts = shell_lines()
    texts += [
        inner
        for text in texts
        for inner in re.findall(r"'((?:gcloud|python) [^']*)'|\$\(([^)]*)\)", text)
        for inner in inner
        if inner
    ]
    for text in texts:
        words: list[str] = []
        for word in shlex.split(text, comments=True):
            if word in OPERATORS:
                found.append(words)
                words = []
            else:
                words.append(word)
        found.append(words)
    return [words for words in found if words]


def invocations(program: str) -> list[list[str]]:
    """The arguments of each invocation of a program, without repetitions."""
    chosen = [tuple(words[1:]) for words in commands() if words[0] == program]
    return [list(words) for words in dict.fromkeys(chosen)]


def flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


@cache
def help_of(*command: str) -> str:
    """What a program says of itself; empty if it does not know the command."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False, cwd=ROOT)
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout) if done.returncode == 0 else ""


def names_flag(help_text: str, flag: str) -> bool:
    return re.search(rf"(?<![\w-]){flag}(?![\w-])", help_text) is not None


def gcloud_command(words: list[str]) -> tuple[str, ...]:
    """The words that name the command: as many of the first ones as gcloud knows."""
    names = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)][: len(words)]
    leading = tuple(word for word, name in zip(words, names, strict=False) if word == name)
    for length in range(len(leading), 0, -1):
        if help_of("gcloud", *leading[:length]):
            return leading[:length]
    return ()


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
@pytest.mark.parametrize("words", invocations("gcloud"), ids=" ".join)
def test_gcloud_knows_the_command_and_its_flags(words: list[str]) -> None:
    command = gcloud_command(words)
    text = help_of("gcloud", *command)
    assert "SYNOPSIS" in text
    assert "GROUP |" not in text, f"gcloud {' '.join(command)} is a group, not a command"
    assert [flag for flag in flags(words) if not names_flag(text, flag)] == []


def test_the_documentation_uses_gcloud() -> None:
    assert len(invocations("gcloud")) > 4


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_a_wrong_command_or_flag_would_be_found() -> None:
    assert gcloud_command(["functions", "cull", "name"]) == ("functions",)
    assert not names_flag(help_of("gcloud", "functions", "call"), "--payload")
    assert names_flag(help_of("gcloud", "functions", "call"), "--data")


OWN = [w for w in invocations("python") if w[0] == "-m"] + [["-m", "l2cache", *w] for w in invocations("l2cache")]


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_our_own_commands_exist_with_their_options(words: list[str]) -> None:
    module = words[1]
    text = help_of(sys.executable, "-m", module)
    assert text
    subcommands = [word for word in words[2:] if re.search(rf"^  {re.escape(word)}\b", text, re.M)]
    for name in subcommands:
        text += help_of(sys.executable, "-m", module, name)
    assert [flag for flag in flags(words) if not names_flag(text, flag)] == []


@pytest.mark.parametrize("words", invocations("make"), ids=" ".join)
def test_make_knows_the_target(words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert words[0] in targets


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    """In code, and as targets of links; a page of the site links to others, and to pages outside by address."""
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.M | re.S)
    tests = set(re.findall(r"`(test_\w+\.py)`", text))
    assert tests - {path.name for path in (ROOT / "tests").rglob("test_*.py")} == set()
    paths = re.findall(r"`((?:infra|shared|functions|tests|docs|l2cache)/[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    folder = (ROOT / page).parent
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []


def test_pages_name_many_files() -> None:
    assert len(set(re.findall(r"`test_\w+\.py`", EVERYTHING))) > 10
    assert len(set(re.findall(r"`(?:infra|shared|functions|tests)/[\w./-]*`", EVERYTHING))) > 20


def test_costs_follow_from_the_price_list() -> None:
    def said(pattern: str) -> float:
        match = re.search(pattern, EVERYTHING)
        assert match, pattern
        return float(match[1])

    prices = LIST_PRICES
    shape = (256, 256, 512)
    rates = default_rates(prod(shape))
    rows = rates.rows_per_chunk * 1e6
    second = prices.vcpu_s + 4 * prices.memory_gib_s
    look_ups = 1e6 * 0.1 * (prices.vcpu_s + prices.memory_gib_s) + prices.million_requests
    assert said(r"\| ([\d.]+) a month for the one node") == pytest.approx(prices.table_node_hour * 730, rel=0.01)
    assert said(r"one at a time in an instance \| ([\d.]+);") == pytest.approx(look_ups, rel=0.01)
    assert said(r"\| ([\d.]+) for computing \(") == pytest.approx(1e6 * rates.core_s_per_chunk * second, rel=0.01)
    files = rates.files_per_chunk(shape)
    assert said(r"([\d.]+) for reading 128 files") == pytest.approx(files * prices.million_file_reads, rel=0.01)
    node_hours = rows / ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S / 3600
    assert said(r"([\d.]+) for Bigtable nodes while") == pytest.approx(node_hours * prices.table_node_hour, rel=0.01)
    gib = rows * ROW_BYTES / 2**30
    assert said(r"and ([\d.]+) a month for storing") == pytest.approx(gib * prices.table_gib_month, rel=0.02)
    assert prices.valid.partition(",")[0] in EVERYTHING
