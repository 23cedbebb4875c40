# SPDX-License-Identifier: Apache-2.0
"""The integer drain path, bit for bit against the golden SIMD engine."""

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from hw.arch.commands import BMode, Factor, Pre
from hw.arch.formats import Format
from hw.pe.se.drain_lane import DrainSettings
from hw.pe.se.drain_path import DrainPath
from sim.golden.simd import Program, run_rows
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import numpy_rng, python_rng
from tb.common.stream import Bench
from tb.unit.num.fp32_values import CORNERS

LANES = 4
Words = NDArray[np.uint32]
ENABLES = {"always": 1.0, "often": 0.8, "seldom": 0.3}


@dataclass(frozen=True)
class Beats:
    """Operands of beats, [beats, lanes] each, and the settings for all of them."""

    settings: dict[str, int]
    values: Words
    biases: Words
    scales: Words

    def expected(self) -> tuple[NDArray[np.uint8], Words]:
        """Bytes, and integers after bias and relu, from the golden model."""
        program = Program(
            a_format=Format.INT32,
            b_format=Format.INT32,
            b_mode=BMode.HELD,
            b_pair=True,
            pre=Pre.ADD,
            relu=bool(self.settings["relu"]),
            factor=Factor.C,
            clamp=bool(self.settings["clamp"]),
            clamp_low=self.settings["clamp_low"],
            clamp_high=self.settings["clamp_high"],
            out_format=Format.UINT8 if self.settings["unsigned"] else Format.INT8,
        )
        integers = Program(**{**vars(program), "factor": Factor.NONE, "out_format": Format.INT32})
        operands = (self.values, self.biases, self.scales)
        return (
            run_rows(program, *operands, lanes=LANES).elements.view(np.uint8),
            run_rows(integers, *operands, lanes=LANES).elements.view(np.uint32),
        )


def random_beats(label: str, n: int, **settings: int) -> Beats:
    """Sums of every size and around ties; scales of everyday size, and any bits."""
    rng = numpy_rng(label)
    shape = (n, LANES)
    values = rng.integers(0, 1 << 32, shape, dtype=np.uint32).view(np.int32)
    values >>= rng.integers(0, 30, shape).astype(np.int32)
    biases = rng.integers(-(1 << 31), 1 << 31, shape).astype(np.int32)
    biases >>= rng.integers(0, 32, shape).astype(np.int32)
    # About one byte's range in all, so that most results are not at the limits.
    scales = rng.uniform(0, 300, shape) / np.maximum(np.abs(values.astype(np.float64)), 1)
    bits = scales.astype(np.float32).view(np.uint32)
    powers = (2.0 ** rng.integers(-24, 3, shape)).astype(np.float32).view(np.uint32)
    corners = rng.choice(np.array(CORNERS, np.uint32), shape)
    choice = rng.integers(0, 8, shape)
    bits = np.where(choice == 0, corners, np.where(choice <= 2, powers, bits))
    bits = np.where(choice <= 5, bits, near_ties(rng, values))
    # Half of the beats without a bias, so that ties with a power of two stay ties.
    biases[::2] = 0
    return Beats(settings, values.view(np.uint32), biases.view(np.uint32), bits)


def near_ties(rng: np.random.Generator, values: NDArray[np.int32]) -> Words:
    """Scales whose products with the values lie right at or next to a half."""
    ties = rng.integers(-150, 300, values.shape) + 0.5
    bits = (ties / np.where(values == 0, 1, values)).astype(np.float32).view(np.uint32)
    return bits + rng.integers(-1, 2, values.shape).astype(np.uint32)


def all_settings(rng: random.Random) -> list[dict[str, int]]:
    """Both types for all limits, with and without relu and clamp.

    Limits that end in a half after an even number show every bit: a little more rounds away.
    """
    limits = [
        (-6.5, 6.5),
        (-64.5, 100.5),
        (0.001, 300.0),
        (2.0**-30, 0.5),
        (3.0, -4.5),
        (float("nan"), 5.0),
        (-0.0, float("inf")),
        (float("-inf"), 2.0**-30),
    ]
    rng.shuffle(limits)
    found = []
    for number in range(16):
        low, high = np.array(limits[number // 2], np.float32).view(np.uint32).tolist()
        found.append(
            {
                "relu": number >> 2 & 1,
                "unsigned": number & 1,
                "clamp": number % 5 != 4,
                "clamp_low": low,
                "clamp_high": high,
            }
        )
    return found


def joined(words: NDArray, bits: int) -> int:
    """A beat's values in one number, the first in the low bits."""
    return sum(int(word) << bits * i for i, word in enumerate(words))


def integer_limits(settings: dict[str, int]) -> tuple[int, int]:
    """The limits as integers of the type; the larger one wins, and with a NaN all is 0."""
    least, most = (0, 255) if settings["unsigned"] else (-128, 127)
    if not settings["clamp"]:
        return least, most
    bits = np.array([settings["clamp_low"], settings["clamp_high"]], np.uint32)
    limits = bits.view(np.float32).astype(float)
    if np.isnan(limits).any():
        return 0, 0
    low, high = (int(np.rint(np.clip(limit, least, most))) for limit in limits)
    return min(low, high), high


async def run_beats(dut: Any, bench: Bench, beats: Beats, enable: float) -> int:
    """Send the beats and check all that comes out; the number of cycles."""
    rng = python_rng("enables")
    o, integers = beats.expected()
    wanted = [joined(row, 8) for row in o]
    wanted_integers = [joined(row, 32) for row in integers]
    n, n_entered, n_seen, n_integers, n_cycles = len(wanted), 0, 0, 0, 0
    low, high = integer_limits(beats.settings)
    settings = {"relu": beats.settings["relu"], "low": low, "high": high}
    dut.settings.value = pack(DrainSettings, settings)
    while n_seen < n:
        valid = n_entered < n and rng.random() < max(enable, 0.5)
        enabled = rng.random() < enable
        k = min(n_entered, n - 1)
        dut.en.value, dut.valid.value = enabled, valid
        dut.values.value = joined(beats.values[k], 32)
        dut.biases.value = joined(beats.biases[k], 32)
        dut.scales.value = joined(beats.scales[k], 32)
        await bench.wait(1)
        n_cycles += 1
        if dut.o_valid.value:
            assert int(dut.o.value) == wanted[n_seen], f"beat {n_seen}: {text(beats, n_seen)}"
        if dut.integers_valid.value:
            assert int(dut.integers.value) == wanted_integers[n_integers], f"sum {n_integers}"
        if enabled:
            n_seen += bool(dut.o_valid.value)
            n_integers += bool(dut.integers_valid.value)
            n_entered += valid
    return n_cycles


def text(beats: Beats, number: int) -> str:
    """A beat in words, for the message of a failure."""
    rows = (beats.values[number], beats.biases[number], beats.scales[number])
    parts = [" ".join(f"{word:08x}" for word in row) for row in rows]
    return f"values {parts[0]}, biases {parts[1]}, scales {parts[2]}, {beats.settings}"


@cocotb.test()
async def bytes_match_the_model_with_every_setting(dut: Any) -> None:
    """Bias, relu, both types, limits; ties, saturation, NaNs, subnormal and infinite scales."""
    bench = Bench(dut)
    dut.en.value = dut.valid.value = 0
    await bench.start()
    for number, settings in enumerate(all_settings(python_rng("settings"))):
        await run_beats(dut, bench, random_beats(f"beats {number}", 250, **settings), 1.0)


@cocotb.test()
async def stalls_lose_and_double_nothing(dut: Any) -> None:
    """With the enable low everything stands still, outputs and valid bits too."""
    bench = Bench(dut)
    dut.en.value = dut.valid.value = 0
    await bench.start()
    settings = all_settings(python_rng("stalls"))[0]
    for name, enable in ENABLES.items():
        await run_beats(dut, bench, random_beats(name, 200, **settings), enable)


@cocotb.test()
async def beats_take_a_cycle_each_and_the_latency_once(dut: Any) -> None:
    """n beats are through after n + latency cycles."""
    bench = Bench(dut)
    dut.en.value = dut.valid.value = 0
    await bench.start()
    beats = random_beats("throughput", 100, **all_settings(python_rng("throughput"))[1])
    assert await run_beats(dut, bench, beats, 1.0) == 100 + DrainPath.latency


@cocotb.test()
async def a_reset_drops_what_is_under_way(dut: Any) -> None:
    """No beat from before a reset comes out after it, and new ones are right."""
    bench = Bench(dut)
    dut.en.value = dut.valid.value = 1
    await bench.start()
    await bench.wait(DrainPath.latency - 2)
    await bench.reset()
    settings = all_settings(python_rng("reset"))[2]
    await run_beats(dut, bench, random_beats("reset", 30, **settings), 0.7)


def test_drain_path() -> None:
    """Build a path of a few lanes."""
    run_bench(DrainPath(lanes=LANES), name=f"se_drain_path_{LANES}", test_module=__name__)


def test_no_lanes_are_refused() -> None:
    """A path has at least one lane."""
    with pytest.raises(ValueError) as caught:
        DrainPath(lanes=0)
    assert str(caught.value) == "lanes is 0; it must be at least 1."
