# SPDX-License-Identifier: Apache-2.0
"""Delays of the ECP5's cells, as Yosys calls them, in ns, speed grade 6, as nextpnr has them."""

__all__ = [
    "CARRY_IN",
    "CARRY_OUT",
    "INTO_CARRY",
    "LUT",
    "REGISTERED_RAM",
    "START",
    "through_carry",
]

LUT = 0.24
START = {"TRELLIS_FF": 0.525, "MULT18X18D": 3.0, "DP16KD": 5.7, "PDPW16KD": 5.7}
"""From the clock to the output; block RAM without its output register."""
REGISTERED_RAM = 1.0
CARRY_IN, CARRY_OUT = "CIN", "COUT"
INTO_CARRY, ALONG_CARRY, OUT_OF_CARRY = 0.45, 0.07, 0.44


def through_carry(pin: str, out_pin: str) -> float:
    """Through a carry cell."""
    if pin != CARRY_IN:
        return INTO_CARRY
    return ALONG_CARRY if out_pin == CARRY_OUT else OUT_OF_CARRY
