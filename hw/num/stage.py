# SPDX-License-Identifier: Apache-2.0
"""Pipeline stages of number datapaths: all values of a stage named and registered together."""

from amaranth.hdl import Module, Signal, Value

__all__ = ["stage"]


def stage(
    m: Module,
    values: dict[str, Value],
    *,
    name: str,
    en: Value,
    registered: bool = True,
    domain: str = "sync",
) -> dict[str, Signal]:
    """The values under the names they are given, one clock edge later if `registered`.

    Parameters
    ----------
    m
        Module that gets the signals.
    values
        What the stage hands on.
    name
        Prefix of the signals' names.
    en
        Registers keep their values in cycles without it. They have no reset: a valid bit of
        the parent says when they mean something.
    registered
        Without it the values are only named.
    domain
        Clock domain of the registers.
    """
    signals = {
        key: Signal(Value.cast(value).shape(), name=f"{name}_{key}", reset_less=True)
        for key, value in values.items()
    }
    assignments = [signals[key].eq(value) for key, value in values.items()]
    if not registered:
        m.d.comb += assignments
        return signals
    with m.If(en):
        m.d[domain] += assignments
    return signals
