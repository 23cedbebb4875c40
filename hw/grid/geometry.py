# SPDX-License-Identifier: Apache-2.0
"""What the parts of a grid must agree on: shape, lanes, tags, and which memory is where."""

from amaranth.lib import data

from hw.arch.csr import HOST_PLACE
from hw.arch.interleave import Interleave
from hw.arch.traffic import SIDE_TRAFFIC_MOST, SideShape, side_shapes
from hw.chip.host_port import HostPort
from hw.config.checks import ConfigError
from hw.config.tree import ChipConfig
from hw.grid.list_ahead import ListAhead
from hw.grid.remote_flits import RemoteShapes
from hw.iface.cache import CacheControlPort
from hw.net.flits import LaneShapes
from hw.net.sides import Side, n_lanes, place_of_slice
from hw.pe.pe import ProcessingElement

__all__ = ["DMA_SLOTS", "HOST_ID_WIDTH", "HOST_READ_SLOTS", "REMOTE_SLOTS", "GridGeometry"]

HOST_ID_WIDTH = 4
"""Bits of an ID at the host port."""
HOST_READ_SLOTS = 32
"""Beats that the host may have under way."""
DMA_SLOTS = 32
"""Lines that its DMA engine may have under way."""
REMOTE_SLOTS = 8
"""Reads, and writes, of local memories that an element, or the host, may have under way."""


class GridGeometry:
    """Derived sizes of a member with more than one element.

    A *node* is a slice of the shared SRAM with the DRAM channel behind it, if it has one. Nodes are
    numbered as slices are; channel c is at node c. The host has a lane of its own at each side,
    behind those of the tiles. `rows` are those of tiles, `used_rows` those that are not left out.
    Where there are four sides, W and N have a corner, E and S too, for reads that elements share,
    with as many ways through it as a side has memories.

    Parameters
    ----------
    config : the member.

    Raises: ConfigError when there is one element only, a slice or channel holds less than two
    lines, there are more DRAM channels than slices, 16 x 16 elements, or a side with more to count
    than a page holds.
    """

    def __init__(self, config: ChipConfig) -> None:
        config.validate()
        if config.dram.channels > config.sram.slices:
            raise ConfigError(
                f"dram.channels is {config.dram.channels}; it must be at most sram.slices"
                f" ({config.sram.slices}), since each channel is behind a slice."
            )
        if config.n_pes == 1:
            raise ConfigError("rows and cols are 1; a grid has at least two elements.")
        for name, n_parts, size_bytes in (
            ("sram", config.sram.slices, config.sram.size_bytes),
            ("dram", config.dram.channels, config.dram.size_bytes),
        ):
            least = 2 * config.pe.link_bytes * n_parts
            if size_bytes < least:
                raise ConfigError(
                    f"{name}.size_bytes is {size_bytes}; it must be at least {least}, two lines in"
                    f" each of {n_parts} parts."
                )
        if (config.rows - 1, config.cols - 1) == HOST_PLACE:
            raise ConfigError("rows and cols are 16; a place must be left that means the host.")
        self.config = config
        self.rows, self.used_rows, self.columns = config.built_rows, config.rows, config.cols
        self.has_spare_row = config.spare_rows > 0
        self.n_positions = max(self.rows, self.columns)
        self.link_bytes = config.pe.link_bytes
        self.sram = Interleave(n_slices=config.sram.slices, line_bytes=self.link_bytes)
        self.dram = Interleave(n_slices=config.dram.channels, line_bytes=self.link_bytes)
        self.sides = tuple(Side(number) for number in range(self.sram.n_sides))
        self.n_corners = 0
        """Ways through each corner, a power of two."""
        if len(self.sides) == len(Side):
            self.n_corners = self.sram.n_slices // len(Side)
        self.shared_reads = config.pe.fi.shared_reads
        widths = ProcessingElement.tag_widths(config.pe, shared_reads=self.shared_reads)
        self.read_masters = (widths["memory_read"], ListAhead.tag_bits(widths["list_read"]))
        self.write_masters = (widths["memory_write"],)
        host = HostPort.tag_widths(HOST_READ_SLOTS)
        dma_tags = (DMA_SLOTS - 1).bit_length()
        self.host_reads, self.host_writes = (host[0], dma_tags), (host[1], dma_tags)
        self.shapes = LaneShapes(
            link_bytes=self.link_bytes,
            n_positions=self.n_positions,
            read_tag_width=max(max(self.read_masters), *self.host_reads) + 1,
            write_tag_width=max(*self.write_masters, max(self.host_writes) + 1),
        )
        self.remote = RemoteShapes(
            link_bytes=self.link_bytes, ls_bytes=config.pe.ls.size_bytes, slots=REMOTE_SLOTS
        )
        beyond = {"lane": range(self.n_positions)}  # that of the side whose element has asked
        self.corner_read = data.StructLayout({"flit": self.shapes.read, **beyond})
        self.corner_line = data.StructLayout({"flit": self.shapes.line, **beyond})
        for side in self.sides:
            n_counters = len(self.side_shape(side).counters)
            if n_counters > SIDE_TRAFFIC_MOST:
                raise ConfigError(
                    f"rows, cols and sram.slices give side {side.name} {n_counters} traffic"
                    f" counters; it has room for {SIDE_TRAFFIC_MOST}, so one of them must be less."
                )

    @property
    def cache_control(self) -> CacheControlPort | None:
        """The control of the channels' caches, if there are any."""
        config = self.config
        if not config.sram.cache_ways:
            return None
        n_lines = config.dram.size_bytes // self.link_bytes
        return CacheControlPort(n_ways=config.sram.cache_ways, line_bits=n_lines.bit_length() - 1)

    def n_lanes(self, side: Side) -> int:
        """Lanes of a side, with the host's, which is the last."""
        return n_lanes(side, rows=self.rows, columns=self.columns) + 1

    def side_shape(self, side: Side) -> SideShape:
        """What there is to count at a side: nothing of a row that is left out."""
        shapes = side_shapes(
            rows=self.used_rows,
            columns=self.columns,
            n_slices=self.sram.n_slices,
            has_cache=self.cache_control is not None,
        )
        return shapes[side]

    def nodes(self, side: Side) -> tuple[int, ...]:
        """Slices of a side, in the order of their numbers there."""
        slices = range(self.sram.n_slices)
        return tuple(node for node in slices if place_of_slice(node, self.sram)[0] is side)
