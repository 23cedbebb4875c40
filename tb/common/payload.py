# SPDX-License-Identifier: Apache-2.0
"""Values of Amaranth shapes as plain Python: packed and unpacked through the shape itself."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Const, Shape
from amaranth.lib import data

__all__ = ["pack", "random_bits", "unpack", "width_of"]


def width_of(shape: Any) -> int:
    """Number of bits of a shape."""
    return Shape.cast(shape).width


def pack(shape: Any, value: Any) -> int:
    """Bits of `value`: a mapping for a struct, a sequence for an array, else a number.

    Raises
    ------
    ValueError
        When a field is missing, unknown, or its value does not fit.
    """
    layout = _layout(shape)
    if layout is None:
        number = value.value if isinstance(value, enum.Enum) else int(value)
        plain = Shape.cast(shape)
        if Const(number, plain).value != number:
            raise ValueError(f"{number} does not fit {plain!r}.")
        return number & ((1 << plain.width) - 1)
    if isinstance(value, int):
        return pack(layout.size, value)
    if isinstance(value, data.Const):
        return value.as_bits()
    items = _items(layout, value)
    bits = 0
    for key, item in items.items():
        field = layout[key]
        bits |= pack(field.shape, item) << field.offset
    return bits


def unpack(shape: Any, bits: int) -> Any:
    """The reverse of `pack`: nested dicts and lists of numbers and enumeration members."""
    layout = _layout(shape)
    if layout is None:
        if isinstance(shape, type) and issubclass(shape, enum.Enum):
            return shape(Const(bits, Shape.cast(shape)).value)
        return Const(bits, Shape.cast(shape)).value
    found = {}
    for key, field in layout:
        part = (bits >> field.offset) & ((1 << field.width) - 1)
        found[key] = unpack(field.shape, part)
    return list(found.values()) if isinstance(layout, data.ArrayLayout) else found


def random_bits(rng: Any, shape: Any) -> int:
    """Uniformly random bits for a shape."""
    return rng.getrandbits(width_of(shape)) if width_of(shape) else 0


def _layout(shape: Any) -> data.Layout | None:
    """The layout behind a shape, if it has fields."""
    try:
        return data.Layout.cast(shape)
    except TypeError:
        return None


def _items(layout: data.Layout, value: Any) -> Mapping[Any, Any]:
    """Field name to value, complete for everything but unions."""
    if isinstance(layout, data.ArrayLayout) and isinstance(value, Sequence):
        items: Mapping[Any, Any] = dict(enumerate(value))
    elif isinstance(value, Mapping):
        items = value
    else:
        raise ValueError(f"{value!r} is neither a mapping nor a sequence.")
    fields = {key for key, _ in layout}
    if unknown := set(items) - fields:
        raise ValueError(f"Unknown fields {sorted(map(str, unknown))}.")
    missing = fields - set(items)
    if missing and not isinstance(layout, data.UnionLayout):
        raise ValueError(f"Missing fields {sorted(map(str, missing))}.")
    return items
