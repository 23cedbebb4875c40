# SPDX-License-Identifier: Apache-2.0
"""A chip with a grid of elements as the runtime sees it: jobs on sub-grids, errors in words."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hw.arch.address_map import window_base
from hw.arch.commands import QUAD_BYTES
from hw.arch.csr import (
    CACHE_REGISTERS,
    ELEMENT_REGISTERS,
    GRID_REGISTERS,
    N_JOBS,
    PAGE_BITS,
    ControlPage,
)
from hw.arch.dma import DmaWay
from hw.config import ChipConfig
from sw.errors import UserError
from sw.runtime.cache import Caches
from sw.runtime.chip import BUILD_KEYS, JobHang, JobResult
from sw.runtime.grid_reports import GridReports
from sw.runtime.host_dma import HostDma
from sw.runtime.left_out import check_left_out
from sw.runtime.limits import EVERYTHING, AddressRange, range_values, rate_values
from sw.runtime.page import RegisterPage
from sw.runtime.placement import ALIGN
from sw.runtime.places import Place, check_place, selection
from sw.runtime.port import HostPort

__all__ = ["Grid", "Message", "Place"]

_FREEZE, _RESTART = 1, 2  # what GRID_SNAPSHOT does
_ABORT_CYCLES = 20_000
"""An abort ends when all accesses under way have been answered; memory takes no longer."""
_LOOK_CYCLES = 200
"""Between two looks whether an abort has ended, unless the interrupt is high."""


class Message(NamedTuple):
    """A signal of an element for the host."""

    place: Place
    counter: int


class Grid(RegisterPage):
    """A whole chip behind a host port.

    Parameters
    ----------
    port : HostPort
        The device.
    config : ChipConfig
        What it was built from; checked against the chip's own CONFIG register.

    Raises
    ------
    UserError
        If the device is not a chip of this configuration.
    """

    device = "grid"
    """Back end, as `--device` names it."""

    def __init__(self, port: HostPort, config: ChipConfig) -> None:
        super().__init__(port, GRID_REGISTERS | CACHE_REGISTERS)
        self.config = config
        self._caches, self._dma = Caches(self, config), HostDma(self)
        self.build: dict[str, Any] = dict.fromkeys(BUILD_KEYS)
        self._lists: dict[Place, list[bytes]] = {}
        self._reports = GridReports(self, self._lists)
        self.selected = RegisterPage(port, ELEMENT_REGISTERS, ControlPage.SELECTED << PAGE_BITS)
        self.check_config(config)

    def element(self, place: Place) -> RegisterPage:
        """The registers of one element."""
        row, column = place
        page = ControlPage.ELEMENTS + 16 * row + column
        return RegisterPage(self.port, ELEMENT_REGISTERS, page << PAGE_BITS)

    @property
    def left_out_row(self) -> int | None:
        """The row of tiles that is left out; None for a member without a spare row."""
        return self.register("GRID_LEFT_OUT") if self.config.spare_rows else None

    def leave_out(self, row: int) -> None:
        """Leave out a row of tiles, one that is bad; from then on rows are those that are left.

        Raises
        ------
        UserError
            If the member has no spare row or no such row, or a job has started since power-on.
        """
        check_left_out(self.config, row)
        self.set_register("GRID_LEFT_OUT", row)
        if self.left_out_row != row:
            raise UserError(
                f"Row {row} cannot be left out any more: a job has started since power-on."
            )

    def clear_sram(self) -> None:
        """Fill shared SRAM with zeros, see `Chip.clear_sram`."""
        self.set_register("SRAM_CLEAR", 1)
        while self.register("SRAM_CLEAR"):
            self.port.run(1000)

    def set_cache_ways(self, n_ways: int) -> None:
        """Let so many ways of each slice be a cache of DRAM, see `Caches.set_ways`."""
        self._caches.set_ways(n_ways)

    def cache_range(self, op: str, address: int, n_bytes: int) -> None:
        """Flush, invalidate, drop or prefetch bytes of DRAM, see `Caches.range`."""
        self._caches.range(op, address, n_bytes)

    def select(self, rows: int, columns: int) -> None:
        """Say which rows and columns, a bit each, page SELECTED means."""
        self.set_register("GRID_ROWS", rows)
        self.set_register("GRID_COLS", columns)

    def select_places(self, places: Iterable[Place]) -> None:
        """Let page SELECTED mean these elements, all of some rows and columns."""
        self.select(*selection(places))

    def store_lists(self, base: int, lists: Mapping[Place, bytes]) -> tuple[int, int, int]:
        """Write command lists at equal distances; the distances of rows and columns, the quads."""
        room = -(-max(len(commands) for commands in lists.values()) // ALIGN) * ALIGN
        columns = 1 + max(column for _, column in lists)
        for (row, column), commands in lists.items():
            self.port.write(base + (row * columns + column) * room, commands.ljust(room, b"\0"))
            # An element has two jobs at most.
            self._lists[row, column] = [*self._lists.get((row, column), [])[-1:], commands]
        return columns * room, room, room // QUAD_BYTES

    def start(self, base: int, lists: Mapping[Place, bytes], *, job: int = 0) -> None:
        """Store lists, see `prepare`, and start them all with one write as job number `job`.

        From then on nobody may write them until the job has ended: the list of a job that waits is
        read ahead.
        """
        self.prepare(base, lists, job=job)
        self._start(job)

    def prepare(self, base: int, lists: Mapping[Place, bytes], *, job: int = 0) -> None:
        """Store lists, select their elements, and tell these where the lists are.

        The interrupt, for which `port.run` waits, is then that of the job.

        Parameters
        ----------
        base : int
            Where the lists are stored, a multiple of 64.
        lists : Mapping[Place, bytes]
            The list of each element; the elements must be all of some rows and columns.
        job : int
            Number of the job, 0 to 3.

        Raises
        ------
        UserError
            If they are not, or there is no such job.
        """
        _check_number(job)
        rows, columns = selection(lists)
        if len(lists) != rows.bit_count() * columns.bit_count():
            raise UserError("A job runs on all elements that some rows and columns share.")
        row_stride, column_stride, quads = self.store_lists(base, lists)
        self.select(rows, columns)
        self.set_register("GRID_WAIT", 1 << job)
        for name, value in (
            ("JOB_LIST_LO", base & 0xFFFF_FFFF),
            ("JOB_LIST_HI", base >> 32),
            ("JOB_LIST_QUADS", quads),
            ("JOB_ROW_STRIDE", row_stride),
            ("JOB_COL_STRIDE", column_stride),
        ):
            self.selected.set_register(name, value)

    def run_job(
        self,
        base: int,
        lists: Mapping[Place, bytes],
        *,
        stall_limit: int = 20_000,
        progress: Callable[[int], None] = lambda _: None,
    ) -> JobResult:
        """Store a list for each element, run them all, and wait.

        Raises
        ------
        JobError
            If an element reports a trap; the sentence begins with its place. Elements that wait
            for it are aborted.
        JobHang
            If no element makes progress: the chip's watchdog expired.
        """
        self.prepare(base, lists)
        self.set_register("GRID_WATCHDOG", stall_limit)
        self.set_register("GRID_SNAPSHOT", _RESTART)
        began = self.port.cycles
        self._start(0)
        ended, is_done = self._run(0, stall_limit, progress)
        harness_cycles = ended - began
        self.set_register("GRID_SNAPSHOT", _FREEZE)
        self._check(0, lists, stall_limit, is_done)
        status = self.element(next(iter(lists))).register("JOB_STATUS")
        return JobResult(status, self.job_cycles(), harness_cycles)

    def wait(
        self,
        job: int,
        places: Collection[Place],
        *,
        stall_limit: int = 20_000,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Wait for a job that was started, see `run_job`; others may run meanwhile.

        Raises
        ------
        UserError
            If it has never been started, as when its start was refused.
        JobError, JobHang
            See `run_job`.
        """
        _check_number(job)
        # The first register is read first: a job may end between the two.
        if not self.register(f"JOB{job}_PENDING") and not self.register("GRID_DONE") >> job & 1:
            raise UserError(f"Job {job} has not been started, so nothing would end.")
        self.set_register("GRID_WATCHDOG", stall_limit)
        self.set_register("GRID_WAIT", 1 << job)
        _ended, is_done = self._run(job, stall_limit, progress)
        self._check(job, places, stall_limit, is_done)

    def copy_in(self, host_address: int, address: int, n_bytes: int) -> int:
        """Have the DMA engine copy bytes from the host's memory to SRAM or DRAM; cycles it took.

        Both addresses are multiples of a line (`link_bytes`). Jobs may run meanwhile. Raises
        UserError, see `HostDma.copy`.
        """
        return self._dma.copy(DmaWay.TO_CHIP, host_address, address, n_bytes)

    def copy_out(self, address: int, host_address: int, n_bytes: int) -> int:
        """Have the DMA engine copy bytes to the host's memory, as `copy_in` does from there."""
        return self._dma.copy(DmaWay.TO_HOST, host_address, address, n_bytes)

    def write_local(self, place: Place, address: int, data: bytes) -> None:
        """Write bytes to an element's local memory, whatever it does; `address` counts from its
        start. Raises UserError if there is no such element.

        Of a member with a spare row no local memory can be reached before the first job.
        """
        check_place(self.config, place)
        self.port.write(window_base(*place) + address, data)

    def read_local(self, place: Place, address: int, n_bytes: int) -> bytes:
        """Read bytes of an element's local memory, as `write_local` writes them.

        A line of which a byte was never written may hold wrong parity, which is an access error.
        """
        check_place(self.config, place)
        return self.port.read(window_base(*place) + address, n_bytes)

    def signal(self, places: Iterable[Place], counter: int) -> None:
        """Increment a counter of the jobs of these elements, as a command's signal would.

        Elements without a job drop it; one whose job is about to start keeps eight. The selection
        of page SELECTED is these elements' afterwards.

        Raises
        ------
        UserError
            If there is no such counter or element, or the elements are not all of some rows and
            columns.
        """
        if not 0 <= counter < self.config.pe.cp.counters:
            raise UserError(f"Counters are 0 to {self.config.pe.cp.counters - 1}, not {counter}.")
        self._select_only(places, "Signals go to")
        self.selected.set_register("SIGNAL", counter)

    def set_ranges(
        self, places: Iterable[Place], ranges: Sequence[AddressRange] = (EVERYTHING,)
    ) -> None:
        """Confine the DMA of the jobs that are started on these elements from now on to these
        ranges (none given: no limit), see `Chip.set_ranges`.

        Jobs that run or wait keep the ranges that they were started with. The selection of page
        SELECTED is these elements' afterwards.

        Raises
        ------
        UserError
            If there are more ranges than the hardware has, no such element, or the elements are not
            all of some rows and columns.
        """
        values = range_values(ranges)
        self._select_only(places, "Address ranges are for")
        for name, value in values.items():
            self.selected.set_register(name, value)

    def set_rates(
        self,
        places: Iterable[Place],
        *,
        read: tuple[int, int] = (0, 0),
        write: tuple[int, int] = (0, 0),
    ) -> None:
        """Limit how fast the DMA of jobs that are started on these elements from now on reads and
        writes memory, see `Chip.set_rates`; `set_ranges` says what that means for others.

        Raises
        ------
        UserError
            If a number does not fit, there is no such element, or the elements are not all of some
            rows and columns.
        """
        values = rate_values(read, write)
        self._select_only(places, "Rates are for")
        for name, value in values.items():
            self.selected.set_register(name, value)

    def _select_only(self, places: Iterable[Place], what: str) -> None:
        """Let page SELECTED mean these elements and no other; `what` begins the sentence if it
        cannot."""
        chosen, config = set(places), self.config
        for place in chosen:
            check_place(config, place)
        rows, columns = selection(chosen)
        if len(chosen) != rows.bit_count() * columns.bit_count():
            raise UserError(f"{what} all elements that some rows and columns share.")
        self.select(rows, columns)

    def messages(self) -> list[Message]:
        """Take what elements have signalled to HOST_PLACE since the last call, oldest first; those
        of jobs that have ended, or were aborted, too.

        Raises
        ------
        UserError
            If one came while 16 were waiting, so that it is lost; those come with the next call.
        """
        found: list[Message] = []
        if self.register("MAILBOX") >> 30 & 1:
            self.set_register("MAILBOX_POP", 2)
            raise UserError("Messages of elements are lost: more came than the mailbox holds.")
        while (word := self.register("MAILBOX")) >> 31:
            found.append(Message((word >> 16 & 0xFF, word >> 8 & 0xFF), word & 0x1F))
            self.set_register("MAILBOX_POP", 1)
        return found

    def abort(self, places: Iterable[Place], job: int | None = None) -> None:
        """Abort a job on the elements of a sub-grid, whether it runs or waits there.

        It takes along what waits behind it. On elements where it has ended, or never was, nothing
        happens. None: abort all that they have.

        Raises
        ------
        UserError
            If there is no such job.
        """
        if job is not None:
            _check_number(job)
        self.select_places(places)
        self.selected.set_register("JOB_ABORT", 1 if job is None else 2 | job << 8)

    def job_cycles(self, job: int = 0) -> int:
        """Cycles of a running or ended job."""
        return self.register(f"JOB{job}_CYCLES_LO") | self.register(f"JOB{job}_CYCLES_HI") << 32

    def triage(self, places: Iterable[Place]) -> str:
        """Who waits for whom: first for shared lines and across reduction links, then in each of
        these elements that has a job."""
        return self._reports.of_elements(places)

    def _run(self, job: int, stall_limit: int, progress: Callable[[int], None]) -> tuple[int, bool]:
        """Let time pass until the job's interrupt, or the watchdog's: the cycle, and whether the
        job is done. What else raises the interrupt, a message or a transfer, is not waited for."""
        began = self.port.cycles
        while True:
            while not self.port.run(max(stall_limit // 2, 1)):
                progress(self.port.cycles - began)
            cycle = self.port.cycles
            if self.register("GRID_DONE") >> job & 1:
                return cycle, True
            if self.register("GRID_HANG") >> 31:
                return cycle, False

    def _check(self, job: int, places: Collection[Place], stall_limit: int, is_done: bool) -> None:
        """Raise unless the job ended well."""
        if not is_done:
            if self.register("GRID_FAILED") >> job & 1:  # the others wait for the one that failed
                if stuck := self._stop(job, places, stall_limit):
                    raise JobHang(f"Job {job} failed on an element. {stuck}")
            else:
                self._hang(job, places, stall_limit)
        self._reports.raise_error(places, job)

    def _stop(self, job: int, places: Collection[Place], n_cycles: int) -> str:
        """Abort a job, and wait until it has ended everywhere; a sentence if it does not.

        It gets `n_cycles`, but not fewer than what is under way may take. If that is not enough it
        waits behind another one, which is stuck: then that is aborted, too.
        """
        self.set_register("GRID_WATCHDOG", 0)  # its interrupt would hide that of the abort
        most, pending = max(n_cycles, _ABORT_CYCLES), 0
        for number in (job, None):
            self.abort(places, number)
            pending = self._wait_for_end(job, most)
            if not pending:
                return ""
        return (
            f"The chip is stuck: {pending} elements have not ended {most} cycles after the abort."
        )

    def _wait_for_end(self, job: int, most: int) -> int:
        """On how many elements a job has not ended after `most` cycles."""
        began, looks = self.port.cycles, 0
        while pending := self.register(f"JOB{job}_PENDING"):
            # A look takes a cycle at least; a device may not know how many.
            if self.port.cycles - began >= most or looks >= most:
                break
            # It returns at once while something else raises the interrupt, as a message does.
            self.port.run(_LOOK_CYCLES)
            looks += 1
        return pending

    def _hang(self, job: int, places: Collection[Place], stall_limit: int) -> None:
        """Describe every element that still works, then abort so that the chip is usable again."""
        first = self._reports.first_stuck()
        text = f"No progress for {stall_limit} cycles. {first}\n{self.triage(places)}"
        stuck = self._stop(job, places, stall_limit)
        raise JobHang(f"{text}\n{stuck}" if stuck else text)

    def _start(self, job: int) -> None:
        """Start what was prepared."""
        self.selected.set_register("JOB_START", 1 | job << 8)
        if self.register("GRID_REFUSED"):
            raise UserError(
                f"Job {job} cannot start: an element that it needs still works for a job {job}, or"
                f" has two jobs."
            )


def _check_number(job: int) -> None:
    """Refuse a number that no job can have."""
    if not 0 <= job < N_JOBS:
        raise UserError(f"A job's number is 0 to {N_JOBS - 1}, not {job}.")
