# SPDX-License-Identifier: Apache-2.0
"""What an element must know to share reads with others of its row and its column."""

from amaranth.lib import data

from hw.arch.csr import N_GROUPS

__all__ = ["groups_layout"]


def groups_layout(n_positions: int) -> data.StructLayout:
    """Members of each group of the element's `row` (positions are columns) and of its `column`, and
    its own position there, one-hot; steady while a job runs."""
    masks = data.ArrayLayout(n_positions, N_GROUPS)
    return data.StructLayout(
        {"row": masks, "column": masks, "row_here": n_positions, "column_here": n_positions}
    )
