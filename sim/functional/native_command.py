# SPDX-License-Identifier: Apache-2.0
"""Commands for the native units: their structures, and words for what the library reports."""

import dataclasses
import functools

from hw.arch.commands import LEVELS, Destination, Opcode
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.config import PeConfig
from sim.functional.faults import FunctionalTrap, Issued, Rule
from sim.functional.memory import memory_trap, unwritten_memory
from sim.functional.operand import outside_step, overlap, second_producer, unwritten_ls
from sim.functional.simd import simd_fault, simd_nests
from sim.functional.state import CommandState, MachineState, OperandState, ProgramState, Wait
from sim.functional.units import dma_nest, tile_nest, unwritten_row
from sim.golden.address import Nest
from sim.golden.simd import Program

__all__ = ["is_native", "native_fault", "native_state", "native_waits"]

_COPIED = {field[0] for field in CommandState._fields_} - {
    "opcode", "tail_level", "tail_inner", "tail_count", "program",
}  # fmt: skip
"""Fields of commands that go into the structure as they are."""
_PRODUCERS = (Opcode.DMA_IN, Opcode.DRAIN)


def is_native(command: Issued, programs: dict[int, Program], pe: PeConfig) -> bool:
    """Whether the library runs this command; it takes only SIMD commands that are legal."""
    fields = command.fields
    match command.opcode:
        case Opcode.DMA_IN | Opcode.DMA_OUT | Opcode.PRELOAD:
            return True
        case Opcode.MML:
            return not (fields["a_from_mlu"] or fields["b_from_mlu"])
        case Opcode.DRAIN:
            return (
                fields["destination"] in (Destination.LS, Destination.SE) and not (fields["source"])
            )
        case Opcode.SIMD:
            return not simd_fault(programs.get(fields["program"]), fields, pe)
        case _:
            return False


def native_state(command: Issued, programs: dict[int, Program], word: int) -> CommandState:
    """A command as the library takes it."""
    fields, opcode = command.fields, command.opcode
    if opcode is Opcode.SIMD:
        return _simd_state(command, programs[fields["program"]], word)
    if opcode in (Opcode.DMA_IN, Opcode.DMA_OUT):
        nests = [dma_nest(fields)]
    elif opcode is Opcode.MML:
        nests = [tile_nest(fields, word, "a_"), tile_nest(fields, word, "b_")]
    else:
        nests = [tile_nest(fields, word, tail=opcode is Opcode.DRAIN)]
    return _command_state(command, nests, opcode in _PRODUCERS)


def native_waits(state: CommandState) -> str:
    """Why a command cannot go on."""
    what = state.waits_for
    return {
        Wait.CB_DATA: f"waits for data in CB {what}",
        Wait.CB_ROOM: f"waits for room in CB {what}",
        Wait.BANK_FREE: f"waits until bank {what} is free",
        Wait.BANK_READY: f"waits until bank {what} is ready",
        Wait.BANK_FULL: f"waits until bank {what} is full",
        Wait.ROWS_DATA: "waits for rows of the reduction engine",
        Wait.ROWS_ROOM: "waits until the SIMD engine takes its rows",
    }.get(state.wait, "")


def native_fault(machine: MachineState, command: Issued) -> FunctionalTrap:
    """The fault that the library has reported."""
    report = machine.report
    cb, address, info = report.cb, report.address, report.info
    match report.fault:
        case Rule.UNWRITTEN_LS:
            return unwritten_ls(cb, address)
        case Rule.UNWRITTEN_MEMORY:
            return unwritten_memory(address)
        case Rule.OUTSIDE_STEP:
            return outside_step(bool(info), cb, report.relative, report.window, address)
        case Rule.SECOND_PRODUCER:
            return second_producer(cb, Unit(info))
        case Rule.OVERLAP:
            return overlap(cb, info, address)
        case Rule.UNWRITTEN_ROW:
            return unwritten_row(info, address)
        case Trap.MEMORY_ERROR | Trap.MEMORY_RANGE:
            return memory_trap(Trap(report.fault), address)
        case _:
            return FunctionalTrap(Trap(report.fault), cb)


def _command_state(command: Issued, nests: list[Nest], producer: bool) -> CommandState:
    fields = command.fields
    state = CommandState(opcode=command.opcode, unit=command.unit)
    for place, nest in zip(("a", "b"), nests, strict=False):
        setattr(state, place, _operand(nest, producer))
    first = nests[0]
    state.counts[:] = first.counts
    state.tail_level, state.tail_inner = first.tail_level, first.tail_inner
    state.tail_count = first.tail_count
    for name in _COPIED & fields.keys():
        setattr(state, name, fields[name])
    for level in range(1, LEVELS):
        state.mem_strides[level] = fields.get(f"mem_stride{level}", 0)
        state.bank_strides[level] = fields.get(f"bank_stride{level}", 0)
    return state


def _simd_state(command: Issued, program: Program, word: int) -> CommandState:
    a, b, out = simd_nests(program, command.fields, word)
    state = _command_state(command, [a, b], producer=False)
    state.out = _operand(out, producer=True)
    state.program = _program_state(program)
    return state


@functools.lru_cache(maxsize=64)
def _program_state(program: Program) -> ProgramState:
    names = [field.name for field in dataclasses.fields(program)]
    return ProgramState(**{name: int(getattr(program, name)) for name in names})


def _operand(nest: Nest, producer: bool) -> OperandState:
    state = OperandState(
        cb=nest.cb,
        producer=producer,
        offset=nest.offset,
        step_level=nest.step_level,
        adv_level=nest.adv_level,
        need=nest.need,
        adv=nest.adv,
        tail_adv=nest.tail_adv,
    )
    state.strides[:] = nest.strides
    return state
