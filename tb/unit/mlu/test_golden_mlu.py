# SPDX-License-Identifier: Apache-2.0
"""The golden model of the layout unit against NumPy and plain loops; a convolution, end to end."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.arch.commands import LayoutOp, LayoutTarget, Opcode, decode, encode
from hw.arch.formats import Format
from sim.golden.address import Buffer
from sim.golden.dpe import DpeModel
from sim.golden.fp import fp32_add
from sim.golden.mlu import LayoutCommand, layout, transposed
from tb.common.seeds import numpy_rng, python_rng

WORD = 8


class Local:
    """Local memory, with one circular buffer for each name; every buffer starts at its base."""

    def __init__(self, **units: int) -> None:
        self.buffers: dict[int, Buffer] = {}
        self.ids: dict[str, int] = {}
        base = 1
        for number, (name, depth) in enumerate(units.items()):
            self.ids[name] = number
            self.buffers[number] = Buffer(base=base, depth=depth)
            base += depth + 1
        self.data = numpy_rng("local").integers(0, 256, 64 * base).astype(np.uint8)

    def of(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a buffer."""
        buffer = self.buffers[self.ids[name]]
        return self.data[64 * buffer.base : 64 * (buffer.base + buffer.depth)]

    def run(self, source: str, target: str, /, **fields: int) -> list[bytes]:
        """Run a command between two buffers; the words that it sends."""
        fields = {"src_stride0": WORD, "stride0": WORD, **fields}
        fields |= {"src_cb": self.ids[source], "cb": self.ids[target]}
        values = decode(encode(Opcode.LAYOUT, **fields))[1]
        assert LayoutCommand(values, WORD).illegal() is None
        return layout(values, self.data, self.buffers, WORD).words


def test_copy_moves_each_byte_of_each_run() -> None:
    """Plain loops over bytes, with pieces of a word on both sides and wraps, say the same."""
    rng = python_rng("copies")
    for _ in range(30):
        local = Local(a=5, b=7)
        before, want = local.of("a").copy(), local.of("b").copy()
        n_bytes, n_runs = rng.randint(1, 40), rng.randint(1, 4)
        source, target = rng.randrange(60), rng.randrange(80)
        pitch, other, far = rng.randrange(20), rng.randrange(20), rng.randrange(3)
        for run in range(n_runs):
            for number in range(n_bytes):
                word, lane = divmod((source + run * pitch) % WORD + number, WORD)
                at = (source + run * pitch) // WORD * WORD + far * WORD * word + lane
                word, lane = divmod((target + run * other) % WORD + number, WORD)
                to = (target + run * other) // WORD * WORD + WORD * word + lane
                want[to % len(want)] = before[at % len(before)]
        local.run(
            *("a", "b"),
            **{"count0": n_bytes, "count1": n_runs, "src_offset": source, "offset": target},
            **{"src_stride0": far * WORD, "src_stride1": pitch, "stride1": other},
        )
        assert np.array_equal(local.of("b"), want)


def packed(matrix: NDArray[np.uint32], bits: int, pitch: int) -> NDArray[np.uint8]:
    """A matrix row by row, `pitch` bytes a row, elements from the lowest bits up."""
    rows = []
    for row in matrix.tolist():
        number = sum(value << bits * column for column, value in enumerate(row))
        rows.append(np.frombuffer(number.to_bytes(pitch, "little"), np.uint8))
    return np.concatenate(rows)


@pytest.mark.parametrize("bits", (4, 8, 16, 32))
def test_one_command_transposes_a_matrix_of_any_size(bits: int) -> None:
    """Tails in both directions; rows of the result end in zeros up to the last word."""
    rng = python_rng(f"matrices {bits}")
    elements = 8 * WORD // bits
    for _ in range(12):
        m, n = rng.randint(1, 3 * elements), rng.randint(1, 3 * elements)
        row_blocks, column_blocks = -(-m // elements), -(-n // elements)
        matrix = numpy_rng(f"{m} {n}").integers(0, 1 << bits, (m, n), dtype=np.uint32)
        local = Local(a=80, b=80)
        source = packed(matrix, bits, WORD * column_blocks)
        local.of("a")[: source.size] = source
        local.run(
            *("a", "b"),
            **{"operation": LayoutOp.TRANSPOSE, "element": bits.bit_length() - 3},
            **{"count0": min(m, elements), "count1": row_blocks, "count2": column_blocks},
            **{"tail_level": 1, "tail_count": m % elements if m > elements else 0},
            **{"out_level": 2, "out_count": n % elements},
            **{"src_stride0": WORD * column_blocks, "stride0": WORD * row_blocks},
            **{"src_stride1": WORD * column_blocks * elements, "stride1": WORD},
            **{"src_stride2": WORD, "stride2": WORD * row_blocks * elements},
        )
        want = packed(matrix.T, bits, WORD * row_blocks)
        assert np.array_equal(local.of("b")[: want.size], want)


@pytest.mark.parametrize("bits", (4, 8, 16, 32))
def test_transposition_twice_is_identity(bits: int) -> None:
    """A whole block comes back."""
    block = numpy_rng("block").integers(0, 256, (8 * WORD // bits, WORD)).astype(np.uint8)
    assert np.array_equal(transposed(transposed(block, bits), bits), block)


@pytest.mark.parametrize("bits", (4, 8, 16, 32))
def test_a_vector_becomes_a_diagonal(bits: int) -> None:
    """Source words of level 1 continue the diagonal; what is not given stays zero."""
    elements = 8 * WORD // bits
    vector = numpy_rng("vector").integers(1, 1 << bits, 2 * elements, dtype=np.uint32)
    local = Local(a=4, b=40)
    local.of("a")[: 2 * WORD] = packed(vector[None, :], bits, 2 * WORD)
    local.run(
        *("a", "b"),
        **{"operation": LayoutOp.DIAGONAL, "element": bits.bit_length() - 3},
        **{"count0": elements, "count1": 2, "src_stride1": WORD, "out_level": 7},
        **{"out_count": 2 * elements, "stride0": 2 * WORD, "stride1": WORD},
    )
    want = packed(np.diag(vector), bits, 2 * WORD)
    assert np.array_equal(local.of("b")[: want.size], want)


@dataclass(frozen=True)
class Convolution:
    """A depth-wise 3x3 convolution with a border of zeros, and the tile that computes it."""

    columns: int
    fmt: Format
    height: int = 5
    width: int = 6

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return self.fmt.n_bytes

    @property
    def channels(self) -> int:
        """Two blocks of columns."""
        return 2 * self.columns

    @property
    def groups(self) -> int:
        """Words, that is K steps, for the channels of a block."""
        return self.columns * self.size // WORD

    @property
    def pixel(self) -> int:
        """Bytes of a pixel."""
        return self.channels * self.size

    @property
    def line(self) -> int:
        """Bytes of a line with its border."""
        return (self.width + 2) * self.pixel


def format_weights(local: Local, conv: Convolution) -> None:
    """All taps of all channels: one DIAGONAL."""
    block = conv.columns * WORD  # bytes of a K step of B
    local.run(
        *("weights", "b"),
        **{"operation": LayoutOp.DIAGONAL, "element": conv.size},
        **{"count0": WORD // conv.size, "out_level": 7, "out_count": conv.columns},
        **{"count1": conv.groups, "src_stride1": WORD, "stride1": block},
        **{"count2": 9, "src_stride2": conv.pixel, "stride2": conv.groups * block},
        **{"count3": 2, "src_stride3": conv.columns * conv.size},
        **{"stride3": 9 * conv.groups * block},
    )


def window(conv: Convolution, block: int, row: int) -> dict[str, int]:
    """COPY of what one line of results needs: for each tap and group a word of each pixel."""
    step = conv.width * WORD
    return {
        "count0": WORD,
        "src_offset": row * conv.line + block * conv.columns * conv.size,
        **{"count1": conv.width, "src_stride1": conv.pixel, "stride1": WORD},
        **{"count2": conv.groups, "src_stride2": WORD, "stride2": step},
        **{"count3": 3, "src_stride3": conv.pixel, "stride3": conv.groups * step},
        **{"count4": 3, "src_stride4": conv.line, "stride4": 3 * conv.groups * step},
    }


def multiply(local: Local, conv: Convolution, block: int, words: list[bytes]) -> NDArray:
    """One MML over all taps, and what the reduction engine makes of its rows."""
    steps = 9 * conv.groups
    fields = {
        **{"count0": conv.width, "count1": steps, "held_level": 1, "k_level": 1},
        **{"a_cb": local.ids["a"], "b_cb": local.ids["b"]},
        **{"a_format": conv.fmt, "b_format": conv.fmt, "init": 1, "done": 1, "b_stride0": 1},
        **{"b_stride1": conv.columns, "b_offset": block * steps * conv.columns},
    }
    if words:
        fields |= {"a_from_mlu": 1, "a_adv_level": 7}
    else:
        fields |= {"a_stride0": 1, "a_stride1": conv.width}
    model = DpeModel(columns=conv.columns, k_bytes=WORD, banks=2)
    values = decode(encode(Opcode.MML, **fields))[1]
    memory = local.data.reshape(-1, WORD)
    result = model.mml(values, memory, local.buffers, {"a": deque(words)})
    kind = np.float32 if conv.fmt.is_float else np.uint32
    sums = np.zeros((conv.width, conv.columns), kind)
    for row in result.rows:
        partial = np.array(row.values, np.uint32).view(kind)
        if not row.overwrite:
            add = fp32_add if conv.fmt.is_float else np.add
            partial = add(sums[row.row], partial)
        sums[row.row] = partial
    return sums


def expected(conv: Convolution, image: NDArray, weights: NDArray) -> NDArray:
    """The convolution by NumPy, taps in order; products of FP16 are exact in FP32."""
    kind = np.float32 if conv.fmt.is_float else np.int32
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0))).astype(kind)
    out = np.zeros((conv.height, conv.width, conv.channels), kind)
    for tap in range(9):
        y, x = divmod(tap, 3)
        part = padded[y : y + conv.height, x : x + conv.width]
        out = out + part * weights[tap].astype(kind)
    return out


@pytest.mark.parametrize("fed", (False, True), ids=("by_copy", "fed"))
@pytest.mark.parametrize(
    "conv",
    (Convolution(8, Format.INT8), Convolution(8, Format.FP16), Convolution(16, Format.INT8)),
    ids=("int8", "fp16", "odd"),
)
def test_depthwise_convolution(conv: Convolution, fed: bool) -> None:
    """FILL and COPY make the border, DIAGONAL the weights, COPY the windows; MML multiplies."""
    rng = numpy_rng("convolution")
    shape = (conv.height, conv.width, conv.channels)
    if conv.fmt.is_float:
        image, weights = (rng.standard_normal(s).astype(np.float16) for s in (shape, (9, shape[2])))
    else:
        image = rng.integers(-128, 128, shape).astype(np.int8)
        weights = rng.integers(-128, 128, (9, shape[2])).astype(np.int8)
    local = Local(image=20, padded=40, weights=8, b=200, a=60)
    local.of("image")[: image.nbytes] = image.view(np.uint8).reshape(-1)
    local.of("weights")[: weights.nbytes] = weights.view(np.uint8).reshape(-1)
    local.run("image", "padded", operation=LayoutOp.FILL, count0=(conv.height + 2) * conv.line)
    row = conv.width * conv.pixel
    local.run(
        *("image", "padded"),
        **{"count0": row, "count1": conv.height, "src_stride1": row, "stride1": conv.line},
        offset=conv.line + conv.pixel,
    )
    format_weights(local, conv)
    want = expected(conv, image, weights)
    for y in range(conv.height):
        for block in range(2):
            target = LayoutTarget.DPE_A if fed else LayoutTarget.LS
            words = local.run("padded", "a", **window(conv, block, y), target=target)
            assert len(words) == (9 * conv.groups * conv.width if fed else 0)
            sums = multiply(local, conv, block, words)
            channels = slice(block * conv.columns, (block + 1) * conv.columns)
            assert np.array_equal(sums.view(want.dtype), want[y, :, channels])
