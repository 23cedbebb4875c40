# SPDX-License-Identifier: Apache-2.0
"""What a job of a grid may do and with whom it shares reads, as one value that goes with it."""

from amaranth.lib import data

from hw.arch.csr import ELEMENT_REGISTERS, JOB_SETTINGS, RANGE_REGISTERS

__all__ = ["settings_init", "settings_layout"]

_ACCESS_NAMES = {access.name for *_, access in RANGE_REGISTERS}


def settings_layout() -> data.StructLayout:
    """Values of `hw.arch.csr.JOB_SETTINGS`, by the registers' names in lower case; of an access the
    two bits that mean something."""
    return data.StructLayout(
        {name.lower(): 2 if name in _ACCESS_NAMES else 32 for name in JOB_SETTINGS}
    )


def settings_init() -> dict[str, int]:
    """What the registers hold after reset."""
    return {name.lower(): ELEMENT_REGISTERS[name].reset for name in JOB_SETTINGS}
