# SPDX-License-Identifier: Apache-2.0
"""The loop nests of a SIMD command's three operands, in units of their address generators."""

from amaranth.hdl import Const, Module, Mux, Value
from amaranth.lib import data

from hw.arch.commands import LEVELS, BMode
from hw.pe.se.sizes import Sizes

__all__ = ["a_nest", "b_nest", "out_nest"]


def a_nest(m: Module, sizes: Sizes, command: data.View, settings: data.View, nest: data.View) -> None:
    """Operand a: the elements of every row."""
    _common(m, command, nest, "a_")
    _strides(m, sizes, command, nest, "a_", sizes.unit_shift)
    m.d.comb += [
        nest.counts[0].eq(settings.n_beats),
        nest.strides[0].eq(_beat_units(sizes, settings.a_size)),
    ]


def b_nest(m: Module, sizes: Sizes, command: data.View, settings: data.View, nest: data.View) -> None:
    """Operand b: elements, a value for each row, or a row to hold."""
    _common(m, command, nest, "b_")
    _strides(m, sizes, command, nest, "b_", sizes.unit_shift)
    m.d.comb += [
        nest.counts[0].eq(settings.n_beats),
        nest.strides[0].eq(_beat_units(sizes, settings.b_size)),
    ]
    with m.If(settings.b_mode == BMode.ROW):
        _strides(m, sizes, command, nest, "b_", sizes.value_shift)
        m.d.comb += nest.counts[0].eq(1)
    with m.If(settings.b_mode == BMode.HELD):
        n_beats = sizes.columns // sizes.lanes
        m.d.comb += [
            nest.counts[0].eq(Mux(settings.b_pair, 2 * n_beats, n_beats)),
            nest.counts[1].eq(1),
            nest.strides[0].eq(4 * sizes.lanes // sizes.unit_bytes),
            nest.tail_count.eq(0),
        ]


def out_nest(
    m: Module, sizes: Sizes, command: data.View, settings: data.View, nest: data.View
) -> None:
    """The output: elements, statistics, or both."""
    _common(m, command, nest, "")
    _strides(m, sizes, command, nest, "", sizes.unit_shift)
    m.d.comb += [
        nest.counts[0].eq(settings.n_beats + settings.statistics),
        nest.strides[0].eq(_beat_units(sizes, settings.out_size)),
    ]
    with m.If(settings.accumulates):
        m.d.comb += nest.counts[2].eq(1)
    with m.If(~settings.elements):
        _strides(m, sizes, command, nest, "", sizes.value_shift)
        m.d.comb += nest.counts[0].eq(1)
    with m.If(settings.drains):
        n_units = [n // sizes.unit_bytes for n in (2 * sizes.word_bytes, sizes.config.drain_lanes)]
        m.d.comb += nest.strides[0].eq(Mux(settings.integers, *n_units))


def _common(m: Module, command: data.View, nest: data.View, prefix: str) -> None:
    """What is the same in all of them."""
    m.d.comb += [
        *(nest.counts[level].eq(command[f"count{level}"]) for level in range(1, LEVELS)),
        *(
            nest[name].eq(command[f"{prefix}{name}"])
            for name in ("cb", "step_level", "adv_level", "need", "adv")
        ),
        nest.tail_level.eq(command.tail_level),
        nest.tail_inner.eq(1),
        nest.tail_count.eq(command.tail_count),
    ]


def _strides(
    m: Module, sizes: Sizes, command: data.View, nest: data.View, prefix: str, shift: int
) -> None:
    """Offset and outer strides, in units of 2^shift."""
    m.d.comb += nest.offset.eq(command[f"{prefix}offset"] << shift)
    m.d.comb += [
        nest.strides[level].eq(command[f"{prefix}stride{level}"] << shift)
        for level in range(1, LEVELS)
    ]


def _beat_units(sizes: Sizes, size: Value) -> Value:
    """Units of a beat whose elements have 2^size bytes."""
    return Const(sizes.lanes // sizes.unit_bytes) << size
