# SPDX-License-Identifier: Apache-2.0
"""The crossbar between those who ask for memory and the memories."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS, DRAM, PE_WINDOWS, SRAM, Region
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.arbiter import RoundRobinArbiter
from hw.lib.elastic import PipeStage, SkidBuffer

__all__ = ["Crossbar", "exists"]

_SLAVES = ("sram", "dram", "local")


def exists(address: Value, region: Region, size_bytes: int) -> Value:
    """Whether a byte address lies in the first `size_bytes` (a power of two) of a region."""
    low = size_bytes.bit_length() - 1
    return address[low:ADDRESS_BITS] == region.base >> low


class Crossbar(wiring.Component):
    """Carries requests of one kind, reads or writes, to the memories, and the answers back.

    Operation: the address selects the memory; one that no memory holds is answered with `error` at
    once. Each memory serves the masters in turn (round robin); each master's answers come from the
    memories in turn. Requests and answers share nothing. A master has reserved room before it asks,
    so an answer at the head of a memory's queue always leaves, and nobody blocks another.

    Timing: a request reaches a memory 1 cycle after it was taken, an answer its master in the cycle
    in which the memory offers it; one line per cycle to each memory and to each master.
    Combinational paths lead from a request to its `ready`, from a memory's answer to a master, and
    from a master's `ready` to it; the latter should come from a register.

    Parameters
    ----------
    port : `MemoryReadPort` or `MemoryWritePort`.
    link_bytes : bytes of a line.
    tag_widths : bits of each master's tags.
    sram_bytes, dram_bytes, local_bytes : how much of SRAM, DRAM and the element's local memory
        exists, powers of two.

    Members
    -------
    master0, ... : In(port), one for each entry of `tag_widths`.
    sram, dram, local : Out(port), the memories; tags have `slave_tag_width` bits, and addresses
        are offsets into the memory (the bits above are zero).

    Raises: ValueError when there is no master.
    """

    latency = 1
    """Cycles that the way there and the way back add."""

    def __init__(
        self,
        *,
        port: type[MemoryReadPort] | type[MemoryWritePort],
        link_bytes: int,
        tag_widths: tuple[int, ...],
        sram_bytes: int,
        dram_bytes: int,
        local_bytes: int,
    ) -> None:
        if not tag_widths:
            raise ValueError("Crossbar needs at least one master, tag_widths is empty.")
        self.n_masters = len(tag_widths)
        self.link_bytes = link_bytes
        self.sizes = {
            "sram": (SRAM, sram_bytes),
            "dram": (DRAM, dram_bytes),
            "local": (PE_WINDOWS, local_bytes),
        }
        self.slave_tag_width = self.tag_width(tag_widths)
        slave = port(link_bytes=link_bytes, tag_width=self.slave_tag_width)
        super().__init__(
            {
                **{
                    f"master{index}": In(port(link_bytes=link_bytes, tag_width=width))
                    for index, width in enumerate(tag_widths)
                },
                **{name: Out(slave) for name in _SLAVES},
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
        selects = [self._elaborate_select(m, master) for master in self.masters]
        answers: list[list[Any]] = [[] for _ in self.masters]
        for name in _SLAVES:
            slave = getattr(self, name)
            self._elaborate_requests(m, name, slave, [select[name] for select in selects])
            for index, answer in enumerate(self._elaborate_split(m, name, slave)):
                answers[index].append(answer)
        for index, master in enumerate(self.masters):
            refusal = self._elaborate_refusal(m, index, master, selects[index]["none"])
            self._elaborate_answers(m, index, master, [*answers[index], refusal])
        return m

    def _elaborate_select(self, m: Module, master: Any) -> dict[str, Signal]:
        """Requests of one master by target; a later step drives `ready` of the request."""
        found = {
            name: exists(master.request.payload.address, *self.sizes[name]) for name in _SLAVES
        }
        found["none"] = ~Cat(found.values()).any()
        selects = {}
        for name, hit in found.items():
            selects[name] = Signal(name=f"{name}_valid")
            m.d.comb += selects[name].eq(master.request.valid & hit)
        return selects

    def _elaborate_requests(self, m: Module, name: str, slave: Any, valids: list[Signal]) -> None:
        """Requests of all masters to one memory."""
        shape = slave.request.payload.shape()
        low, high = (size.bit_length() - 1 for size in (self.link_bytes, self.sizes[name][1]))
        arbiter = RoundRobinArbiter(shape=shape, n_inputs=self.n_masters)
        stage = SkidBuffer(shape=shape)
        m.submodules[f"{name}_arbiter"], m.submodules[f"{name}_stage"] = arbiter, stage
        wiring.connect(m, arbiter.o, stage.i)
        wiring.connect(m, stage.o, wiring.flipped(slave.request))
        for index, (master, valid) in enumerate(zip(self.masters, valids, strict=True)):
            port, request = arbiter.i[index], master.request
            m.d.comb += port.valid.eq(valid)
            for field, _ in shape:
                value = request.payload[field]
                if field == "tag":
                    value = self._wide_tag(index, value)
                elif field == "address":  # fewer bits to carry
                    value = value[low:high] << low
                m.d.comb += Value.cast(port.payload[field]).eq(value)
            with m.If(valid):
                m.d.comb += request.ready.eq(port.ready)

    def _wide_tag(self, index: int, tag: Value) -> Value:
        low = self.slave_tag_width - (self.n_masters - 1).bit_length()
        return Value.cast(tag) | index << low

    def _elaborate_split(self, m: Module, name: str, slave: Any) -> list[Any]:
        """The answers of one memory, a stream for each master."""
        low = self.slave_tag_width - (self.n_masters - 1).bit_length()
        target = slave.response.payload.tag[low:]
        streams = []
        for index in range(self.n_masters):
            part = stream.Signature(slave.response.payload.shape()).create(
                path=(f"{name}_answer{index}",)
            )
            mine = target == index if self.n_masters > 1 else 1
            m.d.comb += [
                part.valid.eq(slave.response.valid & mine),
                part.payload.eq(slave.response.payload),
            ]
            with m.If(mine):
                m.d.comb += slave.response.ready.eq(part.ready)
            streams.append(part)
        return streams

    def _elaborate_refusal(self, m: Module, index: int, master: Any, wanted: Signal) -> Any:
        """Answers what no memory holds."""
        refusal = PipeStage(shape=master.response.payload.shape())
        m.submodules[f"refusal{index}"] = refusal
        m.d.comb += [
            refusal.i.valid.eq(wanted),
            refusal.i.payload.tag.eq(master.request.payload.tag),
            refusal.i.payload.error.eq(1),
        ]
        with m.If(wanted):
            m.d.comb += master.request.ready.eq(refusal.i.ready)
        return refusal.o

    def _elaborate_answers(self, m: Module, index: int, master: Any, sources: list[Any]) -> None:
        """Answers of all memories to one master."""
        shape = master.response.payload.shape()
        arbiter = RoundRobinArbiter(shape=shape, n_inputs=len(sources))
        m.submodules[f"answers{index}"] = arbiter
        wiring.connect(m, arbiter.o, wiring.flipped(master.response))
        for port, source in zip(arbiter.i, sources, strict=True):
            m.d.comb += [port.valid.eq(source.valid), source.ready.eq(port.ready)]
            for field, _ in shape:
                m.d.comb += Value.cast(port.payload[field]).eq(source.payload[field])
