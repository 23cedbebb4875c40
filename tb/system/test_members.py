# SPDX-License-Identifier: Apache-2.0
"""Members whose tile or banks differ from `tiny`: each multiplies on its RTL, bit-exact."""

import numpy as np
import pytest

from hw.arch.formats import Format
from hw.config import get_config
from sim.golden.dot import gemm_golden
from sw.runtime.gemm import prepare_gemm, run_gemm
from sw.runtime.simulated import simulated_chip
from tb.common.seeds import numpy_rng


@pytest.mark.parametrize("member", ["odd", "fpga"])
def test_member_multiplies(member: str) -> None:
    """Would break if anything in the element assumed a square tile, or four banks."""
    config = get_config(member)
    chip, _ = simulated_chip(config)
    rng = numpy_rng(member)
    for m, n, k in ((31, 33, 17), (129, 1, 5), (20, 70, 100)):
        floats = [(Format.FP16, np.float16)] if config.pe.dpe.with_fp else []
        for fmt, dtype in ((Format.INT8, np.int8), *floats):
            a = rng.integers(-100, 100, (m, k)).astype(dtype)
            b = rng.integers(-100, 100, (k, n)).astype(dtype)
            run = run_gemm(chip, prepare_gemm(config, a, b))
            golden = gemm_golden(a, b, fmt_a=fmt, fmt_b=fmt, chunk=config.pe.dpe.chunk)
            assert np.array_equal(run.c.view(np.uint32), golden.view(np.uint32)), (m, n, k, fmt)
    chip.port.close()
