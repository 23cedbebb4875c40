# SPDX-License-Identifier: Apache-2.0
"""The control of the host's DMA engine."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS

__all__ = ["DmaControlPort"]


class DmaControlPort(wiring.Signature):
    """A transfer, seen from the control block.

    Operation: `start` is a pulse, not given while `busy`: copy `n_bytes` from `source` to `target`;
    `to_host` says which of them is the chip's. `busy` is high from the next cycle to the last
    acknowledgement; then `cause` (`hw.arch.dma.DmaCause`) stays until the next start. `abort` is a
    pulse: no more is asked for and lines that come are dropped, so `busy` falls as soon as both
    memories have answered what they were asked, with cause ABORTED if there is none before it.
    Without `busy` it does nothing.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": Out(1),
                "abort": Out(1),
                "to_host": Out(1),
                "source": Out(ADDRESS_BITS),
                "target": Out(ADDRESS_BITS),
                "n_bytes": Out(32),
                "busy": In(1),
                "cause": In(8),
            }
        )
