# SPDX-License-Identifier: Apache-2.0
"""What the grid's bench says of what it has measured, without a grid."""

from typing import Any

import pytest

from hw.config import get_config
from scripts import grid_bench
from scripts.dram_peak import stream_peak
from scripts.grid_bench import judge
from scripts.grid_speed import thread_rates
from scripts.grid_table import Result, deviations, show, speeds


def product(name: str, cycles: int, expected: int, *, exact: bool = True, khz: float = 1) -> Result:
    """A product at its peak."""
    perf = {"cycles": cycles, "expected_cycles": expected, "utilisation": 1, "roof_cycles": cycles}
    return Result(name, exact, perf, khz)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Rows that would be compared with the record."""
    rows: dict[str, int] = {}
    monkeypatch.setattr(grid_bench, "check_cycles", lambda found: rows.update(found) or 0)
    return rows


@pytest.mark.parametrize(
    ("changed", "code", "sentence"),
    [
        ({}, 0, ""),
        ({"utilisation": 0.6}, 1, "512x512x512 INT8 reached 60.0 % of peak; the goal is 65 %."),
        ({"is_exact": False}, 1, "512x512x512 INT8 is wrong."),
    ],
)
def test_a_missed_goal_and_a_wrong_bit_fail_the_run(
    changed: dict[str, Any],
    code: int,
    sentence: str,
    recorded: dict[str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Would break if the run passed, or did not say why it fails. Speed alone fails nothing."""
    one = product("512x512x512 INT8", 2756, 2756, khz=0.01)
    one = Result(
        one.name, changed.pop("is_exact", True), one.perf | changed, one.khz, {"dpe.busy": 0.7}
    )
    perf = {"cycles": 2756, "factor": 0.9, "khz": {"1": 0.01, "2": 0.009}}
    threads = Result("512x512x512 INT8, 2 threads", True, perf, 0.01)
    assert judge("mtia100", [one, threads]) == code
    assert sentence in capsys.readouterr().out
    assert recorded == {"mtia100 grid: 512x512x512 INT8": 2756}


def test_rows_that_the_model_misses_are_told() -> None:
    """Would break if one beyond ten per cent were not named, or others were."""
    rows = [product("near", 1000, 1095), product("far", 1000, 895), product("beyond", 1000, 1110)]
    words = deviations([*rows, Result("empty job", None, {"cycles": 56}, 1.0)])
    assert "+11.0 % at the most, in beyond" in words
    assert "by more than 10 % in far (-10.5 %), beyond (+11.0 %)." in words
    assert "all rows are near." in deviations(rows[:1])
    assert deviations([]) == ""


def test_speeds_are_told_by_format() -> None:
    """Would break if rows that are no product counted, or a format without products were named."""
    rows = [product("a INT8", 1, 1, khz=khz) for khz in (0.7, 0.8, 5.0)]
    rows.append(Result("gather INT8", None, {"cycles": 1}, 99.0))
    assert speeds(rows) == [
        "INT8 products ran at 0.80 thousand cycles/s (median); 0.5 are asked for."
    ]
    perf = {"cycles": 1, "factor": 2.0, "khz": {"1": 0.6, "2": 1.2}}
    assert speeds([*rows, Result("a INT8, 2 threads", True, perf, 1.2)]) == [
        "INT8 products ran at 0.60 thousand cycles/s with one thread; 0.5 are asked for."
    ]


def test_threads_take_turns_and_the_asked_number_remains() -> None:
    """Would break if one number had all runs on a machine that was busy meanwhile."""
    port: Any = type("Port", (), {})()
    port.seen = []
    port.set_threads = port.seen.append
    rates = iter([1.0, 1.5, 2.0, 1.0])
    assert thread_rates(port, 2, lambda: next(rates)) == {1: 2.0, 2: 1.5}
    assert port.seen == [1, 2, 1, 2]


def test_streams_reach_what_the_roof_takes_for_granted() -> None:
    """Would break if products from DRAM were held against a bandwidth that its model has not."""
    config = get_config("mtia100")
    assert stream_peak(config) == pytest.approx(config.dram.total_bytes_per_cycle, rel=0.01)


def test_the_table_shows_every_kind_of_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Would break if a row without a model, or a first run, could not be shown."""
    first = Result("gather", True, {"cycles": 10, "first_cycles": 12, "roof_cycles": 9}, 1.0)
    show("grid", [first, product("near", 1000, 1080)])
    shown = capsys.readouterr().out
    assert "12 cycles the first time" in shown and "+8 %" in shown
