# SPDX-License-Identifier: Apache-2.0
"""Which elements of a grid fetch the same operands, and so read each line once for all of them."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from hw.arch.commands import QUAD_BYTES, Opcode, decode, n_quads
from hw.arch.csr import N_GROUPS, DebugSpace
from hw.arch.units import State, Unit
from sw.kernels.gemm.load import CB_A, CB_B

if TYPE_CHECKING:
    from sw.runtime.grid import Grid, Place

__all__ = ["Sharing", "commands_of", "find_sharing", "missing_members", "set_groups"]

Axis = Literal["row", "column"]
_ASKED = (State.WAIT_MEMORY, State.WAIT_TAGS)
"""States of a unit that has asked for what it may."""
_COLUMN_BIT = 16  # of a MULTICAST register, at which the mask of the element's column begins


@dataclasses.dataclass(frozen=True)
class Sharing:
    """Groups of elements that share reads, of each row and each column; a number for each member.
    None of them has one member only."""

    rows: Mapping["Place", int]
    columns: Mapping["Place", int]

    def registers(self, place: "Place") -> list[int]:
        """What the MULTICAST registers of an element hold."""
        row, column = place
        values = [0] * N_GROUPS
        for (other, at), group in self.rows.items():
            values[group] |= (other == row) << at
        for (at, other), group in self.columns.items():
            values[group] |= (other == column) << _COLUMN_BIT + at
        return values


def commands_of(commands: bytes) -> Iterator[tuple[Opcode, dict[str, int]]]:
    """The commands of a list, with their fields."""
    at = 0
    while at < len(commands):
        command, fields = decode(commands[at:])
        yield command.opcode, fields
        at += QUAD_BYTES * n_quads(command.opcode)


def find_sharing(lists: Mapping["Place", bytes], multicast_lanes: int) -> Sharing:
    """Elements of a row whose lists fetch A alike, and those of a column that fetch B alike, share.

    Alike to the bit, but for the commands' tags: members must send the same lines in the same
    order. Of more than `N_GROUPS` such groups in a row or column the largest share.
    """
    rows = _groups(lists, CB_A, "row") if multicast_lanes >= 1 else {}
    columns = _groups(lists, CB_B, "column") if multicast_lanes >= 2 else {}
    return Sharing(rows, columns)


def _groups(lists: Mapping["Place", bytes], cb: int, axis: Axis) -> dict["Place", int]:
    """Number of the group of each element that has others to share with."""
    alike: dict[tuple[int, str], list[Place]] = {}
    for place, commands in lists.items():
        lane = place[0] if axis == "row" else place[1]
        alike.setdefault((lane, _fetches(commands, cb)), []).append(place)
    found: dict[Place, int] = {}
    numbers: Counter[int] = Counter()
    for (lane, _), members in sorted(alike.items(), key=lambda item: -len(item[1])):
        if len(members) > 1 and numbers[lane] < N_GROUPS:
            found |= dict.fromkeys(members, numbers[lane])
            numbers[lane] += 1
    return found


def _fetches(commands: bytes, cb: int) -> str:
    """All that a list does to fill a buffer, without tags."""
    fetches = [
        fields | {"tag": 0}
        for opcode, fields in commands_of(commands)
        if opcode is Opcode.DMA_IN and fields["cb"] == cb
    ]
    return repr(fetches)


def set_groups(grid: "Grid", sharing: Sharing, places: Mapping["Place", bytes]) -> None:
    """Tell these elements, all of some rows and columns, with whom they share: what most of them
    have to all at once, the rest one by one."""
    grid.select_places(places)
    values = {place: sharing.registers(place) for place in places}
    for group in range(N_GROUPS):
        name = f"MULTICAST{group}"
        common = Counter(found[group] for found in values.values()).most_common(1)[0][0]
        grid.selected.set_register(name, common)
        for place, found in values.items():
            if found[group] != common:
                grid.element(place).set_register(name, found[group])


def missing_members(
    grid: "Grid", stuck: Sequence["Place"], lists: Mapping["Place", bytes]
) -> list[str]:
    """A sentence for each element that has not asked for what a stuck one shares with it."""
    found: dict[str, None] = {}  # in order, once each
    for place in stuck:
        for unit in (Unit.FI_IN_ROW, Unit.FI_IN_COL):
            group = _shared_by(grid, place, unit, lists[place])
            if group is None:
                continue
            for other in _members(grid, place, unit, group):
                doing = _instead(grid, other, unit)
                if doing is not None:
                    axis = "row" if unit is Unit.FI_IN_ROW else "column"
                    found[
                        f"Element {other} has not asked for a line that others of group {group} of"
                        f" its {axis} wait for: {doing}."
                    ] = None
    return list(found)


def _state(grid: "Grid", place: "Place", unit: Unit) -> int:
    return grid.element(place).debug_word(DebugSpace.UNIT, unit, 0) & 0xFF


def _shared_by(grid: "Grid", place: "Place", unit: Unit, commands: bytes) -> int | None:
    """Group with which a unit shares the lines that it waits for."""
    if _state(grid, place, unit) not in _ASKED:
        return None
    tag = grid.element(place).debug_word(DebugSpace.UNIT, unit, 1) & 0xFFFF
    for opcode, fields in commands_of(commands):
        if opcode is Opcode.DMA_IN and fields["tag"] == tag and fields["multicast"]:
            return fields["group"]
    return None


def _members(grid: "Grid", place: "Place", unit: Unit, group: int) -> Iterator["Place"]:
    """The other members of a group, as the element's own register has them."""
    row, column = place
    masks = grid.element(place).register(f"MULTICAST{group}")
    mask = masks & 0xFFFF if unit is Unit.FI_IN_ROW else masks >> _COLUMN_BIT
    for at in range(mask.bit_length()):
        other = (row, at) if unit is Unit.FI_IN_ROW else (at, column)
        if mask >> at & 1 and other != place:
            yield other


def _instead(grid: "Grid", place: "Place", unit: Unit) -> str | None:
    """What an element does instead of waiting for the line, too."""
    if not grid.element(place).register("JOB_QUEUE"):
        return "it has no job"
    state = _state(grid, place, unit)
    return None if state in _ASKED else f"its {unit.name} is in state {State(state).name}"
