# SPDX-License-Identifier: Apache-2.0
"""The graph of waiting channels: of small designs by hand, and without a ring in whole grids."""

from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import PRESETS
from hw.lib.elastic import PipeStage, SkidBuffer, StreamFifo
from hw.net.crosspoint import CrosspointSwitch
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop
from scripts.channel_graph import describe
from sim.channels import ChannelGraph, channel_graph, chip_arrivals, chip_netlist, chip_waits
from sim.channels.chip import component_netlist

FLIT = data.StructLayout({"value": 4, "mask": 2})


class Ring(wiring.Component):
    """Stages one behind the other, with a way in and, if `closed`, from the last to the first."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed
        super().__init__({"i": In(stream.Signature(FLIT)), "o": Out(stream.Signature(FLIT))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.merge = merge = MergeHop(shape=FLIT, most=1)
        m.submodules.queue = queue = StreamFifo(shape=FLIT, depth=4)
        m.submodules.hop = hop = LaneHop(shape=FLIT)
        m.d.comb += [merge.weight.eq(1), hop.here.eq(1)]
        wiring.connect(m, wiring.flipped(self.i), merge.local)
        wiring.connect(m, merge.o, queue.i)
        wiring.connect(m, queue.o, hop.i)
        wiring.connect(m, hop.tap, wiring.flipped(self.o))
        if self.closed:
            wiring.connect(m, hop.o, merge.i)
        else:
            m.d.comb += hop.o.ready.eq(1)
        return m


def graph_of(component: wiring.Component) -> ChannelGraph:
    """The graph of a small design."""
    return channel_graph(component_netlist(component, name="design"))


@pytest.mark.parametrize(
    "component",
    [
        PipeStage(shape=FLIT),
        SkidBuffer(shape=FLIT),
        StreamFifo(shape=FLIT, depth=3),
        StreamFifo(shape=FLIT, depth=4, block=True),
    ],
    ids=lambda stage: type(stage).__name__,
)
def test_a_stage_waits_for_what_is_behind_it(component: wiring.Component) -> None:
    """Through gates, registers and memories; would break if a way through storage were missed."""
    assert graph_of(component).waits == {"i": {"o"}, "o": set()}


def test_a_switch_waits_for_the_outputs_that_it_has() -> None:
    """Would break if two crossings were one channel, or an input waited for one it cannot reach."""
    crossings = [(0, 0), (0, 1), (1, 1)]
    graph = graph_of(CrosspointSwitch(shape=4, n_inputs=2, n_outputs=2, crossings=crossings))

    def reached(start: str) -> set[str]:
        return {start}.union(*(reached(behind) for behind in graph.waits[start]))

    assert reached("i.0") & {"o.0", "o.1"} == {"o.0", "o.1"}
    assert reached("i.1") & {"o.0", "o.1"} == {"o.1"}
    assert not {"i.0", "i.1"} & set().union(*graph.waits.values())


def test_a_ring_is_found() -> None:
    """The check can fail: four stages in a ring, and the same ones in a row."""
    row, ring = graph_of(Ring(closed=False)), graph_of(Ring(closed=True))
    assert not row.cycle() and "no ring" in describe(row)
    assert row.longest()[0] == "i" and row.longest()[-1] == "o"
    found = ring.cycle()
    assert found[0] == found[-1] and len(found) == len(set(found)) + 1
    assert all(after in ring.waits[before] for before, after in zip(found, found[1:], strict=False))
    assert not {"i", "o"} & set(found)
    assert all(f"\n  {name}" in describe(ring) for name in found)


@pytest.mark.parametrize("name", ["tiny", "odd", "tiny-spare"])
def test_a_grid_has_no_ring(name: str) -> None:
    """Reads, writes, lines and acknowledgements, control, local memories and links; if an element's
    answers waited for its requests, as they would without reserved room, there would be rings in
    both networks, and if local memory did, in its own."""
    config = PRESETS[name]
    netlist, waits, arrivals = chip_netlist(config), chip_waits(config), chip_arrivals(config)
    graph = channel_graph(netlist, waits, arrivals=arrivals)
    assert graph.cycle() == []
    kinds = ("read", "write", "line", "ack", "access", "report", "ask", "visit", "reply", "told")
    for kind in kinds:
        assert any(kind in channel for channel in graph.waits), kind
    for memory, others in (("memory_read", {"read", "line"}), ("memory_write", {"write", "ack"})):
        careless = {f"tile0_0.pe.{memory}.response": [f"tile0_0.pe.{memory}.request"]}
        ring = channel_graph(netlist, {**waits, **careless}, arrivals=arrivals).cycle()
        assert all(any(kind in channel for channel in ring) for kind in others)
    # Were local memory to wait for its element's requests, two elements could wait for each other.
    local = "tile0_0.pe.remote_read"
    careless = {f"{local}.request": [f"{local}.response", "tile0_0.pe.memory_read.request"]}
    ring = channel_graph(netlist, {**waits, **careless}, arrivals=arrivals).cycle()
    assert all(any(kind in channel for channel in ring) for kind in ("ask", "visit"))


def test_a_stream_that_is_not_there_is_refused() -> None:
    """Would break if an assumption about a name that has changed were dropped in silence."""
    with pytest.raises(KeyError, match="nowhere"):
        channel_graph(component_netlist(SkidBuffer(shape=4), name="design"), {"nowhere": ["o"]})
