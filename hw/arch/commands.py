# SPDX-License-Identifier: Apache-2.0
"""The command set: every command, every field, once.

RTL decoders (`hw.iface.command_view`), assembler and disassembler (`encode`, `decode`) and
`docs/commands.md` all follow from these tables. A command list is a sequence of 16-byte quads.
Opcodes below 0x40 are *short* (one quad), the others *long* (four quads, 64 bytes). Field offsets
are bits from the start of the command; bits that no field names must be zero.
"""

import dataclasses
import enum

__all__ = [
    "COMMANDS",
    "LEVELS",
    "LONG_BITS",
    "NEVER",
    "OFFSET_FIELDS",
    "QUAD_BITS",
    "QUAD_BYTES",
    "Addend",
    "BMode",
    "Command",
    "Destination",
    "Factor",
    "Field",
    "Function",
    "LayoutOp",
    "LayoutTarget",
    "Opcode",
    "Post",
    "Pre",
    "Reduce",
    "ScatterMode",
    "SimdOut",
    "SimdSource",
    "Source",
    "decode",
    "encode",
    "is_long",
    "n_quads",
]

QUAD_BITS = 128
QUAD_BYTES = 16
LONG_BITS = 512
LEVELS = 5
"""Levels of every loop nest; level 0 is innermost."""
NEVER = 7
"""`adv_level` of an operand whose CB pointer does not move."""


class Opcode(enum.IntEnum):
    """Command codes; bit 6 set means a long command."""

    NOP = 0x00
    END = 0x01
    FENCE = 0x02
    WAIT = 0x03
    SIGNAL = 0x04
    SET_COUNTER = 0x05
    CB = 0x06
    RUN = 0x07
    DMA_IN = 0x40
    DMA_OUT = 0x41
    MML = 0x42
    DRAIN = 0x43
    PRELOAD = 0x44
    SE_PROGRAM = 0x45
    SIMD = 0x46
    LAYOUT = 0x47
    GATHER = 0x48
    SCATTER = 0x49


class Destination(enum.IntEnum):
    """Where DRAIN sends rows."""

    LS = 0
    SOUTH = 1
    EAST = 2
    SE = 3


class Source(enum.IntEnum):
    """What DRAIN adds to its own rows (own + incoming)."""

    NONE = 0
    NORTH = 1
    WEST = 2


class BMode(enum.IntEnum):
    """Where SIMD's values b (and c) come from."""

    NONE = 0
    """The program's immediates."""
    ELEMENT = 1
    """A second operand, element by element; strides of 0 repeat a row."""
    ROW = 2
    """One FP32 value (with `b_pair` two, one after the other) for each row."""
    HELD = 3
    """A row of at most `columns` elements, read once for each iteration of level 2 and up and
    held meanwhile; with `b_pair` a second row of FP32 follows at the next word."""


class Pre(enum.IntEnum):
    """First operation of SIMD, on a and b."""

    PASS = 0
    ADD = 1
    SUB = 2
    RSUB = 3
    MIN = 4
    MAX = 5
    SELECT = 6
    """a is not zero ? b : c."""
    SELECT_POSITIVE = 7
    """a > 0 ? b : c."""


class Factor(enum.IntEnum):
    """What SIMD multiplies with."""

    NONE = 0
    IMMEDIATE = 1
    B = 2
    C = 3
    SELF = 4


class Addend(enum.IntEnum):
    """What SIMD adds after the multiplication."""

    NONE = 0
    IMMEDIATE = 1
    B = 2
    C = 3


class Function(enum.IntEnum):
    """Table functions of the SIMD engine."""

    NONE = 0
    EXP = 1
    LOG = 2
    RECIPROCAL = 3
    RSQRT = 4
    SIGMOID = 5
    TANH = 6
    GELU = 7
    SILU = 8


class Post(enum.IntEnum):
    """Factor after the function; TANH, GELU and SILU use the multiplier themselves."""

    NONE = 0
    STATISTIC = 1
    """The row's own statistic: the row waits in the row buffer until it is known."""
    B = 2
    C = 3


class Reduce(enum.IntEnum):
    """Reduction of a row (of what the function gives)."""

    NONE = 0
    SUM = 1
    MAX = 2
    MIN = 3
    ABSMAX = 4
    SUM_SQUARES = 5
    """Sum of the squares of what `relu` gives; the elements themselves go on unsquared."""


class SimdOut(enum.IntEnum):
    """What SIMD writes."""

    ELEMENTS = 0
    STATISTICS = 1
    """One FP32 value for each row, without the elements."""
    BOTH = 2
    """The elements, and at the next word the row's statistic before its function (FP32)."""


class SimdSource(enum.IntEnum):
    """Where SIMD's rows come from."""

    LS = 0
    RE = 1
    """A DRAIN with destination SE sends them."""


class LayoutOp(enum.IntEnum):
    """Operations of the memory layout unit."""

    COPY = 0
    TRANSPOSE = 1
    DIAGONAL = 2
    FILL = 3


class LayoutTarget(enum.IntEnum):
    """Where the memory layout unit sends words."""

    LS = 0
    DPE_A = 1
    DPE_B = 2


class ScatterMode(enum.IntEnum):
    """What SCATTER does with a row."""

    STORE = 0
    ADD = 1


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: `width` bits at bit `offset` of the command."""

    name: str
    offset: int
    width: int
    doc: str
    signed: bool = False
    default: int = 0

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.width - self.signed)) - 1


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: its opcode, fields, and what it does."""

    opcode: Opcode
    doc: str
    fields: tuple[Field, ...]

    @property
    def name(self) -> str:
        """Assembler mnemonic, lower case."""
        return self.opcode.name.lower()

    @property
    def bits(self) -> int:
        """Encoded size in bits."""
        return LONG_BITS if is_long(self.opcode) else QUAD_BITS

    def field(self, name: str) -> Field:
        """Return the field called `name`; `KeyError` if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field {name!r}")


def is_long(opcode: int) -> bool:
    """Whether a command of this opcode takes four quads."""
    return bool(opcode & 0x40)


def n_quads(opcode: int) -> int:
    """Quads of a command of this opcode."""
    return 4 if is_long(opcode) else 1


class _Layout:
    """Places fields one after another."""

    def __init__(self, start: int) -> None:
        self.position = start
        self.fields: list[Field] = []

    def add(
        self, name: str, width: int, doc: str, signed: bool = False, default: int = 0
    ) -> "_Layout":
        self.fields.append(Field(name, self.position, width, doc, signed, default))
        self.position += width
        return self

    def skip_to(self, position: int) -> "_Layout":
        assert position >= self.position
        self.position = position
        return self

    def counts(self) -> "_Layout":
        for level in range(LEVELS):
            self.add(
                f"count{level}", 16, f"iterations of loop level {level}, at least 1", default=1
            )
        return self

    def operand(
        self,
        prefix: str,
        stride_width: int,
        unit: str,
        *,
        first_level: int = 0,
        amount_width: int = 16,
    ) -> "_Layout":
        """A circular-buffer operand; `unit` is the unit of its offset and strides."""
        self.add(f"{prefix}cb", 8, "circular buffer")
        self.add(f"{prefix}offset", stride_width, f"start, in {unit} from the CB pointer")
        for level in range(first_level, LEVELS):
            self.add(
                f"{prefix}stride{level}",
                stride_width,
                f"{unit} per iteration of level {level}",
                True,
            )
        self.add(f"{prefix}step_level", 3, "levels below this one form one step", default=1)
        self.add(
            f"{prefix}adv_level",
            3,
            "the CB pointer moves when all levels below this one end; 7: it does not move",
            default=NEVER,
        )
        self.add(
            f"{prefix}need",
            amount_width,
            "extent of one step, in 64-byte units from the step's start",
        )
        self.add(f"{prefix}adv", amount_width, "how far the CB pointer moves, in 64-byte units")
        return self

    def banks(self) -> "_Layout":
        self.add("bank", 4, "accumulator bank of the first visit")
        for level in range(1, LEVELS):
            self.add(
                f"bank_stride{level}", 4, f"banks per iteration of level {level}, modulo banks"
            )
        return self

    def tuple(self) -> tuple[Field, ...]:
        return tuple(self.fields)


def _header() -> _Layout:
    return (
        _Layout(0)
        .add("opcode", 8, "command code")
        .add("tag", 16, "free for software; named in traps and traces")
        .add("signal_en", 1, "increment a CP counter when the command is complete")
        .add("signal_counter", 5, "CP counter that is incremented")
        .add(
            "signal_row", 4, "row of the element whose counter it is, relative to this one (mod 16)"
        )
        .add("signal_col", 4, "column of that element, relative to this one (mod 16)")
    )


def _long_header() -> _Layout:
    return (
        _header()
        .add("store", 1, "store the command in a context instead of running it")
        .add("context", 4, "context that `store` fills")
        .skip_to(48)
    )


def _long() -> _Layout:
    return _long_header().counts()


def _short() -> _Layout:
    return _header().skip_to(48)


def _dma(doc_mem: str) -> _Layout:
    layout = _long().add("mem_addr", 40, f"{doc_mem}, byte address")
    for level in range(1, LEVELS):
        layout.add(f"mem_stride{level}", 32, f"bytes per iteration of level {level}", True)
    layout.operand("", 20, "bytes")
    layout.add("tail_level", 3, "loop level whose last iteration is smaller")
    layout.add("tail_inner", 1, "level (0 or 1, below tail_level) with fewer iterations in it")
    layout.add("tail_count", 16, "count of that level in that iteration; 0: no tail")
    return layout.add(
        "tail_adv", 10, "need and adv in that iteration, in 64-byte units; 0: as ever"
    )


def _indexed(doc_mem: str) -> _Layout:
    return (
        _long()
        .add("mem_addr", 40, f"{doc_mem}, byte address of row 0")
        .add("row_pitch", 32, "bytes from row to row of the table")
        .add("index_limit", 32, "rows of the table; an index must be less")
        .add("index_cb", 8, "circular buffer of the indices")
        .add("index_offset", 16, "first index, in 4-byte units from the CB pointer")
        .add("index_need", 13, "units of 64 bytes, from the CB pointer, that hold all indices")
        .add("index_adv", 13, "how far the index buffer's pointer moves at the end, 64-byte units")
    )


def _program() -> tuple[Field, ...]:
    layout = (
        _long_header()
        .add("program", 4, "program slot")
        .add("a_format", 3, "format of a", default=5)
        .add("b_format", 3, "format of b (b_mode ELEMENT, HELD)", default=5)
        .add("out_format", 3, "format of the elements written", default=5)
        .add("b_mode", 2, "where b comes from: 0 immediate, 1 elements, 2 rows, 3 held row")
        .add("b_pair", 1, "b's operand (ROW, HELD) holds c too")
        .add("pre", 3, "0 a, 1 a+b, 2 a-b, 3 b-a, 4 min, 5 max, 6 a!=0 ? b : c, 7 a>0 ? b : c")
        .add("relu", 1, "replace negative values by 0")
        .add("factor", 3, "times: 0 nothing, 1 imm_factor, 2 b, 3 c, 4 itself")
        .add("addend", 2, "plus: 0 nothing, 1 imm_addend, 2 b, 3 c")
        .add("function", 4, "table function, 0: none")
        .add(
            "reduce",
            3,
            "of a row: 0 nothing, 1 sum, 2 max, 3 min, 4 largest magnitude, 5 sum of squares",
        )
        .add("post", 2, "times: 0 nothing, 1 the row's statistic, 2 b, 3 c")
        .add("out", 2, "writes: 0 elements, 1 a statistic for each row, 2 both")
        .add("clamp", 1, "limit to clamp_low .. clamp_high")
        .add("stochastic", 1, "round by the hash of (seed, tensor, element index)")
        .add("stat_function", 4, "function of the statistic, after factor and addend")
        .skip_to(96)
    )
    for name, doc, default in (
        ("imm_b", "b where no operand gives it", 0),
        ("imm_c", "c where no operand gives it", 0),
        ("imm_factor", "factor", 0x3F800000),
        ("imm_addend", "addend", 0),
        ("clamp_low", "least value", 0xFF800000),
        ("clamp_high", "largest value", 0x7F800000),
        ("stat_factor", "the statistic is first multiplied with it", 0x3F800000),
        ("stat_addend", "then this is added", 0),
    ):
        layout.add(name, 32, f"{doc} (bits of an FP32)", default=default)
    return (
        layout.add("seed", 32, "stochastic rounding: seed")
        .add("tensor", 32, "stochastic rounding: tensor id")
        .add("index_base", 32, "stochastic rounding: index of the first element")
        .add("index_pitch", 32, "stochastic rounding: indices from row to row")
        .tuple()
    )


_COMMANDS = (
    Command(Opcode.NOP, "Do nothing.", _short().tuple()),
    Command(
        Opcode.END,
        "End of the job: wait until every unit is idle and every write acknowledged, then report"
        " completion with `status`.",
        _short().add("status", 32, "value that the host reads with the completion").tuple(),
    ),
    Command(
        Opcode.FENCE,
        "Wait until the units of `units` have finished every command issued before, with all their"
        " writes acknowledged. Later commands of this source wait meanwhile.",
        _short().add("units", 8, "mask of units", default=0x7F).tuple(),
    ),
    Command(
        Opcode.WAIT,
        "Wait until the counter has reached `value` (modulo 2^32: while counter - value is"
        " negative).",
        _short().add("counter", 5, "CP counter").skip_to(64).add("value", 32, "to reach").tuple(),
    ),
    Command(
        Opcode.SIGNAL,
        "Increment the CP counter named by the header's signal fields, after every earlier command"
        " of this source was dispatched.",
        _short().tuple(),
    ),
    Command(
        Opcode.SET_COUNTER,
        "Set a CP counter of this element.",
        _short().add("counter", 5, "CP counter").skip_to(64).add("value", 32, "new value").tuple(),
    ),
    Command(
        Opcode.CB,
        "Set up a circular buffer: base, depth, all four pointers at the base. Traps while it is"
        " in use.",
        _short()
        .add("cb", 8, "circular buffer")
        .add("shared", 1, "several units may consume it")
        .skip_to(64)
        .add("base", 16, "start in local memory, in 64-byte units")
        .add("depth", 16, "size in 64-byte units, at least 1")
        .tuple(),
    ),
    Command(
        Opcode.RUN,
        "Run the long command stored in a context, moved: `mem_delta` is added to its memory"
        " address, `ls_delta` to the offset of its operand: `a_offset` of MML and SIMD,"
        " `src_offset` of LAYOUT, `offset` of all others. SE_PROGRAM has neither and runs as it"
        " is. With `keep` the context keeps the new values, so the next RUN goes on from there."
        " The header's tag and signal fields replace the stored ones.",
        _short()
        .add("ctx", 4, "context")
        .add("keep", 1, "store the moved command back")
        .skip_to(64)
        .add("mem_delta", 40, "bytes added to mem_addr", True)
        .add("ls_delta", 20, "added to the offset, in its unit", True)
        .tuple(),
    ),
    Command(
        Opcode.DMA_IN,
        "Copy from memory into local memory. Level 0 is one run of count0 bytes, contiguous in"
        " memory;"
        " in local memory the run lies in pieces of one word, `stride0` bytes apart (one word:"
        " contiguous). The operand is a producer: a step reserves room, its data is committed in"
        " order.",
        _dma("source")
        .add("column", 1, "use the column lane's landing port instead of the row lane's")
        .add("zero_fill", 1, "fill the last word of every run with zeros")
        .tuple(),
    ),
    Command(
        Opcode.DMA_OUT,
        "Copy from local memory to memory; layout as in DMA_IN. The operand is a consumer: released"
        " when read, complete when every write is acknowledged.",
        _dma("destination").tuple(),
    ),
    Command(
        Opcode.MML,
        "Matrix multiply: hold blocks of B, stream rows of A past them, accumulate in banks."
        " Level 0"
        " counts streamed rows; one iteration of level 1 is a *visit* of one bank. A new block is"
        " held for every iteration of `held_level`.",
        _long()
        .operand("a_", 16, "words")
        .operand("b_", 16, "words")
        .banks()
        .add("held_level", 3, "levels below this one reuse the held block", default=1)
        .add("k_level", 3, "loop level that walks K; only this one accumulates")
        .add("m_level", 3, "loop level whose last iteration has m_tail rows")
        .add("n_level", 3, "loop level whose last iteration has n_tail columns")
        .add("k_tail", 7, "bytes of K in the last iteration of k_level; 0: all")
        .add("m_tail", 6, "rows in the last iteration of m_level; 0: count0")
        .add("n_tail", 6, "columns in the last iteration of n_level; 0: all")
        .add("a_format", 3, "format of A")
        .add("b_format", 3, "format of B")
        .add("by_row", 1, "a row of B's block is a column's vector (B is N x K), else K x N")
        .add("init", 1, "the first visit of a bank overwrites it, else it adds to what is there")
        .add("done", 1, "the last visit of a bank makes it ready to drain")
        .add("a_from_mlu", 1, "words of A come from the layout unit; its buffer only paces steps")
        .add("b_from_mlu", 1, "words of B come from the layout unit; its buffer only paces steps")
        .tuple(),
    ),
    Command(
        Opcode.DRAIN,
        "Send accumulator banks on, one row a cycle, when MML has made them ready; afterwards"
        " they are"
        " free. Level 0 counts rows, one iteration of level 1 is one bank.",
        _long()
        .operand("", 16, "words")
        .banks()
        .add("m_level", 3, "loop level whose last iteration has m_tail rows")
        .add("m_tail", 6, "rows in the last iteration of m_level; 0: count0")
        .add("n_level", 3, "loop level whose last iteration has n_tail columns")
        .add("n_tail", 6, "columns that count for min/max in that iteration; 0: all")
        .add("format", 3, "INT32 or FP32", default=4)
        .add("destination", 2, "0 local memory, 1 south, 2 east, 3 SIMD engine")
        .add("source", 2, "added to each own row: 0 nothing, 1 from north, 2 from west")
        .add("minmax", 1, "store each row's minimum and maximum (2 x 32 bits) instead of the row")
        .tuple(),
    ),
    Command(
        Opcode.PRELOAD,
        "Fill free accumulator banks with one row of local memory, copied to every row (bias)."
        " Level 1"
        " and up walk the banks; count0 is 1.",
        _long().operand("", 16, "words").banks().tuple(),
    ),
    Command(
        Opcode.SE_PROGRAM,
        "Fill a program slot of the SIMD engine: what every element goes through in a SIMD command"
        " that names it. In order: a and b become FP32; `pre`; `relu`; times `factor`; plus"
        " `addend`; `function`; reduction; times `post`; clamp; conversion.",
        _program(),
    ),
    Command(
        Opcode.SIMD,
        "Run a program of the SIMD engine over rows. Level 0 counts the elements of a row, which"
        " lie one after the other in every operand and begin at a word. With `accumulate` the rows"
        " of level 2 are added up, element by element, before the function, and only the sums go"
        " on.",
        _long()
        .operand("a_", 16, "words", first_level=1, amount_width=13)
        .operand("b_", 16, "words (b_mode ROW: FP32 values)", first_level=1, amount_width=13)
        .operand("", 16, "words (statistics: FP32 values)", first_level=1, amount_width=13)
        .add("program", 4, "program slot")
        .add("source", 1, "rows of a: 0 local memory, 1 reduction engine (operand a is not used)")
        .add("tail_level", 3, "loop level (2 to 4) whose last iteration has fewer rows")
        .add("tail_count", 7, "count of level 1 in that iteration; 0: no tail")
        .add("accumulate", 1, "add up the iterations of level 2")
        .tuple(),
    ),
    Command(
        Opcode.LAYOUT,
        "Memory layout unit: rearrange local memory, or feed the dot-product engine. Level 0 is one"
        " run (COPY, FILL: count0 bytes, laid out on each side as in DMA_IN), one block of count0"
        " words (TRANSPOSE), or one word with count0 elements (DIAGONAL). The source is a consumer,"
        " the other operand a producer.",
        _long()
        .operand("src_", 20, "bytes", amount_width=13)
        .operand("", 20, "bytes", amount_width=13)
        .add("operation", 2, "0 copy, 1 transpose, 2 diagonal, 3 fill")
        .add("element", 2, "element: 0 4 bits, 1 8 bits, 2 16 bits, 3 32 bits")
        .add("target", 2, "0 local memory, 1 operand A of the next MML, 2 operand B")
        .add("out_level", 3, "loop level whose last iteration has out_count; 7: all have")
        .add("out_count", 8, "words per block (TRANSPOSE), per word (DIAGONAL); 0: a full block")
        .add("tail_level", 3, "loop level whose last iteration is smaller")
        .add("tail_inner", 1, "level (0 or 1, below tail_level) with fewer iterations in it")
        .add("tail_count", 16, "count of that level in that iteration; 0: no tail")
        .add("value", 8, "FILL: byte to write")
        .tuple(),
    ),
    Command(
        Opcode.GATHER,
        "Copy rows of a table in memory into local memory, in the order of a list of 32-bit"
        " indices in local memory. Level 0 is one row of count0 bytes, laid out as in DMA_IN; every"
        " iteration of the levels above takes the next index.",
        _indexed("source")
        .operand("", 20, "bytes", amount_width=13)
        .add("zero_fill", 1, "fill the last word of every row with zeros")
        .tuple(),
    ),
    Command(
        Opcode.SCATTER,
        "Write rows from local memory into a table in memory, in the order of a list of 32-bit"
        " indices in local memory; layout as in GATHER. An index may occur more than once.",
        _indexed("destination")
        .operand("", 20, "bytes", amount_width=13)
        .add("mode", 1, "0 store, 1 add to what is there")
        .add("format", 3, "ADD: format of the elements, FP32 or INT32", default=5)
        .tuple(),
    ),
)

COMMANDS: dict[Opcode, Command] = {command.opcode: command for command in _COMMANDS}
"""Every command by opcode."""

OFFSET_FIELDS: dict[Opcode, str] = {
    Opcode.DMA_IN: "offset",
    Opcode.DMA_OUT: "offset",
    Opcode.MML: "a_offset",
    Opcode.DRAIN: "offset",
    Opcode.PRELOAD: "offset",
    Opcode.SIMD: "a_offset",
    Opcode.LAYOUT: "src_offset",
    Opcode.GATHER: "offset",
    Opcode.SCATTER: "offset",
}
"""Field to which RUN adds `ls_delta`; `mem_delta` goes to `mem_addr` of those that have one."""


def encode(opcode: Opcode, **values: int) -> bytes:
    """Encode one command; fields not given take their defaults.

    Raises
    ------
    ValueError
        If a field does not exist or a value does not fit; one sentence.
    """
    command = COMMANDS[opcode]
    word = 0
    known = {field.name for field in command.fields}
    for name in values:
        if name not in known:
            raise ValueError(
                f"{command.name} has no field {name!r}; it has {', '.join(sorted(known))}."
            )
    for field in command.fields:
        value = (
            int(opcode) if field.name == "opcode" else int(values.get(field.name, field.default))
        )
        if not field.low <= value <= field.high:
            raise ValueError(
                f"{command.name}.{field.name} is {value}; it must be from {field.low} to"
                f" {field.high}."
            )
        word |= (value & ((1 << field.width) - 1)) << field.offset
    return word.to_bytes(command.bits // 8, "little")


def decode(data: bytes) -> tuple[Command, dict[str, int]]:
    """Decode the command at the start of `data`; return it with its field values.

    Raises
    ------
    ValueError
        If the opcode is unknown, the data too short, or a reserved bit set; one sentence.
    """
    if not data or data[0] not in COMMANDS:
        raise ValueError(f"0x{data[0] if data else 0:02x} is not an opcode of this command set.")
    command = COMMANDS[Opcode(data[0])]
    if len(data) < command.bits // 8:
        raise ValueError(
            f"{command.name} takes {command.bits // 8} bytes; only {len(data)} are left."
        )
    word = int.from_bytes(data[: command.bits // 8], "little")
    values: dict[str, int] = {}
    for field in command.fields:
        raw = word >> field.offset & (1 << field.width) - 1
        word &= ~(((1 << field.width) - 1) << field.offset)
        values[field.name] = raw - (1 << field.width) if field.signed and raw > field.high else raw
    if word:
        raise ValueError(f"{command.name} has reserved bits set (bit {word.bit_length() - 1}).")
    return command, values
