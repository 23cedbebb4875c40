# SPDX-License-Identifier: Apache-2.0
"""Which bench tests which unit: what mutation and netlist runs repeat."""

from dataclasses import dataclass

__all__ = ["UNIT_BENCHES", "UnitBench"]


@dataclass(frozen=True)
class UnitBench:
    """The tests of one unit that run on one build of it."""

    build: str
    """Name of the bench's top module, as given to `run_bench`."""
    tests: tuple[str, ...]
    """pytest node ids, quick ones first."""


UNIT_BENCHES: dict[str, UnitBench] = {
    "address_generator": UnitBench(
        "address_generator_words",
        (
            "tb/unit/lib/test_address_generator.py::test_address_generator[words-none]",
            "tb/unit/lib/test_address_generator.py::test_address_generator[words-both]",
        ),
    ),
    "ls": UnitBench(
        "ls_tiny_crossbar",
        ("tb/unit/ls/test_local_memory.py::test_local_memory[tiny_crossbar]",),
    ),
    "cb_table": UnitBench(
        "cb_table",
        (
            "tb/unit/cp/test_cb_table.py::test_table[none-True]",
            "tb/unit/cp/test_cb_table.py::test_table[source-True]",
        ),
    ),
    "cp": UnitBench(
        "command_processor",
        (
            "tb/unit/cp/test_errors.py::test_errors",
            "tb/unit/cp/test_processor.py::test_processor[both]",
            "tb/unit/cp/test_processor.py::test_processor[none]",
        ),
    ),
    "wqe": UnitBench(
        "wqe_16",
        (
            "tb/unit/cp/test_wqe.py::test_engine[both-16]",
            "tb/unit/cp/test_wqe.py::test_engine[none-16]",
        ),
    ),
    "dpe": UnitBench(
        "dpe_tiny",
        (
            "tb/unit/dpe/test_engine.py::test_dot_product_engine[tiny-none-none]",
            "tb/unit/dpe/test_engine.py::test_dot_product_engine[tiny-both-both]",
        ),
    ),
    "re": UnitBench(
        "re_tiny", ("tb/unit/re/test_reduction_engine.py::test_reduction_engine[tiny]",)
    ),
    "se": UnitBench(
        "se_tiny",
        (
            "tb/unit/se/test_simd_faults.py::test_simd_faults[tiny]",
            "tb/unit/se/test_simd_rates.py::test_simd_rates[tiny]",
            "tb/unit/se/test_simd_engine.py::test_simd_engine[tiny-5]",
        ),
    ),
    "fi": UnitBench(
        "fabric_interface_tiny",
        (
            "tb/unit/fi/test_fabric_faults.py::test_faults",
            "tb/unit/fi/test_fabric_interface.py::test_random_programs[some]",
            "tb/unit/fi/test_fabric_rates.py::test_rates[tiny]",
            "tb/unit/fi/test_indexed_faults.py::test_indexed_faults",
            "tb/unit/fi/test_indexed_rates.py::test_indexed_rates[tiny]",
        ),
    ),
    "mlu": UnitBench(
        "mlu_tiny",
        (
            "tb/unit/mlu/test_layout_unit.py::test_random_programs[none]",
            "tb/unit/mlu/test_layout_unit.py::test_random_programs[both]",
            "tb/unit/mlu/test_layout_faults.py::test_faults",
        ),
    ),
    "sram_slice": UnitBench(
        "sram_slice_16",
        (
            "tb/unit/mem/test_sram_slice.py::test_sram_slice[16-both]",
            "tb/unit/mem/test_sram_slice.py::test_sram_slice[16-none]",
        ),
    ),
    "memory_cache": UnitBench(
        "cached_slice_16",
        (
            "tb/unit/mem/test_memory_cache.py::test_memory_cache[16-both]",
            "tb/unit/mem/test_memory_cache.py::test_memory_cache[16-none]",
        ),
    ),
    "control": UnitBench("control_block", ("tb/unit/chip/test_control.py::test_control_block",)),
    "lanes": UnitBench(
        "net_lanes",
        (
            "tb/unit/net/test_lanes.py::test_lanes[none]",
            "tb/unit/net/test_lanes.py::test_lanes[both]",
        ),
    ),
    "switch": UnitBench(
        "net_switches",
        (
            "tb/unit/net/test_crosspoint.py::test_switches[none]",
            "tb/unit/net/test_crosspoint.py::test_switches[both]",
        ),
    ),
    "signals": UnitBench(
        "grid_signals",
        (
            "tb/unit/grid/test_signals.py::test_signals[none-None]",
            "tb/unit/grid/test_signals.py::test_signals[both-None]",
        ),
    ),
    "dma_engine": UnitBench(
        "dma_engine",
        (
            "tb/unit/chip/test_dma_engine.py::test_dma_engine[none]",
            "tb/unit/chip/test_dma_engine.py::test_dma_engine[both]",
        ),
    ),
    "collector": UnitBench(
        "net_collector",
        (
            "tb/unit/net/test_collector.py::test_collector[none]",
            "tb/unit/net/test_collector.py::test_collector[both]",
        ),
    ),
    "num": UnitBench("number_blocks", ("tb/unit/num/test_number_blocks.py::test_number_blocks",)),
    "drain_path": UnitBench("se_drain_path_4", ("tb/unit/se/test_drain_path.py::test_drain_path",)),
}
"""Units by name."""
