# SPDX-License-Identifier: Apache-2.0
"""Which channel of a grid's networks waits for which, from the netlist; no ring may be among them.

Prints the size of the graph and the longest way for each member; for a ring, the channels along it.
The exit code is 1 if any member has one. What counts as waiting: docs/verification.md.
"""

import argparse
import sys

from hw.config import PRESETS
from sim.channels import ChannelGraph, channel_graph, chip_arrivals, chip_netlist, chip_waits

__all__ = ["describe", "main"]


def describe(graph: ChannelGraph) -> str:
    """What is to be said of a graph, in lines."""
    size = (
        f"{len(graph.waits)} channels that may be held up ({graph.n_free} never are),"
        f" {graph.n_edges} waits, {len(graph.ends)} ends"
    )
    ring = graph.cycle()
    if ring:
        return "\n".join([size, "a ring of channels that wait for one another:", *_indented(ring)])
    longest = graph.longest()
    return "\n".join([size, f"no ring; the longest way has {len(longest)}:", *_indented(longest)])


def _indented(names: list[str]) -> list[str]:
    return [f"  {name}" for name in names]


def main() -> int:
    """Check members."""
    grids = [name for name, config in PRESETS.items() if config.n_pes > 1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", action="append", choices=grids, help="a member; tiny if none")
    parser.add_argument("--all", action="store_true", help="print whom each channel waits for")
    arguments = parser.parse_args()
    code = 0
    for name in arguments.config or ["tiny"]:
        config = PRESETS[name]
        graph = channel_graph(
            chip_netlist(config), chip_waits(config), arrivals=chip_arrivals(config)
        )
        print(f"{name}: {describe(graph)}", flush=True)
        for channel in sorted(graph.waits) if arguments.all else ():
            print(f"  {channel} -> {', '.join(sorted(graph.waits[channel])) or 'an end'}")
        code |= bool(graph.cycle())
    return code


if __name__ == "__main__":
    sys.exit(main())
