# SPDX-License-Identifier: Apache-2.0
"""The head of the page: the run in four numbers, then in a table."""

import html
import math

from sw.report.record import RunRecord
from sw.report.roofs import operand_bytes, roofline
from sw.report.svg import bytes_text, percent, table, tag
from sw.report.traffic import memory_rows

__all__ = ["ideal_cycles", "summary"]


def ideal_cycles(run: RunRecord) -> int:
    """Cycles of an array that multiplies at its peak from the first to the last."""
    return math.ceil(run.figures["macs"] / run.figures["peak_macs_per_cycle"])


def summary(run: RunRecord) -> str:
    """Numbers, table, bytes of each memory."""
    memories = table(["memory", "read", "written"], memory_rows(run), class_="figures", id="bytes")
    main = table([], _rows(run), id="summary")
    return _cards(run) + tag("div", main, memories, class_="side")


def _cards(run: RunRecord) -> str:
    """What one looks for first."""
    model = roofline(run)
    cards = (
        (f"{run.cycles:,}", "cycles, start to completion"),
        (percent(model.speed / model.peak), "of peak"),
        (f"{model.speed:,.1f}", f"MAC per cycle, of {model.peak:,}"),
        (percent(model.speed / model.roof), f"of the roof, {model.limit}"),
    )
    return tag("div", *(_card(number, words) for number, words in cards), class_="cards")


def _card(number: str, words: str) -> str:
    return tag("div", tag("b", html.escape(number)), tag("span", html.escape(words)), class_="card")


def _rows(run: RunRecord) -> list[list[str]]:
    """Names and values of the table."""
    figures, config = run.figures, run.config
    rows, columns = run.shape
    pe = config.pe
    found = [
        ["product", "C[{m}, {n}] = A[{m}, {k}] x B[{k}, {n}]".format(**figures)],
        ["formats", "{dtype_a} x {dtype_b} to {out}".format(**figures)],
        ["operands in", run.where],
        *_cache(run),
        ["member", f"{config.name} ({config.digest()})"],
        ["elements", f"{rows} x {columns}" if run.is_grid else "1"],
        ["tile of an element", f"{pe.dpe.columns} x {pe.dpe.k_bytes} bytes"],
        ["multiply-accumulates", f"{figures['macs']:,}"],
        ["cycles", f"{run.cycles:,}"],
        ["ideal cycles", f"{ideal_cycles(run):,}"],
        ["of peak", percent(figures["utilisation"])],
        ["MAC per cycle", f"{figures['macs'] / run.cycles:,.2f}"],
    ]
    return found + _cut(run) + [["bytes of A, B and C", bytes_text(operand_bytes(run))]]


def _cache(run: RunRecord) -> list[list[str]]:
    """How much of the SRAM of a chip with caches was one."""
    built = run.config.sram.cache_ways
    if not (run.is_grid and built):
        return []
    return [["cache of DRAM", f"{run.cache_ways} of {built} ways of each SRAM slice"]]


def _cut(run: RunRecord) -> list[list[str]]:
    """How a grid shares the work, and what the model that chose this expected."""
    figures = run.figures
    if not run.is_grid:
        return []
    expected, parts = figures["expected_cycles"], figures["k_parts"]
    off = expected / run.cycles - 1
    return [
        ["elements at work", f"{len(run.counters)} of {run.n_elements}"],
        ["parts of K, column blocks held", f"{parts}, {figures['held_blocks']}"],
        ["cycles expected by the model", f"{expected:,} ({100 * off:+.1f} %)"],
    ]
