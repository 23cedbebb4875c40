# SPDX-License-Identifier: Apache-2.0
"""The units in C++ do what the NumPy units do, and their dot product what the golden model does."""

import random

import ml_dtypes
import numpy as np
import pytest

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import get_config
from sim.functional import FunctionalMachine
from sim.functional.native import native_units
from sim.golden.dot import dot_chunk
from sim.golden.fp import decode_fp
from sim.golden.functions import evaluate
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.random_chains import CHAINS, chains_of, random_job
from tb.system.random_jobs import RandomJob

NATIVE = native_units()
DTYPES = {Format.FP16: np.dtype(np.float16), Format.BF16: np.dtype(ml_dtypes.bfloat16)}


def patterns(rng: np.random.Generator, fmt: Format, shape: tuple[int, int], how: str) -> np.ndarray:
    """Bit patterns: any, of moderate size, or at the edges of the format."""
    if how == "any":
        return rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    if how == "moderate":
        return rng.standard_normal(shape).astype(np.float32).astype(DTYPES[fmt]).view(np.uint16)
    top = 0x7C00 if fmt is Format.FP16 else 0x7F80
    edges = [0, 1, 2, top - 1, top, top + 1, 0x3C00 if fmt is Format.FP16 else 0x3F80]
    edges += [top >> 1, (top >> 1) + 3, 0x03FF, 0x0400, 0x007F, 0x0080]
    return rng.choice([*edges, *(edge | 0x8000 for edge in edges)], shape).astype(np.uint16)


@pytest.mark.skipif(NATIVE is None, reason="no C++ compiler")
@pytest.mark.parametrize("how", ["any", "moderate", "edges"])
@pytest.mark.parametrize("depth", [1, 4, 16, 32])
@pytest.mark.parametrize("fmt", list(DTYPES), ids=lambda fmt: fmt.name.lower())
def test_dot_products_are_the_golden_models(fmt: Format, depth: int, how: str) -> None:
    """Would break if truncation, rounding, subnormals or infinities differed in one bit."""
    rng = numpy_rng(f"{fmt}{depth}{how}")
    a, b = patterns(rng, fmt, (64, depth), how), patterns(rng, fmt, (depth, 64), how)
    golden = dot_chunk(*(decode_fp(part.view(DTYPES[fmt]), fmt) for part in (a, b)))
    assert NATIVE is not None
    found = NATIVE.dot(a, b, bf16=fmt is Format.BF16)
    assert np.array_equal(found.view(np.uint32), golden.view(np.uint32))


def state_after(job: RandomJob, machine: FunctionalMachine) -> dict[str, bytes]:
    """Everything that a job has left."""
    for address, data in job.inputs:
        machine.memory.write(address, np.frombuffer(data, np.uint8))
    status = machine.run(job.commands)
    found = {f"memory {a:#x}": machine.memory.read(a, n).tobytes() for a, n in job.outputs}
    for name in ("ls", "ls_known", "banks", "row_known", "bank_states"):
        found[name] = getattr(machine, name).tobytes()
    return found | {"end": repr((status, machine.warnings, machine.counters())).encode()}


@pytest.mark.skipif(NATIVE is None, reason="no C++ compiler")
@pytest.mark.parametrize("name", ["tiny", "odd", "fpga", "mtia100-pe"])
@pytest.mark.parametrize("chain", [*CHAINS, "all"])
def test_machines_agree(name: str, chain: str) -> None:
    """Would break if a native unit left other bytes, counters or warnings than the NumPy unit."""
    config = get_config(name)
    if chain in CHAINS and chain not in chains_of(config):
        pytest.skip(f"{name} has no FP32 lanes")
    kinds = () if chain == "all" else (chain,)
    for number in range(4):
        rng = random.Random(f"{bench_seed()}/{name}/{chain}/{number}")
        job = random_job(config, rng, n_chains=4, kinds=kinds)
        native = state_after(job, FunctionalMachine(config))
        assert native == state_after(job, FunctionalMachine(config, native=False)), job.chains


@pytest.mark.skipif(NATIVE is None, reason="no C++ compiler")
@pytest.mark.parametrize("function", list(Function), ids=lambda function: function.name.lower())
def test_functions_are_the_golden_models(function: Function) -> None:
    """Would break if a table, a region or a special value differed in one bit."""
    rng = numpy_rng(function.name)
    anything = rng.integers(0, 1 << 32, 20_000, dtype=np.uint32).view(np.float32)
    everyday = (rng.standard_normal(20_000) * 2.0 ** rng.integers(-8, 7, 20_000)).astype(np.float32)
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    edges = np.array([0, np.inf, np.nan, 0.75, 1.5, 8, 16, 128, 87.5, 104], np.float32)
    near = np.concatenate([np.nextafter(edges, np.float32(side)) for side in (-np.inf, np.inf)])
    values = np.concatenate([anything, everyday, powers, edges, near])
    values = np.concatenate([values, -values])
    assert NATIVE is not None
    golden = evaluate(function, values).view(np.uint32)
    assert np.array_equal(NATIVE.evaluate(function, values), golden)
