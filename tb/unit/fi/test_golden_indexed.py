# SPDX-License-Identifier: Apache-2.0
"""The model of GATHER and SCATTER against NumPy's own indexing."""

import numpy as np
import pytest

from hw.arch.formats import Format
from sim.golden.address import Buffer, Nest
from sim.golden.indexed import (
    Indexed,
    IndexOutOfRange,
    add_row,
    index_place,
    indexed_runs,
    row_address,
)
from tb.common.seeds import numpy_rng

WORD = 8


def job(n_rows: int, row_bytes: int, **fields: int) -> Indexed:
    """Rows one behind the other."""
    nest = Nest(
        counts=(row_bytes, n_rows, 1, 1, 1), strides=(WORD, row_bytes, 0, 0, 0), step_level=2
    )
    return Indexed(
        nest=nest, **{"mem_addr": 100, "row_pitch": row_bytes, "index_limit": 30} | fields
    )


def test_rows_are_those_that_numpy_takes() -> None:
    """A gather of rows equals fancy indexing of the table."""
    rng = numpy_rng("rows")
    table = rng.integers(0, 256, (30, 24), np.uint8)
    memory = np.concatenate([np.zeros(100, np.uint8), table.ravel()])
    indices = rng.integers(0, 30, 17)
    local = np.zeros(1024, np.uint8)
    for run in indexed_runs(job(17, 24), list(indices), Buffer(base=1, depth=14), WORD):
        for move in run.moves:
            local[move.local] = memory[move.memory]
    assert np.array_equal(local[64 : 64 + 17 * 24].reshape(17, 24), table[indices])


def test_an_index_at_the_limit_is_refused_with_its_value() -> None:
    """The last row is legal, the one behind it is named."""
    assert row_address(job(1, 8), 29) == 100 + 29 * 8
    with pytest.raises(IndexOutOfRange, match="Index 30 is not below the table's 30 rows") as error:
        row_address(job(1, 8), 30)
    assert error.value.index == 30


def test_addresses_wrap_at_40_bits() -> None:
    """A table may be named from above, with a pitch that leads past the end of addresses."""
    assert row_address(job(1, 8, mem_addr=(1 << 40) - 16), 3) == 8


def test_lists_wrap_in_their_buffer() -> None:
    """Two units of 64 bytes from the second one on: the list goes on at the buffer's base."""
    buffer = Buffer(base=3, depth=2, pointer=1)
    places = [index_place(job(1, 8, index_offset=14), buffer, number) for number in range(4)]
    assert places == [64 * 4 + 56, 64 * 4 + 60, 64 * 3, 64 * 3 + 4]


def test_floats_are_added_in_the_order_of_the_list() -> None:
    """The same as NumPy's unbuffered addition in float32, which rounds each sum; order matters."""
    rng = numpy_rng("floats")
    table = (rng.standard_normal((5, 6)) * 10.0 ** rng.integers(-8, 8, (5, 6))).astype(np.float32)
    rows = (rng.standard_normal((40, 6)) * 10.0 ** rng.integers(-8, 8, (40, 6))).astype(np.float32)
    indices = rng.integers(0, 5, 40)
    expected, backwards = table.copy(), table.copy()
    np.add.at(expected, indices, rows)
    np.add.at(backwards, indices[::-1], rows[::-1])
    found = [line.tobytes() for line in table]
    for index, row in zip(indices, rows, strict=True):
        found[index] = add_row(found[index], row.tobytes(), Format.FP32)
    assert b"".join(found) == expected.tobytes() != backwards.tobytes()


def test_integers_wrap() -> None:
    """INT32 sums are modulo 2^32."""
    first = np.array([2**31 - 1, -(2**31), 5], np.int32)
    second = np.array([1, -1, -7], np.int32)
    found = np.frombuffer(add_row(first.tobytes(), second.tobytes(), Format.INT32), np.int32)
    assert found.tolist() == [-(2**31), 2**31 - 1, -2]
