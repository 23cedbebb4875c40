# SPDX-License-Identifier: Apache-2.0
"""The rounding hash: its published ancestor, its definition, and how random its words look."""

import numpy as np
import pytest

from sim.golden.hash import rounding_hash, threefry_2x32
from tb.common.seeds import numpy_rng
from tb.unit.num import exact

ALL_ONES = (1 << 32) - 1


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ALL_ONES, ALL_ONES), (ALL_ONES, ALL_ONES), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ),
)
def test_twenty_rounds_give_the_published_words(
    counter: tuple[int, int], key: tuple[int, int], words: tuple[int, int]
) -> None:
    """Known answers of Threefry-2x32-20, as its authors distribute them with Random123."""

    def arrays(pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([pair[0]], np.uint32), np.array([pair[1]], np.uint32)

    found = threefry_2x32(arrays(key), arrays(counter), 20)
    assert found.ravel().tolist() == list(words)


def test_words_match_the_definition() -> None:
    """Eight rounds, as the page says, in Python integers."""
    rng = numpy_rng("hash")
    for seed, tensor, index in rng.integers(0, 1 << 32, (200, 3)).tolist():
        word = rounding_hash(seed, tensor, np.array([index], np.uint32))
        assert word.tolist() == [exact.rounding_word(seed, tensor, index)]


@pytest.mark.parametrize("near_zero", (False, True), ids=("anywhere", "near_zero"))
@pytest.mark.parametrize("word", (0, 1, 2), ids=("seed", "tensor", "index"))
def test_every_input_bit_flips_every_output_bit_half_the_time(word: int, near_zero: bool) -> None:
    """Avalanche between 0.4 and 0.6 for each pair of bits; small seeds and indices are no worse.

    Of n = 2000 flips a fair coin misses 0.1 by 9 standard deviations, sqrt(1/4n) each.
    """
    n = 2000
    limits = (16, 64, 1 << 16) if near_zero else (1 << 32,) * 3
    rng = numpy_rng("avalanche")
    inputs = [rng.integers(0, limit, n, dtype=np.uint64).astype(np.uint32) for limit in limits]
    before = words_of(inputs)
    for bit in range(32):
        flipped = list(inputs)
        flipped[word] = flipped[word] ^ np.uint32(1 << bit)
        changed = before ^ words_of(flipped)
        rates = (changed[:, None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)).mean(axis=0)
        assert ((rates > 0.4) & (rates < 0.6)).all(), (bit, rates.min(), rates.max())


def words_of(inputs: list[np.ndarray]) -> np.ndarray:
    """Words for arrays of seeds and tensors too."""
    seed, tensor, index = inputs
    return threefry_2x32((seed, tensor), (index, np.zeros_like(index)), 8)[1]


@pytest.mark.parametrize("shift", (0, 12, 24))
@pytest.mark.parametrize("step", (1, 64, 4096))
@pytest.mark.parametrize(("seed", "tensor"), ((0, 0), (1, 0), (0, 1), (12345, 7)))
def test_words_of_neighbours_are_spread_evenly(
    seed: int, tensor: int, step: int, shift: int
) -> None:
    """Chi-square of eight low, middle and high bits over indices in a row, or rows apart.

    With 255 degrees of freedom the statistic has mean 255 and standard deviation sqrt(510); it
    stays within six of them, and on both sides: too even is as wrong as too uneven.
    """
    n = 1 << 16
    words = rounding_hash(seed, tensor, np.arange(n, dtype=np.uint32) * np.uint32(step))
    counts = np.bincount(words >> np.uint32(shift) & np.uint32(0xFF), minlength=256)
    statistic = ((counts - n / 256) ** 2 / (n / 256)).sum()
    assert abs(statistic - 255) < 6 * 510**0.5


def test_neighbours_do_not_follow_each_other() -> None:
    """Of words of neighbouring elements, and tensors, half of the bits differ.

    Over n words a bit's share misses 1/2 by less than six standard deviations, sqrt(1/4n) each.
    """
    n = 1 << 16
    index = np.arange(n, dtype=np.uint32)
    words = rounding_hash(3, 5, index)
    for other in (
        rounding_hash(3, 5, index + np.uint32(1)),
        rounding_hash(3, 6, index),
        rounding_hash(4, 5, index),
    ):
        changed = words ^ other
        rates = (changed[:, None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)).mean(axis=0)
        assert (abs(rates - 0.5) < 6 * (1 / (4 * n)) ** 0.5).all()
