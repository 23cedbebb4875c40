# SPDX-License-Identifier: Apache-2.0
"""Operands of running commands: steps asked of circular buffers, and bytes of local memory, with
the rules that the hardware does not check."""

import dataclasses
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.traps import Trap
from hw.arch.units import Unit
from sim.functional.faults import FunctionalTrap, Issued, Rule, RuleBroken
from sim.functional.state import UNIT_BYTES, Buffer
from sim.golden.address import Index, Nest

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = [
    "Grant",
    "Operand",
    "Receiving",
    "Waiting",
    "outside_step",
    "overlap",
    "second_producer",
    "unwritten_ls",
]

Waiting = Generator[str, None, None]
"""A unit at work: yields why it waits."""
Receiving = Generator[str, None, Any]
"""The same, with what it was waiting for."""
Offsets = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Grant:
    """A granted step."""

    key: Index
    pointer: int
    """Granted pointer in bytes."""
    window: int
    """Bytes from the pointer that the step may touch."""
    advance: int


class Operand:
    """One operand of a running command.

    Parameters
    ----------
    machine : FunctionalMachine
        Whose buffers and local memory it uses.
    command : Issued
        The command.
    nest : Nest
        Its loops, with offset and strides in bytes.
    producer : bool
        Whether it writes.
    """

    def __init__(
        self, machine: "FunctionalMachine", command: Issued, nest: Nest, producer: bool
    ) -> None:
        self.machine, self.command = machine, command
        self.nest, self.producer = nest, producer
        self.buffer: Buffer = machine.buffers[nest.cb]
        self.grant: Grant | None = None

    def key(self, index: Index) -> Index:
        """Which step `index` belongs to."""
        return index[self.nest.step_level :]

    def try_acquire(self, index: Index) -> Grant | None:
        """Start the step of `index`; None if it has to wait."""
        self._check_user()
        buffer = self.buffer
        extent, advance = self.nest.demand(index)
        wanted = max(extent, advance)
        if wanted > buffer.depth:
            raise FunctionalTrap(Trap.CB_TOO_SMALL, self.nest.cb)
        if self.producer:
            if wanted > buffer.release + buffer.depth - buffer.reserve:
                return None
            pointer, buffer.reserve, buffer.producer = (
                buffer.reserve, buffer.reserve + advance, self.command.unit,
            )  # fmt: skip
            self._check_overlap(pointer, wanted)
        else:
            if wanted > buffer.commit - buffer.claim:
                return None
            pointer, buffer.claim, buffer.consumer = (
                buffer.claim, buffer.claim + advance, self.command.unit,
            )  # fmt: skip
        self.machine.state.steps += 1
        where = pointer % buffer.depth * UNIT_BYTES
        return Grant(self.key(index), where, wanted * UNIT_BYTES, advance)

    def done(self, grant: Grant) -> None:
        """A step's data has moved."""
        buffer = self.buffer
        if self.producer:
            buffer.commit += grant.advance
        else:
            buffer.release += grant.advance
        if buffer.commit > buffer.reserve or buffer.release > buffer.claim:
            raise FunctionalTrap(Trap.CB_UNDERFLOW, self.nest.cb)

    def enter(self, index: Index) -> Waiting:
        """Make the step of `index` current, waiting for data or room."""
        while self.grant is None:
            self.grant = self.try_acquire(index)
            if self.grant is None:
                yield self.waits()

    def waits(self) -> str:
        """Why a step cannot start."""
        return f"waits for {'room' if self.producer else 'data'} in CB {self.nest.cb}"

    def leave_before(self, following: Index | None) -> None:
        """Report the current step done unless `following` belongs to it, too."""
        if self.grant is not None and (following is None or self.key(following) != self.grant.key):
            self.done(self.grant)
            self.grant = None

    def places(self, offsets: Offsets, grant: Grant | None = None) -> Offsets:
        """Local-memory addresses of offsets from the granted pointer."""
        grant = grant or self.grant
        assert grant is not None
        if self.machine.police and offsets.size:
            beyond = (offsets < 0) | (offsets >= grant.window)
            if beyond.any():
                self._outside(int(offsets[beyond][0]), grant)
        base, size = self.buffer.base * UNIT_BYTES, self.buffer.depth * UNIT_BYTES
        return base + (grant.pointer + offsets) % size

    def read(self, offsets: Offsets, grant: Grant | None = None) -> NDArray[np.uint8]:
        """Bytes at offsets from the granted pointer."""
        where = self.places(offsets, grant)
        if self.machine.police:
            known = self.machine.ls_known[where]
            if not known.all():
                self._unwritten(int(where.reshape(-1)[known.reshape(-1).argmin()]))
        return self.machine.ls[where]

    def write(self, offsets: Offsets, data: NDArray[np.uint8], grant: Grant | None = None) -> None:
        """Store bytes at offsets from the granted pointer."""
        where = self.places(offsets, grant)
        self.machine.ls[where] = data
        self.machine.ls_known[where] = 1

    def _check_user(self) -> None:
        buffer, unit = self.buffer, self.command.unit
        if not buffer.valid:
            raise FunctionalTrap(Trap.CB_UNINITIALISED, self.nest.cb)
        owner = buffer.producer if self.producer else buffer.consumer
        if owner in (-1, unit):
            return
        if not buffer.shared:
            raise FunctionalTrap(Trap.CB_SHARED, self.nest.cb)
        if self.producer and self.machine.police:
            raise second_producer(self.nest.cb, Unit(owner))

    def _check_overlap(self, first: int, n_units: int) -> None:
        """No unit of the step may be live in another buffer."""
        mine = self.buffer
        if not (mine.overlaps and self.machine.police):
            return
        units = {mine.base + (first + i) % mine.depth for i in range(n_units)}
        for number, other in enumerate(self.machine.buffers):
            if not other.valid or number == self.nest.cb:
                continue
            live = range(other.release, other.reserve)
            if units & {other.base + i % other.depth for i in live}:
                raise overlap(self.nest.cb, number, (mine.base + first % mine.depth) * UNIT_BYTES)

    def _outside(self, offset: int, grant: Grant) -> None:
        raise outside_step(
            self.producer, self.nest.cb, offset, grant.window,
            int(self._address(offset, grant)),
        )  # fmt: skip

    def _address(self, offset: int, grant: Grant) -> int:
        base, size = self.buffer.base * UNIT_BYTES, self.buffer.depth * UNIT_BYTES
        return base + (grant.pointer + offset) % size

    def _unwritten(self, address: int) -> None:
        raise unwritten_ls(self.nest.cb, address)


def unwritten_ls(cb: int, address: int) -> RuleBroken:
    """A read of a byte of local memory that nothing wrote."""
    where = f"local memory 0x{address:05x} in CB {cb}"
    return RuleBroken(Rule.UNWRITTEN_LS, f"reads {where}, which nothing has written")


def outside_step(producer: bool, cb: int, offset: int, window: int, address: int) -> RuleBroken:
    """A byte outside of what the step was granted."""
    verb, has = ("writes", "reserved") if producer else ("reads", "was given")
    return RuleBroken(
        Rule.OUTSIDE_STEP,
        f"{verb} local memory 0x{address:05x}, byte {offset} from the pointer of CB {cb}, but its"
        f" step {has} {window} bytes",
    )


def second_producer(cb: int, other: Unit) -> RuleBroken:
    """Two units fill one buffer; shared means several consumers."""
    return RuleBroken(
        Rule.SECOND_PRODUCER, f"is a second producer of CB {cb}, which {other.name} fills"
    )


def overlap(cb: int, other: int, address: int) -> RuleBroken:
    """A step that would overwrite what another buffer still holds."""
    return RuleBroken(
        Rule.OVERLAP,
        f"writes a step of CB {cb} from local memory 0x{address:05x} on, over data that CB {other}"
        " still holds",
    )
