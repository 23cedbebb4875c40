# SPDX-License-Identifier: Apache-2.0
"""What `scripts/resources.py` measures of the element's surroundings."""

from hw.chip.control import ControlBlock
from hw.chip.crossbar import Crossbar, element_targets
from hw.chip.dram_bridge import DramBridge
from hw.chip.host_port import HostPort
from hw.iface.memory import MemoryReadPort, MemoryWritePort

__all__ = ["RESOURCE_POINTS"]

_FPGA_SIZES = {"sram_bytes": 1 << 17, "dram_bytes": 1 << 25, "local_bytes": 1 << 15}
_SIZES = {"sram_bytes": 1 << 18, "dram_bytes": 1 << 26, "local_bytes": 1 << 14}


def _dram_bridge(link_bytes: int, beat_bytes: int, read_slots: int = 32) -> DramBridge:
    return DramBridge(
        link_bytes=link_bytes,
        beat_bytes=beat_bytes,
        read_tag_width=7,
        write_tag_width=6,
        size_bytes=1 << 26,
        read_slots=read_slots,
    )


RESOURCE_POINTS = {
    "HostPort, fpga": lambda: HostPort(link_bytes=16, id_width=4, **_FPGA_SIZES),
    "Crossbar of reads, fpga": lambda: Crossbar(
        port=MemoryReadPort,
        link_bytes=16,
        tag_widths=(4, 3, 2),
        targets=element_targets(**_FPGA_SIZES),
    ),
    "Crossbar of writes, fpga": lambda: Crossbar(
        port=MemoryWritePort,
        link_bytes=16,
        tag_widths=(1, 5),
        targets=element_targets(**_FPGA_SIZES),
    ),
    "DramBridge, fpga": lambda: _dram_bridge(16, 2, read_slots=16),
    "ControlBlock": lambda: ControlBlock(config_id=0, count_width=4),
    "HostPort, 16 bytes": lambda: HostPort(link_bytes=16, id_width=4, **_SIZES),
    "HostPort, 64 bytes": lambda: HostPort(link_bytes=64, id_width=4, **_SIZES),
    "Crossbar of reads, 16 bytes": lambda: Crossbar(
        port=MemoryReadPort, link_bytes=16, tag_widths=(4, 3, 2), targets=element_targets(**_SIZES)
    ),
    "Crossbar of writes, 16 bytes": lambda: Crossbar(
        port=MemoryWritePort, link_bytes=16, tag_widths=(1, 5), targets=element_targets(**_SIZES)
    ),
    "DramBridge, 16-byte lines, 8-byte beats": lambda: _dram_bridge(16, 8),
    "DramBridge, 64-byte lines, 16-byte beats": lambda: _dram_bridge(64, 16),
}
"""Label to factory."""
