# SPDX-License-Identifier: Apache-2.0
"""The FP32 adder, bit for bit against NumPy's float32 addition."""

from typing import Any

import cocotb
import numpy as np
import pytest

from hw.num.fp32_add import Fp32Adder
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters
from tb.common.stream import Bench, check_equal
from tb.unit.num.fp32_values import corner_pairs, random_pairs


def stimulus() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corner values, and random pairs."""
    pairs = (corner_pairs(), random_pairs(2000))
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
    dut.en.value = 1
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
