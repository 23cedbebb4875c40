# SPDX-License-Identifier: Apache-2.0
"""What stands around the SIMD engine in its benches."""

from dataclasses import dataclass
from typing import Any

from hw.arch.commands import Opcode, encode
from hw.config.element import SeConfig
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.pe.se import SimdEngine
from tb.common.cb_table import CbPortModel, CbState
from tb.common.local_memory import LocalMemorySlots
from tb.common.payload import unpack
from tb.common.seeds import bench_parameters
from tb.common.stream import Bench, always, check_equal

__all__ = ["A_CB", "B_CB", "OUT_CB", "SHAPE", "SHAPES", "SeBench", "Shape", "device"]

A_CB, B_CB, OUT_CB = 1, 2, 3
"""Circular buffers of the operands."""
_READ_SLOTS = ("ls_a__0", "ls_a__1", "ls_b__0", "ls_b__1")
_WRITE_SLOTS = ("ls_out__0", "ls_out__1")


@dataclass(frozen=True)
class Shape:
    """Sizes of the engine under test."""

    lanes: int
    drain_lanes: int
    columns: int
    word_bytes: int
    address_width: int
    row_beats: int = 128
    with_fp: bool = True
    with_functions: bool = True

    @property
    def config(self) -> SeConfig:
        """The engine's configuration."""
        return SeConfig(
            drain_lanes=self.drain_lanes,
            fp_lanes=self.lanes,
            row_beats=self.row_beats,
            with_fp=self.with_fp,
            with_functions=self.with_functions,
        )

    @property
    def ls_bytes(self) -> int:
        """Size of local memory."""
        return self.word_bytes << self.address_width

    @property
    def buffer_units(self) -> int:
        """Size of each circular buffer: a quarter of local memory."""
        return self.ls_bytes // 64 // 4


SHAPES = {
    "tiny": Shape(4, 8, 8, 8, 12),
    "plain": Shape(4, 8, 8, 8, 12, with_functions=False),
    "fpga": Shape(2, 8, 16, 8, 12, row_beats=64),
    "drains": Shape(2, 16, 32, 8, 11, with_fp=False),
    "narrow": Shape(2, 2, 8, 8, 11, with_fp=False),
    "half": Shape(4, 4, 16, 8, 12, with_functions=False),
    "full": Shape(16, 32, 32, 32, 12),
}
SHAPE = SHAPES[bench_parameters().get("shape", "tiny")]
"""Sizes of the engine under test, in the simulator's process."""


def device(shape: Shape) -> SimdEngine:
    """An engine."""
    return SimdEngine(
        config=shape.config,
        columns=shape.columns,
        address_width=shape.address_width,
        word_bytes=shape.word_bytes,
    )


class SeBench:
    """The device with everything around it."""

    def __init__(self, dut: Any, *, ls: Any = always, rows: Any = always, cb: Any = always) -> None:
        self.dut = dut
        self.bench = bench = Bench(dut)
        self.local = LocalMemorySlots(
            bench,
            word_bytes=SHAPE.word_bytes,
            size=SHAPE.ls_bytes,
            reads=_READ_SLOTS,
            writes=_WRITE_SLOTS,
            pauses=ls,
        )
        units = SHAPE.buffer_units
        self.buffers = {
            cb_: CbState(base=number * units + 2 * number, depth=units)
            for number, cb_ in enumerate((A_CB, B_CB, OUT_CB))
        }
        self.start_buffers()
        self.commands = bench.source("control__command")
        self.completions = bench.monitor("control__completion", Completion)
        self.rows = bench.source("rows_in", None, rows())
        self.ports = {
            name: CbPortModel(bench, f"cb_{name}", self.buffers, pauses=cb())
            for name in ("a", "b", "out")
        }
        dut["control__halt"].value = 0
        self.n_commands = 0
        self.signals: list[dict[str, int]] = []
        self.n_elements = 0
        self.seen_states: set[int] = set()
        self._elements = bench.port("event_elements")
        bench.add(self)

    def start_buffers(self) -> None:
        """Put all pointers where the first commands will wrap; inputs are full of data."""
        for state in self.buffers.values():
            state.reserve = state.commit = state.claim = state.release = state.depth - 2
        for cb in (A_CB, B_CB):
            state = self.buffers[cb]
            state.reserve = state.commit = state.release + state.depth

    def sample(self, cycle: int) -> None:
        """Refill what was read, read what was written, note what the engine says it does."""
        for cb in (A_CB, B_CB):
            state = self.buffers[cb]
            state.reserve = state.commit = state.release + state.depth
        out = self.buffers[OUT_CB]
        out.claim = out.release = out.commit
        self.seen_states.add(self.status()["state"])
        if not self.dut["rst"].value:
            self.n_elements += int(self._elements.value)

    def drive(self) -> None:
        """The others drive."""

    def reset(self) -> None:
        """Commands are lost."""
        self.n_commands = 0
        self.signals: list[dict[str, int]] = []
        self.completions.items.clear()
        self.completions.cycles.clear()
        self.commands.cycles.clear()
        self.start_buffers()

    def command(self, opcode: Opcode, **fields: int) -> None:
        """Queue a command; its signal fields are its own, and come back with its completion."""
        number = self.n_commands
        signal = {
            "tag": fields.pop("tag", number),
            "signal_en": number & 1,
            "signal_counter": number * 5 % 32,
            "signal_row": number * 7 % 16,
            "signal_col": number * 11 % 16,
        }
        self.signals.append(signal)
        self.commands.send(int.from_bytes(encode(opcode, **signal, **fields), "little"))
        self.n_commands += 1

    def trap(self) -> dict[str, int]:
        """The trap report."""
        return unpack(TrapReport, self.dut["control__trap"].value.to_unsigned())

    def status(self) -> dict[str, int]:
        """The status."""
        value = self.dut["control__status"].value
        return unpack(UnitStatus, value.to_unsigned() if value.is_resolvable else 0)

    @property
    def idle(self) -> bool:
        """The unit says that it is idle."""
        return bool(self.dut["control__idle"].value)

    async def complete(self, limit: int = 20_000) -> None:
        """Wait until every command is complete."""
        await self.bench.until(
            lambda: len(self.completions.items) >= self.n_commands or self.trap()["valid"], limit
        )
        assert not self.trap()["valid"], self.trap()
        check_equal(self.completions.items, self.signals, "completion")
        await self.bench.wait(1)
        assert self.idle, "complete, but not idle"
