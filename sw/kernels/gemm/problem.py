# SPDX-License-Identifier: Apache-2.0
"""What a GEMM is asked to do, and what the planner gives back."""

import dataclasses

from hw.arch.formats import Format
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.gemm.epilogue import Epilogue

__all__ = ["GemmPlan", "GemmProblem"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GemmProblem:
    """C = A @ B with row-major operands in memory; pitches are bytes from row to row."""

    m: int
    n: int
    k: int
    a_format: Format
    b_format: Format
    a_address: int
    b_address: int
    c_address: int
    a_pitch: int
    b_pitch: int
    c_pitch: int
    epilogue: Epilogue = Epilogue()
    bias_address: int = 0
    """N values, and room for a whole tile's; with `column_scales` always read, zeros if there is
    no bias."""
    scales_address: int = 0
    """N FP32 values, and room for a whole tile's."""
    from_north: bool = False
    """Sums of the northern neighbour are added, in the same order of rows."""
    to_south: bool = False
    """Sums go to the southern neighbour; nothing is finished or stored here."""
    a_group: int | None = None
    """Multicast group of the element's row that fetches A together."""
    b_group: int | None = None
    """Multicast group of its column that fetches B together."""

    @property
    def element_bytes(self) -> int:
        """Bytes of an element of A, which must be those of B."""
        return self.a_format.n_bytes

    @property
    def accumulator(self) -> Format:
        """Format of the accumulators."""
        return self.a_format.accumulator

    @property
    def out_format(self) -> Format:
        """Format of C."""
        return self.epilogue.out_format(self.accumulator)

    @property
    def out_bytes(self) -> int:
        """Bytes of an element of C."""
        return self.out_format.n_bytes

    @property
    def uses_engine(self) -> bool:
        """Whether results pass the SIMD engine."""
        return not self.to_south and self.epilogue.uses_engine(self.accumulator)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return self.m * self.n * self.k

    def check(self, pe: PeConfig) -> None:
        """Raise ValueError, one sentence, unless one element of this kind can compute it."""
        a, b = self.a_format, self.b_format
        if a.is_float != b.is_float or a.n_bytes > 2 or (a.is_float and a != b):
            raise ValueError(
                f"{a.name} and {b.name} cannot be multiplied; both must be 8-bit integers (in any"
                " mix), or both FP16, or both BF16."
            )
        if a.is_float and not pe.dpe.with_fp:
            raise ValueError(
                "This member has no floating-point datapath; give it int8 or uint8 operands."
            )
        for name in ("m", "n", "k"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name.upper()} is {getattr(self, name)}; it must be at least 1.")
        self.epilogue.check(self.accumulator, pe)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GemmPlan:
    """A command list and what the planner expects of it."""

    problem: GemmProblem
    commands: CommandList
    block_rows: int
    block_columns: int
    k_chunk_steps: int
    resident: bool
    held_blocks: int
