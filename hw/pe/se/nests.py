# SPDX-License-Identifier: Apache-2.0
"""The loop nests of a SIMD command's three operands, in units of their address generators.

Each field is assigned once and without conditions: Verilog then has no process for it.
"""

from amaranth.hdl import Const, Module, Mux, Value
from amaranth.lib import data

from hw.arch.commands import LEVELS, BMode
from hw.pe.se.sizes import Sizes

__all__ = ["a_nest", "b_nest", "out_nest"]


def a_nest(
    m: Module, sizes: Sizes, command: data.View, settings: data.View, nest: data.View
) -> None:
    """Operand a: the elements of every row."""
    m.d.comb += nest.counts[0].eq(settings.n_beats)
    m.d.comb += nest.strides[0].eq(_beat_units(sizes, settings.a_size))
    m.d.comb += [nest.counts[level].eq(command[f"count{level}"]) for level in range(1, LEVELS)]
    _common(m, sizes, command, nest, "a_", packed=Const(0, 1), tail=command.tail_count)


def b_nest(
    m: Module, sizes: Sizes, command: data.View, settings: data.View, nest: data.View
) -> None:
    """Operand b: elements, a value for each row, or a row to hold."""
    by_row, held = (settings.b_mode == mode for mode in (BMode.ROW, BMode.HELD))
    n_held = sizes.columns // sizes.lanes
    n_beats = Mux(held, Mux(settings.b_pair, 2 * n_held, n_held), settings.n_beats)
    size = Mux(held, 2, settings.b_size)
    m.d.comb += [
        nest.counts[0].eq(Mux(by_row, 1, n_beats)),
        nest.counts[1].eq(Mux(held, 1, command.count1)),
        *(nest.counts[level].eq(command[f"count{level}"]) for level in range(2, LEVELS)),
        nest.strides[0].eq(_beat_units(sizes, size)),
    ]
    tail = Mux(held, 0, command.tail_count)
    _common(m, sizes, command, nest, "b_", packed=by_row, tail=tail)


def out_nest(
    m: Module, sizes: Sizes, command: data.View, settings: data.View, nest: data.View
) -> None:
    """The output: elements, statistics, or both."""
    units = [n // sizes.unit_bytes for n in (4 * sizes.integer_lanes, sizes.drain_bytes)]
    drained = Mux(settings.integers, *units)
    n_beats = _n_written(sizes, settings)
    m.d.comb += [
        nest.counts[0].eq(Mux(settings.elements, n_beats, 1)),
        nest.counts[1].eq(command.count1),
        nest.counts[2].eq(Mux(settings.accumulates, 1, command.count2)),
        nest.counts[3].eq(command.count3),
        nest.counts[4].eq(command.count4),
        nest.strides[0].eq(Mux(settings.drains, drained, _beat_units(sizes, settings.out_size))),
    ]
    _common(m, sizes, command, nest, "", packed=~settings.elements, tail=command.tail_count)


def _common(
    m: Module,
    sizes: Sizes,
    command: data.View,
    nest: data.View,
    prefix: str,
    *,
    packed: Value,
    tail: Value,
) -> None:
    """What is alike in all of them; offset and strides count FP32 values where `packed`, else
    words."""

    def units(value: Value) -> Value:
        words = value << sizes.unit_shift
        return Mux(packed, value << sizes.value_shift, words) if sizes.with_fp else words

    m.d.comb += [
        nest.offset.eq(units(command[f"{prefix}offset"])),
        *(
            nest.strides[level].eq(units(command[f"{prefix}stride{level}"]))
            for level in range(1, LEVELS)
        ),
        *(
            nest[name].eq(command[f"{prefix}{name}"])
            for name in ("cb", "step_level", "adv_level", "need", "adv")
        ),
        nest.tail_level.eq(command.tail_level),
        nest.tail_inner.eq(1),
        nest.tail_count.eq(tail),
    ]


def _n_written(sizes: Sizes, settings: data.View) -> Value:
    """Beats of a row as they are written: a statistic behind them, or collected to words."""
    n_beats = settings.n_beats + settings.statistics
    if sizes.drain_bytes == sizes.config.drain_lanes:
        return n_beats
    collects = settings.drains & ~settings.integers
    return Mux(collects, sizes.columns // sizes.drain_bytes, n_beats)


def _beat_units(sizes: Sizes, size: Value) -> Value:
    """Units of a beat whose elements have 2^size bytes."""
    return (Const(sizes.lanes) << size) >> sizes.unit_bytes.bit_length() - 1
