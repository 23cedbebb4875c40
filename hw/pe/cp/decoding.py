# SPDX-License-Identifier: Apache-2.0
"""What the dispatcher has to know of a source's command before it takes it."""

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data

from hw.arch.commands import Opcode
from hw.arch.units import UNITS_OF_OPCODE
from hw.iface.command_view import view
from hw.pe.cp.command_store import N_UNITS

__all__ = ["decode", "decoded_layout"]


def decoded_layout() -> data.StructLayout:
    """What a source's command is, as far as stage 1 has to know it."""
    return data.StructLayout(
        {
            "units": N_UNITS,  # whose it is
            "stores": 1,
            "runs": 1,
            "updates": 1,
            "remote": 1,  # its signal is for another element
            "waits": 1,  # for a counter
            "fences": 1,
            "ends": 1,
            "fenced": N_UNITS,  # units that it waits for
        }
    )


def decode(
    m: Module, decoded: data.View, command: Value, targets: Value, *, n_counters: int
) -> None:
    """Set the register `decoded` from a command; `targets` are the units of the context it runs."""
    opcode = command[:8]
    short, long = view(command, Opcode.SIGNAL), view(command, Opcode.MML)
    wait = view(command, Opcode.WAIT)
    is_long = opcode.matches(*(int(code) for code in UNITS_OF_OPCODE))
    ends, changes = opcode == Opcode.END, opcode.matches(Opcode.SIGNAL, Opcode.SET_COUNTER)
    runs = opcode == Opcode.RUN
    m.d.sync += [
        decoded.units.eq(Mux(runs, targets, 0)),
        decoded.stores.eq(is_long & long.store),
        decoded.runs.eq(runs),
        decoded.updates.eq(~is_long & ~runs & (short.signal_en | changes)),
        decoded.remote.eq((short.signal_row | short.signal_col) != 0),
        # A counter that does not exist traps instead.
        decoded.waits.eq((opcode == Opcode.WAIT) & (wait.counter < n_counters)),
        decoded.fences.eq(opcode == Opcode.FENCE),
        decoded.ends.eq(ends),
        decoded.fenced.eq(Mux(ends, -1, view(command, Opcode.FENCE).units[:N_UNITS])),
    ]
    with m.Switch(opcode):
        for code in UNITS_OF_OPCODE:
            with m.Case(code):
                m.d.sync += decoded.units.eq(_units_of(command, code))


def _units_of(command: Value, opcode: Opcode) -> Value:
    """Mask of the unit that runs a long command."""
    units = UNITS_OF_OPCODE[opcode]
    if len(units) == 1:
        return Value.cast(1 << units[0])
    return Mux(view(command, opcode).column, 1 << units[1], 1 << units[0])
