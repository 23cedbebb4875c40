# SPDX-License-Identifier: Apache-2.0
"""Scripts behind `make`: results are counted right, generated pages are complete."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.arch.commands import COMMANDS
from hw.arch.csr import (
    CACHE_REGISTERS,
    COUNTERS,
    ELEMENT_REGISTERS,
    GRID_REGISTERS,
    REGISTERS,
)
from scripts.make_docs import command_page, register_page
from scripts.run_tests import (
    Case,
    Step,
    _bench_suite,
    _nightly_suite,
    run_step,
    write_results,
)

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="later")
def test_later(): pass
"""


def test_pytest_step_counts_its_tests(tmp_path: Path) -> None:
    """One failed test is one failure, not a failed step."""
    (tmp_path / "test_x.py").write_text(TESTS)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path))
    cases = run_step(Step("x", command, True), tmp_path)
    assert [case.state for case in cases] == ["passed", "failed", "skipped"]
    assert "assert 1 == 2" in cases[1].message
    assert cases[2].message == "later"


@pytest.mark.parametrize("content", ["import nothing_of_that_name", ""])
def test_pytest_step_without_tests_fails(tmp_path: Path, content: str) -> None:
    """A file that cannot be imported, or is empty, must not look like success."""
    (tmp_path / "test_x.py").write_text(content)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path))
    assert "failed" in [case.state for case in run_step(Step("x", command, True), tmp_path)]


@pytest.mark.parametrize(("code", "state"), [(0, "passed"), (3, "failed")])
def test_other_step_counts_by_its_code(tmp_path: Path, code: int, state: str) -> None:
    """Linters and checkers are one case each."""
    step = Step("x", (sys.executable, "-c", f"raise SystemExit({code})"))
    (case,) = run_step(step, tmp_path)
    assert case.state == state


def test_results_say_the_same_as_json_and_junit(tmp_path: Path) -> None:
    """Both are read by other tools."""
    cases = [
        Case("a", "models", "one", "passed", 1.0),
        Case("a", "benches", "two", "failed", 2.0, "why"),
        Case("b", "lint", "three", "skipped", 0.0, "later"),
    ]
    write_results("suite", cases, tmp_path)
    summary = json.loads((tmp_path / "suite.json").read_text())
    assert [summary[state] for state in ("passed", "failed", "skipped")] == [1, 1, 1]
    root = ElementTree.parse(tmp_path / "suite.junit.xml").getroot()
    assert [suite.get("failures") for suite in root] == ["1", "0"]
    fault = root.find(".//failure")
    assert fault is not None
    assert fault.get("message") == "why"


def test_pages_name_every_command_field_register_and_counter() -> None:
    """A page that leaves one out would mislead."""
    page = command_page()
    for command in COMMANDS.values():
        assert f"## {command.opcode.name}\n" in page
        assert all(f"`{field.name}`" in page for field in command.fields)
    page = register_page()
    known = REGISTERS | ELEMENT_REGISTERS | GRID_REGISTERS | CACHE_REGISTERS
    assert all(name in page for name in known)
    assert all(f"`{counter.name}`" in page for counter in COUNTERS)


@pytest.mark.parametrize("suite", [_bench_suite, _nightly_suite])
def test_every_measurement_of_the_fpga_is_run(
    suite: Callable[[str], list[Step]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that no suite makes gets old, and so does one with other seeds."""
    monkeypatch.setenv("SEEDS", "5")
    monkeypatch.setenv("SEED", "1")
    steps = {step.name: step.command for step in suite("") if step.name.startswith("FPGA")}
    assert list(steps) == ["FPGA units", "FPGA rivals", "FPGA options", "FPGA chip"]
    for command in steps.values():
        assert command[command.index("--seeds") + 1] == "5"


@pytest.mark.parametrize(("value", "compares"), [("1", True), ("0", False), ("", False)])
def test_make_compares_only_on_demand(value: str, compares: bool) -> None:
    """COMPARE=0 doubled the time."""
    command = ["make", "-n", "synth", "SET=clock_mhz=50", f"COMPARE={value}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("--compare" in done.stdout) == compares


def test_make_help_lists_every_verb() -> None:
    """A verb without a line in the help would not be found."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (verbs,) = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"make {verb} " in done.stdout for verb in verbs.split())


def test_pins_name_no_place() -> None:
    """The pinned requirements hold for everybody: each with hashes, no index, no path."""
    text = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"https?:|file:|^-|/", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    pins = re.findall(r"^[a-z][\w.-]*==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z]", text, flags=re.MULTILINE))
