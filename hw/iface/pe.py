# SPDX-License-Identifier: Apache-2.0
"""Signatures between the units of a processing element (docs/design.md tells how they are used)."""

from amaranth.hdl import unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS

__all__ = [
    "BankPort",
    "BankState",
    "CbAcquire",
    "CbDone",
    "CbGrant",
    "CbPort",
    "CbRole",
    "Completion",
    "LsReadPort",
    "LsWritePort",
    "TrapReport",
    "UnitStatus",
    "UnitControl",
    "bank_row_layout",
    "row_lead",
]


class CbRole(enum.Enum, shape=1):
    """Which pair of pointers an operand moves."""

    CONSUMER = 0
    PRODUCER = 1


class CbAcquire(data.Struct):
    """Request to start a step on a circular buffer. All amounts are 64-byte units."""

    cb: unsigned(6)
    role: CbRole
    extent: unsigned(16)  # from the claim (reserve) pointer to the step's end
    advance: unsigned(16)  # how far claim (reserve) moves when granted


class CbGrant(data.Struct):
    """Answer to an acquire: where the buffer lies. All in 64-byte units."""

    base: unsigned(13)
    depth: unsigned(13)
    pointer: unsigned(13)  # claim (reserve) before it moved, 0 <= pointer < depth


class CbDone(data.Struct):
    """Report that a step's data was read (landed): moves release (commit)."""

    cb: unsigned(6)
    role: CbRole
    advance: unsigned(16)


class CbPort(wiring.Signature):
    """One operand's port into the CP's circular-buffer table, seen from the unit.

    Operation
        `acquire` is accepted (ready) in the cycle in which the table grants it: until data (room)
        suffices it waits. `grant` is valid for exactly one cycle, the one after the acceptance.
        `done` never waits for data: the table takes it within a bounded number of cycles. Both
        streams keep their own order.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "acquire": Out(stream.Signature(CbAcquire)),
                "grant": In(stream.Signature(CbGrant, always_ready=True)),
                "done": Out(stream.Signature(CbDone)),
            }
        )


class Completion(data.Struct):
    """A finished command's signal fields."""

    tag: unsigned(16)
    signal_en: unsigned(1)
    signal_counter: unsigned(5)
    signal_row: unsigned(4)
    signal_col: unsigned(4)


class TrapReport(data.Struct):
    """First error of a unit: held from the trap until reset."""

    valid: unsigned(1)
    cause: unsigned(8)
    opcode: unsigned(8)
    tag: unsigned(16)
    info: unsigned(32)


class UnitStatus(data.Struct):
    """What a unit is doing, for counters and triage."""

    state: unsigned(4)  # hw.arch.units.State
    cb: unsigned(6)  # the circular buffer it waits for, or last used
    bank: unsigned(4)  # the accumulator bank it waits for, or last used
    tag: unsigned(16)  # of the command it runs
    opcode: unsigned(8)  # 0: none
    steps: unsigned(32)  # steps done since reset


class UnitControl(wiring.Signature):
    """What the command processor and a unit say to each other, seen from the unit.

    Operation
        `command` is the head of the unit's queue, taken when the unit starts it. `completion` is
        valid for one cycle when the command is complete (all reads landed, writes acknowledged);
        `idle` is high while no command runs and nothing is in flight. When `halt` is high the unit
        starts no further step, request or write, drops its command and only waits for what is in
        flight; then `idle` rises. After a trap a unit behaves as under `halt`.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "command": In(stream.Signature(LONG_BITS)),
                "completion": Out(stream.Signature(Completion, always_ready=True)),
                "halt": In(1),
                "idle": Out(1),
                "trap": Out(TrapReport),
                "status": Out(UnitStatus),
            }
        )


class LsReadPort(wiring.Signature):
    """One word-wide read slot of local memory, seen from the unit.

    Parameters
    ----------
    address_width : int
        Bits of a word address.
    word_bytes : int
        Bytes of a word.

    Operation
        `request` is accepted in the cycle in which the bank is granted. The answer comes exactly
        `LsConfig.latency` cycles later on `response`, which the unit must always be able to take.
        `error` has a bit per byte whose parity is wrong; the unit traps only for bytes that it
        uses.
    """

    def __init__(self, *, address_width: int, word_bytes: int) -> None:
        self.address_width = address_width
        self.word_bytes = word_bytes
        response = data.StructLayout({"data": 8 * word_bytes, "error": word_bytes})
        super().__init__(
            {
                "request": Out(stream.Signature(address_width)),
                "response": In(stream.Signature(response, always_ready=True)),
            }
        )


class LsWritePort(wiring.Signature):
    """One word-wide write slot of local memory, seen from the unit.

    Operation
        Accepted in the cycle in which the bank is granted; any read granted in a later cycle sees
        it. `strobe` has a bit per byte.
    """

    def __init__(self, *, address_width: int, word_bytes: int) -> None:
        self.address_width = address_width
        self.word_bytes = word_bytes
        # Wide fields first: data that starts at a multiple of 32 bits simulates faster.
        request = data.StructLayout(
            {"data": 8 * word_bytes, "strobe": word_bytes, "address": address_width}
        )
        super().__init__({"request": Out(stream.Signature(request))})


def bank_row_layout(columns: int, banks: int, rows: int) -> data.StructLayout:
    """Payload from DPE to RE: one row of `columns` partial results."""
    return data.StructLayout(
        {
            "values": data.ArrayLayout(32, columns),
            "bank": range(banks),
            "row": range(rows),
            "overwrite": 1,  # first visit of an init command: acc = partial
            "is_float": 1,
            "close": 1,  # last row of the bank's last visit: the bank becomes full (done) or ready
            "done": 1,
        }
    )


def row_lead(with_fp: bool) -> int:
    """Cycles by which `values` of a `bank_row_layout` come after the rest of their row.

    The accumulators are read meanwhile. Without floating point the row that was read goes through a
    register before it is added to.
    """
    return 1 if with_fp else 2


class BankState(enum.Enum, shape=3):
    """State of one accumulator bank."""

    FREE = 0
    READY = 1  # holds values to add to (preloaded, or a command without `done` ended)
    OPEN = 2  # the DPE adds to it
    CLOSING = 3  # the last visit has started, rows are still on their way
    FULL = 4  # waits for a drain
    DRAINING = 5
    FILLING = 6


class BankPort(wiring.Signature):
    """How the DPE opens accumulator banks, seen from the DPE.

    Operation
        The DPE reads `states` and starts a visit only when the bank allows it: the first visit of
        an `init` command needs FREE, the first visit of another READY, later visits OPEN. In the
        cycle in which a visit starts `visit` is high; 2 cycles later the bank is OPEN, or CLOSING
        when `last`, and until then it has no other visit. When the row with `close` arrives on the
        row stream the bank becomes FULL (`done`) or READY.
    """

    def __init__(self, *, banks: int) -> None:
        self.banks = banks
        super().__init__(
            {
                "states": In(data.ArrayLayout(BankState, banks)),
                "visit": Out(1),
                "bank": Out(range(banks)),
                "last": Out(1),
            }
        )
