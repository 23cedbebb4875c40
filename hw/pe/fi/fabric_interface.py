# SPDX-License-Identifier: Apache-2.0
"""The fabric interface: the element's DMA engines, two in and one out, and access from outside."""

import dataclasses
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.iface.limits import FabricLimits
from hw.iface.pe import CbPort, LsReadPort, UnitControl
from hw.pe.fi.geometry import FiGeometry, Sharing
from hw.pe.fi.indices import IndexSlot
from hw.pe.fi.reader import N_ENGINES, FabricReader
from hw.pe.fi.writer import FabricWriter

__all__ = ["FabricInterface"]


class FabricInterface(wiring.Component):
    """Moves bytes between memory and local memory: two engines read, one writes.

    Operation
        1. Runs may begin at any byte on either side. A run's bytes are contiguous in memory; in
           local memory they go on, from one word to the next, `stride0` bytes further (a multiple
           of the word; strides stay below the circular buffer's depth).
        2. In: answers come in any order; steps are committed in order when all their words are in
           local memory. With `zero_fill` the rest of a run's last word is cleared.
        3. Out: steps are released when read; a command is complete when all its writes are
           acknowledged.
        4. GATHER (row engine) and SCATTER find their rows by a list of indices in local memory.
        5. No line outside of `limits.ranges` is asked for; `limits.read` and `limits.write` hold
           down the rate of lines.
        6. The first fault of an engine is its trap: LS_RANGE, MEMORY_ERROR, MEMORY_POISON,
           MEMORY_RANGE, INDEX_RANGE, LS_PARITY, MULTICAST_GROUP or MULTICAST_MISMATCH. After it,
           and under `halt`, the engine sends nothing new and turns idle when everything in flight
           has come back.
        7. With `sharing` DMA_IN may share its lines with other elements. Each member of the group
           asks for each line once, with a tag on which all agree, and is answered once.

    Timing
        One line per cycle in all for both engines in, and one out, at any alignment; see
        `FabricReader` and `FabricWriter` for the formulas.

    Parameters
    ----------
    link_bytes : bytes of a line, two local-memory words.
    ls_bytes : size of local memory.
    reads_in_flight, writes_in_flight : lines at a time, powers of two from 4 to 64.
    with_scatter_add : SCATTER may add; without, no command that adds may come.
    sharing : how reads are shared with other elements; None: no command that shares may come.

    Members
    -------
    fi_in_row, fi_in_col, fi_out : Out(UnitControl()), commands of the three engines.
    cb_fi_in_row, cb_fi_in_col, cb_fi_out : Out(CbPort()), their circular-buffer ports.
    cb_fi_in_index, cb_fi_out_index : Out(CbPort()), of index lists of GATHER and SCATTER.
    limits : In(FabricLimits), what the job may do.
    groups : In(groups_layout(n_positions)), with whom reads are shared; only with `sharing`.
    memory_read : Out(MemoryReadPort(...)), reads.
    memory_write : Out(MemoryWritePort(...)), writes.
    ls_in : Out(LsWritePort(...)).array(4), local-memory write slots.
    ls_out : Out(LsReadPort(...)).array(2), local-memory read slots.
    ls_index : Out(LsReadPort(...)), local-memory read slot of index lists.
    event_read_lines, event_write_lines : Out(1), a line was requested.
    event_read_bytes, event_write_bytes : Out(range(link_bytes + 1)), useful bytes landed, sent.

    Raises: ValueError for sizes that cannot be built.
    """

    def __init__(
        self,
        *,
        link_bytes: int,
        ls_bytes: int,
        reads_in_flight: int,
        writes_in_flight: int,
        with_scatter_add: bool = True,
        sharing: Sharing | None = None,
    ) -> None:
        self.geometry = geometry = FiGeometry(link_bytes=link_bytes, ls_bytes=ls_bytes)
        for name, count in (
            ("reads_in_flight", reads_in_flight),
            ("writes_in_flight", writes_in_flight),
        ):
            if count not in (4, 8, 16, 32, 64):
                raise ValueError(
                    f"Fabric interface {name} must be a power of two from 4 to 64, not {count!r}."
                )
        self._reader = FabricReader(
            geometry=dataclasses.replace(geometry, sharing=sharing),
            reads_in_flight=reads_in_flight,
            guest_tag_width=(writes_in_flight - 1).bit_length(),
        )
        self.with_scatter_add = with_scatter_add
        self._writer = FabricWriter(
            geometry=geometry, writes_in_flight=writes_in_flight, with_add=with_scatter_add
        )
        slot = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        reader, writer = self._reader.signature.members, self._writer.signature.members
        super().__init__(
            {
                "fi_in_row": Out(UnitControl()),
                "fi_in_col": Out(UnitControl()),
                "fi_out": Out(UnitControl()),
                "cb_fi_in_row": Out(CbPort()),
                "cb_fi_in_col": Out(CbPort()),
                "cb_fi_out": Out(CbPort()),
                "cb_fi_in_index": Out(CbPort()),
                "cb_fi_out_index": Out(CbPort()),
                "limits": In(FabricLimits),
                **({"groups": reader["groups"]} if sharing else {}),
                "memory_read": reader["memory"],
                "memory_write": writer["memory"],
                "ls_in": reader["ls"],
                "ls_out": writer["ls"],
                "ls_index": Out(slot),
                "event_read_lines": Out(1),
                "event_read_bytes": Out(range(link_bytes + 1)),
                "event_write_lines": Out(1),
                "event_write_bytes": Out(range(link_bytes + 1)),
            }
        )

    @staticmethod
    def tag_widths(
        *, reads_in_flight: int, writes_in_flight: int, shared_reads: int = 0
    ) -> tuple[int, int]:
        """Bits of tags of `memory_read` and `memory_write`; each engine in has `shared_reads`."""
        n_reads = reads_in_flight + N_ENGINES * shared_reads
        reads, writes = ((n - 1).bit_length() for n in (n_reads, writes_in_flight))
        return max(reads, writes) + 1, writes

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reader = reader = self._reader
        m.submodules.writer = writer = self._writer
        m.submodules.index_slot = slot = IndexSlot(geometry=self.geometry, n_readers=2)
        for inner, outer in (
            (reader.control_row, self.fi_in_row),
            (reader.control_col, self.fi_in_col),
            (writer.control, self.fi_out),
            (reader.cb_row, self.cb_fi_in_row),
            (reader.cb_col, self.cb_fi_in_col),
            (writer.cb, self.cb_fi_out),
            (reader.index_cb, self.cb_fi_in_index),
            (writer.index_cb, self.cb_fi_out_index),
            (reader.memory, self.memory_read),
            (writer.memory, self.memory_write),
            (slot.ls, self.ls_index),
            *zip(reader.ls, self.ls_in, strict=True),
            *zip(writer.ls, self.ls_out, strict=True),
        ):
            wiring.connect(m, inner, wiring.flipped(outer))
        if reader.geometry.sharing:
            m.d.comb += reader.groups.eq(self.groups)
        if self.with_scatter_add:
            wiring.connect(m, writer.memory_read, reader.guest)
        wiring.connect(m, reader.index_ls, slot.readers[0])
        wiring.connect(m, writer.index_ls, slot.readers[1])
        m.d.comb += [
            reader.ranges.eq(self.limits.ranges),
            reader.rate.eq(self.limits.read),
            writer.ranges.eq(self.limits.ranges),
            writer.rate.eq(self.limits.write),
            self.event_read_lines.eq(reader.read_line),
            self.event_read_bytes.eq(reader.read_bytes),
            self.event_write_lines.eq(writer.write_line),
            self.event_write_bytes.eq(writer.write_bytes),
        ]
        return m
