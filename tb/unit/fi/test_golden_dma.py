# SPDX-License-Identifier: Apache-2.0
"""The DMA model against a second source: NumPy's own strided views of the same bytes."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from sim.golden.address import Buffer, Nest, walk
from sim.golden.dma import Dma, moves, runs
from tb.common.seeds import numpy_rng

WORD = 8


def copied(dma: Dma, buffer: Buffer, memory: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Local memory after the model's moves."""
    after = local.copy()
    for move in moves(dma, buffer, WORD):
        after[move.local] = 0 if move.memory is None else memory[move.memory]
    return after


@pytest.mark.parametrize("pitch", [64, 77])
def test_rows_of_a_matrix_lie_behind_one_another(pitch: int) -> None:
    """Contiguous rows equal one strided assignment."""
    memory = numpy_rng("memory").integers(0, 256, 4096, np.uint8)
    local = np.zeros(4096, np.uint8)
    nest = Nest(counts=(24, 7, 1, 1, 1), strides=(WORD, 32, 0, 0, 0), offset=8, step_level=2)
    dma = Dma(nest=nest, mem_addr=101, mem_strides=(pitch, 0, 0, 0))
    wanted = local.copy()
    wanted[64 * 3 + 8 :][: 7 * 32].reshape(7, 32)[:, :24] = as_strided(
        memory[101:], (7, 24), (pitch, 1)
    )
    assert np.array_equal(copied(dma, Buffer(base=3, depth=40), memory, local), wanted)


def test_a_row_spreads_over_blocks_of_k() -> None:
    """Pieces of a word land a block apart: the layout of A is a transposed view."""
    memory = numpy_rng("memory").integers(0, 256, 4096, np.uint8)
    rows, k_steps = 5, 6
    nest = Nest(
        counts=(WORD * k_steps, rows, 1, 1, 1), strides=(WORD * rows, WORD, 0, 0, 0), step_level=2
    )
    dma = Dma(nest=nest, mem_addr=0, mem_strides=(WORD * k_steps, 0, 0, 0))
    local = copied(dma, Buffer(base=0, depth=64), memory, np.zeros(4096, np.uint8))
    source = memory[: rows * k_steps * WORD].reshape(rows, k_steps, WORD)
    found = local[: rows * k_steps * WORD].reshape(k_steps, rows, WORD)
    assert np.array_equal(found, source.transpose(1, 0, 2))


def test_zero_fill_clears_to_the_word_and_no_further() -> None:
    """A run of 13 bytes from lane 2 ends in lane 7 of the second word."""
    memory = np.full(64, 9, np.uint8)
    nest = Nest(counts=(13, 1, 1, 1, 1), strides=(WORD, 0, 0, 0, 0), offset=2)
    dma = Dma(nest=nest, mem_addr=0, zero_fill=True)
    local = copied(dma, Buffer(base=0, depth=1), memory, np.full(64, 5, np.uint8))
    assert local.tolist() == [5] * 2 + [9] * 13 + [0] + [5] * 48


def test_a_buffer_wraps_word_by_word() -> None:
    """A run across the end of its buffer goes on at its base."""
    memory = np.arange(64, dtype=np.uint8)
    nest = Nest(counts=(64, 1, 1, 1, 1), strides=(WORD, 0, 0, 0, 0), offset=40)
    buffer = Buffer(base=1, depth=2, pointer=1)
    local = copied(Dma(nest=nest, mem_addr=0), buffer, memory, np.zeros(256, np.uint8))
    assert np.array_equal(local[64:192], np.roll(np.pad(memory, (0, 64)), 64 + 40))


def test_tails_shorten_runs_or_their_number() -> None:
    """The last iteration of the tail level has shorter runs, or fewer of them."""
    buffer = Buffer(base=0, depth=64)
    lengths = {}
    for inner, count in ((0, 3), (1, 2)):
        nest = Nest(
            counts=(8, 4, 2, 1, 1), strides=(WORD, 8, 64, 0, 0), step_level=2, adv_level=2,
            need=1, adv=1, tail_level=2, tail_inner=inner, tail_count=count, tail_adv=1,
        )  # fmt: skip
        found = list(runs(Dma(nest=nest, mem_addr=0), buffer, WORD))
        lengths[inner] = [len(run.moves) for run in found]
    assert lengths == {0: [8] * 4 + [3] * 4, 1: [8] * 4 + [8] * 2}


def test_steps_count_their_extent_from_the_pointer() -> None:
    """Extent and advance of each step, worked out by hand."""
    nest = Nest(
        counts=(2, 3, 2, 1, 1), strides=(1, 70, 0, 0, 0), offset=1, step_level=1, adv_level=2,
        need=2, adv=4,
    )  # fmt: skip
    steps = list(walk(nest, Buffer(base=0, depth=8), 1))
    assert [(step.extent, step.advance) for step in steps] == [(3, 0), (4, 0), (5, 4)] * 2
    starts = [step.addresses[0].address for step in steps]
    assert starts == [1, 71, 141, 257, 327, 397]
