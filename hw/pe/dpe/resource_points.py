# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: the dot-product engine and its parts."""

from hw.config.element import DpeConfig
from hw.pe.dpe.column import FloatColumn, MultiplierColumn
from hw.pe.dpe.engine import DotProductEngine

__all__ = ["RESOURCE_POINTS"]


def _engine(columns: int, with_fp: bool) -> DotProductEngine:
    config = DpeConfig(columns=columns, k_bytes=8, with_fp=with_fp)
    return DotProductEngine(config=config, banks=4, address_width=11, re_latency=6)


RESOURCE_POINTS = {
    "MultiplierColumn, 8 bytes": lambda: MultiplierColumn(k_bytes=8),
    "FloatColumn, 8 bytes": lambda: FloatColumn(k_bytes=8),
    "DotProductEngine, 8 x 8, integers": lambda: _engine(8, False),
    "DotProductEngine, 8 x 8": lambda: _engine(8, True),
}
