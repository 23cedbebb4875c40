# SPDX-License-Identifier: Apache-2.0
"""Random words for stochastic rounding: a hash of (seed, tensor, element index), pipelined.

Threefry-2x32 with 8 rounds; the definition is on the page of the SIMD engine.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.stage import stage

__all__ = ["RoundingHash"]

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD1_1BDA
_ROUNDS_PER_STAGE = 2


class RoundingHash(wiring.Component):
    """Gives the random words of `lanes` neighbouring elements.

    Operation: the first stage adds the seed for all lanes; each of four more is two rounds of one
    addition, rotation and exclusive or. Keys are added in the second and fourth of them too. One
    beat enters and one leaves at every clock edge with `en`; the parent carries the valid bit.
    Seed and tensor must stay as they are while a beat is on its way.

    Timing: `latency` clock edges with `en` from `index` to `o`; one beat per cycle.

    Numerics: word i is the second word of Threefry-2x32 with 8 rounds, key (seed, tensor), counter
    (index + i, 0).

    Parameters
    ----------
    lanes : int
        Elements of a beat.
    domain : str
        Clock domain of the registers.

    Members
    -------
    en : In(1)
        All registers keep their values without it; 1 where it is not connected.
    seed, tensor : In(32)
        Key.
    index : In(32)
        Index of the beat's first element.
    o : Out(32 * lanes)
        Random words, the first element's in the low bits.

    Raises
    ------
    ValueError
        If `lanes` is less than 1.
    """

    latency = 1 + len(_ROTATIONS) // _ROUNDS_PER_STAGE
    """Clock edges from index to words."""

    def __init__(self, *, lanes: int, domain: str = "sync") -> None:
        if lanes < 1:
            raise ValueError(f"lanes is {lanes}; it must be at least 1.")
        self.lanes = lanes
        self.domain = domain
        super().__init__(
            {
                "en": In(1, init=1),
                "seed": In(32),
                "tensor": In(32),
                "index": In(32),
                "o": Out(32 * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        third_key, middle_key, end_key = (Signal(32) for _ in range(3))
        m.d.comb += [
            third_key.eq(self.seed ^ self.tensor ^ _PARITY),
            middle_key.eq(third_key + 1),
            end_key.eq(self.seed + 2),
        ]
        start = stage(m, {"start": (self.index + self.seed)[:32]}, name="s0", **self._clocking)
        for lane in range(self.lanes):
            self._elaborate_lane(m, lane, start["start"], middle_key, end_key)
        return m

    def _elaborate_lane(
        self, m: Module, lane: int, start: Signal, middle_key: Signal, end_key: Signal
    ) -> None:
        """The rounds of one element."""
        first: Value = start + lane
        second: Value = self.tensor
        for turn in range(self.latency - 1):
            name = f"lane{lane}_s{turn + 1}"
            rotations = _ROTATIONS[_ROUNDS_PER_STAGE * turn :][:_ROUNDS_PER_STAGE]
            for step, rotation in enumerate(rotations):
                first, second = _round(m, first, second, rotation, f"{name}_{step}")
            if turn == 1:
                first, second = first + self.tensor, second + middle_key
            if turn == 3:
                second = second + end_key
            values = {"first": first[:32], "second": second[:32]}
            staged = stage(m, values, name=name, **self._clocking)
            first, second = staged["first"], staged["second"]
        m.d.comb += self.o.word_select(lane, 32).eq(second)

    @property
    def _clocking(self) -> dict[str, Any]:
        """Enable and domain of every stage."""
        return {"en": self.en, "domain": self.domain}


def _round(m: Module, first: Value, second: Value, rotation: int, name: str) -> tuple[Value, Value]:
    """One round, on two named words."""
    total = Signal(32, name=f"{name}_total")
    mixed = Signal(32, name=f"{name}_mixed")
    m.d.comb += [
        total.eq(first + second),
        mixed.eq(Cat(second[32 - rotation :], second[: 32 - rotation]) ^ total),
    ]
    return total, mixed
