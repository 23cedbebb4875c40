# SPDX-License-Identifier: Apache-2.0
"""Which wires of a netlist belong to streams, as the components' signatures say.

Names of wires alone would not do: of several signals that share a wire or a module some get other
names. So this looks over Amaranth's shoulder while it makes a netlist.
"""

import contextlib
import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from unittest import mock

from amaranth.hdl import Const, Fragment, Signal, Value, _ir
from amaranth.hdl._ast import SignalDict
from amaranth.lib import wiring

__all__ = ["Role", "StreamNames", "Wire", "recorded_streams"]


class Role(enum.Enum):
    """What a wire is to a stream."""

    READY = "ready"
    STAYS = "valid or payload"
    """Until the transfer, whatever happens."""
    CUT = "cut"
    """No part of a stream, but where every way back shall end."""


@dataclass(frozen=True)
class Wire:
    """A wire of a module that means something."""

    role: Role
    stream: str
    """Path of the stream below the module that was made in one piece."""


@dataclass(kw_only=True)
class StreamNames:
    """The wires of each module.

    Parameters
    ----------
    cuts : members of components at which every way back shall end.
    """

    cuts: Collection[str] = ()
    pieces: set[str] = field(default_factory=set)
    """Modules that were made in one piece with everything below them."""
    wires: dict[str, dict[str, Wire]] = field(default_factory=dict)
    """Module to name of a wire to what it is."""

    def add(self, fragment: Fragment, netlist: Any) -> None:
        """Take in a piece: the components it came from, and what became of their signals."""
        known: SignalDict = SignalDict()
        for path, component in _components(fragment, ""):
            for signal, wire in self._members(component, path):
                known[signal] = wire
        self.pieces.add(".".join(netlist.modules[0].name))
        for module in netlist.modules:
            self.wires[".".join(module.name)] = {
                name: known[signal]
                for signal, name in module.signal_names.items()
                if signal in known
            }

    def _members(self, component: wiring.Component, path: str) -> Iterator[tuple[Signal, Wire]]:
        """Signals of a component's streams, and those at which to end."""
        groups: dict[tuple[str, ...], dict[str, Any]] = {}
        for (*above, name), _member, value in component.signature.flatten(component):
            groups.setdefault(tuple(map(str, above)), {})[str(name)] = value
        for above, signals in groups.items():
            for name, value in signals.items():
                wire = _wire(name, signals, ".".join(filter(None, [path, *above])))
                if name in self.cuts:
                    wire = Wire(Role.CUT, path)
                if wire is not None and not isinstance(value, Const):
                    yield cast(Signal, Value.cast(value)), wire


def _wire(name: str, group: Collection[str], path: str) -> Wire | None:
    """What a member is to a stream of its group; AXI has several in one: `awvalid`, `awready`."""
    for valid in group:
        prefix = valid.removesuffix("valid")
        if prefix != valid and f"{prefix}ready" in group and name.startswith(prefix):
            role = Role.READY if name == f"{prefix}ready" else Role.STAYS
            return Wire(role, f"{path}.{prefix}".strip("."))
    return None


def _components(fragment: Fragment, path: str) -> Iterator[tuple[str, wiring.Component]]:
    """Every component that a fragment and its parts came from, and where it is."""
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            yield path, origin
    for number, (part, name, _source) in enumerate(fragment.subfragments):
        yield from _components(part, f"{path}.{name or number}".strip("."))


@contextlib.contextmanager
def recorded_streams(*, cuts: Collection[str] = ()) -> Iterator[StreamNames]:
    """The streams of what is made into netlists inside the `with` block, see `StreamNames`."""
    names, build = StreamNames(cuts=cuts), _ir.build_netlist

    def record(fragment: Fragment, ports: Any = (), **options: Any) -> Any:
        netlist = build(fragment, ports, **options)
        names.add(fragment, netlist)
        return netlist

    with mock.patch.object(_ir, "build_netlist", record):
        yield names
