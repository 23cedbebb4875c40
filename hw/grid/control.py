# SPDX-License-Identifier: Apache-2.0
"""The control block of a chip with a grid of elements."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import (
    CACHE_REGISTERS,
    ELEMENT_REGISTERS,
    GRID_REGISTERS,
    N_JOBS,
    PAGE_BITS,
    ControlPage,
)
from hw.arch.interleave import N_SIDES
from hw.arch.traffic import SIDE_PAGE_BITS, SIDE_TRAFFIC_MOST, TRAFFIC_BITS
from hw.chip.control import IDENTITY
from hw.chip.memory_control import elaborate_memory_control, memory_control_members
from hw.chip.registers import RegisterFile
from hw.grid.cache_control import LIVE_CACHE_REGISTERS, elaborate_cache_control
from hw.grid.control_flits import Report, access_layout, check_grid, report_layout
from hw.grid.dma_control import elaborate_dma_control
from hw.grid.jobs import GridJobs
from hw.grid.mailbox import Mailbox
from hw.grid.signal_flits import RUN_BITS, message_layout
from hw.grid.spare_row import ROW_BITS
from hw.grid.traffic import TrafficCounters, TrafficPort
from hw.grid.watchdog import Watchdog
from hw.iface.cache import CacheControlPort
from hw.iface.control import ControlPort
from hw.iface.dma import DmaControlPort

__all__ = ["GRID_CONTROL_BITS", "GridControl"]

GRID_CONTROL_BITS = PAGE_BITS + 9
"""Bits of an offset into the control region: pages up to those of the elements."""

_START = ELEMENT_REGISTERS["JOB_START"].offset
_SNAPSHOT, _SNAPSHOT_ALL = ELEMENT_REGISTERS["SNAPSHOT"], GRID_REGISTERS["GRID_SNAPSHOT"]
_LEFT_OUT = "GRID_LEFT_OUT"
_JOB_AT = 8  # bit of JOB_START at which the job's number begins
_RUN_AT = 16  # and that of the run, which is added here


class GridControl(wiring.Component):
    """The chip's own registers, and the way to those of the elements.

    Operation: `hw.arch.csr.ControlPage` says what lies where. An access to an element goes along
    its row; a write to page SELECTED goes along all selected rows at once, to the selected columns.
    JOB_START there starts a job on them: `GridJobs` follows it. One that `GridJobs` does not allow
    is dropped, as is one on the page of a single element. Elements get the start's number, the run,
    beside the job's. `irq` is high while a job that GRID_WAIT names is done or hangs, and while a
    message waits, or once a DMA transfer has ended, if MAILBOX_IRQ, DMA_IRQ say so.
    GRID_SNAPSHOT goes to the sides and, as SNAPSHOT, along all rows. Pages of elements that do not
    exist read zero.

    Timing: a write leaves on the rows' lanes 1 cycle after it was taken; a read is answered when
    the element's answer is back, one of page TRAFFIC after 3 cycles, of a page that is nobody's
    after 1. A snapshot is taken at a side 1 cycle after its write, at an element when that has gone
    along the row. Lanes always have room for an access, as registers take a write in every cycle
    and only one read is under way.

    Parameters
    ----------
    rows, columns : the grid.
    n_positions : positions of a mask.
    config_id : value of the CONFIG register.
    count_width : bits of what one cycle may add to an ECC count.
    n_sides : sides that have traffic counters.
    has_spare_row : whether there is one row of tiles more, and GRID_LEFT_OUT. All rows here are
        used ones; `RowMap` leads to those of tiles.
    cache : the control of memory-side caches; None: there are none.

    Members
    -------
    port : In(ControlPort(offset_bits=GRID_CONTROL_BITS)), the host.
    down : Out(stream.Signature(access_layout(n_positions))).array(rows), accesses to elements.
    up : In(stream.Signature(report_layout(n_positions))).array(rows), their reports.
    irq : Out(1).
    moved : In(n_positions).array(rows), elements that make progress.
    traffic : Out(TrafficPort()).array(n_sides), traffic counters of the sides.
    dma : Out(DmaControlPort()).
    messages : In(stream.Signature(message_layout())), see `Mailbox`.
    left_out : Out(4), the row of tiles that is left out; has_started : Out(1), a job has, since
        reset; only if `has_spare_row`.
    cache : Out(cache), if there are caches.
    Others: see `memory_control_members`.

    Raises: ValueError when a parameter is out of range.
    """

    def __init__(
        self,
        *,
        rows: int,
        columns: int,
        n_positions: int,
        config_id: int,
        count_width: int,
        n_sides: int,
        has_spare_row: bool = False,
        cache: CacheControlPort | None = None,
    ) -> None:
        check_grid("GridControl", rows=rows, columns=columns, n_positions=n_positions)
        for name, value, least, most in (
            ("config_id", config_id, 0, (1 << 32) - 1),
            ("count_width", count_width, 1, 32),
            ("n_sides", n_sides, 1, N_SIDES),
        ):
            if not least <= value <= most:
                raise ValueError(f"GridControl {name} must be {least} to {most}, not {value!r}.")
        self.rows, self.columns = rows, columns
        self.n_positions = n_positions
        self.config_id, self.has_spare_row = config_id, has_spare_row
        self.has_cache = cache is not None
        known = GRID_REGISTERS | (CACHE_REGISTERS if self.has_cache else {})
        self.registers = RegisterFile(
            registers=[
                register for name, register in known.items() if has_spare_row or name != _LEFT_OUT
            ],
            with_counters=False,
            live=("SRAM_CLEAR", _LEFT_OUT, *(LIVE_CACHE_REGISTERS if self.has_cache else ())),
        )
        access, report = access_layout(n_positions), report_layout(n_positions)
        super().__init__(
            {
                "port": In(ControlPort(offset_bits=GRID_CONTROL_BITS)),
                "down": Out(stream.Signature(access)).array(rows),
                "up": In(stream.Signature(report)).array(rows),
                "irq": Out(1),
                "moved": In(n_positions).array(rows),
                "traffic": Out(TrafficPort()).array(n_sides),
                "dma": Out(DmaControlPort()),
                "messages": In(stream.Signature(message_layout())),
                **(self._spare_members() if has_spare_row else {}),
                **({"cache": Out(cache)} if cache is not None else {}),
                **memory_control_members(count_width),
            }
        )

    def _spare_members(self) -> dict[str, Any]:
        return {"left_out": Out(ROW_BITS, init=self.rows), "has_started": Out(1)}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = registers = self.registers
        m.submodules.jobs = jobs = GridJobs(
            rows=self.rows, columns=self.columns, n_positions=self.n_positions
        )
        elaborate_memory_control(m, self, registers)
        if self.has_cache:
            elaborate_cache_control(m, self.cache, registers)
        self._access = Signal(access_layout(self.n_positions))
        self._written, self._asked = Signal(self.rows), Signal(self.rows)  # by whom it is meant
        self._elaborate_writes(m, registers, jobs)
        self._elaborate_reads(m, registers)
        self._elaborate_lanes(m)
        self._elaborate_progress(m, registers, jobs)
        if self.has_spare_row:
            self._elaborate_left_out(m, registers, jobs)
        for up, report in zip(self.up, jobs.reports, strict=True):
            m.d.comb += [
                report.valid.eq(up.valid),
                report.payload.eq(up.payload),
                up.ready.eq(1),
            ]
        m.d.comb += [
            registers.id_read.eq(IDENTITY),
            registers.config_read.eq(self.config_id),
            registers.grid_shape_read.eq(self.rows | self.columns << 8),
            registers.grid_error_read.eq(jobs.error),
            registers.grid_done_read.eq(jobs.done),
            registers.grid_failed_read.eq(jobs.failed),
            registers.grid_refused_read.eq(jobs.refused),
        ]
        for job in range(N_JOBS):
            m.d.comb += [
                getattr(registers, f"job{job}_pending_read").eq(jobs.pending[job]),
                getattr(registers, f"job{job}_cycles_lo_read").eq(jobs.cycles[job][:32]),
                getattr(registers, f"job{job}_cycles_hi_read").eq(jobs.cycles[job][32:]),
            ]
        return m

    def _elaborate_progress(self, m: Module, registers: RegisterFile, jobs: GridJobs) -> None:
        """Whether anything moves, and who is told when jobs end or nothing does."""
        mailbox = self._elaborate_mailbox(m, registers)
        m.submodules.watchdog = watchdog = Watchdog(rows=self.rows, columns=self.columns)
        progress, moved = Signal(32), Cat(row[: self.columns] for row in self.moved)
        m.d.sync += progress.eq(progress + moved.any())
        m.d.comb += [
            theirs.eq(bits) for theirs, bits in zip(watchdog.works, jobs.works, strict=True)
        ]
        m.d.comb += [
            registers.grid_progress_read.eq(progress),
            registers.grid_hang_read.eq(watchdog.hang),
            watchdog.limit.eq(registers.grid_watchdog),
            watchdog.restart.eq(registers.grid_watchdog_write),
            watchdog.moved.eq(moved),
            watchdog.wanted.eq(registers.grid_wait),
            self.irq.eq(
                (jobs.done & registers.grid_wait).any()
                | watchdog.hang.valid
                | (mailbox.waits & registers.mailbox_irq[0])
                | elaborate_dma_control(m, self.dma, registers)
            ),
        ]

    def _elaborate_mailbox(self, m: Module, registers: RegisterFile) -> Mailbox:
        """Messages of elements."""
        m.submodules.host_mailbox = mailbox = Mailbox()
        wiring.connect(m, wiring.flipped(self.messages), mailbox.i)
        m.d.comb += [
            registers.mailbox_read.eq(mailbox.shown),
            mailbox.pop.eq(registers.mailbox_pop_write & registers.written[0]),
            mailbox.clear.eq(registers.mailbox_pop_write & registers.written[1]),
        ]
        return mailbox

    def _elaborate_left_out(self, m: Module, registers: RegisterFile, jobs: GridJobs) -> None:
        """The row that is left out, which no job has seen otherwise."""
        with m.If(jobs.go & jobs.may_start):
            m.d.sync += self.has_started.eq(1)
        m.d.comb += registers.grid_left_out_read.eq(self.left_out)
        exists = registers.written <= self.rows
        with m.If(registers.grid_left_out_write & exists & ~self.has_started):
            m.d.sync += self.left_out.eq(registers.written)

    def _elaborate_writes(self, m: Module, registers: RegisterFile, jobs: GridJobs) -> None:
        """Writes to the chip's registers, and what must not be sent on."""
        write = self.port.write
        page, offset = write.payload.offset[PAGE_BITS:], write.payload.offset[:PAGE_BITS]
        selected, is_start, snaps = Signal(), Signal(), Signal()
        data = write.payload.data
        started = selected & jobs.may_start  # a start is for `jobs` to know, so only on SELECTED
        m.d.comb += [
            registers.port.write.valid.eq(write.valid & (page == ControlPage.GRID)),
            registers.port.write.payload.offset.eq(offset),
            registers.port.write.payload.data.eq(data),
            selected.eq(page == ControlPage.SELECTED),
            is_start.eq((offset == _START) & data[0]),
            jobs.start.rows.eq(registers.grid_rows),
            jobs.start.columns.eq(registers.grid_cols),
            jobs.start.job.eq(data[_JOB_AT:]),
            jobs.go.eq(write.valid & is_start & selected),
            snaps.eq((page == ControlPage.GRID) & (offset == _SNAPSHOT_ALL.offset) & data[0]),
            self._written.eq(
                (Mux(selected, registers.grid_rows, self._rows(page)) | snaps.replicate(self.rows))
                & (write.valid & (~is_start | started)).replicate(self.rows)
            ),
        ]
        run = Signal(RUN_BITS)
        with m.If(jobs.go & jobs.may_start):
            m.d.sync += run.eq(run + 1)
        columns = Mux(selected, registers.grid_cols, self._columns(page))
        read = self.port.read.payload
        access = self._access
        with m.If(write.valid):
            m.d.comb += [
                access.mask.eq(Mux(snaps, (1 << self.columns) - 1, columns)),
                access.offset.eq(Mux(snaps, _SNAPSHOT.offset, offset)),
                access.data.eq(Mux(is_start, Cat(data[:_RUN_AT], run), data)),
            ]
        with m.Else():
            m.d.comb += [
                access.mask.eq(self._columns(read[PAGE_BITS:])),
                access.offset.eq(read[:PAGE_BITS]),
                access.is_read.eq(1),
            ]

    def _elaborate_reads(self, m: Module, registers: RegisterFile) -> None:
        """One read at a time: of the chip's registers, of an element's, or of nothing."""
        read, answer = self.port.read, self.port.answer
        page = read.payload[PAGE_BITS:]
        rows = self._rows(page)
        exists = rows.any() & (self._columns(page)[: self.columns] != 0)
        own, none, asks = registers.port, Signal(), Signal()
        counts = Signal()
        is_counted, count = self._elaborate_traffic(m, registers, counts)
        m.d.comb += [
            asks.eq(read.valid & ~self.port.write.valid),
            own.read.payload.eq(read.payload[:PAGE_BITS]),
        ]
        with m.FSM(name="read"):
            with m.State("REST"):
                with m.If(asks & (page == ControlPage.GRID)):
                    m.d.comb += [own.read.valid.eq(1), read.ready.eq(own.read.ready)]
                    with m.If(own.read.ready):
                        m.next = "WAIT"
                with m.Elif(asks & exists):
                    m.d.comb += [self._asked.eq(rows), read.ready.eq(1)]
                    m.next = "WAIT"
                with m.Elif(asks & (page == ControlPage.TRAFFIC)):
                    m.d.comb += [counts.eq(1), read.ready.eq(1)]
                    m.next = "WAIT"
                with m.Elif(asks):
                    # Who asks cannot hear an answer in the same cycle.
                    m.d.sync += none.eq(1)
                    m.d.comb += read.ready.eq(1)
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += none.eq(0)
                with m.If(answer.valid):
                    m.next = "REST"
        told = [up.payload for up in self.up]
        found = Cat(up.valid & (up.payload.kind == Report.ANSWER) for up in self.up)
        m.d.comb += answer.valid.eq(own.answer.valid | found.any() | is_counted | none)
        with m.If(own.answer.valid):
            m.d.comb += answer.payload.eq(own.answer.payload)
        with m.If(is_counted):
            m.d.comb += answer.payload.eq(count)
        for hit, report in zip(found, told, strict=True):
            with m.If(hit):
                m.d.comb += answer.payload.eq(report.data)

    def _elaborate_traffic(
        self, m: Module, registers: RegisterFile, counts: Value
    ) -> tuple[Value, Value]:
        """Traffic counters of the sides: when the one that was read is there, and its value."""
        offset, index = self.port.read.payload, Signal(range(SIDE_TRAFFIC_MOST))
        side, due = Signal(range(N_SIDES)), Signal(1 + TrafficCounters.latency)
        m.d.sync += due.eq(Cat(counts, due[:-1]))
        with m.If(counts):
            m.d.sync += [index.eq(offset[2:SIDE_PAGE_BITS]), side.eq(offset[SIDE_PAGE_BITS:])]
        value = Signal(TRAFFIC_BITS)
        for number, port in enumerate(self.traffic):
            m.d.comb += [
                port.freeze.eq(registers.grid_snapshot_write & registers.written[0]),
                port.clear.eq(registers.grid_snapshot_write & registers.written[1]),
                port.index.eq(index),
            ]
            with m.If(side == number):
                m.d.comb += value.eq(port.value)
        return due[-1], value

    def _elaborate_lanes(self, m: Module) -> None:
        """Send what is written or asked."""
        access = Signal(self._access.shape(), name="access_q")
        sent = Signal(self.rows)
        m.d.sync += [sent.eq(self._written | self._asked), access.eq(self._access)]
        for number, down in enumerate(self.down):
            m.d.comb += [down.valid.eq(sent[number]), down.payload.eq(access)]

    def _rows(self, page: Value) -> Value:
        """One-hot row of an element's page."""
        return Mux(page[8], 1 << page[4:8], 0)[: self.rows]

    def _columns(self, page: Value) -> Value:
        """One-hot column of an element's page."""
        return (1 << page[:4])[: self.columns]
