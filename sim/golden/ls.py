# SPDX-License-Identifier: Apache-2.0
"""Local memory as software sees it: words, byte masks, parity, and which bank a word lies in."""

import numpy as np
from numpy.typing import NDArray

from hw.config.element import LsConfig

__all__ = ["LocalMemoryModel", "bank_of"]


def bank_of(address: int, n_banks: int) -> int:
    """Bank of a word address: its digits to base `n_banks`, added without carries."""
    bank = 0
    while address:
        address, digit = divmod(address, n_banks)
        bank ^= digit
    return bank


class LocalMemoryModel:
    """Contents of local memory.

    Attributes
    ----------
    data : bytes of each word.
    known : whether a byte was ever written; the others may have any value and parity.
    wrong : whether a byte's parity was written wrong.
    """

    def __init__(self, config: LsConfig) -> None:
        shape = (config.words, config.word_bytes)
        self.data: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self.known: NDArray[np.bool_] = np.zeros(shape, np.bool_)
        self.wrong: NDArray[np.bool_] = np.zeros(shape, np.bool_)

    def write(self, address: int, word: bytes, strobe: int, inject: int = 0) -> None:
        """Write the bytes of `word` whose bit of `strobe` is set; `inject` spoils their parity."""
        mask = self.bits(strobe)
        self.data[address][mask] = np.frombuffer(word, np.uint8)[mask]
        self.known[address] |= mask
        self.wrong[address][mask] = self.bits(inject)[mask]

    def read(self, address: int) -> tuple[bytes, int, int]:
        """Word, error mask, and mask of the bytes for which both are defined."""
        return (
            self.data[address].tobytes(),
            self.number(self.wrong[address]),
            self.number(self.known[address]),
        )

    def bits(self, mask: int) -> NDArray[np.bool_]:
        """A mask as an array, byte 0 first."""
        return np.array([mask >> i & 1 for i in range(self.data.shape[1])], np.bool_)

    @staticmethod
    def number(flags: NDArray[np.bool_]) -> int:
        """The reverse of `bits`."""
        return sum(1 << int(i) for i in np.flatnonzero(flags))
