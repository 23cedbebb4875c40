# SPDX-License-Identifier: Apache-2.0
"""Random LAYOUT commands that stay inside their buffers."""

import random

from hw.arch.commands import NEVER, LayoutOp, LayoutTarget
from tb.unit.mlu.setting import SOURCE_CB, TARGET_CB, MluBench

__all__ = ["random_layout"]


def random_layout(
    rng: random.Random, bench: MluBench, operation: LayoutOp | None = None
) -> dict[str, int]:
    """Fields of one command: any operation, element, target, tails, levels, strides."""
    operation = rng.choice(list(LayoutOp)) if operation is None else operation
    element = rng.randrange(4)
    elements = 2 * bench.word_bytes >> element
    by_byte = operation in (LayoutOp.COPY, LayoutOp.FILL)
    longest = rng.choice((3, bench.word_bytes, 6 * bench.word_bytes)) if by_byte else elements
    counts = [rng.randint(1, longest), *(rng.randint(1, 3) for _ in range(4))]
    if not by_byte and rng.random() < 0.5:
        counts[0] = elements
    fields = {f"count{level}": count for level, count in enumerate(counts)}
    fields |= {"operation": operation, "element": element, "value": rng.randrange(256)}
    if operation is not LayoutOp.FILL and rng.random() < 0.3:
        fields["target"] = rng.choice((LayoutTarget.DPE_A, LayoutTarget.DPE_B))
    if rng.random() < 0.6:
        inner = rng.randrange(2)
        fields |= {
            "tail_level": rng.randrange(5),
            "tail_inner": inner,
            "tail_count": rng.randint(0, counts[inner]),
        }
    if rng.random() < 0.6:
        most = elements if operation is LayoutOp.TRANSPOSE else min(3 * elements, 255)
        fields |= {
            "out_level": rng.choice((0, 1, 2, 3, 4, NEVER)),
            "out_count": rng.randint(0, most),
        }
    for prefix, cb in (("src_", SOURCE_CB), ("", TARGET_CB)):
        fields |= _operand(rng, prefix, counts, bench.buffers[cb].depth, bench.word_bytes)
    return fields


def _operand(
    rng: random.Random, prefix: str, counts: list[int], depth: int, word_bytes: int
) -> dict[str, int]:
    """Offset and strides so that every run begins inside; any levels."""
    size = 64 * depth
    reach = rng.choice((word_bytes, 40, size // 12))
    strides = [rng.randint(-reach, reach) for _ in range(4)]
    moves = [(count - 1) * stride for count, stride in zip(counts[1:], strides, strict=True)]
    low, high = -sum(min(move, 0) for move in moves), size - 1 - sum(max(m, 0) for m in moves)
    step_level = rng.randrange(6)
    fields = {f"{prefix}stride{level}": stride for level, stride in enumerate(strides, 1)}
    stride0 = rng.choice((1, 1, 1, 2, -1, 0, 5)) * word_bytes
    return {
        **fields,
        f"{prefix}stride0": stride0 + rng.choice((0, 0, word_bytes - 1)),
        f"{prefix}offset": rng.randint(low, high),
        f"{prefix}step_level": step_level,
        f"{prefix}adv_level": rng.choice((NEVER, *range(max(step_level, 1), 6))),
        f"{prefix}need": rng.randrange(20),
        f"{prefix}adv": rng.randrange(depth),
    }
