# SPDX-License-Identifier: Apache-2.0
"""Plans C[M,N] = A[M,K] @ B[K,N] for one processing element: problem in, command list out."""

from hw.arch.commands import Opcode
from hw.arch.units import Unit
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.gemm.compute import (
    CB_OUT,
    by_bank,
    can_go_by_bank,
    drain,
    finish,
    multiply,
    multiply_held,
    store,
)
from sw.kernels.gemm.load import CB_A, CB_B, CB_VECTORS, fetch_a, fetch_b, fetch_vectors
from sw.kernels.gemm.problem import GemmPlan, GemmProblem
from sw.kernels.gemm.sizes import UNIT, Sizes
from sw.kernels.gemm.spans import MOST, Span, spans

__all__ = ["plan_gemm"]

_Command = tuple[Opcode, dict[str, int]]


class _Planner:
    """Puts the commands of all regions into one list."""

    def __init__(
        self, pe: PeConfig, problem: GemmProblem, load_first: bool, held_blocks: int
    ) -> None:
        self.problem, self.load_first = problem, load_first
        self.sizes = Sizes(pe, problem, held_blocks=held_blocks)
        self.commands = CommandList()

    def _add(self, command: _Command) -> None:
        opcode, fields = command
        self.commands.add(opcode, **fields)

    def set_up(self) -> None:
        """Circular buffers of operands and results, and the engine's program."""
        sizes, base = self.sizes, 0
        for cb, size in (
            (CB_A, sizes.a_bytes),
            (CB_B, sizes.b_bytes),
            (CB_OUT, sizes.out_bytes),
            (CB_VECTORS, sizes.vector_bytes),
        ):
            if size:
                self.commands.add(Opcode.CB, cb=cb, base=base // UNIT, depth=size // UNIT)
            base += size
        if self.problem.uses_engine:
            program = self.problem.epilogue.program(self.problem.accumulator)
            self.commands.add(Opcode.SE_PROGRAM, **program)

    def finish_and_store(self, rows: Span, columns: Span) -> None:
        """What happens to the banks of a region."""
        self._add(drain(self.sizes, rows, columns))
        if self.problem.to_south:
            return
        if self.problem.uses_engine:
            self._add(finish(self.sizes, rows, columns))
        self._add(store(self.sizes, rows, columns))

    def load_vectors(self, columns: Span) -> None:
        """Bias and factors; before B, whose command occupies the same queue to its end."""
        if self.problem.uses_engine and self.problem.epilogue.n_vectors:
            self._add(fetch_vectors(self.sizes, columns))

    def region(self, rows: Span, columns: Span, *, is_last: bool) -> None:
        """The commands of one region (more MMLs with a resident B)."""
        sizes, whole = self.sizes, self.sizes.k_parts[0]
        self.load_vectors(columns)
        self._add(fetch_a(sizes, rows, columns, whole))
        self._add(fetch_b(sizes, rows, columns, whole))
        if self.load_first:
            self.commands.add(Opcode.FENCE, units=1 << Unit.FI_IN_ROW | 1 << Unit.FI_IN_COL)
        # A resident panel is popped when its command ends, so there is one command per panel.
        blocks = [rows.count] * columns.count if sizes.resident else [rows.count * columns.count]
        products = [multiply(sizes, rows, columns, whole, count) for count in blocks]
        self.products(rows, columns, products, is_last=is_last)

    def products(
        self, rows: Span, columns: Span, products: list[_Command], *, is_last: bool
    ) -> None:
        """The MMLs of a region, and behind the first what happens to its banks."""
        if is_last and can_go_by_bank(self.sizes, rows, columns):
            products[-1:] = by_bank(self.sizes, rows, columns, self.sizes.k_parts[0], products[-1])
        self._add(products[0])
        self.finish_and_store(rows, columns)
        for product in products[1:]:
            self._add(product)

    def held(self, rows: Span, columns: Span, *, is_last: bool) -> None:
        """The commands of one region whose B is held."""
        sizes, whole = self.sizes, self.sizes.k_parts[0]
        self._add(fetch_a(sizes, rows, columns, whole))
        self._add(fetch_b(sizes, rows, columns, whole))
        last = rows.count - 1
        products = [
            multiply_held(sizes, rows, columns, whole, is_last=row == last)
            for row in range(rows.count)
        ]
        self.products(rows, columns, products, is_last=is_last)

    def long_k(self, rows: Span, columns: Span, *, is_last: bool) -> None:
        """A region whose K has more steps than a level counts: block by block, part by part."""
        for row in rows.blocks():
            for column in columns.blocks():
                # First, since the unit queues might be full of the parts' commands later.
                self.finish_and_store(row, column)
                self.load_vectors(column)
                for part in self.sizes.k_parts:
                    self._add(fetch_a(self.sizes, row, column, part))
                    self._add(fetch_b(self.sizes, row, column, part))
                    self._add(multiply(self.sizes, row, column, part, 1))

    def plan(self) -> GemmPlan:
        """Build the whole list."""
        self.set_up()
        sizes = self.sizes
        add = self.region if len(sizes.k_parts) == 1 else self.long_k
        if sizes.held_blocks:
            add = self.held
        regions = [
            (rows, columns)
            for rows in spans(self.problem.m, sizes.m_tiles * sizes.tile, sizes.tile, MOST)
            for columns in spans(
                self.problem.n,
                sizes.n_tiles * sizes.tile,
                sizes.tile,
                min(MOST // rows.count, sizes.most_column_blocks),
            )
        ]
        # A block without another one before it is multiplied as its operands come.
        is_alone = sum(rows.count * columns.count for rows, columns in regions) == 1
        for rows, columns in regions:
            add(rows, columns, is_last=(rows, columns) == regions[-1] and not is_alone)
        self.commands.add(Opcode.END)
        return GemmPlan(
            problem=self.problem,
            commands=self.commands,
            block_rows=sizes.m_tiles * sizes.tile,
            block_columns=sizes.n_tiles * sizes.tile,
            k_chunk_steps=sizes.chunk,
            resident=sizes.resident,
            held_blocks=sizes.held_blocks,
        )


def plan_gemm(
    pe: PeConfig, problem: GemmProblem, *, load_first: bool = False, held_blocks: int = 0
) -> GemmPlan:
    """Return the command list that computes `problem` on one element.

    With `load_first` the multiplication starts only when all operands are in local memory (to
    measure it alone); they must fit. `held_blocks` is that of `Sizes`.

    Raises
    ------
    ValueError
        If the formats of A and B cannot be multiplied with each other, a dimension is less than 1,
        the epilogue makes no sense, or the member lacks what it takes; one sentence.
    """
    problem.check(pe)
    planner = _Planner(pe, problem, load_first, held_blocks)
    if load_first and not planner.sizes.operands_fit():
        raise ValueError(
            "The operands do not fit into local memory, so they cannot be loaded first."
        )
    return planner.plan()
