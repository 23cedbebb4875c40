# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom across elements: reduction links whose other end does not come."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from hw.arch.commands import QUAD_BYTES, Destination, Opcode, Source, decode, n_quads
from hw.arch.csr import DebugSpace
from hw.arch.units import State, Unit
from sw.runtime.triage import DebugRead, command_text, state_text

__all__ = ["link_triage"]

Place = tuple[int, int]

_TAKES: dict[int, tuple[str, Place]] = {
    Source.NORTH: ("a row from the north", (-1, 0)),
    Source.WEST: ("a row from the west", (0, -1)),
}
_GIVES: dict[int, tuple[str, Place]] = {
    Destination.SOUTH: ("its row to be taken in the south", (1, 0)),
    Destination.EAST: ("its row to be taken in the east", (0, 1)),
}


def link_triage(
    debug: Callable[[Place], DebugRead],
    is_working: Callable[[Place], bool],
    lists: Mapping[Place, Sequence[bytes]],
) -> list[str]:
    """A sentence for each end of a link at which an element waits; none if nobody does.

    Parameters
    ----------
    debug : Callable[[Place], DebugRead]
        The debug port of an element.
    is_working : Callable[[Place], bool]
        Whether an element has a job.
    lists : Mapping[Place, Sequence[bytes]]
        Command lists that elements may be running: which link it is stands there alone.
    """
    lines: list[str] = []
    for place in sorted(lists):
        state, opcode, tag = _engine(debug(place))
        if not is_working(place) or state != State.WAIT_NEIGHBOUR:
            continue
        for words, neighbour in sorted(_links(lists[place], tag, place)):
            lines.append(
                f"element {place}: RE waits for {words}, in {command_text(opcode, tag)};"
                f" {_other_end(debug, is_working, neighbour)}"
            )
    return lines


def _engine(read: DebugRead) -> tuple[int, int, int]:
    """State, opcode and tag of an element's reduction engine."""
    first, second = (read(DebugSpace.UNIT, Unit.RE, word) for word in range(2))
    return first & 0xFF, second >> 16 & 0xFF, second & 0xFFFF


def _links(lists: Sequence[bytes], tag: int, place: Place) -> set[tuple[str, Place]]:
    """What a DRAIN of this tag waits for, and the element at the other end.

    A command that RUN repeats may have another tag than where it was stored; then any DRAIN of the
    lists may be meant.
    """
    drains = [fields for data in lists for fields in _drains(data)]
    chosen = [fields for fields in drains if fields["tag"] == tag] or drains
    found: set[tuple[str, Place]] = set()
    for fields in chosen:
        for ends, value in ((_TAKES, fields["source"]), (_GIVES, fields["destination"])):
            if value in ends:
                words, (down, right) = ends[value]
                found.add((words, (place[0] + down, place[1] + right)))
    return found


def _drains(data: bytes) -> Iterator[dict[str, int]]:
    """Fields of every DRAIN in a list, up to what is no command."""
    while data:
        try:
            _command, fields = decode(data)
        except ValueError:
            return
        if fields["opcode"] == Opcode.DRAIN:
            yield fields
        data = data[n_quads(fields["opcode"]) * QUAD_BYTES :]


def _other_end(
    debug: Callable[[Place], DebugRead], is_working: Callable[[Place], bool], place: Place
) -> str:
    """What the neighbour does meanwhile."""
    if not is_working(place):
        return f"element {place} has no job"
    state, opcode, tag = _engine(debug(place))
    if opcode == Opcode.NOP:
        return f"RE of element {place} has no command"
    return f"RE of element {place} {state_text(Unit.RE, state)}, in {command_text(opcode, tag)}"
