# SPDX-License-Identifier: Apache-2.0
"""The host's DMA engine: copies lines between the host's memory and the chip's."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.dma import DmaCause
from hw.iface.dma import DmaControlPort
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.elastic import SkidBuffer, StreamFifo

__all__ = ["DmaEngine"]


class DmaEngine(wiring.Component):
    """Copies bytes from one memory to another, line by line, `slots` lines at a time.

    Operation: a line is read when one of the slots is free, and written as soon as it has come, in
    whatever order lines come; its slot is free again when the write is acknowledged. So nothing
    that was asked for lacks room. Addresses are multiples of a line; of the last line only the
    bytes that are left are written. After an error no more lines are read, what cannot be read is
    not written, and the transfer ends when all that is under way has ended; `cause` is that of the
    first error. Lines before it may have been written. An abort ends a transfer likewise; lines
    that come after it are not written, those that wait to be taken by their memory are.

    Timing: a line per cycle if `slots` cover the latency of both memories; a line is offered to its
    memory 2 cycles after it came. After an abort, too, `busy` stays until the last answer: until
    then slots are not free.

    Parameters
    ----------
    link_bytes : bytes of a line.
    slots : lines under way, a power of two; tags are slots.

    Members
    -------
    control : In(DmaControlPort()).
    chip_read, host_read : Out(MemoryReadPort). chip_write, host_write : Out(MemoryWritePort).

    Raises: ValueError when `slots` is no power of two.
    """

    def __init__(self, *, link_bytes: int, slots: int = 32) -> None:
        if slots < 2 or slots & (slots - 1):
            raise ValueError(f"DmaEngine slots must be a power of two from 2, not {slots!r}.")
        self.link_bytes, self.slots = link_bytes, slots
        self.tag_width = (slots - 1).bit_length()
        ports = {"link_bytes": link_bytes, "tag_width": self.tag_width}
        super().__init__(
            {
                "control": In(DmaControlPort()),
                **{
                    f"{place}_{name}": Out(kind(**ports))
                    for place in ("chip", "host")
                    for name, kind in (("read", MemoryReadPort), ("write", MemoryWritePort))
                },
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        control, n_left = self.control, Signal(32)  # bytes that are still to be read
        self._taken, self._freed = Signal(self.slots), Signal(2 * self.slots)
        self._failed, self._cause = Signal(), Signal(8)
        self._drops, aborts = Signal(), control.abort & control.busy
        offset_bits = self.link_bytes.bit_length() - 1
        misaligned = (control.source | control.target)[:offset_bits].any() | (control.n_bytes == 0)
        lines = self._elaborate_reads(m, n_left)
        self._elaborate_writes(m, lines)
        freed = self._freed[: self.slots] | self._freed[self.slots :]
        with m.If(control.start):
            m.d.sync += [
                control.busy.eq(1),
                control.cause.eq(Mux(misaligned, DmaCause.MISALIGNED, DmaCause.NONE)),
                n_left.eq(Mux(misaligned, 0, control.n_bytes)),
                self._drops.eq(0),
            ]
        with m.Elif(self._failed | aborts):
            m.d.sync += [n_left.eq(0), self._drops.eq(self._drops | aborts)]
            with m.If(control.cause == DmaCause.NONE):
                m.d.sync += control.cause.eq(Mux(self._failed, self._cause, DmaCause.ABORTED))
        with m.If(control.busy & (n_left == 0) & ~self._taken.any()):
            m.d.sync += control.busy.eq(0)
        m.d.sync += self._taken.eq((self._taken & ~freed) | self._asked)
        return m

    def _elaborate_reads(self, m: Module, n_left: Signal) -> StreamFifo:
        """Ask for lines in turn, and keep those that came until they are written."""
        control, source, target = self.control, Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        slot, is_last = Signal(self.tag_width), n_left <= self.link_bytes
        m.submodules.targets = targets = memory.Memory(shape=self._place, depth=self.slots, init=[])
        note, self._target = targets.write_port(), targets.read_port(domain="comb")
        reads = (self.chip_read, self.host_read)
        m.submodules.asking = asking = SkidBuffer(shape=self.chip_read.request.payload.shape())
        request, goes = asking.i, Signal()
        m.d.comb += [
            request.valid.eq((n_left != 0) & ~self._taken.bit_select(slot, 1) & ~self._failed),
            request.payload.address.eq(source),
            request.payload.tag.eq(slot),
            goes.eq(request.valid & request.ready),
            note.en.eq(goes),
            note.addr.eq(slot),
            note.data.address.eq(target),
            note.data.n_bytes.eq(Mux(is_last, n_left, self.link_bytes)),
        ]
        self._asked = Mux(goes, 1 << slot, 0)
        with m.If(control.start):
            m.d.sync += [source.eq(control.source), target.eq(control.target)]
        with m.Elif(goes):
            m.d.sync += [
                source.eq(source + self.link_bytes),
                target.eq(target + self.link_bytes),
                slot.eq(slot + 1),
                n_left.eq(Mux(is_last, 0, n_left - self.link_bytes)),
            ]
        shape = data.StructLayout(
            {"data": 8 * self.link_bytes, "slot": self.tag_width, "error": 1, "poison": 1}
        )
        m.submodules.lines = lines = StreamFifo(shape=shape, depth=self.slots)
        for is_host, port in enumerate(reads):
            come, meant = port.response, control.to_host != is_host
            with m.If(meant):
                m.d.comb += asking.o.ready.eq(port.request.ready)
            m.d.comb += [
                port.request.valid.eq(asking.o.valid & meant),
                port.request.payload.eq(asking.o.payload),
                come.ready.eq(1),  # its slot is kept
            ]
            with m.If(come.valid):
                m.d.comb += [
                    lines.i.valid.eq(1),
                    lines.i.payload.data.eq(come.payload.data),
                    lines.i.payload.slot.eq(come.payload.tag),
                    lines.i.payload.error.eq(come.payload.error),
                    lines.i.payload.poison.eq(come.payload.poison),
                ]
        return lines

    @property
    def _place(self) -> data.StructLayout:
        """Where a line goes, and how much of it."""
        return data.StructLayout({"address": ADDRESS_BITS, "n_bytes": self.link_bytes.bit_length()})

    def _elaborate_writes(self, m: Module, lines: StreamFifo) -> None:
        """Write lines that came; give back slots; see what failed."""
        control, line = self.control, lines.o.payload
        shape = self.chip_write.request.payload.shape()
        m.submodules.stage = stage = SkidBuffer(shape=shape)
        wrong, drops, place = Signal(), Signal(), self._target.data
        m.d.comb += [
            self._target.addr.eq(line.slot),
            wrong.eq(line.error | line.poison),
            drops.eq(wrong | self._drops),
            stage.i.valid.eq(lines.o.valid & ~drops),
            stage.i.payload.data.eq(line.data),
            stage.i.payload.strobe.eq(Cat(place.n_bytes > byte for byte in range(self.link_bytes))),
            stage.i.payload.address.eq(place.address),
            stage.i.payload.tag.eq(line.slot),
            lines.o.ready.eq(stage.i.ready | drops),
        ]
        with m.If(lines.o.valid & drops):
            m.d.comb += self._freed[: self.slots].eq(1 << line.slot)
        with m.If(lines.o.valid & wrong):
            m.d.comb += self._fails(Mux(line.poison, DmaCause.POISON, self._side(is_read=True)))
        for is_host, port in enumerate((self.chip_write, self.host_write)):
            meant = control.to_host == is_host
            m.d.comb += [
                port.request.valid.eq(stage.o.valid & meant),
                port.request.payload.eq(stage.o.payload),
                port.response.ready.eq(1),
            ]
            with m.If(meant):
                m.d.comb += stage.o.ready.eq(port.request.ready)
            with m.If(port.response.valid):
                m.d.comb += self._freed[self.slots :].eq(1 << port.response.payload.tag)
                with m.If(port.response.payload.error):
                    m.d.comb += self._fails(self._side(is_read=False))

    def _side(self, *, is_read: bool) -> Value:
        """The cause of an access that was refused."""
        of_host = ~self.control.to_host if is_read else self.control.to_host
        return Mux(of_host, DmaCause.HOST_MEMORY, DmaCause.CHIP_MEMORY)

    def _fails(self, cause: Value) -> Any:
        """Statements: an error of this cause."""
        return Cat(self._failed, self._cause).eq(Cat(Const(1, 1), cause))
