# SPDX-License-Identifier: Apache-2.0
"""One seed per run, printed and replayable, from which every random choice of a bench follows."""

import json
import os
import random
import sys
from typing import Any

import numpy as np

__all__ = ["DEFAULT_SEED", "bench_parameters", "bench_seed", "numpy_rng", "python_rng"]

DEFAULT_SEED = 1
"""Seed of a run that names none, so that two plain runs do the same."""

_SEED_NAMES = ("SEED", "COCOTB_RANDOM_SEED")
_OLD_SEED_NAMES = ("RANDOM_SEED",)
_PARAMETERS = "BENCH_PARAMETERS"


def bench_seed() -> int:
    """The seed from SEED or COCOTB_RANDOM_SEED, else the default one.

    Raises
    ------
    ValueError
        When it is not a whole number.
    """
    for name in (*_SEED_NAMES, *_OLD_SEED_NAMES):
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        if name in _OLD_SEED_NAMES:
            print(f"notice: {name} is an old name, use SEED", file=sys.stderr)
        try:
            return int(text, 0)
        except ValueError:
            raise ValueError(f"{name} must be a whole number, not '{text}'.") from None
    return DEFAULT_SEED


def python_rng(label: str) -> random.Random:
    """A generator that depends on the seed and on `label` only."""
    return random.Random(f"{bench_seed()}/{label}")


def numpy_rng(label: str) -> np.random.Generator:
    """A NumPy generator that depends on the seed and on `label` only."""
    return np.random.default_rng([bench_seed() & (2**64 - 1), *label.encode()])


def bench_parameters() -> dict[str, Any]:
    """Inside a cocotb test: the `parameters` that its pytest function gave to `run_bench`."""
    return json.loads(os.environ.get(_PARAMETERS, "{}"))
