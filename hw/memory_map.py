# SPDX-License-Identifier: Apache-2.0
"""The memory map of one member as plain data, for software that does not read Python."""

from typing import Any

from hw.arch.address_map import ADDRESS_BITS, CONTROL, DRAM, REGIONS, SRAM
from hw.arch.csr import COUNTERS, REGISTERS, counter_offset
from hw.config import ChipConfig

__all__ = ["memory_map"]


def memory_map(config: ChipConfig) -> dict[str, Any]:
    """Regions, control registers and counters; addresses are byte addresses on the chip.

    `size_bytes` of a region is what exists in this member, None where nothing does yet.
    """
    sizes = {
        SRAM.name: config.sram.size_bytes,
        DRAM.name: config.dram.size_bytes,
        CONTROL.name: counter_offset(COUNTERS[-1].name) + 8,
    }
    return {
        "config": config.name,
        "digest": config.digest(),
        "address_bits": ADDRESS_BITS,
        "regions": [
            {
                "name": region.name,
                "base": region.base,
                "span_bytes": region.span,
                "size_bytes": sizes.get(region.name),
                "doc": region.doc,
            }
            for region in REGIONS
        ],
        "registers": [
            {
                "name": register.name,
                "address": CONTROL.base + register.offset,
                "access": register.access,
                "bits": 32,
                "doc": register.doc,
            }
            for register in REGISTERS.values()
        ],
        "counters": [
            {
                "name": counter.name,
                "address": CONTROL.base + counter_offset(counter.name),
                "bits": 48,
                "doc": counter.doc,
            }
            for counter in COUNTERS
        ],
    }
