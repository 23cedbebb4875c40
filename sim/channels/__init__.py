# SPDX-License-Identifier: Apache-2.0
"""Which channel of a chip's networks waits for which, read off the netlist."""

from sim.channels.chip import chip_arrivals, chip_netlist, chip_waits
from sim.channels.graph import ChannelGraph, channel_graph
from sim.channels.netlist import Netlist

__all__ = [
    "ChannelGraph",
    "Netlist",
    "channel_graph",
    "chip_arrivals",
    "chip_netlist",
    "chip_waits",
]
