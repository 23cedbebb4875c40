# SPDX-License-Identifier: Apache-2.0
"""What a job may do: address ranges and rates, as register values."""

import dataclasses
from collections.abc import Sequence

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import N_RANGES, RANGE_BLOCK_BYTES, RANGE_REGISTERS
from sw.errors import UserError

__all__ = ["EVERYTHING", "AddressRange", "range_values", "rate_values"]

_RATE_LIMIT = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddressRange:
    """Memory that a job may read, write, or both; begins and ends at a multiple of 256 bytes.

    Raises: UserError if it does not, or lies outside of all addresses.
    """

    address: int
    n_bytes: int
    may_read: bool = True
    may_write: bool = True

    def __post_init__(self) -> None:
        for name, value in (("address", self.address), ("size", self.n_bytes)):
            if value % RANGE_BLOCK_BYTES:
                raise UserError(
                    f"The {name} of an address range is a multiple of {RANGE_BLOCK_BYTES} bytes,"
                    f" which {value:#x} is not."
                )
        end = self.address + self.n_bytes
        if self.address < 0 or self.n_bytes <= 0 or end > 1 << ADDRESS_BITS:
            raise UserError(
                f"An address range of {self.n_bytes:#x} bytes at {self.address:#x} is empty or"
                f" leaves the {ADDRESS_BITS}-bit address space."
            )


EVERYTHING = AddressRange(address=0, n_bytes=1 << ADDRESS_BITS)
"""No limit, as after reset."""


def range_values(ranges: Sequence[AddressRange]) -> dict[str, int]:
    """Register values that allow these ranges and nothing else.

    Raises: UserError if there are more than the hardware has.
    """
    if len(ranges) > N_RANGES:
        raise UserError(f"A job has at most {N_RANGES} address ranges, not {len(ranges)}.")
    values = {}
    for index, registers in enumerate(RANGE_REGISTERS):
        first = last = access = 0
        if index < len(ranges):
            one = ranges[index]
            first = one.address // RANGE_BLOCK_BYTES
            last = (one.address + one.n_bytes) // RANGE_BLOCK_BYTES - 1
            access = one.may_read | one.may_write << 1
        for register, value in zip(registers, (first, last, access), strict=True):
            values[register.name] = value
    return values


def rate_values(read: tuple[int, int], write: tuple[int, int]) -> dict[str, int]:
    """Register values that limit how fast DMA reads and writes; see `Chip.set_rates`.

    Raises: UserError if a number does not fit.
    """
    return {"FI_READ_SHAPE": _rate_value(*read), "FI_WRITE_SHAPE": _rate_value(*write)}


def _rate_value(rate: int, burst: int) -> int:
    for name, value in (("rate", rate), ("burst", burst)):
        if not 0 <= value < _RATE_LIMIT:
            raise UserError(f"A {name} is from 0 to {_RATE_LIMIT - 1}, not {value}.")
    return rate | burst << 16
