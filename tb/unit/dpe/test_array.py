# SPDX-License-Identifier: Apache-2.0
"""The dot-product array, bit for bit against the golden dot product."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge

from hw.arch.formats import Format
from hw.pe.dpe.array import DotProductArray, load_layout, row_layout
from sim.golden.dot import gemm_golden
from sim.golden.fp import FP_FORMATS, INT_FORMATS, storage
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, numpy_rng
from tb.common.stream import Bench, check_equal

TAG_WIDTH = 16
INT_PAIRS = [(a, b) for a in INT_FORMATS for b in INT_FORMATS]
FP_PAIRS = [(a, b) for a in FP_FORMATS for b in FP_FORMATS]
FP_CORNERS = {
    Format.FP16: [0, 1, 0x3FF, 0x400, 0x401, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7E00],
    Format.BF16: [0, 1, 0x7F, 0x80, 0x81, 0x3F80, 0x3F81, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0],
}


class Block:
    """A held block and the rows that stream past it, with what must come out."""

    def __init__(
        self,
        parameters: dict,
        formats: tuple[Format, Format],
        by_row: bool,
        rows: np.ndarray,
        held: np.ndarray,
    ) -> None:
        self.row_format, self.held_format = formats
        self.by_row = by_row
        self.rows = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        self.beats = beats(held, parameters["k_bytes"], by_row)
        self.want = gemm_golden(
            rows, held, fmt_a=formats[0], fmt_b=formats[1], chunk=parameters["k_bytes"] // 2
        ).view(np.uint32)


def beats(held: np.ndarray, k_bytes: int, by_row: bool) -> np.ndarray:
    """Bytes of the beats that load held[K, columns], as local memory holds them."""
    if by_row:
        return np.ascontiguousarray(held.T).view(np.uint8).reshape(held.shape[1], k_bytes)
    width = k_bytes // held.itemsize
    groups = [held[:, low : low + width] for low in range(0, held.shape[1], width)]
    return np.ascontiguousarray(np.concatenate(groups)).view(np.uint8).reshape(-1, k_bytes)


class ArrayBench:
    """Drives beats and rows from queues, one of each per cycle, and checks results."""

    def __init__(self, dut: object) -> None:
        self.parameters = bench_parameters()
        self.columns, self.k_bytes = self.parameters["columns"], self.parameters["k_bytes"]
        self.load_shape = load_layout(self.columns, self.k_bytes)
        self.row_shape = row_layout(self.k_bytes, TAG_WIDTH)
        self.bench = Bench(dut)
        self.dut = dut
        self.rng = numpy_rng("array")
        self.tags: list[int] = []
        self.found: list[tuple] = []
        self.want: list[tuple] = []
        self.sent_cycles: list[int] = []
        self.cycles: list[int] = []
        self.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Collect a row of results."""
        if int(self.dut.result_valid.value):
            bits = self.dut.values.value.to_unsigned().to_bytes(4 * self.columns, "little")
            values = tuple(np.frombuffer(bits, np.uint32).tolist())
            tag = self.dut.tag.value.to_unsigned()
            self.found.append((tag, int(self.dut.is_float.value), values))
            self.cycles.append(cycle)

    def drive(self) -> None:
        """Idle unless a test says otherwise in this cycle."""
        self.dut.load_valid.value = 0
        self.dut.row_valid.value = 0

    def reset(self) -> None:
        """Forget what was under way."""
        self.drive()
        self.found.clear()
        self.want.clear()
        self.cycles.clear()
        self.sent_cycles.clear()

    def set_beat(self, block: Block, index: int) -> None:
        """Load a beat in this cycle."""
        self.dut.load_valid.value = 1
        self.dut.load.value = pack(
            self.load_shape,
            {
                "data": int.from_bytes(block.beats[index].tobytes(), "little"),
                "index": index,
                "format": int(block.held_format),
                "by_row": int(block.by_row),
            },
        )

    def set_row(self, block: Block, index: int) -> None:
        """Stream a row in this cycle; the first one swaps."""
        tag = int(self.rng.integers(1 << TAG_WIDTH))
        self.dut.row_valid.value = 1
        self.dut.row.value = pack(
            self.row_shape,
            {
                "data": int.from_bytes(block.rows[index].tobytes(), "little"),
                "format": int(block.row_format),
                "swap": int(index == 0),
                "tag": tag,
            },
        )
        self.sent_cycles.append(self.bench.cycle)
        self.want.append((tag, int(block.row_format.is_float), tuple(block.want[index].tolist())))

    async def run(self, blocks: list[Block], pause: float = 0.0) -> None:
        """Load each block while the one before streams; without pauses there is no bubble."""
        ahead = [(block, i) for block in blocks for i in range(len(block.beats))]
        rows = [(block, i) for block in blocks for i in range(len(block.rows))]
        loaded = 0
        streaming = 0
        while rows:
            block, index = rows[0]
            ready = loaded > blocks.index(block) * self.columns + self.columns - 1
            started = streaming
            if ready and self.rng.random() >= pause:
                self.set_row(block, index)
                streaming = blocks.index(block) + 1
                rows.pop(0)
            # A block may load in the cycle in which its predecessor is swapped in, not before.
            allowed = loaded < (started + 1) * self.columns
            if streaming > started:
                allowed = loaded < (streaming + 1) * self.columns
            if ahead and allowed and self.rng.random() >= pause:
                self.set_beat(*ahead.pop(0))
                loaded += 1
            await self.bench.wait(1)
        await self.bench.wait(self.parameters["latency"] + 2)
        check_equal(self.found, self.want, "row")


def random_operand(rng: np.random.Generator, shape: tuple, fmt: Format, kind: str) -> np.ndarray:
    """Elements of a format: any bits, corner values, or numbers of like size."""
    if fmt is Format.INT8 or fmt is Format.UINT8:
        bits = rng.integers(0, 256, shape)
        if kind == "corners":
            bits = rng.choice([0, 1, 127, 128, 255], shape)
        return storage(bits.astype(np.uint8).view(np.int8 if fmt is Format.INT8 else np.uint8), fmt)
    if kind == "any":
        bits = rng.integers(0, 1 << 16, shape)
    elif kind == "corners":
        bits = rng.choice(FP_CORNERS[fmt], shape) | rng.choice([0, 0x8000], shape)
    else:
        values = rng.standard_normal(shape) * 2.0 ** rng.integers(-12, 6, shape)
        return values.astype(storage(np.zeros(1, np.uint16), fmt).dtype)
    return storage(bits.astype(np.uint16), fmt)


def random_block(
    bench: ArrayBench,
    n_rows: int,
    kind: str,
    formats: tuple | None = None,
    by_row: bool | None = None,
) -> Block:
    """A block of random formats and layout."""
    rng = bench.rng
    pairs = INT_PAIRS + (FP_PAIRS if bench.parameters["with_fp"] else [])
    formats = formats or pairs[rng.integers(len(pairs))]
    depth = bench.k_bytes // formats[0].n_bytes
    by_row = bool(rng.integers(2)) if by_row is None else by_row
    rows = random_operand(rng, (n_rows, depth), formats[0], kind)
    held = random_operand(rng, (depth, bench.columns), formats[1], kind)
    return Block(bench.parameters, formats, by_row, rows, held)


@cocotb.test()
async def every_format_pair_and_layout_matches_the_golden_model(dut: object) -> None:
    """All legal format pairs, both layouts, numbers of like size, corner values, any bits."""
    bench = ArrayBench(dut)
    await bench.bench.start()
    pairs = INT_PAIRS + (FP_PAIRS if bench.parameters["with_fp"] else [])
    for kind in ("like", "corners", "any"):
        blocks = [
            random_block(bench, bench.columns + 3, kind, formats, by_row)
            for formats in pairs
            for by_row in (True, False)
        ]
        await bench.run(blocks)


@cocotb.test()
async def integer_extremes_do_not_overflow(dut: object) -> None:
    """Whole rows of -128 times -128, 255 times 255 and 255 times -128."""
    bench = ArrayBench(dut)
    await bench.bench.start()
    blocks = []
    for formats in INT_PAIRS:
        low_high = {Format.INT8: (-128, 127), Format.UINT8: (0, 255)}
        for held_value in low_high[formats[1]]:
            dtypes = [np.int8 if fmt is Format.INT8 else np.uint8 for fmt in formats]
            rows = np.array([[v] * bench.k_bytes for v in low_high[formats[0]]], dtypes[0])
            held = np.full((bench.k_bytes, bench.columns), held_value, dtypes[1])
            blocks.append(Block(bench.parameters, formats, True, rows, held))
    await bench.run(blocks)


@cocotb.test()
async def one_row_a_cycle_and_no_bubble_at_a_swap(dut: object) -> None:
    """Blocks of exactly one tile follow each other without a gap, `latency` behind the rows."""
    bench = ArrayBench(dut)
    await bench.bench.start()
    blocks = [random_block(bench, bench.columns, "like") for _ in range(6)]
    await bench.run(blocks)
    n_rows = 6 * bench.columns
    latency = bench.parameters["latency"]
    assert bench.cycles == [cycle + latency for cycle in bench.sent_cycles]
    assert bench.cycles[-1] - bench.cycles[0] == n_rows - 1


@cocotb.test()
async def pauses_change_nothing(dut: object) -> None:
    """Gaps between rows and between beats, blocks of any number of rows."""
    bench = ArrayBench(dut)
    await bench.bench.start()
    blocks = [
        random_block(bench, int(bench.rng.integers(1, 2 * bench.columns)), "like")
        for _ in range(12)
    ]
    await bench.run(blocks, pause=0.4)


@cocotb.test()
async def reset_drops_rows_on_their_way(dut: object) -> None:
    """After a reset no old result appears, and new blocks are right."""
    bench = ArrayBench(dut)
    await bench.bench.start()
    block = random_block(bench, 4, "like")
    for index in range(bench.columns):
        bench.set_beat(block, index)
        await bench.bench.wait(1)
    for index in range(3):
        bench.set_row(block, index)
        await bench.bench.wait(1)
    assert int(dut.busy.value) == 1
    await bench.bench.reset()
    await FallingEdge(dut.clk)
    assert int(dut.busy.value) == 0
    await bench.bench.wait(bench.parameters["latency"] + 1)
    assert bench.found == []
    await bench.run([random_block(bench, 9, "like")])


@pytest.mark.parametrize(
    "columns, k_bytes, with_fp, own_rows",
    (
        pytest.param(8, 8, True, False, id="tiny"),
        pytest.param(16, 8, True, False, id="odd"),
        pytest.param(8, 8, False, False, id="int_only"),
        pytest.param(8, 8, True, True, id="tiny_own_rows"),
        pytest.param(8, 8, False, True, id="int_only_own_rows"),
        pytest.param(32, 32, True, False, id="full", marks=pytest.mark.slow),
    ),
)
def test_dot_product_array(columns: int, k_bytes: int, with_fp: bool, own_rows: bool) -> None:
    """Build the array of one tile and run the tests above.

    With operand registers in the multipliers as on an FPGA, where some columns are of logic.
    """
    array = DotProductArray(
        columns=columns,
        k_bytes=k_bytes,
        with_fp=with_fp,
        tag_width=TAG_WIDTH,
        own_rows=own_rows,
        lut_columns=3 if own_rows else 0,
    )
    suffix = ("" if with_fp else "_int") + ("_own" if own_rows else "")
    run_bench(
        array,
        name=f"dpa_{columns}x{k_bytes}{suffix}",
        test_module=__name__,
        parameters={
            "columns": columns,
            "k_bytes": k_bytes,
            "with_fp": with_fp,
            "latency": array.latency,
        },
    )


def test_columns_must_be_a_multiple_of_the_bytes_of_a_row() -> None:
    """A tile whose column-wise beats would not come out even is refused."""
    with pytest.raises(ValueError, match="columns is 12; it must be a multiple of k_bytes"):
        DotProductArray(columns=12, k_bytes=8, with_fp=True, tag_width=1)
