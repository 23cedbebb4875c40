# SPDX-License-Identifier: Apache-2.0
"""Chains of random jobs: what comes in, through which units it goes, and how it leaves."""

import dataclasses
import random
import struct
from collections.abc import Callable

from hw.arch.commands import (
    NEVER,
    BMode,
    Destination,
    LayoutOp,
    LayoutTarget,
    Opcode,
    ScatterMode,
    SimdOut,
    SimdSource,
)
from hw.arch.formats import Format
from hw.config import ChipConfig
from tb.system.random_jobs import UNIT, Buffer, Builder, RandomJob, Rows, Windows
from tb.system.random_programs import drain_program, lane_program

__all__ = ["CHAINS", "chains_of", "random_job"]


def copy(b: Builder) -> str:
    """Rows in, perhaps through the layout unit, and out."""
    rows = b.rows(b.rng.randint(1, 5 * b.word))
    n_layouts = b.rng.randint(0, 2)
    b.begin_chain(*[2 * rows.units * rows.steps] * (n_layouts + 1))
    buffer = b.buffer(rows.units)
    b.fetch(buffer, rows)
    for left in reversed(range(n_layouts)):
        pitch = (-(-rows.n_bytes // b.word) + b.rng.randint(0, 1)) * b.word
        to = dataclasses.replace(rows, pitch=pitch)
        # The unit takes the second command when the first has ended: all must find room.
        target = b.buffer(to.units, to.steps if left else 1)
        _layout(b, LayoutOp.COPY, (rows, buffer), (to, target), count0=rows.n_bytes)
        rows, buffer = to, target
    b.store(rows, buffer)
    return f"copy through {n_layouts} layouts"


def transpose(b: Builder) -> str:
    """Blocks of words in, transposed, and out."""
    element = b.rng.randrange(4)
    elements = 2 * b.word >> element
    n_in, n_out = b.rng.randint(1, elements), b.rng.randint(1, elements)
    rows = b.rows(n_in * b.word, most=3)
    to = rows.with_bytes(n_out * b.word, b.word)
    b.begin_chain(rows.units, to.units)
    source, target = b.buffer(rows.units), b.buffer(to.units)
    b.fetch(source, rows)
    _layout(b, LayoutOp.TRANSPOSE, (rows, source), (to, target), count0=n_in, element=element,
            out_count=n_out, out_level=NEVER)  # fmt: skip
    b.store(to, target)
    return f"transpose {4 << element} bits"


def fill(b: Builder) -> str:
    """Bytes of one value, and out."""
    rows = b.rows(b.rng.randint(1, 5 * b.word))
    b.begin_chain(rows.units)
    target = b.buffer(rows.units)
    _layout(b, LayoutOp.FILL, None, (rows, target), count0=rows.n_bytes, value=b.rng.randrange(256))
    b.store(rows, target)
    return "fill"


def _layout(
    b: Builder,
    operation: LayoutOp,
    source: tuple[Rows, Buffer] | None,
    target: tuple[Rows, Buffer],
    **fields: int,
) -> None:
    rows, to = target
    read = {}
    if source is not None:
        read = {"src_cb": source[1].cb, "src_stride0": b.word, **source[0].operand("src_")}
    tail = {}
    if rows.last != rows.count:
        tail = {"tail_level": 2, "tail_inner": 1, "tail_count": rows.last}
    b.commands.add(
        Opcode.LAYOUT, operation=operation, cb=to.cb, stride0=b.word,
        **read, **rows.operand(), **rows.counts, **tail, **fields,
    )  # fmt: skip


def simd(b: Builder) -> str:
    """Rows through a random program, and out."""
    accumulate = b.rng.random() < 0.25
    a_format = b.rng.choice(list(Format))
    n = b.rng.randint(1, 3 * b.pe.dpe.columns)
    rows = b.rows(n * a_format.n_bytes)
    if accumulate:
        beats = -(-n // b.pe.se.fp_lanes)
        count = max(1, min(rows.count, b.pe.se.sum_beats // beats))
        rows = dataclasses.replace(rows, count=count, last=count)
    modes = [BMode.NONE, BMode.ELEMENT, BMode.ROW]
    modes += [BMode.HELD] if n <= b.pe.dpe.columns else []
    program = lane_program(b.rng, b.pe.se, a_format, tuple(modes), accumulate)
    if program["out"] == SimdOut.STATISTICS:
        rows = dataclasses.replace(rows, last=rows.count)
    second, out = _second_rows(b, program, n, rows), _result_rows(b, program, n, rows)
    if accumulate:
        out = dataclasses.replace(out, steps=1)
    b.begin_chain(rows.units, out.units, second.units if second else 0)
    source, target = b.buffer(rows.units), b.buffer(out.units)
    fields = {**_fetch_second(b, program, second), "count0": n, "accumulate": accumulate}
    b.fetch(source, rows, lane=0)
    slot = b.rng.randrange(b.pe.se.programs)
    b.commands.add(Opcode.SE_PROGRAM, program=slot, **program)
    b.commands.add(
        Opcode.SIMD, program=slot, a_cb=source.cb, **rows.operand("a_", b.word),
        **_result(b, program, out, target, 3 if accumulate else 2),
        **rows.counts, **_row_tail(rows), **fields,
    )  # fmt: skip
    b.store(out, target)
    return f"simd {dict(program)} accumulate {accumulate}"


def _row_tail(rows: Rows) -> dict[str, int]:
    return {} if rows.last == rows.count else {"tail_level": 2, "tail_count": rows.last}


def _second_rows(b: Builder, program: dict[str, int], n: int, rows: Rows) -> Rows | None:
    """How operand b lies in its buffer."""
    pair = 2 if program["b_pair"] else 1
    match program["b_mode"]:
        case BMode.ELEMENT:
            return rows.with_bytes(n * Format(program["b_format"]).n_bytes, b.word)
        case BMode.ROW:  # packed: a step's values are one run
            return Rows(4 * pair * rows.count, _up(4 * pair * rows.count, b.word), 1, rows.steps, 1)
        case BMode.HELD:
            n_bytes = 4 * b.pe.dpe.columns * pair
            return Rows(n_bytes, n_bytes, 1, rows.steps, 1)
        case _:
            return None


def _fetch_second(b: Builder, program: dict[str, int], rows: Rows | None) -> dict[str, int]:
    """Bring operand b; its fields."""
    if rows is None:
        return {}
    buffer = b.buffer(rows.units)
    b.fetch(buffer, rows, lane=1)
    fields = {**rows.operand("b_", b.word), "b_cb": buffer.cb}
    if program["b_mode"] == BMode.ROW:
        fields["b_stride1"] = 2 if program["b_pair"] else 1
    return fields


def _up(n_bytes: int, word: int) -> int:
    return -(-n_bytes // word) * word


def _result_rows(b: Builder, program: dict[str, int], n: int, rows: Rows) -> Rows:
    """How the output lies in its buffer."""
    size = n * Format(program["out_format"]).n_bytes
    match program["out"]:
        case SimdOut.STATISTICS:  # packed
            return Rows(4 * rows.count, _up(4 * rows.count, b.word), 1, rows.steps, 1)
        case SimdOut.BOTH:
            # Between the elements and the statistic there may be bytes that nothing writes.
            n_bytes = size if size % b.word else size + 4
            pitch = _up(size, b.word) + _up(4, b.word)
            return dataclasses.replace(rows, n_bytes=n_bytes, pitch=pitch)
        case _:
            return rows.with_bytes(size, b.word)


def _result(
    b: Builder, program: dict[str, int], out: Rows, target: Buffer, level: int
) -> dict[str, int]:
    """Fields of the output operand."""
    fields = {**out.operand("", b.word), "cb": target.cb, "step_level": level, "adv_level": level}
    if program["out"] == SimdOut.STATISTICS:
        fields["stride1"] = 1
    return fields


_Ending = tuple[Callable[[], None], str]
"""Adds what takes the accumulators, and says what that is."""


@dataclasses.dataclass(frozen=True)
class _Tiles:
    """Sizes of a product: `tiles` banks of `rows` rows (the last `last`), K steps, repetitions."""

    rows: int
    last: int
    tiles: int
    k_steps: int
    repeats: int


def product(b: Builder) -> str:
    """Two operands multiplied; accumulators to local memory, or through the SIMD engine."""
    rng, pe = b.rng, b.pe
    rows, columns = rng.randint(1, pe.dpe.tile_rows), pe.dpe.columns
    tiles = _Tiles(rows, rng.choice((rows, rng.randint(1, rows))), rng.randint(1, pe.re.banks),
                   rng.randint(1, 4), rng.randint(1, 3))  # fmt: skip
    fmt = rng.choice([Format.INT8, Format.UINT8, *([Format.FP16, Format.BF16] * pe.dpe.with_fp)])
    from_unit = rng.choice((None, None, LayoutTarget.DPE_A, LayoutTarget.DPE_B))
    if from_unit is LayoutTarget.DPE_A:
        tiles = dataclasses.replace(tiles, last=rows)
    steps = tiles.k_steps * tiles.repeats
    a = Rows(rows * tiles.tiles * b.word, _up(rows * tiles.tiles * b.word, UNIT), 1, steps, 1)
    held = Rows(columns * b.word, _up(columns * b.word, UNIT), 1, steps, 1)
    b.begin_chain(a.units, held.units, columns // 8, tiles.tiles * rows * columns // 16 + 1, 1)
    needs_lanes = fmt.is_float and not pe.se.with_fp
    how = _drain_rows if needs_lanes else rng.choice(_ENDINGS)
    # First, since what it holds must not queue behind operands that wait for it.
    drain, label = how(b, tiles, fmt.accumulator)
    buffers = [b.buffer(a.units), b.buffer(held.units)]
    for lane, operand in enumerate((a, held)):
        b.fetch(buffers[lane], operand, lane=lane)
        if from_unit is not None and lane == from_unit - 1:
            _feed(b, operand, buffers[lane], from_unit)
            buffers[lane] = b.buffer(1)  # paces the steps; nothing is ever in it
    _multiply(b, tiles, fmt, (a, buffers[0]), (held, buffers[1]), from_unit)
    drain()
    return f"product {fmt.name} {tiles} fed {from_unit!r}: {label}"


def _feed(b: Builder, rows: Rows, buffer: Buffer, target: LayoutTarget) -> None:
    """An operand goes through the layout unit."""
    b.commands.add(
        Opcode.LAYOUT, operation=LayoutOp.COPY, target=target, src_cb=buffer.cb,
        src_stride0=b.word, count0=rows.n_bytes, **rows.operand("src_"), **rows.counts,
    )  # fmt: skip


def _multiply(
    b: Builder,
    tiles: _Tiles,
    fmt: Format,
    a: tuple[Rows, Buffer],
    held: tuple[Rows, Buffer],
    from_unit: LayoutTarget | None,
) -> None:
    rng, word = b.rng, b.word
    fields = {"a_from_mlu": from_unit is LayoutTarget.DPE_A,
              "b_from_mlu": from_unit is LayoutTarget.DPE_B}  # fmt: skip
    for prefix, (rows, buffer) in (("a_", a), ("b_", held)):
        paced = fields[f"{prefix}from_mlu"]
        units = 0 if paced else rows.units
        fields |= {f"{prefix}cb": buffer.cb, f"{prefix}stride0": 0 if paced else 1,
                   f"{prefix}step_level": 2, f"{prefix}adv_level": 2,
                   f"{prefix}need": units, f"{prefix}adv": units}  # fmt: skip
    if not fields["a_from_mlu"]:
        fields["a_stride1"] = tiles.rows
    tail = {"m_level": 1, "m_tail": tiles.last} if tiles.last != tiles.rows else {}
    other = b.one_of(Format.INT8, Format.UINT8) if not fmt.is_float else fmt
    b.commands.add(
        Opcode.MML, count0=tiles.rows, count1=tiles.tiles, count2=tiles.k_steps,
        count3=tiles.repeats, held_level=2, k_level=2, bank=0, bank_stride1=1, n_level=2,
        a_format=fmt, b_format=other, by_row=rng.randrange(2), init=1, done=1,
        k_tail=rng.choice((0, fmt.n_bytes * rng.randint(1, word // fmt.n_bytes))),
        n_tail=rng.choice((0, rng.randint(1, b.pe.dpe.columns))), **tail, **fields,
    )  # fmt: skip


def _drain(b: Builder, tiles: _Tiles, fmt: Format, **fields: int) -> None:
    tail = {"m_level": 1, "m_tail": tiles.last} if tiles.last != tiles.rows else {}
    b.commands.add(
        Opcode.DRAIN, count0=tiles.rows, count1=tiles.tiles, count2=tiles.repeats, bank_stride1=1,
        format=fmt, **tail, **fields,
    )  # fmt: skip


def _accumulator_rows(tiles: _Tiles, n_bytes: int, word: int) -> Rows:
    """Rows of all banks, bank after bank, in one step; the last bank's are the last."""
    total = tiles.rows * (tiles.tiles - 1) + tiles.last
    return Rows(n_bytes, _up(n_bytes, word), total, tiles.repeats, total)


def _drain_rows(b: Builder, tiles: _Tiles, fmt: Format, minmax: int = 0) -> _Ending:
    rows = _accumulator_rows(tiles, 8 if minmax else 4 * b.pe.dpe.columns, b.word)
    target = b.buffer(rows.units)
    pitch = rows.pitch // b.word
    operand = {**rows.operand("", b.word), "stride1": tiles.rows * pitch}

    def add() -> None:
        _drain(b, tiles, fmt, cb=target.cb, stride0=pitch, minmax=minmax, **operand)
        b.store(rows, target)

    return add, "minima and maxima" if minmax else "rows"


def _drain_min_max(b: Builder, tiles: _Tiles, fmt: Format) -> _Ending:
    return _drain_rows(b, tiles, fmt, minmax=1)


def _drain_to_engine(b: Builder, tiles: _Tiles, fmt: Format) -> _Ending:
    """Accumulators through the SIMD engine: its fast path for integers, or the lanes."""
    columns, rng = b.pe.dpe.columns, b.rng
    if not b.pe.se.with_fp or fmt is Format.INT32 and rng.random() < 0.6:
        program = drain_program(rng)
    else:
        program = lane_program(rng, b.pe.se, fmt, (BMode.NONE, BMode.HELD), False)
    program["out"] = SimdOut.ELEMENTS
    out = _accumulator_rows(tiles, columns * Format(program["out_format"]).n_bytes, b.word)
    fields = {}
    if program["b_mode"] == BMode.HELD:
        n_bytes = 4 * columns * (2 if program["b_pair"] else 1)
        held = Rows(n_bytes, n_bytes, 1, 1, 1)
        fields = _fetch_second(b, program, held)
        fields |= {"b_step_level": 5, "b_adv_level": 5}
    target = b.buffer(out.units)
    pitch = out.pitch // b.word
    operand = {**out.operand("", b.word), "stride2": tiles.rows * pitch}
    operand |= {"step_level": 3, "adv_level": 3}
    tail = {"tail_level": 2, "tail_count": tiles.last} if tiles.last != tiles.rows else {}

    def add() -> None:
        b.commands.add(Opcode.SE_PROGRAM, **program)
        _drain(b, tiles, fmt, destination=Destination.SE)
        b.commands.add(
            Opcode.SIMD, source=SimdSource.RE, count0=columns, count1=tiles.rows,
            count2=tiles.tiles, count3=tiles.repeats, cb=target.cb, **operand, **tail, **fields,
        )  # fmt: skip
        b.store(out, target)

    return add, f"engine {program}"


_ENDINGS = (_drain_rows, _drain_min_max, _drain_to_engine, _drain_to_engine)


def gather(b: Builder) -> str:
    """Rows of a table by a list of indices, and out; or into another table by another list."""
    rows = dataclasses.replace(r := b.rows(4 * b.rng.randint(1, b.word)), last=r.count)
    table, total = b.rng.randint(1, 20), rows.total
    list_rows = Rows(4 * total, _up(4 * total, b.word), 1, 1, 1)
    b.begin_chain(rows.units, list_rows.units, list_rows.units)
    buffer = b.buffer(rows.units)
    pitch = rows.n_bytes + 4 * b.rng.randint(0, 3)
    source = b.input(b.data(pitch * table), align=4)
    _indexed(b, Opcode.GATHER, rows, buffer, list_rows, (source, pitch, table),
             zero_fill=b.rng.randrange(2))  # fmt: skip
    if b.rng.random() < 0.4:
        b.store(rows, buffer)
        return "gather"
    adds = b.rng.random() < 0.5 and b.pe.fi.with_scatter_add
    target = b.output(pitch * table, align=4, sram=True, data=b.data(pitch * table))
    mode = ScatterMode.ADD if adds else ScatterMode.STORE
    _indexed(b, Opcode.SCATTER, rows, buffer, list_rows, (target, pitch, table), mode=mode,
             format=b.one_of(Format.FP32, Format.INT32))  # fmt: skip
    return f"gather and scatter, {mode.name}"


def _indexed(
    b: Builder,
    opcode: Opcode,
    rows: Rows,
    buffer: Buffer,
    list_rows: Rows,
    table: tuple[int, int, int],
    **fields: int,
) -> None:
    """GATHER or SCATTER with its list of indices."""
    address, pitch, n_rows = table
    indices = [b.rng.randrange(n_rows) for _ in range(rows.total)]
    index_buffer = b.buffer(list_rows.units)
    data = struct.pack(f"<{len(indices)}I", *indices)
    b.fetch(index_buffer, list_rows, lane=1, data=data)
    b.commands.add(
        opcode, mem_addr=address, row_pitch=pitch, index_limit=n_rows, index_cb=index_buffer.cb,
        index_need=list_rows.units, index_adv=list_rows.units, count0=rows.n_bytes,
        stride0=b.word, cb=buffer.cb, **rows.counts, **rows.operand(), **fields,
    )  # fmt: skip


CHAINS: dict[str, Callable[[Builder], str]] = {
    "copy": copy,
    "transpose": transpose,
    "fill": fill,
    "simd": simd,
    "product": product,
    "gather": gather,
}
"""Chains by name; each adds itself to a job and says what it chose."""


def chains_of(config: ChipConfig) -> tuple[str, ...]:
    """Names of the chains that a member can run: `simd` needs the FP32 lanes."""
    return tuple(name for name in CHAINS if name != "simd" or config.pe.se.with_fp)


def random_job(
    config: ChipConfig,
    rng: random.Random,
    *,
    n_chains: int = 6,
    kinds: tuple[str, ...] = (),
    windows: Windows | None = None,
) -> RandomJob:
    """A random job of `n_chains` chains of these kinds (all that the member has by default)."""
    builder = Builder(config, rng, windows)
    names = [rng.choice(kinds or chains_of(config)) for _ in range(n_chains)]
    return builder.finish([CHAINS[name](builder) for name in names])
