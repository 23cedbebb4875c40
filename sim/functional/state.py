# SPDX-License-Identifier: Apache-2.0
"""State of the functional machine, as Python and the native units see it: structures of 64-bit
integers and pointers, declared again in `core/state.h`."""

import ctypes
import enum

from hw.arch.commands import LEVELS
from hw.arch.csr import N_RANGES

__all__ = [
    "UNIT_BYTES",
    "BankState",
    "Buffer",
    "CommandState",
    "Counters",
    "MachineState",
    "OperandState",
    "ProgramState",
    "Region",
    "Report",
    "Rom",
    "Wait",
]

UNIT_BYTES = 64
"""Unit of every circular-buffer amount."""

_I64 = ctypes.c_int64
_LEVELS = _I64 * LEVELS


class BankState(enum.IntEnum):
    """What may be done with an accumulator bank."""

    FREE = 0
    READY = 1
    OPEN = 2
    FULL = 3


class Wait(enum.IntEnum):
    """Why a native command cannot go on."""

    NOTHING = 0
    CB_DATA = 1
    CB_ROOM = 2
    BANK_FREE = 3
    BANK_READY = 4
    BANK_FULL = 5
    ROWS_DATA = 6
    ROWS_ROOM = 7


def _fields(names: str) -> list[tuple[str, type]]:
    """64-bit fields."""
    return [(name, _I64) for name in names.split()]


class Buffer(ctypes.Structure):
    """A circular buffer; pointers count 64-byte units since set-up and never wrap."""

    _fields_ = _fields(
        "valid base depth shared reserve commit claim release producer consumer overlaps"
    )


class Region(ctypes.Structure):
    """A memory and, for each byte, whether it was written."""

    _fields_ = [("data", ctypes.c_void_p), ("known", ctypes.c_void_p), *_fields("base size")]


class Report(ctypes.Structure):
    """A fault that a native unit found."""

    _fields_ = _fields("fault cb address info relative window")


class Counters(ctypes.Structure):
    """What units count."""

    _fields_ = _fields("read_bytes read_lines write_bytes write_lines rows held_blocks")


class MachineState(ctypes.Structure):
    """Everything that units share."""

    _fields_ = [
        ("ls", ctypes.c_void_p),
        ("ls_known", ctypes.c_void_p),
        ("regions", Region * 3),
        ("banks", ctypes.c_void_p),
        ("row_known", ctypes.c_void_p),
        ("bank_states", ctypes.c_void_p),
        ("buffers", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("rom", ctypes.c_void_p),
        *_fields("n_buffers n_banks tile_rows columns word link police lanes"),
        ("ranges", (_I64 * 3) * N_RANGES),
        ("steps", _I64),
        ("counters", Counters),
        ("report", Report),
    ]


class OperandState(ctypes.Structure):
    """One operand; offset and strides in bytes."""

    _fields_ = [
        *_fields("cb producer offset"),
        ("strides", _LEVELS),
        *_fields("step_level adv_level need adv tail_adv active pointer window advance"),
    ]


class ProgramState(ctypes.Structure):
    """A program of the SIMD engine, fields as in SE_PROGRAM."""

    _fields_ = _fields(
        "a_format b_format out_format b_mode b_pair pre relu factor addend function"
        " reduce post out clamp stochastic stat_function"
        " imm_b imm_c imm_factor imm_addend clamp_low clamp_high stat_factor stat_addend"
        " seed tensor index_base index_pitch"
    )


class Rom(ctypes.Structure):
    """Tables of the SIMD engine's functions."""

    _fields_ = [
        ("coefficients", ctypes.c_void_p * 4),
        ("scale", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("segments_log2", ctypes.c_void_p),
        *_fields("log2_e ln_2"),
    ]


class CommandState(ctypes.Structure):
    """A command that a native unit runs, and where it is."""

    _fields_ = [
        *_fields("opcode unit"),
        ("counts", _LEVELS),
        *_fields("tail_level tail_inner tail_count"),
        ("a", OperandState),
        ("b", OperandState),
        ("mem_addr", _I64),
        ("mem_strides", _LEVELS),
        *_fields("zero_fill bank"),
        ("bank_strides", _LEVELS),
        *_fields("held_level k_level n_level k_tail n_tail"),
        *_fields("a_format b_format by_row init done minmax format destination"),
        ("out", OperandState),
        ("program", ProgramState),
        *_fields("source accumulate"),
        ("index", _LEVELS),
        *_fields("is_held is_open has_row rows_done wait waits_for"),
    ]
