# SPDX-License-Identifier: Apache-2.0
"""What a kernel asks of a member's SIMD engine."""

from hw.config import PeConfig

__all__ = ["check_engine", "check_row_buffer"]


def check_engine(pe: PeConfig, *, functions: bool = False) -> None:
    """Raise ValueError, one sentence, if FP32 lanes or table functions are missing."""
    if not pe.se.with_fp:
        raise ValueError("This member's SIMD engine has no FP32 lanes.")
    if functions and not pe.se.with_functions:
        raise ValueError("This member's SIMD engine has no table functions.")


def check_row_buffer(pe: PeConfig, elements: int) -> None:
    """Raise ValueError, one sentence, if a row cannot wait for its own statistic."""
    most = pe.se.row_beats * pe.se.fp_lanes
    if elements > most:
        raise ValueError(
            f"A row has {elements} elements; this member's row buffer holds at most {most}."
        )
