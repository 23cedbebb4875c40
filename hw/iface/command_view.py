# SPDX-License-Identifier: Apache-2.0
"""Field extraction for RTL: a command's bits seen through the tables of `hw.arch.commands`."""

from functools import cache

from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import data

from hw.arch.commands import COMMANDS, Opcode

__all__ = ["command_layout", "view"]


@cache
def command_layout(opcode: Opcode) -> data.FlexibleLayout:
    """Layout of one command: 512 bits for a long one, 128 for a short one.

    Signed fields are signed.

    Raises
    ------
    KeyError
        If there is no such opcode.
    """
    command = COMMANDS[opcode]
    return data.FlexibleLayout(
        command.bits,
        {
            field.name: data.Field(
                signed(field.width) if field.signed else unsigned(field.width), field.offset
            )
            for field in command.fields
        },
    )


def view(command: Value, opcode: Opcode) -> data.View:
    """The bits of `command` (512, or 128 for a short one) as the fields of `opcode`.

    It costs no logic. Fields are attributes: `view(port.payload, Opcode.MML).a_stride0` is signed,
    16 bits wide.

    Raises
    ------
    KeyError
        If there is no such opcode.
    ValueError
        If `command` has fewer bits than the command.
    """
    layout = command_layout(Opcode(opcode))
    bits = Value.cast(command)
    if len(bits) < layout.size:
        raise ValueError(
            f"{Opcode(opcode).name} takes {layout.size} bits; the signal has only {len(bits)}."
        )
    return data.View(layout, bits[: layout.size])
