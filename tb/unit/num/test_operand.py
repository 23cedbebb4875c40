# SPDX-License-Identifier: Apache-2.0
"""The operand decoder against NumPy's conversions, for every 16-bit pattern and every byte."""

import math
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from hw.arch.formats import Format
from hw.num.operand import EXPONENT_BIAS, OperandDecoder, Side

TYPES = {
    Format.FP16: np.float16,
    Format.BF16: ml_dtypes.bfloat16,
    Format.INT8: np.int8,
    Format.UINT8: np.uint8,
}


def run(side: Side, fmt: Format, check: Callable) -> None:
    """Decode every pattern of one pair of bytes and hand the outputs to `check`."""
    decoder = OperandDecoder(side=side, k_bytes=2, with_fp=True)
    step = 1 if fmt.is_float else 97

    async def bench(ctx: object) -> None:
        ctx.set(decoder.format, int(fmt))
        for bits in range(0, 1 << 16, step):
            ctx.set(decoder.raw, bits)
            await ctx.delay(1e-9)
            check(bits, lambda value: ctx.get(Value.cast(value)), decoder.o)

    simulator = Simulator(decoder)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("fmt", (Format.FP16, Format.BF16), ids=lambda fmt: fmt.name.lower())
def test_every_float_pattern_decodes_to_its_value(fmt: Format) -> None:
    """Sign, exponent and significand give NumPy's value; flags and exponents of zeros are right."""

    def check(bits: int, get: Callable, o: object) -> None:
        value = float(np.array([bits], np.uint16).view(TYPES[fmt])[0])
        significand = get(o.lanes[0]) + (get(o.lanes[1]) << 8)
        assert get(o.fp.sign) == bits >> 15
        assert get(o.fp.nan) == math.isnan(value)
        assert get(o.fp.infinite) == math.isinf(value)
        assert get(o.fp.zero) == (value == 0)
        if value == 0:
            assert significand == 0 and get(o.fp.exponent[0]) == 0
        elif math.isfinite(value):
            assert 1024 <= significand < 2048
            exponent = get(o.fp.exponent[0]) - EXPONENT_BIAS
            assert significand * 2.0 ** (exponent - 10) == abs(value)

    run(Side.HELD, fmt, check)


@pytest.mark.parametrize("fmt", (Format.FP16, Format.BF16), ids=lambda fmt: fmt.name.lower())
def test_both_streamed_lanes_hold_the_whole_significand(fmt: Format) -> None:
    """The 12-bit side gives the significand to both lanes of the pair."""

    def check(bits: int, get: Callable, o: object) -> None:
        value = float(np.array([bits], np.uint16).view(TYPES[fmt])[0])
        if math.isfinite(value) and value:
            assert get(o.lanes[0]) == get(o.lanes[1]) == int(math.frexp(abs(value))[0] * 2048)

    run(Side.STREAMED, fmt, check)


@pytest.mark.parametrize("side", Side, ids=lambda side: side.name.lower())
@pytest.mark.parametrize("fmt", (Format.INT8, Format.UINT8), ids=lambda fmt: fmt.name.lower())
def test_bytes_decode_to_their_values(fmt: Format, side: Side) -> None:
    """Sign or zero extension, lane by lane."""

    def check(bits: int, get: Callable, o: object) -> None:
        values = np.array([bits], np.uint16).view(TYPES[fmt])
        assert [get(lane) for lane in o.lanes] == values.tolist()

    run(side, fmt, check)


def test_an_odd_number_of_bytes_is_refused() -> None:
    """Floating-point elements take pairs of bytes."""
    with pytest.raises(ValueError, match="k_bytes is 3; it must be even and at least 2."):
        OperandDecoder(side=Side.HELD, k_bytes=3, with_fp=True)
