# SPDX-License-Identifier: Apache-2.0
"""Run a set of checks, show one table, and leave JUnit XML and JSON under `build/`.

`run_tests.py SUITE` with SUITE one of `test`, `sim`, `formal`, `lint`, `nightly`. All steps run,
even after one has failed. The exit code is 1 when anything failed.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.coverage_report import report
from sim.build_cache import BuildCache
from tb.common.seeds import bench_seed

__all__ = ["Case", "Step", "main", "read_junit", "run_step", "write_results"]

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
_GIB = 1 << 30
_CACHE_LIMIT = 4 * _GIB
_STATES = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Case:
    """Outcome of one check or test."""

    step: str
    kind: str
    name: str
    state: str
    """`passed`, `failed` or `skipped`."""
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Step:
    """One command. A pytest step counts its tests, any other step counts as one."""

    name: str
    command: tuple[str, ...]
    is_pytest: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def _python(name: str, *command: str) -> Step:
    """A step that runs a Python module or script of the environment."""
    return Step(name, (sys.executable, *command))


def _pytest(name: str, *arguments: str) -> Step:
    """A step that runs pytest on all cores."""
    n_workers = str(max(2, min(os.cpu_count() or 2, 8)))
    command = (sys.executable, "-m", "pytest", "-q", "-n", n_workers, "--dist", "worksteal")
    return Step(
        name,
        (*command, *arguments),
        True,
        {"WAVES_ON_FAILURE": os.environ.get("WAVES_ON_FAILURE", "1")},
    )


def _lint_steps() -> list[Step]:
    return [
        _python("lint", "-m", "ruff", "check", "--output-format", "concise", "."),
        _python("format", "-m", "ruff", "format", "--check", "--output-format", "concise", "."),
        _python("types", "-m", "pyright"),
        _python("layers", "scripts/check_layers.py"),
    ]


def _synth(name: str, *arguments: str) -> Step:
    """A step that places and routes the FPGA member."""
    seeds = os.environ.get("SEEDS") or "3"
    return _python(name, "-m", "sw.cli", "synth", "--seeds", seeds, *arguments)


def _selection(test: str) -> list[str]:
    """Arguments for pytest that pick TEST: a path, a node id, or part of a name."""
    if not test:
        return ["tb"]
    path = test.partition("::")[0]
    return [test] if (ROOT / path).exists() else ["tb", "-k", test]


def _test_suite(test: str) -> list[Step]:
    if test:
        return [_pytest("tests", "-m", "not slow", *_selection(test))]
    return [
        *_lint_steps(),
        _python("documents", "scripts/make_docs.py", "--check"),
        _python("generation", "scripts/check_generation.py"),
        _pytest("tests", "-m", "not slow", "tb"),
    ]


def _sim_suite(test: str) -> list[Step]:
    if test:
        return [_pytest("benches", *_selection(test))]
    config = os.environ.get("CONFIG") or "mtia100-pe"
    return [
        _pytest("benches", "-m", "bench and not slow", "tb"),
        _python("gemm", "scripts/gemm_showcase.py", "--config", config),
        _python("digits", "scripts/digits_showcase.py", *_members("tiny", config)),
    ]


def _members(*names: str) -> list[str]:
    """Options that name each member once."""
    return [word for name in dict.fromkeys(names) for word in ("--config", name)]


def _formal_suite(test: str) -> list[Step]:
    return [_pytest("proofs", *(_selection(test) if test else ["tb/formal"]))]


def _lint_suite(test: str) -> list[Step]:
    return _lint_steps()


def _nightly_suite(test: str) -> list[Step]:
    """Everything, the slow tests too, under a fresh seed."""
    os.environ.setdefault("SEED", str(secrets.randbelow(1 << 31)))
    return [
        *_test_suite("")[:-1],
        _pytest("tests", *_selection(test)),
        *_sim_suite("")[1:],
        _python(
            "channels",
            "scripts/channel_graph.py",
            *_members("tiny", "odd", "tiny-spare", "mtia100"),
        ),
        _python("soak", "scripts/soak.py", "--config", "tiny", "--cycles", "10000000"),
        _python("netlists", "scripts/netlist.py"),
        _python("mutation", "scripts/mutate.py"),
        _synth("FPGA units", "--unit", "all", "--no-picture"),
        _python("FPGA options", "scripts/fpga_options.py", "--seeds", "3"),
        _synth("FPGA chip"),
    ]


_SUITES: dict[str, Callable[[str], list[Step]]] = {
    "test": _test_suite,
    "sim": _sim_suite,
    "formal": _formal_suite,
    "lint": _lint_suite,
    "nightly": _nightly_suite,
}


def run_step(step: Step, folder: Path) -> list[Case]:
    """Run one step; its output goes to the terminal."""
    print(f"\n=== {step.name}: {_readable(step.command)}", flush=True)
    report = folder / f"{step.name}.junit.xml"
    report.unlink(missing_ok=True)
    command = [*step.command, f"--junitxml={report}"] if step.is_pytest else [*step.command]
    env = {**os.environ, **step.environment}
    path = [str(ROOT), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join(path)
    begin = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env=env).returncode
    seconds = time.monotonic() - begin
    if step.is_pytest and report.is_file():
        cases = read_junit(step.name, report)
        if code == 0 or any(case.state == "failed" for case in cases):
            return cases
        return [*cases, Case(step.name, step.name, step.name, "failed", seconds, f"code {code}")]
    state = "failed" if code else "passed"
    return [Case(step.name, step.name, step.name, state, seconds, f"code {code}" if code else "")]


def read_junit(step: str, report: Path) -> list[Case]:
    """The tests in a JUnit file of pytest's."""
    cases: list[Case] = []
    for test in ElementTree.parse(report).getroot().iter("testcase"):
        fault = next((c for c in test if c.tag in ("failure", "error")), None)
        skip = test.find("skipped")
        state = "failed" if fault is not None else "skipped" if skip is not None else "passed"
        properties = {p.get("name"): p.get("value") for p in test.iter("property")}
        reason = fault if fault is not None else skip
        cases.append(
            Case(
                step,
                properties.get("kind") or step,
                f"{test.get('classname')}.{test.get('name')}",
                state,
                float(test.get("time") or 0),
                (reason.get("message") or "") if reason is not None else "",
            )
        )
    return cases


def write_results(suite: str, cases: Iterable[Case], folder: Path) -> None:
    """Leave `SUITE.json` and `SUITE.junit.xml`."""
    cases = list(cases)
    counts = Counter(case.state for case in cases)
    summary = {"suite": suite, "seed": str(bench_seed())}
    summary |= {state: counts[state] for state in _STATES}
    text = json.dumps({**summary, "cases": [vars(case) for case in cases]}, indent=2)
    (folder / f"{suite}.json").write_text(text + "\n")
    root = ElementTree.Element("testsuites")
    for step in dict.fromkeys(case.step for case in cases):
        mine = [case for case in cases if case.step == step]
        n_failed = sum(case.state == "failed" for case in mine)
        attributes = {"name": step, "tests": str(len(mine)), "failures": str(n_failed)}
        node = ElementTree.SubElement(root, "testsuite", attributes)
        for case in mine:
            attributes = {"classname": case.kind, "name": case.name, "time": f"{case.seconds:.3f}"}
            test = ElementTree.SubElement(node, "testcase", attributes)
            if case.state != "passed":
                tag = "failure" if case.state == "failed" else "skipped"
                ElementTree.SubElement(test, tag, {"message": case.message})
    ElementTree.ElementTree(root).write(
        folder / f"{suite}.junit.xml", encoding="utf-8", xml_declaration=True
    )


def _fresh_coverage() -> Path:
    """An empty folder for what this run's processes see, unless they are told another."""
    folder = Path(os.environ.setdefault("COVERAGE_FOLDER", str(BUILD / "coverage")))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _show(suite: str, cases: list[Case], seconds: float) -> None:
    """The table, then the line that says it all."""
    table = Table("checked", *_STATES, "seconds", title=f"make {suite}", box=box.SIMPLE_HEAD)
    for kind in dict.fromkeys(case.kind for case in cases):
        mine = [case for case in cases if case.kind == kind]
        counts = Counter(case.state for case in mine)
        colour = "red" if counts["failed"] else "green"
        cells = [str(counts[state] or "") for state in _STATES]
        table.add_row(f"[{colour}]{kind}[/]", *cells, f"{sum(case.seconds for case in mine):.1f}")
    Console().print(table)
    for case in cases:
        if case.state == "failed":
            print(f"FAILED {case.name}")
    counts = Counter(case.state for case in cases)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"results: build/results/{suite}.json, build/results/{suite}.junit.xml")
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped} in {seconds:.0f} s")


def _readable(command: Iterable[str]) -> str:
    """The command as one would type it."""
    words = [".venv/bin/python" if word == sys.executable else word for word in command]
    return " ".join(words)


def main() -> int:
    """Run the suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=_SUITES)
    parser.add_argument("--test", default="", help="a path, a node id, or part of a test's name")
    arguments = parser.parse_args()
    folder = BUILD / "results"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for cache in ("benches", "simulators", "synthesis"):
            BuildCache(BUILD / cache).prune(keep_bytes=_CACHE_LIMIT)
        coverage = _fresh_coverage()
        begin = time.monotonic()
        steps = _SUITES[arguments.suite](arguments.test)
        print(f"seed: {bench_seed()}")
        cases = [case for step in steps for case in run_step(step, folder)]
        write_results(arguments.suite, cases, folder)
    except KeyboardInterrupt:
        print("Interrupted; what was built stays in the cache.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"run_tests: {error.strerror}: {error.filename}.", file=sys.stderr)
        return 1
    if any(coverage.iterdir()):
        report(coverage, Console())
    _show(arguments.suite, cases, time.monotonic() - begin)
    return int(any(case.state == "failed" for case in cases) or not cases)


if __name__ == "__main__":
    sys.exit(main())
