# SPDX-License-Identifier: Apache-2.0
"""Channels of a netlist, and which of them waits for room in which other.

A channel is a stream: ports `<name>valid`, `<name>ready` and the payload between them. Names of one
channel in several modules, such as an output and the input that it is wired to, share one bit
`ready` and are one channel.

Channel a waits for channel b when a's `ready` depends on b's: through gates, or through registers
and memories on the way, in any number of cycles. The walk back from a's `ready` ends at every other
`ready`, which becomes an edge, and at `valid` and payload of every stream: these stay until the
transfer whatever happens (the stream rules), so no room that is missing elsewhere changes them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from sim.channels.names import Role
from sim.channels.netlist import Net, Netlist

__all__ = ["ChannelGraph", "channel_graph"]


@dataclass(frozen=True, kw_only=True)
class ChannelGraph:
    """Channels and whom each waits for."""

    waits: Mapping[str, frozenset[str]]
    """Every channel that may be held up, and the channels that it waits for directly."""
    n_free: int
    """Channels whose `ready` is always high."""

    @property
    def n_edges(self) -> int:
        """Pairs of channels of which one waits for the other."""
        return sum(len(others) for others in self.waits.values())

    @property
    def ends(self) -> list[str]:
        """Channels that wait for no other."""
        return sorted(name for name, others in self.waits.items() if not others)

    def cycle(self) -> list[str]:
        """Channels each of which waits for the next, the first one at both ends; else empty."""
        try:
            TopologicalSorter(self.waits).prepare()
        except CycleError as error:
            return list(reversed(error.args[1]))
        return []

    def longest(self) -> list[str]:
        """The longest way along channels that wait for one another, if there is no cycle."""
        ways: dict[str, list[str]] = {}
        for name in TopologicalSorter(self.waits).static_order():
            behind = [ways[other] for other in sorted(self.waits[name])]
            ways[name] = [name, *max(behind, key=len, default=[])]
        return max(ways.values(), key=len, default=[])


def channel_graph(
    netlist: Netlist,
    more: Mapping[str, Collection[str]] | None = None,
    *,
    arrivals: Mapping[str, Collection[str]] | None = None,
) -> ChannelGraph:
    """The channels of a netlist, and who waits for whom.

    Parameters
    ----------
    netlist : Netlist
        What was built.
    more : Mapping[str, Collection[str]], optional
        Streams by path, and those for which each waits besides: what boxes and the world do.
    arrivals : Mapping[str, Collection[str]], optional
        Streams by path, and those for which each does not wait, though the netlist looks so:
        something arrives when these move, and no room is missing.

    Raises
    ------
    KeyError
        If one of them names a stream that is not there.
    """
    walk = _Walk(netlist)
    edges = {name: walk.back_from(driver) for driver, name in walk.channels.items()}
    for path, others in (more or {}).items():
        a = walk.channels.get(walk.drivers[path])
        found = {walk.channels.get(walk.drivers[other]) for other in others}
        if a is not None:
            edges[a] |= {b for b in found if b not in (None, a)}
    for path, others in (arrivals or {}).items():
        edges[walk.channels[walk.drivers[path]]] -= {
            walk.channels[walk.drivers[other]] for other in others
        }
    waits = {name: frozenset(others) for name, others in edges.items()}
    return ChannelGraph(waits=waits, n_free=walk.n_free)


class _Walk:
    """Finds channels, and the way back from the `ready` of each.

    Parameters
    ----------
    netlist : what was built.
    """

    def __init__(self, netlist: Netlist) -> None:
        self._netlist = netlist
        self.drivers: dict[str, Net] = {}
        """What drives the `ready` of each stream."""
        for at in netlist.instances():
            for bit, wires in at.part.meanings.items():
                for wire in wires:
                    if wire.role is Role.READY:
                        self.drivers.setdefault(at.name_of(wire), netlist.driver((at, bit)))
        self.channels: dict[Net, str] = {}
        """Shortest path of the streams that share a `ready`."""
        for path in sorted(self.drivers, key=lambda path: (path.count("."), path)):
            if not isinstance(self.drivers[path][1], str):
                self.channels.setdefault(self.drivers[path], path)
        self.n_free = sum(isinstance(bit, str) for _, bit in self.drivers.values())

    def back_from(self, driver: Net) -> set[str]:
        """The channels that stand at the ends of the way back from a `ready`."""
        found, seen, waiting = set(), {driver}, [driver]
        while waiting:
            for source in self._netlist.sources(waiting.pop()):
                levels = list(self._netlist.levels(source))
                last = levels[-1]
                if isinstance(last[1], str) or last in seen:
                    continue
                roles = {role for at, bit in levels for role in at.part.roles(bit)}
                if Role.READY in roles:
                    found.add(self.channels[last])
                elif not roles:
                    seen.add(last)
                    waiting.append(last)
        return found - {self.channels[driver]}
