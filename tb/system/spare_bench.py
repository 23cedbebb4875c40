# SPDX-License-Identifier: Apache-2.0
"""A grid with elements that can be broken: then they ask, write, note and send all they can."""

from pathlib import Path
from typing import Any
from unittest import mock

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In

from hw.arch.address_map import window_base
from hw.config import ChipConfig
from hw.grid import tile
from hw.grid.link_guard import LINKS
from hw.lib.emit_once import mark_used
from hw.pe.pe import ProcessingElement
from sim.build_cache import content_key
from sim.compiled import build
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed

__all__ = ["BROKEN", "break_row", "breakable_grid"]

BROKEN = 0xBAD0_0BAD
"""What DEBUG_SELECT of an element holds to break it."""


class BreakableElement(ProcessingElement):
    """An element that, once broken, offers reads, shared reads and writes of the first line of
    SRAM and of local memories, answers to all who might have asked for its own, and rows of ones on
    its links, in every cycle; takes every row; and seems to work."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._whole = ProcessingElement(**arguments)

    def elaborate(self, platform: Any) -> Module:
        mark_used(vars(self))
        m = Module()
        m.submodules.whole = self._whole
        is_broken, cycle = Signal(), Signal(32)
        m.d.sync += cycle.eq(cycle + 1)
        m.d.comb += is_broken.eq(self.debug_select == BROKEN)
        outer, inner = (list(pe.signature.flatten(pe)) for pe in (self, self._whole))
        for (path, member, mine), (_, _, theirs) in zip(outer, inner, strict=True):
            ours, whole = Value.cast(mine), Value.cast(theirs)
            if isinstance(ours, Const):
                continue  # of a stream that is always ready
            if member.flow is In:
                m.d.comb += whole.eq(ours)
            elif (wrong := _broken(path, mine, cycle)) is not None:
                m.d.comb += ours.eq(Mux(is_broken, wrong, whole))
            else:
                m.d.comb += ours.eq(whole)
        return m


def _broken(path: tuple[str | int, ...], output: Any, cycle: Signal) -> Any:
    """What a broken element has at an output; None: what is there."""
    if path == ("progress",):
        return cycle
    if path[0] in LINKS:
        return 1
    if path[0] in LINKS.values():
        return -1
    if path[0] == "remote_signal":
        return 1  # of counter 0 of the element that its number says, which is in use
    if path[0] in ("remote_read", "remote_write"):
        width = Shape.cast(output.shape()).width
        return 1 if path[-1] in ("valid", "ready") else cycle.replicate(-(-width // 32))[:width]
    if path[1:2] == ("request",) and path[0] in ("memory_read", "memory_write", "list_read"):
        return 1 if path[-1] == "valid" else _request(output.shape(), cycle)
    return None


def _request(layout: data.StructLayout, cycle: Signal) -> Value:
    """The first line of SRAM, of all kinds and groups in turn, and in the other half of the time
    of the local memory of element (0, 0); ones are written."""
    address = Mux(cycle[4], Const(window_base(0, 0), 40), 0)
    fields = {"address": address, "mask": Const(-1, 16), "strobe": Const(-1, 64),
              "data": Const(-1, 512), "multicast": cycle[0], "column": cycle[1],
              "group": cycle[2:4], "tag": cycle[4:]}  # fmt: skip
    return Cat(fields[name][: Shape.cast(field.shape).width] for name, field in layout)


def breakable_grid(config: ChipConfig) -> Grid:
    """A chip of such elements, with assertions."""

    def key(*parts: str | bytes) -> str:
        return content_key(*parts, Path(__file__).read_bytes())

    with (
        mock.patch.object(tile, "ProcessingElement", BreakableElement),
        mock.patch.object(build, "content_key", key),
    ):
        return simulated_grid(config, test=True, quick=True, seed=bench_seed())[0]


def break_row(grid: Grid, row: int) -> None:
    """Leave out a row whose elements are broken."""
    other = 0 if row else 1  # a row that is left out cannot be reached
    grid.leave_out(other)
    for column in range(grid.config.cols):
        grid.element((row - (row > other), column)).set_register("DEBUG_SELECT", BROKEN)
    grid.leave_out(row)
