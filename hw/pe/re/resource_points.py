# SPDX-License-Identifier: Apache-2.0
"""What `scripts/resources.py` measures of the reduction engine."""

from functools import partial

from hw.config.presets import get_config
from hw.pe.re.min_max import RowMinMax
from hw.pe.re.reduction_engine import ReductionEngine

__all__ = ["RESOURCE_POINTS"]


def _engine(with_fp: bool, with_links: bool) -> ReductionEngine:
    """The engine of `tiny`."""
    pe = get_config("tiny").pe
    return ReductionEngine(
        config=pe.re,
        columns=pe.dpe.columns,
        tile_rows=pe.dpe.tile_rows,
        word_bytes=pe.ls.word_bytes,
        address_width=(pe.ls.words - 1).bit_length(),
        with_fp=with_fp,
        with_links=with_links,
        with_se=with_links,
    )


RESOURCE_POINTS = {
    "RowMinMax, 8 columns": lambda: RowMinMax(columns=8),
    "ReductionEngine, tiny, integers, no links": partial(_engine, False, False),
    "ReductionEngine, tiny, no links": partial(_engine, True, False),
    "ReductionEngine, tiny": partial(_engine, True, True),
}
"""Label to factory."""
