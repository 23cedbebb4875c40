# SPDX-License-Identifier: Apache-2.0
"""The table beside other arrays: its formulas, what it reads, what it does without."""

import json
import sys
from pathlib import Path

import pytest

from hw.arch.formats import Format
from hw.config import get_config
from scripts import grid_peers
from scripts.grid_peers import Row, measured, rows
from scripts.grid_products import Product, set_names
from scripts.peers import scale_sim
from scripts.peers.arrays import (
    Arrays,
    arrangements,
    best_mappings,
    ideal_cycles,
    scale_sim_cycles,
)
from scripts.peers.scale_sim import Figures, Record, ScaleSim, environment, memory_job
from sw.errors import UserError

_MTIA100 = get_config("mtia100")

# Total Cycles of SCALE-Sim 3.0.0's own runs: array, M, N, K, then OS, WS, IS.
_RUNS = (
    (32, (512, 512, 512), (146_943, 155_135, 155_135)),
    (32, (1, 1024, 1024), (34_751, 97_279, 35_775)),
    (256, (512, 512, 512), (4_087, 5_111, 5_111)),
    (256, (64, 1024, 512), (4_087, 6_639, 3_579)),
    (256, (4096, 128, 256), (12_255, 4_861, 14_303)),
    (256, (16, 2048, 512), (8_175, 12_511, 5_627)),
)


@pytest.mark.parametrize(("side", "shape", "cycles"), _RUNS)
def test_the_formula_is_what_scale_sim_counts(
    side: int, shape: tuple[int, int, int], cycles: tuple[int, int, int]
) -> None:
    """Long products stand in the table by formula."""
    arrays = Arrays(side, side)
    assert tuple(scale_sim_cycles(arrays, flow, shape) for flow in ("os", "ws", "is")) == cycles


def test_ideal_arrays_fill_and_drain_once() -> None:
    """By hand: 512 x 512 x 512 has 2 x 2 folds of 512, on each of 8 x 8 arrays too."""
    product = Product(512, 512, 512)
    one, many = arrangements(_MTIA100, product)
    assert (one.name, many.name) == ("256x256", "64 of 32x32")
    assert ideal_cycles(one, product) == 4 * 512 + 256 + 256 - 2
    assert ideal_cycles(many, product) == 4 * 512 + 32 + 32 - 2
    # One fold in which outputs stay; eight of them, each as long as outputs take to leave.
    assert ideal_cycles(Arrays(32, 32), Product(1, 32, 8)) == 8 + 62
    assert ideal_cycles(Arrays(32, 32), Product(64, 128, 1)) == 7 * 32 + 1 + 62
    # Weights stay in 32 folds of 33 rows, where outputs would fill two folds of 1,024 badly.
    assert ideal_cycles(Arrays(32, 32), Product(33, 32, 1024)) == 32 * 33 + 2 * 32 + 32 - 2


def test_arrangements_have_the_members_multipliers() -> None:
    """Two-byte formats have half as many."""
    for fmt, macs in ((Format.INT8, 65_536), (Format.FP16, 32_768)):
        assert [a.macs for a in arrangements(_MTIA100, Product(1, 1, 1, fmt))] == [macs, macs]


def test_the_best_dataflow_and_split_come_first() -> None:
    """A row of outputs is cut along N, 16 columns for each array."""
    best = best_mappings(Arrays(32, 32, 64), Product(1, 1024, 1024))
    assert (best[0].dataflow, best[0].split, best[0].part) == ("os", (1, 64), (1, 16, 1024))
    assert best[0].cycles == 1024 + 32 + 32 - 2 - 1
    assert [m.cycles for m in best] == sorted(m.cycles for m in best)


def test_memory_is_dealt_to_operands() -> None:
    """512 x 512 x 512: A, B and C have bytes as 1 : 1 : 4, and C's words have 4. Of a narrow A
    SCALE-Sim fetches 256 rows."""
    for product, bandwidth in (
        (Product(512, 512, 512), [171, 171, 171]),
        (Product(1, 1024, 1024), [114, 455, 114]),
    ):
        arrays, _ = arrangements(_MTIA100, product)
        job = memory_job(best_mappings(arrays, product)[0], _MTIA100, product)
        assert job["buffers"] == [3072, 3072, 512]
        assert job["bandwidth"] == bandwidth


def test_the_record_forgets_other_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of another SCALE-Sim would stand in the table as this one's."""
    record = Record(tmp_path / "record.json")
    record.add({"rows": 1}, {"cycles": 5})
    record.add({"rows": 2}, None)
    again = Record(tmp_path / "record.json")
    assert (again[{"rows": 1}], again[{"rows": 2}]) == ({"cycles": 5}, None)
    assert {"rows": 3} not in again
    other = tmp_path / "requirements.txt"
    other.write_text("# comment\nscalesim==9\n")
    monkeypatch.setattr(scale_sim, "_REQUIREMENTS", other)
    assert {"rows": 1} not in Record(tmp_path / "record.json")


def _python(tmp_path: Path, answer: str) -> Path:
    """An interpreter that says the same to every job."""
    tool = tmp_path / "python"
    jobs = "$(grep -o dataflow | wc -l)"
    tool.write_text(f"#!/bin/sh\nfor _ in $(seq {jobs}); do {answer}; done\n")
    tool.chmod(0o755)
    return tool


def test_what_scale_sim_says_is_kept(tmp_path: Path) -> None:
    """A second table takes seconds; long schedules and memories are not asked for."""
    answer = """echo '{"cycles": 7, "with_prefetch": 9, "stalls": 1}'"""
    record = Record(tmp_path / "record.json")
    product = Product(64, 64, 64)
    mappings = best_mappings(Arrays(32, 32), product)
    figures = ScaleSim(record, _python(tmp_path, answer)).figures(mappings, _MTIA100, product)
    assert (figures.cycles, figures.with_memory, figures.stalls) == (7, 9, 1)
    assert not figures.by_formula
    broken = ScaleSim(record, tmp_path / "none")
    assert broken.figures(mappings, _MTIA100, product) == figures
    huge = Product(512, 2048, 26592, where="dram")
    mappings = best_mappings(Arrays(256, 256), huge)
    found = broken.figures(mappings[:1], _MTIA100, huge)
    assert (found.by_formula, found.with_memory) == (True, None)
    assert found.cycles == mappings[0].cycles


def test_a_failure_of_scale_sim_is_one_sentence(tmp_path: Path) -> None:
    """Not a traceback of another program."""
    python = _python(tmp_path, "echo 'Traceback'; echo 'KeyError: 3' >&2; exit 1")
    product = Product(8, 8, 8)
    broken = ScaleSim(Record(tmp_path / "record.json"), python)
    with pytest.raises(UserError, match=r"^SCALE-Sim failed: KeyError: 3$"):
        broken.figures(best_mappings(Arrays(8, 8), product), _MTIA100, product)


def test_without_packages_there_is_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No network is no reason to have no table."""

    class Made:
        """What `venv.create` would leave."""

        @staticmethod
        def create(folder: Path, **_: bool) -> None:
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            python = folder / "bin" / "python"
            python.write_text("#!/bin/sh\necho 'ERROR: no such package' >&2; exit 1\n")
            python.chmod(0o755)

    monkeypatch.setattr(scale_sim, "venv", Made)
    with pytest.raises(UserError, match=r"pip says: ERROR: no such package\.$"):
        environment(tmp_path / "venv")
    assert not (tmp_path / "venv" / "installed.txt").exists()
    monkeypatch.setattr(grid_peers, "environment", lambda: environment(tmp_path / "venv"))
    monkeypatch.setattr(grid_peers, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["grid_peers.py", "--only", "31x33x17"])
    assert grid_peers.main() == 0
    shown = capsys.readouterr().out
    assert "no such package. The table goes on without it." in shown and " 79 " in shown


def test_ours_are_read_by_name(tmp_path: Path) -> None:
    """Rows that are no products, as an empty job, do no harm."""
    path = tmp_path / "grid-mtia100.json"
    assert measured(path) == {}
    kept = [
        {"name": "empty job", "perf": {"cycles": 56}},
        {"name": "512x512x512 INT8", "perf": {"cycles": 4_096, "k_parts": 8}},
    ]
    path.write_text(json.dumps(kept))
    (row, other) = rows(
        _MTIA100, [Product(512, 512, 512), Product(1, 1, 1)], measured(path), scale_sim=None
    )
    assert (row.ours, row.ideal, other.ours) == (4_096, 2_048, None)
    assert row.systolic == {"256x256": 2_558, "64 of 32x32": 2_110}
    assert row.best_scale_sim is None


def test_scale_sim_is_kept_to_the_bandwidth() -> None:
    """Its array alone has operands at hand; the memory does not bring them faster."""
    figures = Figures("256x256", "os", (1, 1), 90, False, None, None)
    assert Row("x", ideal=100, systolic={}, scale_sim=(figures,)).best_scale_sim == 100
    assert Row("x", ideal=50, systolic={}, scale_sim=(figures,)).best_scale_sim == 90


def test_the_table_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a measurement the rest still stands, on the screen and in the file."""
    monkeypatch.setattr(grid_peers, "RESULTS", tmp_path)
    command = ["grid_peers.py", "--no-scalesim", "--sets", "square"]
    monkeypatch.setattr(sys, "argv", command)
    assert grid_peers.main() == 0
    shown = capsys.readouterr().out
    assert "not measured" in shown and "131,134" in shown
    assert "there is no build/results/grid-mtia100.json. --measure makes it." in shown
    kept = json.loads((tmp_path / "grid-peers.json").read_text())
    assert [row["ideal"] for row in kept["rows"]] == [2_048, 2_048, 16_384, 16_384, 131_072]
    monkeypatch.setattr(sys, "argv", [*command[:-1], "round"])
    with pytest.raises(SystemExit, match="There is no set 'round'"):
        grid_peers.main()
    monkeypatch.setattr(sys, "argv", [*command, "--config", "mtia100-pe"])
    with pytest.raises(SystemExit, match="mtia100-pe has one element"):
        grid_peers.main()
    assert set_names("square,dram") == ("square", "dram")
