# SPDX-License-Identifier: Apache-2.0
"""A grid whose SRAM slices take requests after random delays, and one whose slices acknowledge a
write before they have it."""

import itertools
from pathlib import Path
from typing import Any
from unittest import mock

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In

from hw.config import ChipConfig
from hw.grid import memory_node
from hw.lib.elastic import StreamFifo
from hw.lib.emit_once import mark_used
from hw.mem.sram_slice import SramSlice
from sim.build_cache import content_key
from sim.compiled import build
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed

__all__ = ["EarlySlice", "LateSlice", "grid_of_slices"]

_WAITING = 8
_TAPS = (31, 21, 1, 0)  # of a maximal shift register of 32 bits
_NUMBERS = itertools.count(1)


class LateSlice(SramSlice):
    """A slice behind queues of reads and of writes, each of which lets a request through in one of
    eight cycles at random."""

    acknowledges_early = False

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._whole = SramSlice(**arguments)
        self._seed = 0x9E37_79B9 * next(_NUMBERS) % (1 << 32)

    def elaborate(self, platform: Any) -> Module:
        mark_used(vars(self))
        m = Module()
        m.submodules.whole = self._whole
        for (path, member, mine), (_, _, theirs) in zip(
            self.signature.flatten(self), self._whole.signature.flatten(self._whole), strict=True
        ):
            outer, inner = Value.cast(mine), Value.cast(theirs)
            if path[1:2] == ("request",) or path == ("busy",) or isinstance(outer, Const):
                continue
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        chance, waits = Signal(32, init=self._seed | 1), []
        m.d.sync += chance.eq((chance << 1) | (sum(chance[tap] for tap in _TAPS) & 1))
        for name, opens in (("read", chance[:3] == 0), ("write", chance[8:11] == 0)):
            waits += self._delay(m, name, opens)
        # The slice's clock stands still while nobody needs it.
        m.d.comb += self.busy.eq(self._whole.busy | Cat(waits).any())
        return m

    def _delay(self, m: Module, name: str, opens: Value) -> list[Value]:
        """The way of one kind of requests; returns what says that something waits on it."""
        mine, whole = getattr(self, name), getattr(self._whole, name)
        shape, is_open = mine.request.payload.shape(), Signal(name=f"{name}_is_open")
        m.submodules[f"{name}s"] = queue = StreamFifo(shape=shape, depth=_WAITING)
        # A request that was offered stays until it is taken.
        with m.If(whole.request.valid & whole.request.ready):
            m.d.sync += is_open.eq(0)
        with m.Elif(opens):
            m.d.sync += is_open.eq(1)
        ready = queue.i.ready
        if name == "write" and self.acknowledges_early:
            ready = ready & self._acknowledge(m)
        m.d.comb += [
            mine.request.ready.eq(ready),
            queue.i.valid.eq(mine.request.valid & ready),
            queue.i.payload.eq(mine.request.payload),
            whole.request.valid.eq(queue.o.valid & is_open),
            whole.request.payload.eq(queue.o.payload),
            queue.o.ready.eq(whole.request.ready & is_open),
        ]
        return [queue.o.valid]

    def _acknowledge(self, m: Module) -> Value:
        """Answer each write as it is taken, and not when it is done; returns whether there is room
        for one more."""
        mine, whole = self.write, self._whole.write
        shape = mine.response.payload.shape()
        m.submodules.early = early = StreamFifo(shape=shape, depth=_WAITING)
        m.d.comb += [
            early.i.valid.eq(mine.request.valid & mine.request.ready),
            early.i.payload.tag.eq(mine.request.payload.tag),
            whole.response.ready.eq(1),
            mine.response.valid.eq(early.o.valid),
            mine.response.payload.eq(early.o.payload),
            early.o.ready.eq(mine.response.ready),
        ]
        return early.i.ready


class EarlySlice(LateSlice):
    """A `LateSlice` with a fault: a write is acknowledged while it waits."""

    acknowledges_early = True


def grid_of_slices(config: ChipConfig, kind: type[LateSlice]) -> Grid:
    """A chip with such slices where no cache is, with assertions."""

    def key(*parts: str | bytes) -> str:
        return content_key(*parts, Path(__file__).read_bytes(), kind.__name__)

    with (
        mock.patch.object(memory_node, "SramSlice", kind),
        mock.patch.object(build, "content_key", key),
    ):
        return simulated_grid(config, test=True, quick=True, seed=bench_seed())[0]
