# SPDX-License-Identifier: Apache-2.0
"""The crossbar between those who ask for memory and the memories."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import (
    ADDRESS_BITS,
    DRAM,
    PE_WINDOW_BYTES,
    PE_WINDOW_COLUMNS,
    PE_WINDOWS,
    SRAM,
    Region,
)
from hw.arch.interleave import Interleave
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.arbiter import RoundRobinArbiter
from hw.lib.elastic import PingPongBuffer, PipeStage, SkidBuffer
from hw.net.fold import line_number

__all__ = ["Crossbar", "Target", "element_targets", "exists", "in_window", "window_place"]

_WINDOW_LOG2 = PE_WINDOW_BYTES.bit_length() - 1
_COLUMN_BITS = PE_WINDOW_COLUMNS.bit_length() - 1


def exists(address: Value, region: Region, size_bytes: int) -> Value:
    """Whether a byte address lies in the first `size_bytes` (a power of two) of a region."""
    low = size_bytes.bit_length() - 1
    return address[low:ADDRESS_BITS] == region.base >> low


def window_place(address: Value) -> tuple[Value, Value]:
    """Row and column of the element whose window a byte address lies in, see `window_base`."""
    return tuple(
        address[low : low + _COLUMN_BITS] for low in (_WINDOW_LOG2 + _COLUMN_BITS, _WINDOW_LOG2)
    )


def in_window(address: Value, *, rows: int, columns: int, size_bytes: int) -> Value:
    """Whether a byte address lies in the local memory, `size_bytes` (a power of two) each, of one
    of these elements."""
    if rows == columns == 1:
        return exists(address, PE_WINDOWS, size_bytes)
    row, column = window_place(address)
    inside = address[size_bytes.bit_length() - 1 : _WINDOW_LOG2]
    above = _WINDOW_LOG2 + 2 * _COLUMN_BITS
    return (
        (address[above:ADDRESS_BITS] == PE_WINDOWS.base >> above)
        & (row < rows)
        & (column < columns)
        & ~inside.any()
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """What a memory behind a crossbar holds: `size_bytes` of a region, or one slice of that."""

    region: Region
    size_bytes: int
    """How much of the region exists, a power of two."""
    interleave: Interleave | None = None
    """Where it is one of several slices, how lines are dealt to them."""

    def offset(self, address: Value, line_log2: int) -> Value:
        """Where a line lies in the memory; the bits above are left out, so fewer are carried."""
        inside = address[: self.size_bytes.bit_length() - 1]
        if self.interleave is None:
            return inside[line_log2:] << line_log2
        return line_number(inside, self.interleave) << line_log2


def element_targets(*, sram_bytes: int, dram_bytes: int, local_bytes: int) -> dict[str, Target]:
    """The memories of a chip with one element: SRAM, DRAM, and the element's own."""
    return {
        "sram": Target(region=SRAM, size_bytes=sram_bytes),
        "dram": Target(region=DRAM, size_bytes=dram_bytes),
        "local": Target(region=PE_WINDOWS, size_bytes=local_bytes),
    }


class Crossbar(wiring.Component):
    """Carries requests of one kind, reads or writes, to the memories, and the answers back.

    Operation: the address selects the memory; one that no memory holds is answered with `error` at
    once. Each memory serves the masters in turn (round robin); each master's answers come from the
    memories in turn. Requests and answers share nothing. A master has reserved room before it asks,
    so an answer at the head of a memory's queue always leaves, and nobody blocks another.

    Timing: a request reaches a memory 1 cycle after it was taken, an answer its master in the cycle
    in which the memory offers it; one line per cycle to each memory and to each master.
    Combinational paths lead from a request to its `ready`, from a memory's answer to a master, and
    from a master's `ready` to it; the latter should come from a register. With `staged` requests
    wait in two registers of each master before they meet, answers in one of each memory and two of
    each master: 4 cycles in all, and no path leads from one side to the other.

    Parameters
    ----------
    port : `MemoryReadPort` or `MemoryWritePort`.
    link_bytes : bytes of a line.
    tag_widths : bits of each master's tags.
    targets : the memories by name.
    staged : whether there are registers on both sides of every choice.

    Members
    -------
    master0, ... : In(port), one for each entry of `tag_widths`.
    A member with the name of each memory : Out(port); tags have `slave_tag_width` bits, and
        addresses are offsets into the memory (the bits above are zero).

    Raises: ValueError when there is no master.
    """

    def __init__(
        self,
        *,
        port: type[MemoryReadPort] | type[MemoryWritePort],
        link_bytes: int,
        tag_widths: tuple[int, ...],
        targets: Mapping[str, Target],
        staged: bool = False,
    ) -> None:
        if not tag_widths:
            raise ValueError("Crossbar needs at least one master, tag_widths is empty.")
        self.n_masters = len(tag_widths)
        self.link_bytes = link_bytes
        self.targets = dict(targets)
        self.staged = staged
        self.latency = 4 if staged else 1
        """Cycles that the way there and the way back add."""
        self.slave_tag_width = self.tag_width(tag_widths)
        slave = port(link_bytes=link_bytes, tag_width=self.slave_tag_width)
        super().__init__(
            {
                **{
                    f"master{index}": In(port(link_bytes=link_bytes, tag_width=width))
                    for index, width in enumerate(tag_widths)
                },
                **{name: Out(slave) for name in targets},
            }
        )

    @staticmethod
    def tag_width(tag_widths: tuple[int, ...]) -> int:
        """Bits of a tag at a memory: a master's tag, and above it the master's number."""
        return max(tag_widths) + (len(tag_widths) - 1).bit_length()

    @property
    def masters(self) -> list[Any]:
        """The masters' ports."""
        return [getattr(self, f"master{index}") for index in range(self.n_masters)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        requests = [self._elaborate_select(m, i, port) for i, port in enumerate(self.masters)]
        answers: list[list[Any]] = [[] for _ in self.masters]
        for name in self.targets:
            slave = getattr(self, name)
            self._elaborate_requests(m, name, slave, requests)
            for index, answer in enumerate(self._elaborate_split(m, name, slave)):
                answers[index].append(answer)
        for index, (master, request) in enumerate(zip(self.masters, requests, strict=True)):
            refusal = self._elaborate_refusal(m, index, master, request)
            self._elaborate_answers(m, index, master, [*answers[index], refusal])
        return m

    def _elaborate_select(self, m: Module, index: int, master: Any) -> stream.Interface:
        """Requests of one master, and which target each is for; a later step drives `ready`."""
        address = master.request.payload.address
        found = {
            name: exists(address, target.region, target.size_bytes)
            for name, target in self.targets.items()
        }
        found["none"] = ~Cat(found.values()).any()
        layout = {"request": master.request.payload.shape(), **dict.fromkeys(found, 1)}
        item = stream.Signature(data.StructLayout(layout)).create(path=(f"request{index}",))
        m.d.comb += [
            item.valid.eq(master.request.valid),
            master.request.ready.eq(item.ready),
            item.payload.request.eq(master.request.payload),
            *(item.payload[name].eq(hit) for name, hit in found.items()),
        ]
        if not self.staged:
            return item
        m.submodules[f"request{index}"] = stage = SkidBuffer(shape=item.payload.shape())
        wiring.connect(m, item, stage.i)
        return stage.o

    def _elaborate_requests(
        self, m: Module, name: str, slave: Any, requests: list[stream.Interface]
    ) -> None:
        """Requests of all masters to one memory."""
        shape = slave.request.payload.shape()
        low = self.link_bytes.bit_length() - 1
        arbiter = RoundRobinArbiter(shape=shape, n_inputs=self.n_masters)
        stage = SkidBuffer(shape=shape)
        m.submodules[f"{name}_arbiter"], m.submodules[f"{name}_stage"] = arbiter, stage
        wiring.connect(m, arbiter.o, stage.i)
        wiring.connect(m, stage.o, wiring.flipped(slave.request))
        for index, item in enumerate(requests):
            port, request = arbiter.i[index], item.payload.request
            m.d.comb += port.valid.eq(item.valid & item.payload[name])
            for field, _ in shape:
                value = request[field]
                if field == "tag":
                    value = self._wide_tag(index, value)
                elif field == "address":
                    value = self.targets[name].offset(value, low)
                m.d.comb += Value.cast(port.payload[field]).eq(value)
            with m.If(item.payload[name]):
                m.d.comb += item.ready.eq(port.ready)

    def _wide_tag(self, index: int, tag: Value) -> Value:
        low = self.slave_tag_width - (self.n_masters - 1).bit_length()
        return Value.cast(tag) | index << low

    def _elaborate_split(self, m: Module, name: str, slave: Any) -> list[Any]:
        """The answers of one memory, a stream for each master."""
        low = self.slave_tag_width - (self.n_masters - 1).bit_length()
        response = slave.response
        if self.staged:
            m.submodules[f"{name}_answer"] = stage = PipeStage(shape=response.payload.shape())
            wiring.connect(m, wiring.flipped(response), stage.i)
            response = stage.o
        target = response.payload.tag[low:]
        streams = []
        for index in range(self.n_masters):
            part = stream.Signature(response.payload.shape()).create(
                path=(f"{name}_answer{index}",)
            )
            mine = target == index if self.n_masters > 1 else 1
            m.d.comb += [
                part.valid.eq(response.valid & mine),
                part.payload.eq(response.payload),
            ]
            with m.If(mine):
                m.d.comb += response.ready.eq(part.ready)
            streams.append(part)
        return streams

    def _elaborate_refusal(
        self, m: Module, index: int, master: Any, item: stream.Interface
    ) -> stream.Interface:
        """Answers what no memory holds."""
        refusal = PipeStage(shape=master.response.payload.shape())
        m.submodules[f"refusal{index}"] = refusal
        m.d.comb += [
            refusal.i.valid.eq(item.valid & item.payload.none),
            refusal.i.payload.tag.eq(item.payload.request.tag),
            refusal.i.payload.error.eq(1),
        ]
        with m.If(item.payload.none):
            m.d.comb += item.ready.eq(refusal.i.ready)
        return refusal.o

    def _elaborate_answers(self, m: Module, index: int, master: Any, sources: list[Any]) -> None:
        """Answers of all memories to one master."""
        shape = master.response.payload.shape()
        arbiter = RoundRobinArbiter(shape=shape, n_inputs=len(sources))
        m.submodules[f"answers{index}"] = arbiter
        answer = arbiter.o
        if self.staged:
            m.submodules[f"answer{index}"] = stage = PingPongBuffer(shape=shape)
            wiring.connect(m, arbiter.o, stage.i)
            answer = stage.o
        wiring.connect(m, answer, wiring.flipped(master.response))
        for port, source in zip(arbiter.i, sources, strict=True):
            m.d.comb += [port.valid.eq(source.valid), source.ready.eq(port.ready)]
            for field, _ in shape:
                m.d.comb += Value.cast(port.payload[field]).eq(source.payload[field])
