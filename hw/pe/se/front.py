# SPDX-License-Identifier: Apache-2.0
"""First half of the element pipeline: all lanes up to the function, and the running sums."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import Boundary, EmitOnce
from hw.lib.sram import DualPortSram
from hw.pe.se.front_lane import FrontLane, Stage, front_config
from hw.pe.se.sizes import Sizes

__all__ = ["N_PARTIALS", "SUM_DISTANCE", "Front", "beat_info"]

N_PARTIALS = 8
"""Partial sums of a row; beat j belongs to partial j mod 8."""

_READ = Stage.PRODUCT - 1
SUM_DISTANCE = Stage.TOTAL - _READ + 1
"""Cycles after which a beat of running sums may come again."""


def beat_info(sizes: Sizes) -> data.StructLayout:
    """What goes along with a beat."""
    return data.StructLayout(
        {
            "sum": range(sizes.config.sum_beats),  # place of its running sums
            "partial": range(N_PARTIALS),
            "adds_old": 1,  # to the running sums
            "ends": 1,  # goes on to the function: no `accumulate`, or its last iteration
            "opens": 1,  # the first beat of its partial sum
            "closes": 1,  # the last beat of its partial sum
            "row_last": 1,  # the last beat of its row
        }
    )


class Front(wiring.Component):
    """Takes beats through steps 1 to 5; nothing stalls here, so beats must have room behind.

    Operation: `result` is what step 5 gives; beats that do not end an accumulation stop at the
    running sums. `post` are the factors of step 8 where they are b or c, `product` what step 4
    gives.

    Timing: a beat per cycle. `latency` clock edges from a beat to its result. The sums of a beat
    may be added to `SUM_DISTANCE` cycles later at the earliest.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    config : In(front_config()).
    valid : In(1), a beat enters; info : In(beat_info), a, b, c : In(ArrayLayout(32, lanes)).
    post_valid, post : Out, b or c of beats that end.
    product_valid, product_info, product : Out.
    result_valid, result_info, result : Out.
    busy : Out(1), beats are on their way, so the clock must run.

    Resources: `lanes` x `FrontLane`; sum_beats x lanes x 32 bits of 1R1W memory.
    """

    latency = Stage.RESULT

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        self.info_layout = beat_info(sizes)
        values = data.ArrayLayout(32, sizes.lanes)
        members: dict[str, Any] = {
            "config": In(front_config()),
            "valid": In(1),
            "info": In(self.info_layout),
            **{name: In(values) for name in "abc"},
            "post_valid": Out(1),
            "post": Out(values),
            "busy": Out(1),
        }
        for name in ("product", "result"):
            members |= {
                f"{name}_valid": Out(1),
                f"{name}_info": Out(self.info_layout),
                name: Out(values),
            }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stages = [(self.valid, self.info)]
        for number in range(1, Stage.RESULT + 1):
            valid = Signal(name=f"valid{number}")
            info = Signal(self.info_layout, name=f"info{number}", reset_less=True)
            m.d.sync += [valid.eq(stages[-1][0]), info.eq(stages[-1][1])]
            if number == Stage.TOTAL + 1:
                m.d.sync += valid.eq(stages[-1][0] & stages[-1][1].ends)
            stages.append((valid, info))
        m.d.comb += self.busy.eq(Cat(valid for valid, _ in stages[1:]).any())

        m.submodules.sums = sums = DualPortSram(
            width=32 * self.sizes.lanes, depth=self.sizes.config.sum_beats
        )
        self._elaborate_lanes(m, sums, stages[Stage.PRODUCT][1].adds_old)
        read_valid, read_info = stages[_READ]
        total_valid, total_info = stages[Stage.TOTAL]
        m.d.comb += [
            sums.r_en.eq(read_valid & read_info.adds_old),
            sums.r_addr.eq(read_info.sum),
            sums.w_mask.eq(total_valid & ~total_info.ends),
            sums.w_addr.eq(total_info.sum),
        ]
        for name, number in (
            ("post", Stage.CONVERTED),
            ("product", Stage.PRODUCT),
            ("result", Stage.RESULT),
        ):
            valid, info = stages[number]
            m.d.comb += getattr(self, f"{name}_valid").eq(valid & info.ends)
            if name != "post":
                m.d.comb += getattr(self, f"{name}_info").eq(info)
        return m

    def _elaborate_lanes(self, m: Module, sums: DualPortSram, adds_old: Any) -> None:
        """One lane for each element of a beat."""
        totals = []
        for number in range(self.sizes.lanes):
            m.submodules[f"lane{number}"] = lane = EmitOnce(
                FrontLane, key="se_front_lane", boundary=Boundary.NO_INLINE
            )
            m.d.comb += [
                lane.config.eq(self.config),
                lane.a.eq(self.a[number]),
                lane.b.eq(self.b[number]),
                lane.c.eq(self.c[number]),
                lane.old.eq(sums.r_data[32 * number : 32 * number + 32]),
                lane.adds_old.eq(adds_old),
                self.post[number].eq(lane.post),
                self.product[number].eq(lane.product),
                self.result[number].eq(lane.o),
            ]
            totals.append(lane.total)
        m.d.comb += sums.w_data.eq(Cat(totals))
