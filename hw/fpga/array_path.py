# SPDX-License-Identifier: Apache-2.0
"""Multipliers, adders and accumulators alone: what other projects call their array."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config.element import PeConfig
from hw.iface.pe import row_lead
from hw.pe.dpe.array import DotProductArray
from hw.pe.re.accumulator import Accumulator
from hw.pe.re.array import AccumulatorArray
from hw.pe.re.copies import AccumulatorCopies

__all__ = ["ArrayPath"]

_FIELDS = ("bank", "row", "overwrite", "close", "done")


class ArrayPath(wiring.Component):
    """The dot-product array and all accumulator banks, operands as ideal streams.

    Operation: rows stream past the held block, which loads in the shadow, and are added to the bank
    and row that come with them; a row of any bank is read at `drain`. What addresses local memory,
    keeps the banks' states and moves results out is not here: the two engines as a whole are
    `ComputePath`.

    Timing: a row in, a beat in and a row out per cycle.

    Parameters
    ----------
    config : the element.

    Members
    -------
    load_valid, load, row_valid, row : In, as `DotProductArray`; a row's tag is its place.
    drain_en, drain_bank, drain_row : In, a row to read. drain_data : Out(32 * columns), that row.
    fault : Out(1), a sum that was added to had wrong parity.
    """

    def __init__(self, *, config: PeConfig) -> None:
        sizes: dict[str, int] = {
            "banks": config.re.banks,
            "rows": config.dpe.tile_rows,
            "columns": config.dpe.columns,
        }
        with_fp = config.dpe.with_fp
        self._tag = data.StructLayout(
            {
                "bank": range(config.re.banks),
                "row": range(config.dpe.tile_rows),
                "overwrite": 1,
                "close": 1,
                "done": 1,
            }
        )
        self._array = DotProductArray(
            columns=config.dpe.columns,
            k_bytes=config.dpe.k_bytes,
            with_fp=with_fp,
            tag_width=self._tag.size,
            lead=row_lead(with_fp),
            lut_columns=config.dpe.lut_columns,
        )
        self._accumulator = Accumulator(**sizes, with_fp=with_fp)
        self._with_fp = with_fp
        self._memories: Any = (
            AccumulatorArray(**sizes)
            if with_fp
            else AccumulatorCopies(**sizes, lane=config.ls.word_bytes // 4, row_register=True)
        )
        array, memories = self._array.signature.members, self._memories.signature.members
        super().__init__(
            {
                **{name: array[name] for name in ("load_valid", "load", "row_valid", "row")},
                **{
                    f"drain_{name}": memories[f"drain_{name}"]
                    for name in ("en", "bank", "row", "data")
                },
                "inject": In(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.array = array = self._array
        m.submodules.accumulator = accumulator = self._accumulator
        m.submodules.memories = memories = self._memories
        row, tag = accumulator.i.payload, self._tag(array.tag)
        m.d.comb += [
            *(
                getattr(array, name).eq(getattr(self, name))
                for name in ("load_valid", "load", "row_valid", "row")
            ),
            accumulator.i.valid.eq(array.result_valid),
            row.values.eq(array.values),
            row.is_float.eq(array.is_float),
            *(row[name].eq(tag[name]) for name in _FIELDS),
            *(
                getattr(memories, f"drain_{name}").eq(getattr(self, f"drain_{name}"))
                for name in ("en", "bank", "row")
            ),
            self.drain_data.eq(memories.drain_data),
            accumulator.old.eq(memories.accumulate_data),
            accumulator.parity.eq(memories.accumulate_parity),
            memories.inject.eq(self.inject),
            self.fault.eq(accumulator.fault),
        ]
        sums = {"integer": "integer", "floating": "floating"}
        if not self._with_fp:
            sums = {"write": "integer"}
            m.d.comb += [memories.write_mask.eq(-1), memories.drain_take.eq(1)]
        for ours, theirs in {"accumulate": "read", **sums}.items():
            for name in ("en", "bank", "row", *(("data",) if theirs != "read" else ())):
                m.d.comb += getattr(memories, f"{ours}_{name}").eq(
                    getattr(accumulator, f"{theirs}_{name}")
                )
        return m
