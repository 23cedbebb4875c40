# SPDX-License-Identifier: Apache-2.0
"""Dot-product engine and reduction engine as one part: what multiplies, adds and accumulates."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring

__all__ = ["ComputePath"]

_BETWEEN = ("rows", "banks")
"""Members that connect the two."""


class ComputePath(wiring.Component):
    """The two engines, connected as in the element.

    Operation: that of the two. Every member that does not go from one to the other is a member here
    as `dpe_x` or `re_x`.

    Timing: that of the two.

    Parameters
    ----------
    dpe, re : the engines.
    """

    def __init__(self, *, dpe: wiring.Component, re: wiring.Component) -> None:
        self._engines = {"dpe": dpe, "re": re}
        super().__init__(
            {
                f"{name}_{member}": engine.signature.members[member]
                for name, engine in self._engines.items()
                for member in engine.signature.members
                if member not in _BETWEEN
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dpe, re = self._engines["dpe"], self._engines["re"]
        m.submodules.dpe, m.submodules.re = dpe, re
        for member in _BETWEEN:
            wiring.connect(m, getattr(dpe, member), getattr(re, member))
        for name, engine in self._engines.items():
            for member in engine.signature.members:
                if member not in _BETWEEN:
                    outer, inner = getattr(self, f"{name}_{member}"), getattr(engine, member)
                    _connect(m, engine.signature.members[member], outer, inner)
        return m


def _connect(m: Module, member: wiring.Member, outer: Any, inner: Any) -> None:
    """Connect a member of the part with the same one of its engine."""
    if member.dimensions:
        for one, other in zip(outer, inner, strict=True):
            _connect(m, _element(member), one, other)
    elif member.is_signature:
        wiring.connect(m, wiring.flipped(outer), inner)
    elif member.flow is wiring.In:
        m.d.comb += inner.eq(outer)
    else:
        m.d.comb += outer.eq(inner)


def _element(member: wiring.Member) -> wiring.Member:
    """One element of an array of members."""
    kind = member.signature if member.is_signature else member.shape
    plain = wiring.Member(member.flow, kind)
    return plain.array(*member.dimensions[1:]) if member.dimensions[1:] else plain
