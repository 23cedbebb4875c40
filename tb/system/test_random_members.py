# SPDX-License-Identifier: Apache-2.0
"""Random configurations: each elaborates, passes Verilator's lint, and multiplies on its RTL."""

import numpy as np
import pytest

from hw.arch.formats import Format
from sim.golden.dot import gemm_golden
from sw.runtime.gemm import prepare_gemm, run_gemm
from sw.runtime.simulated import simulated_chip
from tb.common.seeds import numpy_rng, python_rng
from tb.system.random_members import random_member

N_QUICK, N_ALL = 1, 8


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=() if n < N_QUICK else pytest.mark.slow) for n in range(N_ALL)],
)
def test_random_member_multiplies(number: int) -> None:
    """Would break on a size that some unit takes for granted."""
    config = random_member(python_rng(f"member {number}"))
    print(config.to_json())  # shown by pytest when the test fails
    chip, _ = simulated_chip(config)  # every warning of Verilator's stops this build
    rng = numpy_rng(f"operands {number}")
    formats = [(Format.INT8, np.int8), (Format.FP16, np.float16)]
    for fmt, dtype in formats if config.pe.dpe.with_fp else formats[:1]:
        m, n, k = (int(size) for size in rng.integers(1, 3 * config.pe.dpe.columns, 3))
        a = rng.integers(-100, 100, (m, k)).astype(dtype)
        b = rng.integers(-100, 100, (k, n)).astype(dtype)
        run = run_gemm(chip, prepare_gemm(config, a, b))
        golden = gemm_golden(a, b, fmt_a=fmt, fmt_b=fmt, chunk=config.pe.dpe.chunk)
        assert np.array_equal(run.c.view(np.uint32), golden.view(np.uint32)), (m, n, k, fmt)
    chip.port.close()
