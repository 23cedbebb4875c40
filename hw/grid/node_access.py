# SPDX-License-Identifier: Apache-2.0
"""How flits at a side become accesses of its memories, and their answers flits again."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.arch.address_map import DRAM
from hw.chip.crossbar import exists
from hw.grid.geometry import GridGeometry
from hw.net.flits import Answer
from hw.net.fold import slice_number, slice_place

__all__ = ["ask_memory", "hear_memory", "memory_place"]


def memory_place(geometry: GridGeometry, address: Value, n_nodes: int) -> tuple[Value, Value]:
    """Side of the memory that holds an address, and one-hot which of the side's it is."""
    is_dram = exists(address, DRAM, geometry.config.dram.size_bytes)
    places = [
        slice_place(slice_number(address, interleave), interleave)
        for interleave in (geometry.dram, geometry.sram)
    ]
    side, number = (Mux(is_dram, dram, sram) for dram, sram in zip(*places, strict=True))
    # The number of the only one has no bits.
    return side, Const(1, 1) if n_nodes == 1 else (1 << number)[:n_nodes]


def ask_memory(m: Module, port: Any, request: Any, tag: data.StructLayout, *, name: str) -> None:
    """A flit with its lane at a switch's `port` becomes a request; what the answer needs, its
    tag."""
    flit, kept = port.payload.flit, Signal(tag, name=name)
    m.d.comb += [
        request.valid.eq(port.valid),
        port.ready.eq(request.ready),
        kept.lane.eq(port.payload.lane),
        request.payload.tag.eq(kept),
    ]
    m.d.comb += [kept[field].eq(flit[field]) for field, _ in tag if field != "lane"]
    for field, _ in request.payload.shape():
        if field != "tag":
            m.d.comb += Value.cast(request.payload[field]).eq(flit[field])


def hear_memory(
    m: Module, response: Any, flit: data.View, tag: data.StructLayout, *, name: str
) -> Signal:
    """An answer becomes a flit; the tag tells for whom it is."""
    kept, answer = Signal(tag, name=name), response.payload
    poison = answer.poison if "poison" in answer.shape().members else 0
    bad = Mux(poison, Answer.POISON, Answer.OK)
    m.d.comb += [
        kept.eq(answer.tag),
        flit.answer.eq(Mux(answer.error, Answer.ERROR, bad)),
    ]
    m.d.comb += [flit[field].eq(kept[field]) for field, _ in tag if field != "lane"]
    if "data" in answer.shape().members:
        m.d.comb += flit.data.eq(answer.data)
    return kept
