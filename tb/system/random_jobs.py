# SPDX-License-Identifier: Apache-2.0
"""Random jobs over all units that are legal by construction.

A job is a handful of *chains* (`tb.system.random_chains`): data comes in, goes through units from
circular buffer to circular buffer, and leaves. Chains run side by side as far as queues allow; all
share the units, and a FENCE separates those that share local memory. Run one list on two devices
and compare `outputs`:

    job = random_job(config, python_rng("label"))
    for address, data in job.inputs:
        port.write(address, data)
    chip.run_job(job.list_address, job.commands)
    results = [port.read(address, size) for address, size in job.outputs]
"""

import dataclasses
import math
import random
from typing import Any

from hw.arch import address_map
from hw.arch.commands import Opcode
from hw.config import ChipConfig
from sw.kernels.command_list import CommandList

__all__ = ["Buffer", "Builder", "RandomJob", "Rows", "Windows"]

UNIT = 64
_LIST_BYTES = 1 << 15
_GUARD = 0x5A


@dataclasses.dataclass(frozen=True)
class Windows:
    """What of the memories a job may use: from and to, with room for its list of commands."""

    lists: int
    sram: tuple[int, int]
    dram: tuple[int, int]

    @classmethod
    def whole(cls, config: ChipConfig) -> "Windows":
        """For a job that is alone."""
        sram, dram = address_map.SRAM.base, address_map.DRAM.base
        return cls(
            sram, (sram + _LIST_BYTES, sram + config.sram.size_bytes), (dram, dram + (1 << 20))
        )


@dataclasses.dataclass(frozen=True)
class RandomJob:
    """A job, what the host writes before it, and where to look after it."""

    commands: bytes
    list_address: int
    inputs: tuple[tuple[int, bytes], ...]
    """Address and bytes, in the order in which to write them."""
    outputs: tuple[tuple[int, int], ...]
    """Address and size of every place that the job may have changed, with margins."""
    chains: tuple[str, ...]
    """What was chosen, for messages."""


@dataclasses.dataclass(frozen=True)
class Buffer:
    """A circular buffer of the job."""

    cb: int
    step_units: int


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows in a circular buffer: `steps` steps of `count` rows, `pitch` bytes apart."""

    n_bytes: int
    pitch: int
    count: int
    steps: int
    last: int
    """Rows of the last step."""

    @property
    def units(self) -> int:
        """64-byte units of a step."""
        return math.ceil(self.count * self.pitch / UNIT)

    @property
    def total(self) -> int:
        """Rows of all steps."""
        return self.count * (self.steps - 1) + self.last

    def with_bytes(self, n_bytes: int, word: int) -> "Rows":
        """As many rows, of other sizes."""
        return dataclasses.replace(self, n_bytes=n_bytes, pitch=-(-n_bytes // word) * word)

    @property
    def counts(self) -> dict[str, int]:
        """Counts of rows and steps."""
        return {"count1": self.count, "count2": self.steps}

    def operand(self, prefix: str = "", unit_bytes: int = 1) -> dict[str, int]:
        """Strides and steps of an operand that walks the rows."""
        values = {"stride1": self.pitch // unit_bytes, "step_level": 2, "adv_level": 2}
        values |= {"need": self.units, "adv": self.units}
        return {f"{prefix}{name}": value for name, value in values.items()}


class Builder:
    """A job under construction: allocates local memory, buffers, memory; adds commands.

    Parameters
    ----------
    config : ChipConfig
        The member.
    rng : random.Random
        Makes every choice.
    windows : Windows, optional
        Where data may lie; all of SRAM and the first MiB of DRAM if not given.
    """

    def __init__(
        self, config: ChipConfig, rng: random.Random, windows: Windows | None = None
    ) -> None:
        self.config, self.pe, self.rng = config, config.pe, rng
        self.word = config.pe.ls.word_bytes
        self.commands = CommandList()
        self._inputs: list[tuple[int, bytes]] = []
        self._outputs: list[tuple[int, int]] = []
        self._next_cb = self._next_unit = 0
        windows = windows or Windows.whole(config)
        self.list_address = windows.lists
        self._free, self._end = (
            list(ends) for ends in zip(windows.sram, windows.dram, strict=True)
        )

    def finish(self, chains: list[str]) -> RandomJob:
        """The job."""
        self.commands.add(Opcode.END, status=len(chains))
        data = bytes(self.commands)
        assert len(data) <= _LIST_BYTES
        return RandomJob(
            data, self.list_address, tuple(self._inputs), tuple(self._outputs), tuple(chains)
        )

    def begin_chain(self, *needed_units: int) -> None:
        """Make room for buffers of these steps: wait for all earlier chains if there is none."""
        room = self.pe.ls.size_bytes // UNIT - self._next_unit
        cbs = self.pe.cp.cbs - self._next_cb
        if 3 * sum(needed_units) > room or len(needed_units) > cbs:
            self.commands.add(Opcode.FENCE)
            self._next_cb = self._next_unit = 0

    def buffer(self, step_units: int, n_steps: int = 1) -> Buffer:
        """Set up a buffer of `n_steps` to three steps."""
        depth = self.rng.randint(n_steps * step_units, max(n_steps, 3) * step_units)
        made = Buffer(self._next_cb, step_units)
        self.commands.add(Opcode.CB, cb=made.cb, base=self._next_unit, depth=depth)
        self._next_cb += 1
        self._next_unit += depth
        return made

    def rows(self, n_bytes: int, most: int = 6) -> Rows:
        """Random numbers of rows whose step fits into an eighth of local memory."""
        pitch = (-(-n_bytes // self.word) + self.rng.choice((0, 0, 1))) * self.word
        fitting = max(1, self.pe.ls.size_bytes // 16 // pitch)
        count = self.rng.randint(1, min(most, fitting))
        steps = self.rng.randint(1, 4)
        last = self.rng.choice((count, count, self.rng.randint(1, count)))
        return Rows(n_bytes, pitch, count, steps, last)

    def place(self, size: int, align: int = 1, sram: bool = False) -> int:
        """Room in one of the memories, at any multiple of `align`."""
        which = 0 if sram or self.rng.random() < 0.6 else 1
        if not sram and self._free[0] + 3 * UNIT + size > self._end[0]:
            which = 1
        start = self._free[which] + UNIT + align * self.rng.randrange(max(1, UNIT // align))
        start = -(-start // align) * align
        self._free[which] = -(-(start + size + UNIT) // UNIT) * UNIT
        assert self._free[which] <= self._end[which], "the memory is full"
        return start

    def input(self, data: bytes, align: int = 1, sram: bool = False) -> int:
        """Place data that the host writes."""
        address = self.place(len(data), align, sram)
        self._write_around(address, data)
        return address

    def output(self, size: int, align: int = 1, sram: bool = False, data: bytes = b"") -> int:
        """Place room for results, with something around and in it."""
        address = self.place(size, align, sram)
        first, _ = self._write_around(address, data or bytes([_GUARD]) * size)
        last = -(-(address + size) // UNIT) * UNIT
        self._outputs.append((first, last - first))
        return address

    def _write_around(self, address: int, data: bytes) -> tuple[int, int]:
        """Whole lines: memory that was never written has no valid check bits."""
        first = address // UNIT * UNIT
        last = -(-(address + len(data)) // UNIT) * UNIT
        before, after = bytes([_GUARD]) * (address - first), last - address - len(data)
        self._inputs.append((first, before + data + bytes([_GUARD]) * after))
        return first, last

    def data(self, size: int) -> bytes:
        """Random bytes."""
        return self.rng.randbytes(size)

    def fetch(
        self, to: Buffer, rows: Rows, *, lane: int | None = None, data: bytes | None = None
    ) -> None:
        """DMA_IN of rows; by default random ones, further apart in memory than they are long.

        Streams that one unit takes side by side must come through two lanes: in one lane the
        second would wait until the first has ended.
        """
        gap = self.rng.randint(0, 20) if data is None else 0
        pitch = rows.n_bytes + gap
        address = self.input(self.data(pitch * rows.total) if data is None else data)
        lane = self.rng.randrange(2) if lane is None else lane
        self.commands.add(
            Opcode.DMA_IN, mem_addr=address, count0=rows.n_bytes, stride0=self.word, cb=to.cb,
            mem_stride1=pitch, mem_stride2=pitch * rows.count, column=lane,
            zero_fill=self.rng.randrange(2),
            **rows.counts, **rows.operand(), **self._tail(rows),
        )  # fmt: skip

    def store(self, rows: Rows, source: Buffer) -> None:
        """DMA_OUT of rows."""
        pitch = rows.n_bytes + self.rng.randint(0, 20)
        address = self.output(pitch * rows.total)
        self.commands.add(
            Opcode.DMA_OUT, mem_addr=address, count0=rows.n_bytes, stride0=self.word, cb=source.cb,
            mem_stride1=pitch, mem_stride2=pitch * rows.count,
            **rows.counts, **rows.operand(), **self._tail(rows),
        )  # fmt: skip

    @staticmethod
    def _tail(rows: Rows) -> dict[str, int]:
        """Fewer rows in the last step, which is as large as any."""
        if rows.last == rows.count:
            return {}
        return {"tail_level": 2, "tail_inner": 1, "tail_count": rows.last}

    def one_of(self, *choices: Any) -> Any:
        """A random choice."""
        return self.rng.choice(choices)
