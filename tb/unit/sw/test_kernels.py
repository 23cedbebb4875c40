# SPDX-License-Identifier: Apache-2.0
"""Kernels of the SIMD engine and the layout unit on the functional device, against float64 with
derived bounds, or bit for bit where NumPy defines the bits.

U is half a unit in the last place of FP32, F bounds the relative error of EXP, RECIPROCAL and
RSQRT (measured below 2^-23 over their ranges; stated as one FP32 unit).
"""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.arch.formats import Format
from hw.config import PRESETS, ChipConfig, get_config
from sw.errors import UserError
from sw.runtime import ops
from sw.runtime.functional import FunctionalChip
from tb.common.seeds import numpy_rng

MEMBERS = ["tiny", "odd", "mtia100-pe"]
SHAPES = [(1, 1), (3, 17), (130, 64), (5, 7, 33), (20, 200), (9, 512)]
U, F = 2.0**-24, 2.0**-23
SECOND_ORDER = 1.01
"""Products of errors: far below a hundredth of the errors themselves."""


def chip(name: str) -> FunctionalChip:
    """A functional element that reports every rule it sees broken."""
    return FunctionalChip(get_config(name))


def array(shape: tuple[int, ...], size: float = 3.0) -> NDArray[np.float32]:
    """Normal values."""
    return (numpy_rng(f"{shape}").standard_normal(shape) * size).astype(np.float32)


def additions(config: ChipConfig, n: int) -> int:
    """Additions that a value passes in a row's sum: its partial sum's beats, and two trees."""
    lanes = config.pe.se.fp_lanes
    return math.ceil(math.ceil(n / lanes) / 8) + int(math.log2(lanes)) + 3


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax(name: str, shape: tuple[int, ...]) -> None:
    """Would break if a row met another row's maximum or sum.

    x - m errs by U relative, so EXP by |x - m| U + F; the sum by that and its additions; then
    RECIPROCAL and the product.
    """
    x = array(shape)
    y = ops.softmax(chip(name), x).y.astype(np.float64)
    distance = x.astype(np.float64) - x.max(-1, keepdims=True)
    wanted = np.exp(distance)
    wanted /= wanted.sum(-1, keepdims=True)
    one = np.abs(distance).max() * U + F
    bound = 2 * one + additions(get_config(name), shape[-1]) * U + F + 3 * U
    assert y.shape == shape
    assert np.all(np.abs(y - wanted) <= SECOND_ORDER * bound * wanted)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layernorm(name: str, shape: tuple[int, ...]) -> None:
    """Would break if mean or variance were another row's, or squares went on to the output.

    The mean errs by its additions and two roundings, relative to the mean magnitude; so does
    x - mean, and by U; the factor by half of what the sum of squares errs, and by F.
    """
    x, epsilon = array(shape), 1e-5
    y = ops.layernorm(chip(name), x, epsilon=epsilon).y.astype(np.float64)
    real = x.astype(np.float64)
    d = real - real.mean(-1, keepdims=True)
    factor = 1 / np.sqrt((d**2).mean(-1, keepdims=True) + epsilon)
    n_add = additions(get_config(name), shape[-1])
    of_mean = (n_add + 2) * U * np.abs(real).mean(-1, keepdims=True)
    of_factor = (n_add + 6) / 2 * U + F + U
    bound = (of_mean + U * np.abs(d)) * factor + np.abs(d * factor) * (of_factor + U)
    # An error of the mean also adds its square to the variance.
    bound += np.abs(d * factor) * (of_mean * factor) ** 2
    assert np.all(np.abs(y - d * factor) <= SECOND_ORDER * bound)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dynamic_quantisation(name: str, shape: tuple[int, ...]) -> None:
    """Would break if a scale were another row's, or anything but the nearest step were chosen.

    RECIPROCAL and the product err by F + U, of at most 127; the rest is half a step.
    """
    x = array(shape)
    x.reshape(-1, shape[-1])[0] = 0  # scale 0
    run = ops.quantize(chip(name), x)
    scales = run.results["scales"].reshape(*shape[:-1], 1)
    assert np.array_equal(scales, np.abs(x).max(-1, keepdims=True) * np.float32(1 / 127))
    steps = np.divide(x, scales, out=np.zeros(shape), where=scales != 0, dtype=np.float64)
    assert run.y.dtype == np.int8 and np.all(np.abs(run.y - steps) <= 0.5 + 128 * (F + 3 * U))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["same", "row", "column"])
def test_two_operands(name: str, shape: tuple[int, ...], kind: str) -> None:
    """Would break if b were taken from another row, or an operation were another one."""
    x, full = array(shape), array((*shape, 1))[..., 0]
    b = {"same": full, "row": full.reshape(-1, shape[-1])[0], "column": full[..., :1].copy()}[kind]
    device = chip(name)
    for operation, function in (
        ("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("min", np.minimum),
        ("max", np.maximum),
    ):  # fmt: skip
        assert np.array_equal(ops.elementwise(device, operation, x, b).y, function(x, b))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("out", [Format.FP16, Format.BF16, Format.INT8, Format.UINT8])
def test_conversions(name: str, out: Format) -> None:
    """Would break if rows of another element size were laid out wrongly."""
    x = array((7, 133), 90.0)
    y = ops.elementwise(chip(name), "copy", x, out=out).y
    if out.is_float:
        assert np.array_equal(y, x.astype(y.dtype))
    else:
        info = np.iinfo(y.dtype)
        assert np.array_equal(y, np.clip(np.rint(x), info.min, info.max))
    back = ops.elementwise(chip(name), "copy", y).y
    assert np.array_equal(back, y.astype(np.float32))


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(
    ("bags", "n", "width"), [(1, 1, 8), (7, 32, 32), (40, 5, 17), (3, 3, 130), (83, 3, 8)]
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_pooling(name: str, bags: int, n: int, width: int, weighted: bool) -> None:
    """Would break if a row went into another bag's sum, or met another row's weight.

    Each of n products errs by U, each of n additions by U of a sum of at most sum |w x|.
    """
    rng = numpy_rng(f"{bags} {n} {width}")
    table, indices = array((50, width)), rng.integers(0, 50, (bags, n)).astype(np.int32)
    weights = rng.standard_normal((bags, n)).astype(np.float32) if weighted else None
    y = ops.pooling(chip(name), table, indices, weights).y
    terms = table[indices].astype(np.float64)
    if weights is not None:
        terms *= weights[..., None]
    bound = SECOND_ORDER * (n + 1) * U * np.abs(terms).sum(1)
    assert np.all(np.abs(y - terms.sum(1)) <= bound)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.int32])
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (33, 257), (200, 20), (128, 128)], ids=str)
def test_transpose(name: str, dtype: Any, shape: tuple[int, int]) -> None:
    """Would break if a block were turned wrongly or stored at another's place."""
    rng = numpy_rng(f"{shape}")
    n_bytes = np.dtype(dtype).itemsize
    x = rng.integers(0, 256, (shape[0], shape[1] * n_bytes)).astype(np.uint8).view(dtype)
    assert ops.transpose(chip(name), x).y.tobytes() == np.ascontiguousarray(x.T).tobytes()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c: ops.softmax(c, np.zeros((2, 4000), np.float32)), "row buffer holds at most 512"),
        (lambda c: ops.softmax(c, np.zeros((2, 2))), "does not know float64"),
        (lambda c: ops.layernorm(c, np.zeros((0, 2), np.float32)), "at least one element"),
        (lambda c: ops.elementwise(c, "mix", np.zeros(2, np.float32)), "no operation mix"),
        (
            lambda c: ops.elementwise(c, "add", np.zeros((2, 3), "f4"), np.zeros((2, 2), "f4")),
            "B has shape",
        ),
        (lambda c: ops.transpose(c, np.zeros(2, np.int8)), "must be a matrix"),
        (
            lambda c: ops.pooling(c, np.zeros((4, 8), "f4"), np.full((1, 2), 4, "i4")),
            "not below the table's 4 rows",
        ),
        (
            lambda c: ops.pooling(c, np.zeros((4, 8), "f4"), np.zeros((1, 2), "i1")),
            "must hold int32",
        ),
        (
            lambda c: ops.pooling(c, np.zeros((4, 999), "f4"), np.zeros((1, 2), "i4")),
            "sums at most 256",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(call: Any, sentence: str) -> None:
    """Would break if a wrong operand reached the device."""
    with pytest.raises(UserError, match=sentence) as error:
        call(FunctionalChip(PRESETS["tiny"]))
    assert len(str(error.value).splitlines()) == 1
