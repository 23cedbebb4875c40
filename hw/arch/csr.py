# SPDX-License-Identifier: Apache-2.0
"""Control registers of the chip (32 bits each, offsets from `address_map.CONTROL.base`), one
definition."""

import dataclasses
import enum

from hw.arch.units import State, Unit

__all__ = [
    "CACHE_REGISTERS",
    "COUNTERS",
    "COUNTER_BASE",
    "ELEMENT_REGISTERS",
    "GRID_REGISTERS",
    "HOST_PLACE",
    "JOB_SETTINGS",
    "N_GROUPS",
    "N_JOBS",
    "PAGE_BITS",
    "REGISTERS",
    "ControlPage",
    "Counter",
    "DebugSpace",
    "JobState",
    "N_RANGES",
    "RANGE_BLOCK_BYTES",
    "RANGE_REGISTERS",
    "Register",
    "counter_offset",
]


@dataclasses.dataclass(frozen=True)
class Register:
    """One 32-bit register."""

    name: str
    offset: int
    access: str
    """`ro`, `rw`, or `wo`."""
    doc: str
    reset: int = 0
    """What a `rw` register holds after reset."""


class JobState(enum.IntEnum):
    """Value of JOB_STATE."""

    IDLE = 0
    RUNNING = 1
    DONE = 2
    ERROR = 3
    ABORTING = 4


class DebugSpace(enum.IntEnum):
    """What DEBUG_SELECT[31:24] looks at; bits 15:8 are an index, bits 7:0 a word of it."""

    UNIT = 0
    """Index: unit. Word 0: state | cb << 8 | bank << 16 | queue fill << 24; word 1: tag | opcode
    << 16; word 2: steps done."""
    CB = 1
    """Index: CB. Word 0: base | depth << 16; 1: reserve | commit << 16; 2: claim | release << 16;
    3: valid | shared << 1 | producer unit << 8 | producer known << 15 | consumer unit << 16 |
    consumer known << 23; 4: committed-not-claimed | room << 16 (64-byte units)."""
    QUEUE = 2
    """Index: unit. Words 0-15: the command at the queue's head."""
    COUNTER = 3
    """Index: CP counter. Word 0: value."""
    SOURCE = 4
    """Index: command source (0, 1 cores, 2 work queue). Word 0: waiting | opcode << 8 | tag << 16;
    1-4: its first quad."""
    BANK = 5
    """Index: accumulator bank. Word 0: bank state (0 free, 1 ready, 2 open, 3 closing, 4 full, 5
    draining, 6 filling)."""


N_RANGES = 4
"""Address ranges that a job may be confined to."""
RANGE_BLOCK_BYTES = 256
"""Ranges begin and end at blocks of so many bytes."""
_ALL = 0xFFFF_FFFF

_R = Register


def _range_registers(index: int) -> tuple[Register, ...]:
    """The three registers of a range; after reset range 0 allows everything, the others nothing."""
    base = 0x080 + 16 * index
    return (
        _R(f"RANGE{index}_FIRST", base, "rw", f"range {index}: first block of 256 bytes"),
        _R(
            f"RANGE{index}_LAST",
            base + 4,
            "rw",
            f"range {index}: last block of 256 bytes, included",
            _ALL if index == 0 else 0,
        ),
        _R(
            f"RANGE{index}_ACCESS",
            base + 8,
            "rw",
            f"range {index}: 1 may be read, 2 may be written, 3 both, 0 neither",
            3 if index == 0 else 0,
        ),
    )


RANGE_REGISTERS = tuple(_range_registers(index) for index in range(N_RANGES))
"""First block, last block and access of each range that the fabric interface may touch; on a chip
with one element to be changed while no job runs."""
REGISTERS: dict[str, Register] = {
    register.name: register
    for register in (
        _R("ID", 0x000, "ro", "0x4D544941, the letters MTIA"),
        _R("CONFIG", 0x004, "ro", "first 32 bits of the configuration's digest"),
        _R("JOB_LIST_LO", 0x010, "rw", "address of the command list, bits 31:0 (16-byte aligned)"),
        _R("JOB_LIST_HI", 0x014, "rw", "address of the command list, bits 39:32"),
        _R("JOB_LIST_QUADS", 0x018, "rw", "length of the command list in 16-byte quads"),
        _R(
            "JOB_START",
            0x01C,
            "wo",
            "write 1: start; ignored unless JOB_STATE is IDLE, DONE or ERROR",
        ),
        _R("JOB_ABORT", 0x020, "wo", "write 1: abort; ends in ERROR with cause ABORTED"),
        _R("JOB_STATE", 0x024, "ro", "0 idle, 1 running, 2 done, 3 error, 4 aborting or draining"),
        _R("JOB_STATUS", 0x028, "ro", "status field of the END command"),
        _R("JOB_CYCLES_LO", 0x02C, "ro", "cycles from JOB_START to completion, bits 31:0"),
        _R("JOB_CYCLES_HI", 0x030, "ro", "bits 47:32"),
        _R("ERROR_CAUSE", 0x034, "ro", "trap cause of the first error"),
        _R("ERROR_UNIT", 0x038, "ro", "unit | opcode << 8 | tag << 16 of the command at fault"),
        _R("ERROR_INFO", 0x03C, "ro", "cause-specific: CB number, address bits 31:0, field's bit"),
        _R("PROGRESS", 0x040, "ro", "changes whenever any unit does useful work (wraps)"),
        _R(
            "SNAPSHOT", 0x044, "wo", "write 1: copy all counters at once into the readable snapshot"
        ),
        _R("DEBUG_SELECT", 0x048, "rw", "space << 24 | index << 8 | word; see DebugSpace"),
        _R("DEBUG_DATA", 0x04C, "ro", "what DEBUG_SELECT selects, live"),
        _R("ECC_CORRECTED", 0x050, "ro", "single-bit errors corrected in shared SRAM"),
        _R("ECC_UNCORRECTED", 0x054, "ro", "words poisoned by double-bit errors in shared SRAM"),
        _R(
            "ECC_INJECT_LO",
            0x058,
            "rw",
            "address of the word in the SRAM that ECC_INJECT damages, bits 31:0; where that is"
            " cache, see Injected faults",
        ),
        _R("ECC_INJECT_HI", 0x05C, "rw", "bits 39:32"),
        _R(
            "ECC_INJECT",
            0x060,
            "wo",
            "write bit0 | bit1 << 8 | n << 16: flip n (1, 2) of the word's 72 bits",
        ),
        _R(
            "SRAM_CLEAR",
            0x064,
            "rw",
            "write 1: fill shared SRAM with zeros, needed once after power-on; reads 1 meanwhile",
        ),
        _R(
            "FI_READ_SHAPE",
            0x070,
            "rw",
            "limit of reads: bytes per 256 cycles | bytes at once << 16; a rate of 0: no limit",
        ),
        _R("FI_WRITE_SHAPE", 0x074, "rw", "the same for writes"),
        *(register for registers in RANGE_REGISTERS for register in registers),
    )
}
"""Register of a chip with one element, by name: all in one page."""


PAGE_BITS = 12
"""Bits of a byte offset into one page of control registers, which is all that a chip with one
element has."""


class ControlPage(enum.IntEnum):
    """Pages of 4 KB in the control region of a chip with a grid of elements."""

    GRID = 0
    """`GRID_REGISTERS`."""
    SELECTED = 1
    """`ELEMENT_REGISTERS` of all elements that GRID_ROWS and GRID_COLS select; writes only."""
    TRAFFIC = 2
    """Counters of the sides, `hw.arch.traffic`; reads only."""
    ELEMENTS = 0x100
    """`ELEMENT_REGISTERS` and counters of the element in row r and column c, at page 0x100 + 16 r +
    c."""


N_JOBS = 4
"""Jobs that a grid can tell apart; each may run on a sub-grid of its own."""

HOST_PLACE = (15, 15)
"""Row and column of a signal that is for the host's mailbox, not for an element."""
N_GROUPS = 4
"""Multicast groups of a row of elements, and of a column; jobs side by side use different ones."""

_CHIP_NAMES = ("ID", "CONFIG", *(name for name in REGISTERS if name[:4] in ("ECC_", "SRAM")))

ELEMENT_REGISTERS: dict[str, Register] = {
    **{name: register for name, register in REGISTERS.items() if name not in _CHIP_NAMES},
    **{
        register.name: register
        for register in (
            _R("JOB_ROW_STRIDE", 0x0C0, "rw", "bytes from the list of an element to that of the one"
               " below; its own list is at JOB_LIST + row * JOB_ROW_STRIDE + column *"
               " JOB_COL_STRIDE"),
            _R("JOB_COL_STRIDE", 0x0C4, "rw", "bytes from the list of an element to that of the one"
               " to the right"),
            _R("JOB_START", 0x01C, "wo", "write 1 | job << 8 on page SELECTED: start a job, 0 to 3"
               " (any other number is refused), on the selected elements; ignored on an element's"
               " own page"),
            _R("JOB_ABORT", 0x020, "wo", "write 2 | job << 8: abort that job, which runs or waits;"
               " it ends in ERROR with cause ABORTED, and so do those that wait behind it; nothing"
               " happens if the element has no such job. Write 1: abort all that it has"),
            _R("JOB_QUEUE", 0x0C8, "ro", "jobs that wait or run, up to two"),
            _R("ERROR_JOB", 0x0CC, "ro", "number of the job that the error registers tell of"),
            _R("WAIT_UNIT", 0x0D0, "ro", "unit | opcode << 8 | tag << 16 of the first unit that"
               " waits, live"),
            _R("WAIT_STATE", 0x0D4, "ro", "the state that it is in, so what it waits for; 0: none"
               " waits"),
            _R("SIGNAL", 0x0D8, "wo", "write a counter's number: increment that counter of the job"
               " that runs, or is about to; without a job nothing happens. One that is about to run"
               " keeps up to eight"),
            *(
                _R(f"MULTICAST{group}", 0x0E0 + 4 * group, "rw", f"members of group {group}:"
                   " columns for the element's row | rows for its column << 16, a bit each")
                for group in range(N_GROUPS)
            ),
        )
    },
}  # fmt: skip
"""Register of an element in a grid, by name."""

JOB_SETTINGS = tuple(
    name for name in ELEMENT_REGISTERS if name.startswith(("FI_", "RANGE", "MULTICAST"))
)
"""Registers of an element in a grid whose values a job takes with it when JOB_START is written.
They show those of the job that runs, or that ran last; what is written is for the next start."""

GRID_REGISTERS: dict[str, Register] = {
    **{name: REGISTERS[name] for name in _CHIP_NAMES},
    **{
        register.name: register
        for register in (
            _R("GRID_SHAPE", 0x100, "ro", "rows | columns << 8"),
            _R("GRID_ROWS", 0x104, "rw", "rows that page SELECTED means, a bit each", _ALL),
            _R("GRID_COLS", 0x108, "rw", "columns that page SELECTED means, a bit each", _ALL),
            _R("GRID_ERROR", 0x10C, "ro", "first element that failed since all were idle:"
               " row | column << 8 | cause << 16 | job << 24 | 1 << 31; its own error registers"
               " say more"),
            _R("GRID_DONE", 0x110, "ro", "jobs that ended, a bit each; a start clears its own"),
            _R("GRID_FAILED", 0x118, "ro", "jobs that failed on some element, a bit each; a start"
               " clears its own"),
            _R("GRID_REFUSED", 0x11C, "ro", "1 if the last JOB_START on page SELECTED was refused:"
               " there is no job of that number, no element is selected, one has two jobs, or one"
               " still works for that job"),
            _R("GRID_PROGRESS", 0x120, "ro", "changes whenever any unit of any element does useful"
               " work (wraps)"),
            _R("GRID_SNAPSHOT", 0x124, "wo", "write 1: copy all counters of all elements and sides"
               " at once, as SNAPSHOT does; write 2: set the sides' traffic counters to zero"),
            _R("GRID_WATCHDOG", 0x128, "rw", "cycles without progress after which a job hangs,"
               " until it ends or this is written; 0: never. A job that shares no element with"
               " others hangs whatever they do"),
            _R("GRID_HANG", 0x12C, "ro", "first element that has not completed of the first job"
               " in GRID_WAIT that hangs: row | column << 8 | job << 24 | 1 << 31; its WAIT"
               " registers say more. Not 0: the interrupt is high"),
            _R("GRID_LEFT_OUT", 0x13C, "rw", "row of tiles that is left out, after reset the last;"
               " only members with a spare row have it. To be written while no element is read; a"
               " write is dropped once a job has started, and for a row that is not there"),
            _R("MAILBOX", 0x1A0, "ro", "oldest message of an element: counter | column << 8 | row"
               " << 16 | lost << 30 | 1 << 31; bit 31 is 0 while there is none, `lost` is 1 when"
               " one came while 16 waited"),
            _R("MAILBOX_POP", 0x1A4, "wo", "write 1: drop the oldest message; write 2: clear"
               " `lost`"),
            _R("MAILBOX_IRQ", 0x1A8, "rw", "1: the interrupt is high while a message waits"),
            _R("DMA_HOST_LO", 0x1C0, "rw", "address in the host's memory, bits 31:0"),
            _R("DMA_HOST_HI", 0x1C4, "rw", "bits 39:32"),
            _R("DMA_CHIP_LO", 0x1C8, "rw", "address in SRAM or DRAM, bits 31:0"),
            _R("DMA_CHIP_HI", 0x1CC, "rw", "bits 39:32"),
            _R("DMA_BYTES", 0x1D0, "rw", "bytes to copy, any number but 0; both addresses are"
               " multiples of a line"),
            _R("DMA_START", 0x1D4, "wo", "write 1: copy from the host's memory to the chip's; 2:"
               " back. Anything else, or while a transfer runs, starts nothing, and sets `refused`"
               " of DMA_STATE until the next write"),
            _R("DMA_STATE", 0x1D8, "ro", "0 idle, 1 busy, 2 done, 3 error | cause << 8 | refused"
               " << 16. Causes: 1 misaligned or no bytes, 2 refused by the host's memory, 3 by the"
               " chip's, 4 poison was read, 5 aborted; one beside busy: the transfer ends with it"
               " when all that it has asked for is answered"),
            _R("DMA_IRQ", 0x1DC, "rw", "1: the interrupt is high from the end of a transfer to the"
               " start of the next"),
            _R("DMA_ABORT", 0x1E0, "wo", "write 1: end the transfer that runs, if one does: it asks"
               " for no more, and what it has asked for is not written when it comes. It is busy"
               " until that has come"),
            _R("GRID_WAIT", 0x114, "rw", "jobs of which one that ended, or hangs, raises the"
               " interrupt", _ALL),
            *(
                register
                for job in range(N_JOBS)
                for register in (
                    _R(f"JOB{job}_PENDING", 0x140 + 16 * job, "ro",
                       f"elements that still work for job {job}"),
                    _R(f"JOB{job}_CYCLES_LO", 0x144 + 16 * job, "ro",
                       f"cycles from the start of job {job} to its completion, bits 31:0"),
                    _R(f"JOB{job}_CYCLES_HI", 0x148 + 16 * job, "ro", "bits 47:32"),
                )
            ),
        )
    },
}  # fmt: skip
"""Register of a chip with a grid of elements, by name, in page GRID."""

CACHE_REGISTERS: dict[str, Register] = {
    register.name: register
    for register in (
        _R("CACHE_WAYS", 0x180, "rw", "ways of each slice that are cache, in bits 7:0; a change"
           " flushes the cache. Reads show in bits 15:8 how many ways a slice has; what is beyond"
           " that means all"),
        _R("CACHE_FIRST", 0x184, "rw", "first line of the range of CACHE_COMMAND: its distance from"
           " the beginning of DRAM in units of a link's bytes"),
        _R("CACHE_LAST", 0x188, "rw", "last line of the range, included"),
        _R("CACHE_COMMAND", 0x18C, "wo", "what to do with the range: 1 flush, 2 invalidate, 3 drop,"
           " 4 prefetch; ignored while CACHE_STATUS says busy"),
        _R("CACHE_STATUS", 0x190, "rw", "bit 0: busy with a command or a change of CACHE_WAYS; bit"
           " 1: a line could not be written back, as a word of it is lost; bit 2: DRAM refused a"
           " line that was written back. A write clears bits 1 and 2"),
    )
}  # fmt: skip
"""Register of memory-side caches, by name, in page GRID of a chip that has them."""


@dataclasses.dataclass(frozen=True)
class Counter:
    """One 48-bit performance counter."""

    name: str
    doc: str


_STALLS = [state for state in State if state.name.startswith("WAIT_")]

COUNTERS: tuple[Counter, ...] = (
    Counter("cycles", "cycles since the job started"),
    *(
        Counter(
            f"{unit.name.lower()}.{state.name.lower()}",
            f"cycles in which {unit.name} was {state.name}",
        )
        for unit in Unit
        if unit is not Unit.CP
        for state in (State.BUSY, *_STALLS)
    ),
    Counter("cp.commands", "commands issued to units"),
    Counter("cp.short_commands", "commands the command processor ran itself"),
    Counter("dpe.rows", "rows streamed through the dot-product engine"),
    Counter("dpe.held_blocks", "blocks loaded as held operand"),
    Counter("se.elements", "elements that left the SIMD engine"),
    Counter("mlu.words", "words that the memory layout unit wrote or sent to the engine"),
    Counter("ls.conflicts_dpe", "local-memory requests of the dot-product engine that lost a bank"),
    Counter("ls.conflicts_fi", "local-memory requests of the fabric interface that lost a bank"),
    Counter("ls.conflicts_re", "local-memory requests of the reduction engine that lost a bank"),
    Counter("ls.conflicts_se", "local-memory requests of the SIMD engine that lost a bank"),
    Counter("ls.conflicts_mlu", "local-memory requests of the memory layout unit that lost a bank"),
    Counter("ls.reads", "words read"),
    Counter("ls.writes", "words written"),
    Counter("fi.read_bytes", "useful bytes landed"),
    Counter("fi.read_lines", "link-wide reads sent"),
    Counter("fi.write_bytes", "useful bytes written"),
    Counter("fi.write_lines", "link-wide writes sent"),
    Counter("sram.read_lines", "lines read from shared SRAM"),
    Counter("sram.write_lines", "lines written to shared SRAM"),
    Counter("sram.rmw", "partial words that cost a read-modify-write"),
    Counter("dram.read_bytes", "bytes read from DRAM"),
    Counter("dram.write_bytes", "bytes written to DRAM"),
)
"""Every performance counter, in address order."""

COUNTER_BASE = 0x400


def counter_offset(name: str) -> int:
    """Offset of the low word of a counter's snapshot; the high word follows at + 4.

    Raises
    ------
    KeyError
        If there is no such counter.
    """
    for index, counter in enumerate(COUNTERS):
        if counter.name == name:
            return COUNTER_BASE + 8 * index
    raise KeyError(f"there is no counter {name!r}")
