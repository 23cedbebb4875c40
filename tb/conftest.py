# SPDX-License-Identifier: Apache-2.0
"""Sorts the tests into proofs, benches and models, so that a run can pick and count them."""

from pathlib import Path

import pytest

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
    for kind, meaning in _KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")


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
