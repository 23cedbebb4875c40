# SPDX-License-Identifier: Apache-2.0
"""Multiplier, conversions, comparisons and rounding hash, bit for bit against the golden models.

All blocks stand in one bench, at every latency, so there is one build for all.
"""

from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.arch.formats import Format
from hw.num.fp32_mul import Fp32Multiplier
from hw.num.fp32_order import (
    fp32_clamp,
    fp32_is_positive,
    fp32_is_zero,
    fp32_min_max,
    fp32_relu,
)
from hw.num.from_fp32 import FROM_FP32_FORMATS, FromFp32
from hw.num.rounding_hash import RoundingHash
from hw.num.to_fp32 import ToFp32
from sim.golden.convert import DTYPES, from_fp32, to_fp32
from sim.golden.fp import fp32_max, fp32_min, fp32_mul
from sim.golden.hash import rounding_hash
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import numpy_rng, python_rng
from tb.common.stream import Bench
from tb.unit.num.fp32_values import corner_pairs, random_pairs, random_values

HASH_LANES = 3
Words = NDArray[np.uint32]

REQUEST = data.StructLayout(
    dict.fromkeys(("a", "b", "low", "raw", "value", "random", "index"), 32)
    | {"want_max": 1, "stochastic": 1, "raw_format": 3, "format": 3}
)
LATENCIES = (
    {f"product{n}": n for n in range(4)}
    | {f"to_fp32_{n}": n for n in range(3)}
    | {f"from_fp32_{n}": n for n in range(3)}
    | {"nearest": 2, "normal_product": 3}
    | {"min_max": 0, "clamp": 0, "relu": 0, "is_zero": 0, "is_positive": 0}
    | {"words": RoundingHash.latency}
)
"""Clock edges from request to each part of an answer."""
ANSWER = data.StructLayout(
    dict.fromkeys(LATENCIES, 32) | {"is_zero": 1, "is_positive": 1, "words": 32 * HASH_LANES}
)


class NumberBlocks(wiring.Component):
    """Every block at every latency, fed from one request, with one enable."""

    def __init__(self) -> None:
        super().__init__(
            {
                "en": In(1),
                "seed": In(32),
                "tensor": In(32),
                "request": In(REQUEST),
                "answer": Out(ANSWER),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        i, o = self.request, self.answer
        for n in range(4):
            multiplier = m.submodules[f"multiplier{n}"] = Fp32Multiplier(latency=n)
            m.d.comb += [multiplier.en.eq(self.en), multiplier.a.eq(i.a), multiplier.b.eq(i.b)]
            m.d.comb += o[f"product{n}"].eq(multiplier.o)
        for n in range(3):
            to_fp32_n = m.submodules[f"to_fp32_{n}"] = ToFp32(latency=n)
            m.d.comb += [to_fp32_n.en.eq(self.en), to_fp32_n.a.eq(i.raw)]
            m.d.comb += [to_fp32_n.format.eq(i.raw_format), o[f"to_fp32_{n}"].eq(to_fp32_n.o)]
            from_fp32_n = m.submodules[f"from_fp32_{n}"] = FromFp32(latency=n)
            m.d.comb += [
                from_fp32_n.en.eq(self.en),
                from_fp32_n.a.eq(i.value),
                from_fp32_n.format.eq(i.format),
                from_fp32_n.stochastic.eq(i.stochastic),
                from_fp32_n.random.eq(i.random),
                o[f"from_fp32_{n}"].eq(from_fp32_n.o),
            ]
        m.submodules.normal = normal = Fp32Multiplier(subnormals=False)
        m.d.comb += [normal.en.eq(self.en), normal.a.eq(i.a), normal.b.eq(i.b)]
        m.d.comb += o.normal_product.eq(normal.o)
        m.submodules.nearest = nearest = FromFp32(with_stochastic=False)
        m.d.comb += [nearest.en.eq(self.en), nearest.a.eq(i.value), nearest.format.eq(i.format)]
        m.d.comb += [nearest.stochastic.eq(i.stochastic), o.nearest.eq(nearest.o)]
        m.submodules.hash = hasher = RoundingHash(lanes=HASH_LANES)
        m.d.comb += [
            hasher.en.eq(self.en),
            hasher.seed.eq(self.seed),
            hasher.tensor.eq(self.tensor),
            hasher.index.eq(i.index),
            o.words.eq(hasher.o),
            o.min_max.eq(fp32_min_max(m, i.a, i.b, want_max=i.want_max, name="min_max")),
            o.clamp.eq(fp32_clamp(m, i.a, i.low, i.b, name="clamp")),
            o.relu.eq(fp32_relu(i.a)),
            o.is_zero.eq(fp32_is_zero(i.a)),
            o.is_positive.eq(fp32_is_positive(i.a)),
        ]
        return m


def stimulus() -> dict[str, Words]:
    """Requests by field."""
    pairs = (corner_pairs(), random_pairs(1000))
    a, b = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    rng = numpy_rng("number blocks")
    values = random_values(3000, "values")
    shifts = rng.integers(0, 32, len(values), dtype=np.uint32)
    raw = np.concatenate([values, values >> np.uint32(16), values >> shifts, ~(values >> shifts)])
    n = max(len(a), len(values), len(raw))
    n += -n % 7
    random = rng.integers(0, 1 << 32, n, dtype=np.uint32)
    random[::5] = rng.choice(np.array([0, 1, 1 << 31, (1 << 32) - 1], np.uint32), len(random[::5]))
    return {
        "a": np.resize(a, n),
        "b": np.resize(b, n),
        "low": np.resize(np.roll(b, 1), n),
        "raw": np.resize(raw, n),
        "value": np.resize(values, n),
        "random": random,
        "index": rng.integers(0, 1 << 32, n, dtype=np.uint32),
        "want_max": rng.integers(0, 2, n, dtype=np.uint32),
        "stochastic": rng.integers(0, 2, n, dtype=np.uint32),
        "raw_format": rng.integers(0, len(Format), n, dtype=np.uint32),
        "format": rng.choice(np.array(FROM_FP32_FORMATS, np.uint32), n),
    }


def expected(requests: dict[str, Words], seed: int, tensor: int) -> dict[str, NDArray]:
    """Answers by field, for each of the requests."""
    f = {name: words.view(np.float32) for name, words in requests.items()}
    words = [rounding_hash(seed, tensor, requests["index"] + np.uint32(i)) for i in range(3)]
    relu = np.where((requests["a"] >> 31 != 0) & ~np.isnan(f["a"]), 0, requests["a"])
    answers = {
        "product": fp32_mul(f["a"], f["b"]).view(np.uint32),
        "to_fp32_": by_format(requests, "raw_format", to_fp32_words),
        "from_fp32_": by_format(requests, "format", from_fp32_words),
        "normal_product": normal_products(f["a"], f["b"]),
        "nearest": by_format(requests, "format", nearest_words),
        "min_max": np.where(
            requests["want_max"] != 0, fp32_max(f["a"], f["b"]), fp32_min(f["a"], f["b"])
        ).view(np.uint32),
        "clamp": fp32_min(fp32_max(f["a"], f["low"]), f["b"]).view(np.uint32),
        "relu": relu,
        "is_zero": f["a"] == 0,
        "is_positive": f["a"] > 0,
        "words": sum(word.astype(object) << 32 * i for i, word in enumerate(words)),
    }
    return {name: answers[name.rstrip("0123456789")] for name in LATENCIES}


def normal_products(a: NDArray[np.float32], b: NDArray[np.float32]) -> Words:
    """Products of a multiplier without subnormal numbers."""
    products = fp32_mul(a, b).view(np.uint32)
    with np.errstate(invalid="ignore"):
        wide = np.abs(a.astype(np.float64) * b.astype(np.float64))  # exact: 48 bits
    least = 2.0**-126
    subnormal = ((np.abs(a) < least) & (a != 0)) | ((np.abs(b) < least) & (b != 0))
    zero = (wide < least) | (subnormal & np.isfinite(wide))
    return np.where(zero, products & np.uint32(1 << 31), products)


def by_format(
    requests: dict[str, Words], name: str, convert: Callable[[dict[str, Words], Format], Words]
) -> Words:
    """The conversion of each request by the format in its field `name`."""
    result = np.zeros(len(requests["a"]), np.uint32)
    for code in np.unique(requests[name]):
        chosen = requests[name] == code
        part = {field: words[chosen] for field, words in requests.items()}
        result[chosen] = convert(part, Format(int(code)))
    return result


def to_fp32_words(requests: dict[str, Words], fmt: Format) -> Words:
    """Golden conversion of the low bits of `raw`."""
    kind = np.dtype(f"u{fmt.n_bytes}")
    return to_fp32(requests["raw"].astype(kind), fmt).view(np.uint32)


def from_fp32_words(requests: dict[str, Words], fmt: Format) -> Words:
    """Golden conversion of `value`, at random or to nearest."""
    values = requests["value"].view(np.float32)
    kind = np.dtype(f"u{DTYPES[fmt].itemsize}")
    random = from_fp32(values, fmt, requests["random"]).view(kind)
    return np.where(requests["stochastic"] != 0, random, nearest_words(requests, fmt))


def nearest_words(requests: dict[str, Words], fmt: Format) -> Words:
    """Golden conversion of `value` to nearest."""
    kind = np.dtype(f"u{DTYPES[fmt].itemsize}")
    return from_fp32(requests["value"].view(np.float32), fmt).view(kind).astype(np.uint32)


@cocotb.test()
async def blocks_match_the_models_after_exactly_their_latency(dut: Any) -> None:
    """One request enters per enabled cycle; every answer is right and stays while `en` is low."""
    bench = Bench(dut)
    rng = python_rng("number blocks")
    requests = stimulus()
    seed, tensor = rng.getrandbits(32), rng.getrandbits(32)
    wanted = expected(requests, seed, tensor)
    n = len(requests["a"])
    packed = [
        pack(REQUEST, {name: int(words[k]) for name, words in requests.items()}) for k in range(n)
    ]
    dut.en.value, dut.seed.value, dut.tensor.value = 0, seed, tensor
    await bench.start()
    n_entered = 0
    while n_entered < n:
        enabled = rng.random() < 0.8
        dut.en.value, dut.request.value = enabled, packed[n_entered]
        await bench.wait(1)
        # Sampled at the edge that takes the request, so after n_entered edges with `en`.
        answer = unpack(ANSWER, dut.answer.value.to_unsigned())
        for name, latency in LATENCIES.items():
            number = n_entered - latency
            if number >= 0:
                want = int(wanted[name][number])
                assert answer[name] == want, (
                    f"{name} of request {number}, {requests_text(requests, number)}:"
                    f" {answer[name]:x}, expected {want:x}"
                )
        n_entered += enabled


def requests_text(requests: dict[str, Words], number: int) -> str:
    """A request in words, for the message of a failure."""
    return " ".join(f"{name}={words[number]:x}" for name, words in requests.items())


def test_number_blocks() -> None:
    """Build all blocks in one module."""
    run_bench(NumberBlocks(), name="number_blocks", test_module=__name__)


@pytest.mark.parametrize(
    ("build", "sentence"),
    (
        (lambda: Fp32Multiplier(latency=4), "latency is 4; it must be 0, 1, 2 or 3."),
        (lambda: ToFp32(latency=3), "latency is 3; it must be 0, 1 or 2."),
        (lambda: ToFp32(formats=()), "formats is empty; it must name at least one format."),
        (lambda: FromFp32(latency=-1), "latency is -1; it must be 0, 1 or 2."),
        (
            lambda: FromFp32(formats=[Format.INT32]),
            "formats must be one or more of INT8, UINT8, FP16, BF16, FP32.",
        ),
        (lambda: RoundingHash(lanes=0), "lanes is 0; it must be at least 1."),
    ),
)
def test_wrong_arguments_are_refused(build: Callable[[], object], sentence: str) -> None:
    """Each wrong argument raises ValueError and says what is wrong."""
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value) == sentence
