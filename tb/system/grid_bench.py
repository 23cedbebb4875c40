# SPDX-License-Identifier: Apache-2.0
"""What tests of a whole grid share: small members, command lists, products."""

import numpy as np

from hw.arch.commands import Opcode
from hw.config import (
    ChipConfig,
    CpConfig,
    DpeConfig,
    DramConfig,
    FiConfig,
    LsConfig,
    PeConfig,
    ReConfig,
    SeConfig,
    SramConfig,
)
from sim.golden.chain import chain_golden
from sw.kernels.command_list import CommandList
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from tb.common.seeds import numpy_rng
from tb.system.test_gemm import TYPES, bits

__all__ = [
    "LISTS",
    "chain_golden",
    "check_product",
    "commands",
    "copies",
    "copy_list",
    "small_grid",
]

LISTS = 0x30000
"""Where tests on `tiny` store command lists."""

_SMALL_PE = PeConfig(
    dpe=DpeConfig(columns=8, k_bytes=8, with_fp=False),
    re=ReConfig(banks=2, fast_minmax=False),
    ls=LsConfig(size_bytes=1 << 13, banks=8, word_bytes=8),
    cp=CpConfig(cbs=8, queue_depth=2, counters=2, contexts=2),
    fi=FiConfig(reads_in_flight=4, writes_in_flight=4, with_scatter_add=False),
    se=SeConfig(
        drain_lanes=2,
        fp_lanes=2,
        row_beats=64,
        sum_beats=16,
        programs=2,
        with_fp=False,
        with_functions=False,
    ),
    link_bytes=16,
)


def small_grid(rows: int, columns: int, *, slices: int, channels: int) -> ChipConfig:
    """A member that builds quickly: the smallest elements, without floats."""
    return ChipConfig(
        name=f"small{rows}x{columns}",
        purpose="tests",
        rows=rows,
        cols=columns,
        pe=_SMALL_PE,
        sram=SramConfig(slices=slices, bytes_per_cycle=16, size_bytes=1 << 17),
        dram=DramConfig(
            channels=channels,
            bytes_per_cycle=8,
            total_bytes_per_cycle=8 * channels,
            size_bytes=1 << 24,
        ),
        clock_mhz=100.0,
    ).validate()


def check_product(
    grid: Grid,
    shape: tuple[int, int, int],
    dtype: np.dtype,
    where: str = "auto",
    *,
    k_parts: int | None = None,
    held_blocks: int = 0,
    counters: bool = False,
) -> dict:
    """A product of random bits on all elements, compared with the golden model bit for bit."""
    m, n, k = shape
    fmt = next(fmt for fmt, known in TYPES.items() if known == dtype)
    rng = numpy_rng(f"grid{shape}{fmt}{where}")
    a, b = bits(rng, (m, k), fmt), bits(rng, (k, n), fmt)
    job = prepare_grid_gemm(
        grid.config, a, b, where=where, k_parts=k_parts, held_blocks=held_blocks
    )
    run = run_grid_gemm(grid, job, counters=counters)
    golden = chain_golden(
        a, b, job.k_runs(grid.config), fmt_a=fmt, fmt_b=fmt, chunk=grid.config.pe.dpe.chunk
    )
    assert np.array_equal(run.c.view(np.uint32), golden.view(np.uint32))
    return run.perf


def commands(*added: tuple[Opcode, dict[str, int]]) -> bytes:
    """A command list that ends."""
    made = CommandList()
    for opcode, fields in added:
        made.add(opcode, **fields)
    made.add(Opcode.END)
    return bytes(made)


def copies(
    source: int, target: int, n_lines: int, n_times: int = 1
) -> list[tuple[Opcode, dict[str, int]]]:
    """Commands that copy lines of 64 bytes from one address to another, again and again."""
    walk = {"cb": 0, "count0": 64, "stride0": 8, "count1": n_lines, "mem_stride1": 64,
            "count2": n_times, "step_level": 1, "need": 1, "adv": 1, "adv_level": 1}  # fmt: skip
    return [
        (Opcode.CB, {"cb": 0, "base": 0, "depth": 8}),
        (Opcode.DMA_IN, {**walk, "mem_addr": source}),
        (Opcode.DMA_OUT, {**walk, "mem_addr": target}),
    ]


def copy_list(source: int, target: int, n_lines: int, n_times: int = 1) -> bytes:
    """A command list of such copies."""
    return commands(*copies(source, target, n_lines, n_times))
