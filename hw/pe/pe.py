# SPDX-License-Identifier: Apache-2.0
"""One processing element: the units, and the wires between them."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import COUNTERS
from hw.config.element import PeConfig
from hw.pe.cp import ALL_UNITS, SOURCES, CheckLimits, CommandProcessor
from hw.pe.cp.counter_file import event_name
from hw.pe.dpe import DotProductEngine
from hw.pe.dpe.feed import OperandFeed
from hw.pe.fi import FabricInterface, FiGeometry, RemoteAccess, Sharing
from hw.pe.ls import LocalMemory
from hw.pe.mlu import MemoryLayoutUnit
from hw.pe.re import ReductionEngine
from hw.pe.se import SimdEngine
from hw.pe.slots import element_slots
from hw.pe.wqe import WorkQueueEngine

__all__ = ["CHIP_EVENTS", "ProcessingElement"]

CHIP_EVENTS = tuple(c.name for c in COUNTERS if c.name.split(".")[0] in ("sram", "dram"))
"""Events that the element counts and the chip reports."""

# Ports that go straight through to the command processor.
_CP_PORTS = (
    "row",
    "col",
    "remote_signal",
    "signal_in",
    "job_done",
    "status",
    "trap",
    "halt_request",
    "quiet",
    "debug_select",
    "debug_data",
    "progress",
    "trace",
    "counter_enable",
    "counter_clear",
    "snapshot",
    "counter_index",
    "counter_word",
    "counter_data",
    *(event_name(event) for event in CHIP_EVENTS),
)
_CORE_SOURCES = ("source_core_a", "source_core_b")
_CONFLICT_GROUPS = ("dpe", "fi", "re", "se", "mlu")
_REMOTE_PORTS = ("remote_read", "remote_write", "remote_hold", "remote_idle")
_LINKS = ("in_north", "in_west", "out_south", "out_east")


class ProcessingElement(wiring.Component):
    """Everything between a command list in memory and results in memory; this file only wires.

    Operation: docs/design.md. `start` begins a command list; the element reads it by itself. All
    that depends on where the element stands comes in on ports (`row`, `col`), so equal elements are
    equal modules.

    Parameters
    ----------
    config : the element.
    with_links : whether reduction links to neighbours are there.
    with_cores : whether the cores' command ports and ports into local memory are there.
    remote_tag_widths : bits of tags of those who read, and write, local memory from outside.
    multicast_lanes : `ChipConfig.multicast_lanes`, with n_positions : elements that a lane passes.

    Members
    -------
    start : In(stream.Signature(ListStart)), a command list to run.
    memory_read, memory_write : Out, the fabric interface's memory ports.
    limits : In(FabricLimits), what it may do there.
    groups : In(groups_layout(n_positions)), with whom it shares reads; with `multicast_lanes`.
    list_read : Out(MemoryReadPort), the work-queue engine's.
    remote_read, remote_write, remote_hold, remote_idle : see `RemoteAccess`. Answers are lost in a
        reset, so `remote_hold` comes before it, until `remote_idle`.
    settled : Out(1), every unit is idle and nothing is on its way.
    source_core_a, source_core_b : In(stream), the cores' commands.
    core_read, core_write : In(LsReadPort, LsWritePort).array(2), the cores' local-memory ports.
    in_north, in_west, out_south, out_east : reduction links.
    All others : see `CommandProcessor`.
    """

    def __init__(
        self,
        *,
        config: PeConfig,
        with_links: bool = True,
        with_cores: bool = True,
        remote_tag_widths: tuple[int, int] = (8, 8),
        multicast_lanes: int = 0,
        n_positions: int = 0,
    ) -> None:
        config.validate()
        self.config = config
        word_bytes, columns = config.ls.word_bytes, config.dpe.columns
        self._ls = LocalMemory(config=config.ls, slots=element_slots(config, with_cores=with_cores))
        ls = {"word_bytes": word_bytes, "address_width": self._ls.address_width}
        self._cp = CommandProcessor(
            limits=CheckLimits.of(config, ALL_UNITS, multicast_lanes=multicast_lanes),
            queue_depth=config.cp.queue_depth,
            sources=SOURCES if with_cores else ("wqe",),
        )
        self._wqe = WorkQueueEngine(link_bytes=config.link_bytes)
        self._fi = FabricInterface(
            link_bytes=config.link_bytes,
            ls_bytes=config.ls.size_bytes,
            reads_in_flight=config.fi.reads_in_flight,
            writes_in_flight=config.fi.writes_in_flight,
            with_scatter_add=config.fi.with_scatter_add,
            sharing=Sharing(n_positions=n_positions, n_lines=config.fi.shared_reads)
            if multicast_lanes
            else None,
        )
        self._remote = RemoteAccess(
            geometry=FiGeometry(link_bytes=config.link_bytes, ls_bytes=config.ls.size_bytes),
            read_tag_width=remote_tag_widths[0],
            write_tag_width=remote_tag_widths[1],
        )
        self._re = ReductionEngine(
            config=config.re,
            columns=columns,
            tile_rows=config.dpe.tile_rows,
            with_fp=config.dpe.with_fp,
            with_links=with_links,
            with_se=True,
            **ls,
        )
        self._se = SimdEngine(config=config.se, columns=columns, **ls)
        self._mlu = MemoryLayoutUnit(**ls)
        self._dpe = DotProductEngine(
            config=config.dpe,
            banks=config.re.banks,
            address_width=self._ls.address_width,
            re_latency=self._re.latency,
        )
        self._feeds = {operand: OperandFeed(**ls) for operand in "ab"}
        self._outer: dict[str, Any] = dict.fromkeys(_CP_PORTS, self._cp)
        self._outer |= dict.fromkeys(_CORE_SOURCES if with_cores else (), self._cp)
        self._outer |= dict.fromkeys(("memory_read", "memory_write", "limits"), self._fi)
        self._outer |= dict.fromkeys(("groups",) if multicast_lanes else (), self._fi)
        self._outer |= dict.fromkeys(_REMOTE_PORTS, self._remote)
        self._outer |= dict.fromkeys(_LINKS if with_links else (), self._re)
        self._outer |= dict.fromkeys(("core_read", "core_write") if with_cores else (), self._ls)
        super().__init__(
            {
                **{name: unit.signature.members[name] for name, unit in self._outer.items()},
                "start": self._wqe.signature.members["start"],
                "list_read": self._wqe.signature.members["memory"],
                "settled": Out(1),
            }
        )

    @staticmethod
    def tag_widths(config: PeConfig, *, shared_reads: int = 0) -> dict[str, int]:
        """Bits of tags of each port on which the element asks."""
        reads, writes = FabricInterface.tag_widths(
            reads_in_flight=config.fi.reads_in_flight,
            writes_in_flight=config.fi.writes_in_flight,
            shared_reads=shared_reads,
        )
        lists = WorkQueueEngine.tag_bits()
        return {"memory_read": reads, "memory_write": writes, "list_read": lists}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cp = self._cp
        m.submodules.wqe = self._wqe
        m.submodules.ls = self._ls
        m.submodules.fi = self._fi
        m.submodules.dpe = self._dpe
        m.submodules.remote = self._remote
        m.submodules.re = self._re
        m.submodules.se = self._se
        m.submodules.mlu = self._mlu
        for name, unit in self._outer.items():
            self._connect_outer(m, name, unit)
        self._elaborate_list(m)
        self._elaborate_control(m)
        self._elaborate_local_memory(m)
        self._elaborate_compute(m)
        self._elaborate_events(m)
        return m

    def _connect_outer(self, m: Module, name: str, unit: Any) -> None:
        """Connect a port of a unit to the element's port of the same name."""
        outer, inner = getattr(self, name), getattr(unit, name)
        member = self.signature.members[name]
        if member.is_port:
            source, sink = (outer, inner) if member.flow is In else (inner, outer)
            m.d.comb += sink.eq(source)
        elif member.dimensions:
            for one, other in zip(outer, inner, strict=True):
                wiring.connect(m, wiring.flipped(one), other)
        else:
            wiring.connect(m, wiring.flipped(outer), inner)

    def _elaborate_list(self, m: Module) -> None:
        """The work-queue engine is one of the command processor's sources."""
        cp, wqe = self._cp, self._wqe
        wiring.connect(m, wiring.flipped(self.start), wqe.start)
        wiring.connect(m, wqe.memory, wiring.flipped(self.list_read))
        wiring.connect(m, wqe.command, cp.source_wqe)
        m.d.comb += [
            wqe.halt.eq(cp.wqe_halt),
            cp.wqe_idle.eq(wqe.idle),
            cp.wqe_trap.eq(wqe.trap),
        ]

    def _elaborate_control(self, m: Module) -> None:
        """Every unit's commands and circular-buffer ports."""
        cp, fi, dpe, re = self._cp, self._fi, self._dpe, self._re
        se, mlu = self._se, self._mlu
        controls = [
            (fi.fi_in_row, cp.fi_in_row),
            (fi.fi_in_col, cp.fi_in_col),
            (fi.fi_out, cp.fi_out),
            (dpe.control, cp.dpe),
            (re.control, cp.re),
            (se.control, cp.se),
            (mlu.control, cp.mlu),
        ]
        ports = [
            (fi.cb_fi_in_row, cp.cb_fi_in_row),
            (fi.cb_fi_in_col, cp.cb_fi_in_col),
            (fi.cb_fi_out, cp.cb_fi_out),
            (fi.cb_fi_in_index, cp.cb_fi_in_index),
            (fi.cb_fi_out_index, cp.cb_fi_out_index),
            (dpe.cb_a, cp.cb_dpe_a),
            (dpe.cb_b, cp.cb_dpe_b),
            (re.cb_in, cp.cb_re_in),
            (re.cb_out, cp.cb_re_out),
            (se.cb_a, cp.cb_se_a),
            (se.cb_b, cp.cb_se_b),
            (se.cb_out, cp.cb_se_out),
            (mlu.cb_in, cp.cb_mlu_in),
            (mlu.cb_out, cp.cb_mlu_out),
        ]
        for unit, port in (*controls, *ports):
            wiring.connect(m, unit, port)
        idle = [unit.idle for unit, _ in controls]
        m.d.comb += self.settled.eq(Cat(self._wqe.idle, *idle).all())

    def _elaborate_local_memory(self, m: Module) -> None:
        """Every unit's slots of local memory."""
        ls, fi, re, se, mlu = self._ls, self._fi, self._re, self._se, self._mlu
        for slots, unit_ports in (
            (ls.dpe_a, [self._feeds["a"].ls]),
            (ls.dpe_b, [self._feeds["b"].ls]),
            (ls.fi_in, fi.ls_in),
            (ls.re_out, re.ls_out),
            (ls.fi_out, fi.ls_out),
            (ls.fi_index, [fi.ls_index]),
            (ls.remote_read, self._remote.ls_read),
            (ls.remote_write, self._remote.ls_write),
            (ls.re_in, [re.ls_in]),
            (ls.se_out, se.ls_out),
            (ls.se_a, se.ls_a),
            (ls.se_b, se.ls_b),
            (ls.mlu_in, [mlu.ls_in]),
            (ls.mlu_out, [mlu.ls_out]),
        ):
            for unit_port, slot in zip(unit_ports, slots, strict=True):
                wiring.connect(m, unit_port, slot)

    def _elaborate_compute(self, m: Module) -> None:
        """Layout unit, dot-product engine, reduction engine and SIMD engine form a chain."""
        for operand, feed in self._feeds.items():
            m.submodules[f"feed_{operand}"] = feed
            wiring.connect(m, getattr(self._dpe, f"ls_{operand}"), feed.reader)
            wiring.connect(m, getattr(self._mlu, f"to_dpe_{operand}"), feed.words)
            m.d.comb += feed.from_mlu.eq(getattr(self._dpe, f"{operand}_from_mlu"))
        wiring.connect(m, self._re.to_se, self._se.rows_in)
        wiring.connect(m, self._dpe.rows, self._re.rows)
        wiring.connect(m, self._dpe.banks, self._re.banks)
        m.d.comb += self._cp.bank_states.eq(self._dpe.banks.states)

    def _elaborate_events(self, m: Module) -> None:
        """What the performance counters add in each cycle."""
        ls, fi, dpe = self._ls, self._fi, self._dpe
        events = {
            "dpe.rows": dpe.rows.valid,
            "dpe.held_blocks": dpe.event_held_blocks,
            "se.elements": self._se.event_elements,
            "mlu.words": self._mlu.event_words,
            **{f"ls.conflicts_{group}": ls.conflicts[group] for group in _CONFLICT_GROUPS},
            "ls.reads": ls.words_read,
            "ls.writes": ls.words_written,
            "fi.read_bytes": fi.event_read_bytes,
            "fi.read_lines": fi.event_read_lines,
            "fi.write_bytes": fi.event_write_bytes,
            "fi.write_lines": fi.event_write_lines,
        }
        for name, amount in events.items():
            m.d.comb += getattr(self._cp, event_name(name)).eq(amount)
