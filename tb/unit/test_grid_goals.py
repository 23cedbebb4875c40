# SPDX-License-Identifier: Apache-2.0
"""What is asked of rows of the grid's bench, and what is said of those that miss it."""

from typing import Any

import pytest

from hw.config import get_config
from scripts.grid_goals import NO_GOAL, Goal, goal_of, missed
from scripts.grid_products import SETS, products, roof_cycles

MTIA100 = get_config("mtia100")


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("empty job", Goal(cycles=200)),
        ("gather of 128 B rows", Goal(of_bandwidth=90)),
        ("2048x2048x2048 INT8", Goal(of_peak=95)),
        ("2048x2048x2048 FP16", Goal(of_peak=95)),
        ("2048x2048x2048 BF16", Goal(of_peak=95)),
        ("512x512x512 INT8 -> INT8", Goal(of_peak=75)),
        ("512x512x512 INT8", Goal(of_peak=65)),
        ("512x2048x26592 INT8 B in DRAM", Goal(of_peak=90)),
        ("64x4096x4096 INT8 -> INT8 B in DRAM", Goal(of_roof=90)),
        ("256x512x3456 INT8", Goal(of_roof=85)),  # roof 6,912
        ("256x512x1024 INT8", Goal(of_roof=60)),  # 2,048
        ("16x512x2048 INT8 -> INT8", Goal(of_roof=60)),  # 1,064
        ("256x256x512 INT8", NO_GOAL),  # 512
        ("1024x1024x1024 INT8", NO_GOAL),
    ],
)
def test_goals_are_those_of_the_project(name: str, goal: Goal) -> None:
    """Would break if a limit were forgotten, or a row were renamed."""
    assert goal_of("mtia100", name) == goal
    assert goal_of("tiny", name) == NO_GOAL


def test_every_judged_product_is_measured() -> None:
    """Would break if `make bench` left out a product that has a goal."""
    names = {product.name for product in products(tuple(SETS))}
    assert "2048x2048x2048 BF16" in names
    long = [p for p in SETS["dlrm"] if roof_cycles(MTIA100, p) > 1000]
    assert long and all(goal_of("mtia100", product.name) != NO_GOAL for product in long)


@pytest.mark.parametrize(
    ("name", "perf", "sentence"),
    [
        ("empty job", {"cycles": 201}, "empty job took 201 cycles; the goal is 200."),
        (
            "512x512x512 INT8",
            {"cycles": 1, "utilisation": 0.6494},
            "512x512x512 INT8 reached 64.9 % of peak; the goal is 65 %.",
        ),
        (
            "gather of 256 B rows",
            {"cycles": 8000, "roof_cycles": 7168},
            "gather of 256 B rows reached 89.6 % of SRAM's bandwidth; the goal is 90 %.",
        ),
        (
            "16x512x2048 INT8",
            {"cycles": 2000, "roof_cycles": 1100},
            "16x512x2048 INT8 reached 55.0 % of its roof; the goal is 60 %.",
        ),
    ],
)
def test_a_missed_goal_is_one_sentence(name: str, perf: dict[str, Any], sentence: str) -> None:
    """Would break if a row below its goal passed, or others were named beside it."""
    rows = [(name, perf), ("65x63x129 INT8", {"cycles": 10**6})]
    assert missed("mtia100", rows) == [sentence]
    assert missed("tiny", rows) == []


def test_limits_are_reached_at_the_limit() -> None:
    """Would break if a goal that is just reached were named."""
    reached = [
        ("empty job", {"cycles": 200}),
        ("512x512x512 INT8", {"cycles": 1, "utilisation": 0.65}),
        ("gather of 128 B rows", {"cycles": 1000, "roof_cycles": 900}),
    ]
    assert missed("mtia100", reached) == []
