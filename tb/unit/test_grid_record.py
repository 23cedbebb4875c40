# SPDX-License-Identifier: Apache-2.0
"""Cycles of products on `mtia100` as docs/grid.md shows them, beside the record and the model."""

import json
import re
from pathlib import Path

import pytest

from hw.arch.formats import Format
from hw.config import get_config
from scripts.cycle_record import RECORD
from scripts.grid_products import SETS, Product, products
from scripts.grid_table import MODEL_TOLERANCE
from sw.kernels.gemm import GemmProblem
from sw.runtime.finish import Finish
from sw.runtime.gemm import Placement, gemm_problem
from sw.runtime.grid_split import choose_split

MTIA100 = get_config("mtia100")

_ROW = re.compile(r"\| (\d+x\d+x\d+ [^|]*?) \| ([\d,]+) \| [\d.]+ % \| [\d.]+ % \| (\d) \|")
DOCUMENT = RECORD.parent / "grid.md"


def documented(path: Path = DOCUMENT) -> dict[str, tuple[int, int]]:
    """Cycles and K parts of each product in the tables."""
    found = (_ROW.match(line) for line in path.read_text().splitlines())
    return {row[1]: (int(row[2].replace(",", "")), int(row[3])) for row in found if row}


def test_the_record_has_the_documented_cycles() -> None:
    """Would break if `make bench` failed on the very figures that the documents show."""
    record = json.loads(RECORD.read_text())
    rows = documented()
    assert len(rows) >= 43
    for name, (cycles, _) in rows.items():
        assert record[f"mtia100 grid: {name}"]["cycles"] == pytest.approx(cycles, rel=0.01), name


@pytest.mark.parametrize("product", products(tuple(SETS)), ids=lambda product: product.name)
def test_the_model_is_near_what_was_measured(product: Product) -> None:
    """Within ten per cent, in the cut that was measured; would break if a term were lost, or the
    choice went to a cut that nobody has measured."""
    if product.name not in documented():
        pytest.skip("not measured yet")
    cycles, k_parts = documented()[product.name]
    cut = choose_split(MTIA100, problem_of(product), product.where)
    assert cut.k_parts == k_parts
    assert cut.cycles == pytest.approx(cycles, rel=MODEL_TOLERANCE / 100)


@pytest.mark.parametrize("product", SETS["tiny"], ids=lambda product: product.name)
def test_the_model_is_near_on_a_small_grid(product: Product) -> None:
    """Would break if memories of four elements were as far away as those of 64."""
    cycles = json.loads(RECORD.read_text())[f"tiny grid: {product.name}"]["cycles"]
    cut = choose_split(get_config("tiny"), problem_of(product), product.where)
    assert cut.cycles == pytest.approx(cycles, rel=MODEL_TOLERANCE / 100)


def test_what_is_written_in_part_takes_longer() -> None:
    """Would break if rows of C that end within words of memory were stored like whole lines: the
    slices merge them one by one."""
    whole, ragged = (
        choose_split(MTIA100, problem_of(Product(256, n, 64, out=Format.INT8)), "sram").cycles
        for n in (256, 255)
    )
    assert ragged > 1.3 * whole


def problem_of(product: Product) -> GemmProblem:
    """As the runtime plans it, before it has addresses."""
    finish = Finish()
    if product.out is not None:
        finish = Finish(out=product.out, scale=0.01)
    shape = (product.m, product.n, product.k)
    return gemm_problem(shape, (product.fmt, product.fmt), finish, Placement(product.where))
