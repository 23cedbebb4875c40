# SPDX-License-Identifier: Apache-2.0
"""An AXI4 memory that does whatever AXI4 allows: late, out of order, beats mixed, writes seen last.

It is cocotbext-axi's memory with other rules about when. Its channels, which keep AXI4's handshake,
are as they are.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiResp
from cocotbext.axi.axi_ram import AxiRamRead, AxiRamWrite
from cocotbext.axi.memory import Memory

from tb.common.memory import AxiMonitor
from tb.common.seeds import python_rng
from tb.common.stream import Bench

__all__ = ["LateMemory", "axi_stalls"]

_LATE_SHARE = 1 / 16
"""Of answers that take `_LATE_TIMES` as long as any other."""
_LATE_TIMES = 8
_LOG_LEVEL = 30  # warnings


def axi_stalls(label: str, share: float, longest: int = 12) -> Iterator[int]:
    """Endless pauses for one channel: `share` of the cycles, in runs of up to `longest`."""
    rng = python_rng(label)
    while True:
        yield from [int(rng.random() < share)] * rng.randint(1, longest)


@dataclasses.dataclass
class _Burst:
    """A read or write that is under way."""

    identity: int
    address: int
    n_beats: int
    due: int
    """Cycle from which on it may be answered."""
    done: int = 0
    """Beats that were transferred."""
    data: list[tuple[int, bytes, int]] = dataclasses.field(default_factory=list)
    """What a write is to change: address, bytes, strobe."""


class LateMemory(Memory):
    """A memory behind the device's manager port `name`.

    Reads of different IDs are answered in any order with their beats mixed, and take what is there
    when the beat is sent. Writes of different IDs are acknowledged in any order; what is written
    can be read from its acknowledgement on, or from a random moment before.

    `latency` is the most cycles that an answer usually takes, `refuses` says of an address whether
    the memory answers SLVERR there; `n_reads`, `n_writes` count bursts, and `most` is how many were
    under way at once.
    """

    def __init__(self, bench: Bench, name: str, *, size: int, latency: int = 60) -> None:
        super().__init__(size)
        AxiMonitor(bench, name, manager=True)
        self.latency = latency
        self.refuses: Callable[[int], bool] = lambda _: False
        self.n_reads = self.n_writes = self.n_refused = 0
        self.most = {"read": 0, "write": 0}
        self.overtaken = {"read": 0, "write": 0}
        self.rng = python_rng(f"late memory {name}")
        self._bench = bench
        bus = AxiBus.from_prefix(bench.dut, name, bus_separator="__")
        pins = (bench.dut["clk"], bench.dut["rst"])
        self.write_if = _LateWrites(self, bus.write, *pins, mem=self.mem)
        self.read_if = _LateReads(self, bus.read, *pins, mem=self.mem)
        for part in (self.write_if, self.read_if):
            part.log.setLevel(_LOG_LEVEL)
        for channel in (self.read_if.ar_channel, self.write_if.aw_channel):
            channel.queue_occupancy_limit = 64

    def stall(self, share: float) -> None:
        """Pause each channel for itself, in this share of the cycles."""
        writes, reads = self.write_if, self.read_if
        for name in ("aw", "w", "b", "ar", "r"):
            channel = getattr(reads if name in ("ar", "r") else writes, f"{name}_channel")
            label = f"{name} {self.rng.random()}"
            channel.set_pause_generator(axi_stalls(label, share) if share else None)

    @property
    def now(self) -> int:
        """The cycle."""
        return self._bench.cycle

    def burst(self, channel: str, item: Any) -> _Burst:
        """What came on an address channel."""
        identity, address, n_beats = (
            int(getattr(item, f"{channel}{name}")) for name in ("id", "addr", "len")
        )
        late = _LATE_TIMES if self.rng.random() < _LATE_SHARE else 1
        due = self.now + self.rng.randint(0, late * self.latency)
        return _Burst(identity, address, n_beats + 1, due)

    def choose(self, kind: str, waiting: list[_Burst], *, complete: bool) -> _Burst | None:
        """One that is due, of its ID the oldest; None if there is none."""
        self.most[kind] = max(self.most[kind], len(waiting))
        oldest: dict[int, _Burst] = {}
        for burst in waiting:
            oldest.setdefault(burst.identity, burst)
        due = [
            burst
            for burst in oldest.values()
            if burst.due <= self.now and (not complete or burst.done == burst.n_beats)
        ]
        if not due:
            return None
        chosen = self.rng.choice(due)
        self.overtaken[kind] += chosen is not waiting[0]
        return chosen


class _LateReads(AxiRamRead):
    """Beats of any read, one a cycle."""

    def __init__(self, memory: LateMemory, *args: Any, **options: Any) -> None:
        self._memory = memory
        super().__init__(*args, **options)

    async def _process_read(self) -> None:
        memory, edge, waiting = self._memory, RisingEdge(self.clock), []
        while True:
            if not waiting:
                waiting.append(memory.burst("ar", await self.ar_channel.recv()))
            while not self.ar_channel.empty():
                waiting.append(memory.burst("ar", self.ar_channel.recv_nowait()))
            if not self.r_channel.full():
                burst = memory.choose("read", waiting, complete=False)
                if burst is not None:
                    self._answer(burst)
                    if burst.done == burst.n_beats:
                        waiting.remove(burst)
                        memory.n_reads += 1
            await edge

    def _answer(self, burst: _Burst) -> None:
        address = burst.address // self.byte_lanes * self.byte_lanes + burst.done * self.byte_lanes
        burst.done += 1
        beat = self.r_channel._transaction_obj()
        refused = self._memory.refuses(address)
        self._memory.n_refused += refused
        beat.rid, beat.rlast = burst.identity, burst.done == burst.n_beats
        beat.rresp = AxiResp.SLVERR if refused else AxiResp.OKAY
        # What comes with an error is nothing that was ever stored.
        data = b"\xa5" * self.byte_lanes if refused else self.read(address, self.byte_lanes)
        beat.rdata = int.from_bytes(data, "little")
        self.r_channel.send_nowait(beat)


class _LateWrites(AxiRamWrite):
    """Data in the order of the addresses, acknowledgements in any."""

    def __init__(self, memory: LateMemory, *args: Any, **options: Any) -> None:
        self._memory = memory
        super().__init__(*args, **options)

    async def _process_write(self) -> None:
        memory, edge, waiting = self._memory, RisingEdge(self.clock), []
        while True:
            if not waiting:
                waiting.append(memory.burst("aw", await self.aw_channel.recv()))
            while not self.aw_channel.empty():
                waiting.append(memory.burst("aw", self.aw_channel.recv_nowait()))
            filling = next((burst for burst in waiting if burst.done < burst.n_beats), None)
            if filling is not None and not self.w_channel.empty():
                self._take(filling, self.w_channel.recv_nowait())
            if not self.b_channel.full():
                burst = memory.choose("write", waiting, complete=True)
                if burst is not None:
                    self._answer(burst)
                    waiting.remove(burst)
                    memory.n_writes += 1
            await edge

    def _take(self, burst: _Burst, beat: Any) -> None:
        address = burst.address // self.byte_lanes * self.byte_lanes + burst.done * self.byte_lanes
        burst.done += 1
        assert int(beat.wlast) == (burst.done == burst.n_beats), "wlast is not at the last beat"
        data = int(beat.wdata).to_bytes(self.byte_lanes, "little")
        burst.data.append((address, data, int(beat.wstrb)))
        # Mostly nobody sees it before the acknowledgement.
        if burst.done == burst.n_beats and self._memory.rng.random() < 1 / 4:
            self._store(burst)

    def _store(self, burst: _Burst) -> None:
        for address, data, strobe in burst.data:
            old = bytearray(self.read(address, self.byte_lanes))
            for lane in range(self.byte_lanes):
                if strobe >> lane & 1:
                    old[lane] = data[lane]
            if not self._memory.refuses(address):
                self.write(address, bytes(old))
        burst.data.clear()

    def _answer(self, burst: _Burst) -> None:
        refused = self._memory.refuses(burst.address)
        self._memory.n_refused += refused
        self._store(burst)
        answer = self.b_channel._transaction_obj()
        answer.bid = burst.identity
        answer.bresp = AxiResp.SLVERR if refused else AxiResp.OKAY
        self.b_channel.send_nowait(answer)
