# SPDX-License-Identifier: Apache-2.0
"""Addresses for the arrays of a job."""

import itertools
from collections.abc import Mapping

from hw.arch import address_map
from hw.config import ChipConfig
from sw.errors import UserError
from sw.runtime.cache import scratchpad_bytes
from sw.runtime.port import HostPort

__all__ = ["ALIGN", "PLACES", "allocate", "clear_last_line", "store_array", "whole_lines"]

ALIGN = 64
"""Every array begins at a multiple of it."""
PLACES = ("auto", "sram", "dram", "weights")
"""Where operands may be asked to lie; `weights`: B in DRAM, the rest in SRAM."""
_WEIGHTS = "B"
"""Name of the array that `weights` puts into DRAM."""


def allocate(
    config: ChipConfig,
    sizes: Mapping[str, int],
    where: str,
    *,
    what: str = "",
    cache_ways: int = 0,
) -> tuple[str, dict[str, int]]:
    """Choose an address for each named size in bytes; the memory's name, and the addresses.

    `where` is one of `PLACES`; `auto` is SRAM if all fits, else DRAM. `what` names it all in the
    sentence that says it does not. Of the SRAM `cache_ways` of each slice are cache.

    Raises
    ------
    UserError
        If they do not fit.
    """
    if where == "weights":
        rest = {name: size for name, size in sizes.items() if name != _WEIGHTS}
        _, found = allocate(config, rest, "sram", what=what, cache_ways=cache_ways)
        _, weights = allocate(config, {_WEIGHTS: sizes[_WEIGHTS]}, "dram", what=_WEIGHTS)
        return where, {name: (found | weights)[name] for name in sizes}
    memories = {
        "sram": (address_map.SRAM.base, scratchpad_bytes(config, cache_ways)),
        "dram": (address_map.DRAM.base, config.dram.size_bytes),
    }
    padded = [(size // ALIGN + 1) * ALIGN if size else 0 for size in sizes.values()]
    total = sum(padded)
    for name in ("sram", "dram") if where == "auto" else (where,):
        base, size = memories[name]
        if total <= size:
            addresses = itertools.accumulate(padded[:-1], initial=base)
            return name, dict(zip(sizes, addresses, strict=True))
    room = max(size for name, (_, size) in memories.items() if where in ("auto", name))
    names = [name for name, size in sizes.items() if size]
    subject = f"{what} needs" if what else f"{', '.join(names[:-1])} and {names[-1]} need"
    memory = "its largest memory" if where == "auto" else where.upper()
    if where == "sram" and cache_ways:
        memory += f" beside {cache_ways} ways of cache"
    raise UserError(f"{subject} {total} bytes; {config.name} has {room} in {memory}.")


def whole_lines(data: bytes) -> bytes:
    """`data` with zeros up to a whole line, so that no part of a line stays unwritten."""
    return data + bytes(-len(data) % ALIGN)


def store_array(port: HostPort, address: int, data: bytes) -> None:
    """Write an array and the rest of its last line."""
    port.write(address, whole_lines(data))


def clear_last_line(port: HostPort, address: int, n_bytes: int) -> None:
    """Prepare a result's last line, which is stored in part: memory that was never written has no
    valid check bits."""
    port.write(address + n_bytes // ALIGN * ALIGN, bytes(ALIGN))
