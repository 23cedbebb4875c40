# SPDX-License-Identifier: Apache-2.0
"""The tables of the command set: every command, every field, once."""

from hw.arch.fields import LEVELS, Command, Field, FieldLayout
from hw.arch.opcodes import Opcode

__all__ = ["COMMANDS", "OFFSET_FIELDS"]


def _header() -> FieldLayout:
    return (
        FieldLayout(0)
        .add("opcode", 8, "command code")
        .add("tag", 16, "free for software; named in traps and traces")
        .add("signal_en", 1, "increment a CP counter when the command is complete")
        .add("signal_counter", 5, "CP counter that is incremented")
        .add(
            "signal_row", 4, "row of the element whose counter it is, relative to this one (mod 16)"
        )
        .add("signal_col", 4, "column of that element, relative to this one (mod 16)")
    )


def _long_header() -> FieldLayout:
    return (
        _header()
        .add("store", 1, "store the command in a context instead of running it")
        .add("context", 4, "context that `store` fills")
        .skip_to(48)
    )


def _long() -> FieldLayout:
    return _long_header().counts()


def _short() -> FieldLayout:
    return _header().skip_to(48)


def _dma(doc_mem: str) -> FieldLayout:
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


def _indexed(doc_mem: str) -> FieldLayout:
    """What GATHER and SCATTER have in common; the operand lies where that of `_dma` does."""
    return (
        _long()
        .add("mem_addr", 40, f"{doc_mem}, byte address of row 0")
        .add("row_pitch", 32, "bytes from row to row of the table")
        .add("index_limit", 32, "rows of the table; an index must be less")
        .add("index_cb", 8, "circular buffer of the indices")
        .add("index_offset", 16, "first index, in 4-byte units from the CB pointer")
        .add("index_need", 13, "units of 64 bytes, from the CB pointer, that hold all indices")
        .add("index_adv", 13, "how far the index buffer's pointer moves at the end, 64-byte units")
        .skip_to(296)
        .operand("", 20, "bytes")
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
        " order. With `multicast` all members of the group run it, with the same bytes of memory in"
        " the same order.",
        _dma("source")
        .add("column", 1, "use the column lane's landing port instead of the row lane's")
        .add("zero_fill", 1, "fill the last word of every run with zeros")
        .add("multicast", 1, "read each line once for all members of a group of elements")
        .add("group", 2, "that group: of the row, or with `column` of the column; see MULTICASTn")
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
        .skip_to(493)
        .add("zero_fill", 1, "fill the last word of every row with zeros")
        .tuple(),
    ),
    Command(
        Opcode.SCATTER,
        "Write rows from local memory into a table in memory, in the order of a list of 32-bit"
        " indices in local memory; layout as in GATHER. An index may occur more than once.",
        _indexed("destination")
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
