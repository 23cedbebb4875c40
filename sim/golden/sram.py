# SPDX-License-Identifier: Apache-2.0
"""Golden model of the shared SRAM: what every access returns, faults and poison included.

Word by word and write by write: it knows nothing of lines that combine or of who goes first, since
neither may be visible. The contents of a poisoned word are lost, so the model does not say them.
"""

from dataclasses import dataclass, field

__all__ = ["WORD_BYTES", "SramModel", "SramRead"]

WORD_BYTES = 8
"""Bytes that share check bits."""


@dataclass(frozen=True, kw_only=True)
class SramRead:
    """Answer to a read of one line."""

    data: bytes
    poison: bool
    lost: tuple[bool, ...]
    """For each word, whether it is poisoned, so that its bytes mean nothing."""
    corrected: int
    """Words corrected by this read."""


@dataclass(kw_only=True)
class SramModel:
    """Shared SRAM of `size_bytes`, all zero at first.

    Parameters
    ----------
    size_bytes : size, a multiple of 8.
    ecc : whether words have check bits; without them faults cannot be injected.
    """

    size_bytes: int
    ecc: bool = True
    data: bytearray = field(init=False)
    _wrong: dict[int, set[int]] = field(default_factory=dict[int, set[int]], init=False)
    """Word number to its wrong bits; more than one is uncorrectable."""
    _poisoned: set[int] = field(default_factory=set[int], init=False)

    def __post_init__(self) -> None:
        self.data = bytearray(self.size_bytes)

    def is_lost(self, word: int) -> bool:
        """Whether a word is beyond correction."""
        return word in self._poisoned or len(self._wrong.get(word, ())) > 1

    def inject(self, address: int, bits: tuple[int, ...]) -> None:
        """Invert stored bits (0 to 71) of the word at `address`; an inverted bit inverted again is
        right again."""
        if self.ecc:
            wrong = self._wrong.setdefault(address // WORD_BYTES, set())
            for bit in bits:
                wrong ^= {bit}

    def read(self, address: int, n_bytes: int) -> SramRead:
        """Read `n_bytes` from `address`, both multiples of 8."""
        words = range(address // WORD_BYTES, (address + n_bytes) // WORD_BYTES)
        lost = tuple(self.is_lost(word) for word in words)
        return SramRead(
            data=bytes(self.data[address : address + n_bytes]),
            poison=any(lost),
            lost=lost,
            corrected=sum(
                len(self._wrong.get(word, ())) == 1 and word not in self._poisoned for word in words
            ),
        )

    def write(self, address: int, data: bytes, strobe: int) -> None:
        """Write the bytes of `data` whose bit of `strobe` is set; `address` is a multiple of 8."""
        for offset in range(0, len(data), WORD_BYTES):
            mask = strobe >> offset & 0xFF
            if not mask:
                continue
            word = (address + offset) // WORD_BYTES
            if mask != 0xFF and self.is_lost(word):
                self._poisoned.add(word)
            elif mask == 0xFF:
                self._poisoned.discard(word)
            self._wrong.pop(word, None)
            for index in range(WORD_BYTES):
                if mask >> index & 1:
                    self.data[address + offset + index] = data[offset + index]
