# SPDX-License-Identifier: Apache-2.0
"""Adds up what parts of the grid say of flits that pass."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from tb.common.stream import Bench

__all__ = ["Passing"]

Key = TypeVar("Key")


class Passing(Generic[Key]):
    """Adds up the bits of pins: `counts` by key and name of the bit.

    Parameters
    ----------
    bench : the bench, whose cycles are counted.
    pins : what says what passes, by key.
    names : of the bits of each pin, bit 0 first.
    """

    def __init__(self, bench: Bench, pins: Mapping[Key, Any], names: Iterable[str]) -> None:
        self._pins, self._names = dict(pins), tuple(names)
        self.counts = {(key, name): 0 for key in self._pins for name in self._names}
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Count a cycle."""
        for key, pin in self._pins.items():
            for at, name in enumerate(self._names):
                self.counts[key, name] += int(pin.value) >> at & 1

    def drive(self) -> None:
        """It only looks."""

    def reset(self) -> None:
        """Counting begins anew."""
        self.counts = dict.fromkeys(self.counts, 0)
