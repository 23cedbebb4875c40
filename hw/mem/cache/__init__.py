# SPDX-License-Identifier: Apache-2.0
"""The memory-side cache: upper ways of an SRAM slice in front of its DRAM channel."""
