# SPDX-License-Identifier: Apache-2.0
"""Random DMA commands that are legal: no byte is written twice, steps fit their buffer."""

import math
import random
from dataclasses import dataclass, replace

from hw.arch.commands import LEVELS, NEVER, Opcode, ScatterMode, encode
from hw.arch.formats import Format
from sim.golden.address import Nest
from sim.golden.dma import Dma
from sim.golden.indexed import Indexed

__all__ = [
    "Region",
    "command_bits",
    "indexed_bits",
    "random_dma",
    "random_indexed",
    "signal_fields",
]

_UNIT = 64


@dataclass(frozen=True, kw_only=True)
class Region:
    """Bytes of memory that a command may touch."""

    base: int
    size: int


def random_dma(
    rng: random.Random, *, cb: int, depth: int, word_bytes: int, region: Region, writes: bool
) -> Dma:
    """A command over buffer `cb` of `depth` units; with `writes` its memory bytes are distinct."""
    while True:
        dma = _attempt(rng, cb, depth, word_bytes, region, writes)
        if dma is not None:
            return dma


def random_indexed(
    rng: random.Random,
    *,
    cb: int,
    depth: int,
    word_bytes: int,
    region: Region,
    writes: bool,
    index_cb: int,
    index_depth: int,
) -> tuple[Indexed, list[int]]:
    """A GATHER, or a SCATTER with `writes`, and its list, in which rows occur again and again."""
    mode, fmt = rng.choice(tuple(ScatterMode)), rng.choice((Format.FP32, Format.INT32))
    unit = 4 if writes and mode is ScatterMode.ADD else 1
    while True:
        dma = random_dma(
            rng, cb=cb, depth=depth, word_bytes=word_bytes, region=region, writes=writes
        )
        length = dma.nest.counts[0] // unit * unit
        n_rows = math.prod(dma.nest.counts[1:])
        offset = rng.randrange(40)
        need = -(-4 * (offset + n_rows) // _UNIT)
        limit = rng.choice((1, 3, rng.randint(1, 60)))
        pitch = unit * rng.choice((0, 1, length // unit, rng.randint(1, 60)))
        base = region.base + -region.base % unit
        room = region.base + region.size - base - length - pitch * (limit - 1)
        if length and need <= index_depth // 3 and room >= unit:
            break
    nest = replace(dma.nest, counts=(length, *dma.nest.counts[1:]), tail_count=0, tail_adv=0)
    job = Indexed(
        nest=nest,
        mem_addr=base + unit * rng.randrange(room // unit),
        row_pitch=pitch,
        index_limit=limit,
        index_cb=index_cb,
        index_offset=offset,
        index_need=need,
        index_adv=need,
        zero_fill=dma.zero_fill,
        mode=mode,
        fmt=fmt,
    )
    return job, [rng.randrange(limit) for _ in range(n_rows)]


def command_bits(
    dma: Dma, *, out: bool = False, column: bool = False, tag: int = 0, group: int | None = None
) -> int:
    """The command as it stands in a queue, with signal fields derived from the tag; shared by a
    `group`, if there is one."""
    nest = dma.nest
    fields = _nest_fields(nest)
    fields |= {f"mem_stride{level + 1}": stride for level, stride in enumerate(dma.mem_strides)}
    tail = ("tail_level", "tail_inner", "tail_count", "tail_adv")
    fields |= {name: getattr(nest, name) for name in tail}
    if not out:
        fields |= {"zero_fill": int(dma.zero_fill), "column": int(column)}
    if group is not None:
        fields |= {"multicast": 1, "group": group}
    opcode = Opcode.DMA_OUT if out else Opcode.DMA_IN
    return _bits(opcode, tag, mem_addr=dma.mem_addr, **fields)


def indexed_bits(job: Indexed, *, out: bool = False, tag: int = 0) -> int:
    """The same for GATHER, or SCATTER with `out`."""
    names = ("mem_addr", "row_pitch", "index_limit", "index_cb", "index_offset")
    fields = {name: getattr(job, name) for name in (*names, "index_need", "index_adv")}
    if out:
        fields |= {"mode": job.mode, "format": job.fmt}
    else:
        fields |= {"zero_fill": int(job.zero_fill)}
    opcode = Opcode.SCATTER if out else Opcode.GATHER
    return _bits(opcode, tag, **fields, **_nest_fields(job.nest))


def _nest_fields(nest: Nest) -> dict[str, int]:
    """Loops and operand."""
    fields = {f"count{level}": nest.counts[level] for level in range(LEVELS)}
    fields |= {f"stride{level}": nest.strides[level] for level in range(LEVELS)}
    operand = ("offset", "cb", "step_level", "adv_level", "need", "adv")
    return fields | {name: getattr(nest, name) for name in operand}


def signal_fields(tag: int) -> dict[str, int]:
    """Signal fields of the command with this tag, each with bits of its own."""
    return {
        "signal_en": tag & 1,
        "signal_counter": tag % 32,
        "signal_row": tag * 7 % 16,
        "signal_col": tag * 11 // 4 % 16,
    }


def _bits(opcode: Opcode, tag: int, **fields: int) -> int:
    signals = signal_fields(tag)
    return int.from_bytes(encode(opcode, tag=tag, **signals, **fields), "little")


def _attempt(
    rng: random.Random, cb: int, depth: int, word_bytes: int, region: Region, writes: bool
) -> Dma | None:
    """One throw; None when it does not fit."""
    length = rng.choice((1, 2, word_bytes, 2 * word_bytes, 64, 65, rng.randint(1, 200)))
    counts = [length] + [rng.choice((1, 1, 2, 3, rng.randint(1, 5))) for _ in range(LEVELS - 1)]
    step_level = rng.randint(0, LEVELS - 1)
    adv_level = rng.choice((NEVER, rng.randint(max(step_level, 1), LEVELS)))
    zero_fill = not writes and rng.random() < 0.5
    lane = rng.randrange(word_bytes)

    # Local memory: the levels below adv_level, and the words of a run, each get a stride; those of
    # a level up exceed what lies below it in a random order. Steps stay behind one another.
    inside = list(range(1, max(step_level, 1)))
    above = list(range(max(step_level, 1), min(adv_level, LEVELS)))
    spread = rng.random() < 0.5
    rng.shuffle(inside)
    strides = [0] * LEVELS
    if spread:
        extent = word_bytes
        inside.insert(rng.randint(0, len(inside)), 0)
    else:
        strides[0] = word_bytes
        extent = lane + length if not zero_fill else lane + length + (-(lane + length) % word_bytes)
        extent += word_bytes if zero_fill else 0
    n_words = -(-(lane + length) // word_bytes)
    offset = lane
    fine = not spread and not zero_fill  # strides of any number of bytes
    for level in inside + above:
        gap = rng.choice((0, 0, rng.randint(0, 3 * word_bytes)))
        stride = extent + (gap if fine else gap // word_bytes * word_bytes)
        if not fine:
            stride += -stride % word_bytes
        count = n_words if level == 0 else counts[level]
        extent += stride * (count - 1)
        if level not in above and level != 0 and rng.random() < 0.3:
            offset += stride * (count - 1)
            stride = -stride
        strides[level] = stride
    if rng.random() < 0.5:
        offset += rng.randint(0, 3) * word_bytes
    # Everything that a step touches lies in the part that its group advances over.
    used = -(-(offset + extent) // _UNIT)
    if 2 * used + 1 > depth:
        return None
    # The steps of a group start up to `used` behind its pointer.
    need = used
    adv = rng.randint(used, depth // 2)
    inner = rng.randint(0, 1)
    tail_level = rng.randint(inner + 1, LEVELS - 1)
    tail_count = rng.choice((0, rng.randint(1, counts[inner])))
    # Only whole groups in the tail may move the pointer by another amount.
    whole = tail_level >= max(adv_level, 1) and adv_level != NEVER
    tail_adv = rng.randint(used, min(adv, 1023)) if tail_count and whole else 0
    nest = Nest(
        counts=tuple(counts),
        strides=tuple(strides),
        offset=offset,
        cb=cb,
        step_level=step_level,
        adv_level=adv_level,
        need=need,
        adv=adv,
        tail_level=tail_level,
        tail_inner=inner,
        tail_count=tail_count,
        tail_adv=tail_adv,
    )
    memory = _memory_side(rng, counts, region, distinct=writes)
    if memory is None:
        return None
    return Dma(nest=nest, mem_addr=memory[0], mem_strides=memory[1], zero_fill=zero_fill)


def _memory_side(
    rng: random.Random, counts: list[int], region: Region, *, distinct: bool
) -> tuple[int, tuple[int, ...]] | None:
    """Address and strides inside the region."""
    strides = [0] * LEVELS
    extent = counts[0]
    levels = list(range(1, LEVELS))
    rng.shuffle(levels)
    start = 0
    for level in levels:
        stride = extent + rng.choice((0, 0, 1, rng.randint(0, 100)))
        if not distinct:
            stride = rng.choice((0, 1, stride))
        strides[level] = stride
        extent += stride * (counts[level] - 1)
        if rng.random() < 0.3:
            start += stride * (counts[level] - 1)
            strides[level] = -stride
    if extent > region.size:
        return None
    address = region.base + start + rng.randint(0, region.size - extent)
    return address, tuple(strides[1:])
