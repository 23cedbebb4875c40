# SPDX-License-Identifier: Apache-2.0
"""A row that is left out: what is refused, the command line, and that broken elements matter.

Apart from `test_grid_spare.py`, whose chip would be open beside those of these tests.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.config import PRESETS, ChipConfig
from sw.cli import gemm_task
from sw.cli.app import main
from sw.errors import UserError
from sw.runtime.device import open_grid
from sw.runtime.grid import Grid
from sw.runtime.left_out import tile_of
from tb.common.seeds import numpy_rng
from tb.system.grid_bench import LISTS, copy_list
from tb.system.spare_bench import break_row, breakable_grid

CONFIG = PRESETS["tiny-spare"]


def test_a_broken_element_is_heard_where_it_is_used() -> None:
    """So what these tests left out could have been noticed; before the first job nobody is."""
    device, line = breakable_grid(CONFIG), bytes(range(16))
    break_row(device, 0)
    device.leave_out(2)
    device.port.write(0, line)
    device.port.run(500)
    assert device.port.read(0, 16) == line
    device.start(LISTS, {(1, 0): copy_list(0x1000, 0x5000, 1)})
    device.port.run(2000)
    assert device.port.read(0, 16) == b"\xff" * 16
    device.port.close()


REFUSED = (
    ("tiny", 0, "tiny has no spare row, so no row can be left out."),
    ("tiny-spare", 3, "Row 3 cannot be left out; tiny-spare has rows of tiles 0 to 2."),
)


def product(folder: Path) -> tuple[list[str], np.ndarray]:
    """A product for the command line, and what comes of it."""
    rng = numpy_rng("spare")
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in ((20, 40), (40, 24)))
    for name, array in (("a", a), ("b", b)):
        np.save(folder / f"{name}.npy", array)
    files = [str(folder / f"{name}.npy") for name in "abc"]
    return ["gemm", *files[:2], "-o", files[2]], a.astype(np.int32) @ b.astype(np.int32)


def test_what_cannot_be_left_out_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before anything is built, with one sentence each, on the command line too."""
    call, _ = product(tmp_path)
    for name, row, sentence in REFUSED:
        with pytest.raises(UserError) as error:
            open_grid(PRESETS[name], left_out_row=row)
        assert str(error.value) == sentence
        assert main([*call, "--config", name, "--grid", "--left-out-row", str(row)]) != 0
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert main([*call, "--config", "tiny-spare", "--left-out-row", "1"]) != 0
    assert "--left-out-row needs --grid; one element has no rows." in " ".join(
        capsys.readouterr().err.split()
    )


def test_the_command_line_leaves_a_row_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The row goes to the chip, and into the figures."""

    def opened(config: ChipConfig, *, left_out_row: int, **_options: Any) -> Grid:
        device = breakable_grid(config)
        break_row(device, left_out_row)
        return device

    monkeypatch.setattr(gemm_task, "open_grid", opened)
    call, expected = product(tmp_path)
    perf = tmp_path / "perf.json"
    more = ["--config", "tiny-spare", "--grid", "--left-out-row", "1", "--json", str(perf)]
    assert main([*call, *more]) == 0
    assert np.array_equal(np.load(tmp_path / "c.npy"), expected)
    assert json.loads(perf.read_text())["left_out_row"] == 1


@pytest.mark.parametrize(
    ("left_out", "rows"), [(None, [0, 1]), (0, [1, 2]), (1, [0, 2]), (2, [0, 1])]
)
def test_waves_of_an_element_are_those_of_its_tile(left_out: int | None, rows: list[int]) -> None:
    """Would break if `--wave-element` recorded another one."""
    assert [tile_of(CONFIG, (row, 1), left_out) for row in range(2)] == [(row, 1) for row in rows]
    assert tile_of(PRESETS["odd"], (2, 1), None) == (2, 1)
