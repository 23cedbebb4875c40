# SPDX-License-Identifier: Apache-2.0
"""The FP32 adder, bit for bit against NumPy's float32 addition."""

import itertools
from typing import Any

import cocotb
import numpy as np
import pytest

from hw.num.fp32_add import Fp32Adder
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, numpy_rng
from tb.common.stream import Bench, check_equal

# Zero, subnormals, around the smallest and the largest normal, one, half units of 1, inf, NaNs.
CORNERS = [
    0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0xFFFFFF, 0x1000000, 0x33800000, 0x33800001, 0x34000000,
    0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x4B7FFFFF, 0x4B800000, 0x73800000, 0x7E800000, 0x7F7FFFFE,
    0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000,
]  # fmt: skip


def stimulus() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corner values, and random pairs of like, near, tiny and opposite size."""
    signed = [bits | sign for bits in CORNERS for sign in (0, 1 << 31)]
    corners = np.array(list(itertools.product(signed, repeat=2)), np.uint32)
    rng = numpy_rng("pairs")
    n = 3000
    a, b = rng.integers(0, 1 << 32, (2, n), dtype=np.uint32)
    exponent = np.clip((a >> 23 & 0xFF).astype(int) + rng.integers(-27, 28, n), 0, 255)
    near = (b & 0x807FFFFF) | exponent.astype(np.uint32) << 23
    tiny = rng.integers(0, 1 << 26, (2, n), dtype=np.uint32)
    tiny |= rng.integers(0, 2, (2, n), dtype=np.uint32) << 31
    opposite = a ^ (1 << 31) ^ rng.integers(0, 16, n, dtype=np.uint32)
    pairs = [corners.T, (a, b), (a, near), tiny, (a, opposite)]
    first, second = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    return first, second


def expected(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NumPy's sum with every NaN made canonical."""
    with np.errstate(all="ignore"):
        total = a.view(np.float32) + b.view(np.float32)
    return np.where(np.isnan(total), 0x7FC00000, total.view(np.uint32))


@cocotb.test()
async def sums_match_numpy_after_exactly_the_latency(dut: Any) -> None:
    """One pair enters per cycle; every sum is right, `latency` cycles later."""
    bench = Bench(dut)
    a, b = stimulus()
    found = []
    await bench.start()
    for left, right in zip(a.tolist(), b.tolist(), strict=True):
        dut.a.value, dut.b.value = left, right
        await bench.wait(1)
        found.append(dut.o.value.to_unsigned())
    for _ in range(bench_parameters()["latency"]):
        await bench.wait(1)
        found.append(dut.o.value.to_unsigned())
    # A value set after an edge is taken by the next one, and seen at the one after that.
    found = found[bench_parameters()["latency"] :]
    pairs = [f"{x:08x}+{y:08x}={z:08x}" for x, y, z in zip(a, b, found, strict=True)]
    wanted = [f"{x:08x}+{y:08x}={z:08x}" for x, y, z in zip(a, b, expected(a, b), strict=True)]
    check_equal(pairs, wanted, "sum")


@pytest.mark.parametrize("latency", (1, 2, 3))
def test_fp32_adder(latency: int) -> None:
    """Build the adder with each number of registers."""
    run_bench(
        Fp32Adder(latency=latency),
        name=f"fp32_adder_{latency}",
        test_module=__name__,
        parameters={"latency": latency},
    )


def test_other_latencies_are_refused() -> None:
    """Only 0 to 3 register stages exist."""
    with pytest.raises(ValueError, match="latency is 4; it must be 0, 1, 2 or 3."):
        Fp32Adder(latency=4)
