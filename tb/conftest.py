# SPDX-License-Identifier: Apache-2.0
"""Sorts the tests into proofs, benches and models, so that a run can pick and count them."""

import functools
import os
from pathlib import Path
from typing import Any

import pytest

from hw.arch.units import State, Unit
from sw.runtime.chip import Chip, JobError
from tb.common.coverage import cover, cover_list, cover_state
from tb.common.runner import add_wave_hook
from tb.common.seeds import bench_seed
from tb.common.wave_files import write_for_bench

_KINDS = {
    "proof": "proved with SymbiYosys",
    "bench": "RTL in Verilator",
    "model": "golden models, definitions and software, without RTL",
}
_PLURALS = {"proof": "proofs", "bench": "benches", "model": "models"}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and have waveforms come with their save files."""
    add_wave_hook(write_for_bench)
    if os.environ.get("COVERAGE_FOLDER", "0") != "0":
        Chip.run_job = _cover_jobs(Chip.run_job)
    for kind, meaning in _KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")


def _cover_jobs(run_job: Any) -> Any:
    """`Chip.run_job` that notes what elements were given, and what stalled or trapped."""

    @functools.wraps(run_job)
    def covered(chip: Chip, list_address: int, commands: bytes, **options: Any) -> Any:
        cover_list(commands)
        try:
            result = run_job(chip, list_address, commands, **options)
        except JobError as error:
            cover(f"trap {error.cause.name}")
            raise
        counters = chip.counters()
        for unit in Unit:
            for state in State:
                if counters.get(f"{unit.name.lower()}.{state.name.lower()}"):
                    cover_state(unit, state)
        return result

    return covered


def pytest_report_header() -> str:
    """Show the seed on top of every run."""
    return f"seed: {bench_seed()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its kind, which also goes into the JUnit file."""
    for item in items:
        kind = _kind(item)
        item.add_marker(kind)
        item.user_properties.append(("kind", _PLURALS[kind]))


def _kind(item: pytest.Item) -> str:
    """A proof lies in `tb/formal`; a bench's module knows cocotb, the runner or the simulator."""
    if "formal" in Path(item.path).parts:
        return "proof"
    module = getattr(item, "module", None)
    is_bench = any(hasattr(module, name) for name in ("run_bench", "cocotb", "simulated_chip"))
    return "bench" if is_bench else "model"
