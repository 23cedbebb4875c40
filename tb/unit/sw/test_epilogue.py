# SPDX-License-Identifier: Apache-2.0
"""The fused epilogue of a GEMM on the functional device: every bit as the definition says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import get_config
from sw.kernels.gemm import Epilogue
from sw.runtime.device import DeviceName, open_device
from sw.runtime.gemm import Finish, prepare_gemm, run_gemm
from sw.runtime.reference import apply_activation
from tb.common.seeds import numpy_rng
from tb.unit.sw.epilogue import DTYPES, expected, operands

I8, U8, F16, B16, I32, F32 = (
    Format.INT8, Format.UINT8, Format.FP16, Format.BF16, Format.INT32, Format.FP32,
)  # fmt: skip
FUNCTIONAL = DeviceName.FUNCTIONAL
SHAPES = [(1, 1, 1), (8, 8, 8), (17, 9, 20), (40, 70, 33), (3, 200, 5), (130, 33, 64)]


def run(
    name: str, a: NDArray[Any], b: NDArray[Any], finish: Finish, device: DeviceName
) -> NDArray[Any]:
    """C on a device of member `name`."""
    config = get_config(name)
    chip = open_device(device, config)
    try:
        return run_gemm(chip, prepare_gemm(config, a, b, finish=finish)).c
    finally:
        chip.port.close()


def check(name: str, shape: tuple[int, int, int], formats: tuple[Format, Format], **steps: Any):
    """One product against the definition, bit for bit."""
    rng = numpy_rng(f"{name}{shape}{formats}{steps}")
    a, b = operands(rng, shape, *formats)
    finish = _finish(rng, shape[1], formats[0].accumulator, **steps)
    result = run(name, a, b, finish, FUNCTIONAL)
    wanted = expected(a, b, *formats, get_config(name).pe.dpe.chunk, finish)
    assert result.dtype == wanted.dtype and result.shape == wanted.shape
    assert result.tobytes() == wanted.tobytes()


def _finish(
    rng: np.random.Generator, n: int, accumulator: Format, *, bias: bool, scale: str, **steps: Any
) -> Finish:
    """Steps with values: a bias over the whole range, scales that reach both ends of int8."""
    values: NDArray[Any] | None = None
    if bias and accumulator is I32:
        values = rng.integers(-(1 << 31), 1 << 31, n).astype(np.int32)
        values[::2] //= 1 << 16  # so that not everything is clamped
    elif bias:
        values = rng.standard_normal(n).astype(np.float32)
    size = 2.0**-9 if accumulator is I32 else 20.0
    scales = {"none": None, "one": size * 0.77, "columns": (rng.random(n) * size).astype("f4")}
    return Finish(bias=values, scale=scales[scale], **steps)


@pytest.mark.parametrize("name", ["tiny", "odd", "fpga", "mtia100-pe"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "m{}_n{}_k{}".format(*shape))
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
def test_requantised_products(name: str, shape: tuple[int, int, int], bias: bool) -> None:
    """Would break if a tile's bias or factor met another tile's sums, or clamping were wrong."""
    for number, (out, scale) in enumerate([(I8, "one"), (U8, "columns"), (I8, "none")]):
        formats = ((I8, I8), (U8, I8), (I8, U8))[number]
        check(name, shape, formats, out=out, bias=bias, relu=number == 1, scale=scale)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["tiny", "odd", "mtia100-pe"]),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40)),
    formats=st.sampled_from([(I8, I8), (U8, I8), (F16, F16), (B16, B16)]),
    out=st.sampled_from([None, I8, U8, F16, B16, I32, F32]),
    bias=st.booleans(),
    relu=st.booleans(),
    scale=st.sampled_from(["none", "one", "columns"]),
)
def test_every_combination_that_exists(
    name: str, shape: tuple[int, int, int], formats: tuple[Format, Format], out: Format | None,
    bias: bool, relu: bool, scale: str,
) -> None:  # fmt: skip
    """Would break if a step were left out or done twice in one of the many programs."""
    accumulator = formats[0].accumulator
    to_int32 = out is I32 or (out is None and accumulator is I32)
    if to_int32 and (accumulator is F32 or scale != "none"):
        return  # refused, see test_gemm_cli
    check(name, shape, formats, out=out, bias=bias, relu=relu, scale=scale)


def test_sums_wrap_before_they_are_scaled() -> None:
    """Would break if bias were added in FP32, or saturated."""
    a = np.full((1, 64), 127, np.int8)
    b = np.full((64, 1), 127, np.int8)
    bias = np.array([2**31 - 1], np.int32)
    finish = Finish(out=F32, bias=bias, scale=1.0)
    result = run("tiny", a, b, finish, FUNCTIONAL)
    assert result[0, 0] == np.float32(64 * 127 * 127 + 2**31 - 1 - 2**32)


@pytest.mark.parametrize("scale", [0.0, -0.25, 1e-46, 1e-44])
def test_any_finite_scale_scales(scale: float) -> None:
    """The formula is defined for zero, negative and subnormal scales too."""
    a = np.array([[-128], [0], [127]], np.int8)
    finish = Finish(out=I8, bias=np.array([3], np.int32), scale=scale)
    result = run("tiny", a, np.ones((1, 1), np.int8), finish, FUNCTIONAL)
    exact = np.float32(a.astype(np.int32) + 3) * np.float32(scale)
    assert np.array_equal(result, np.clip(np.rint(exact), -128, 127).astype(np.int8))


def test_ties_go_to_even() -> None:
    """Would break if halves were rounded away from zero."""
    a = np.arange(-8, 8, dtype=np.int8)[:, None]
    result = run("tiny", a, np.ones((1, 1), np.int8), Finish(out=I8, scale=0.5), FUNCTIONAL)
    assert result[:, 0].tolist() == [-4, -4, -3, -2, -2, -2, -1, 0, 0, 0, 1, 2, 2, 2, 3, 4]


@pytest.mark.parametrize(
    "function", [Function.SIGMOID, Function.TANH, Function.GELU, Function.SILU]
)
def test_activations_follow_the_scale(function: Function) -> None:
    """Would break if the function saw unscaled sums. The bound: the table's error is at most
    2^-11 of the function's value plus 2^-24 absolute, and FP16's own rounding 2^-11 of it."""
    rng = numpy_rng(function.name)
    a, b = operands(rng, (9, 11, 30), I8, I8)
    finish = Finish(out=F16, scale=2.0**-14, activation=function)
    result = run("tiny", a, b, finish, FUNCTIONAL).astype(np.float64)
    real = (a.astype(np.int64) @ b.astype(np.int64)) * 2.0**-14
    wanted = apply_activation(real, False, function)
    assert np.all(np.abs(result - wanted) <= 2 * 2.0**-11 * np.abs(wanted) + 2.0**-23)


def test_bias_of_many_columns_takes_several_regions() -> None:
    """Would break if a region's bias were taken from the region before."""
    for bias, scale in ((True, "none"), (True, "columns"), (False, "columns")):
        check("tiny", (19, 1500, 9), (I8, I8), out=I8, bias=bias, relu=False, scale=scale)


def test_nothing_to_do_needs_no_engine() -> None:
    """Would break if plain products took a detour, which members without lanes cannot take."""
    assert not Epilogue().uses_engine(I32)
    assert not Epilogue(out=I32).uses_engine(I32)
    assert Epilogue(relu=True).uses_engine(I32) and Epilogue(out=F32).uses_engine(I32)


def test_formats_of_results_are_known_to_numpy() -> None:
    """Would break if a result came back in a type that `.npy` files cannot hold."""
    assert {dtype.itemsize for dtype in DTYPES.values()} == {1, 2, 4}
