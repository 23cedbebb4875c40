# SPDX-License-Identifier: Apache-2.0
"""The FPGA flow: synthesis by Yosys, place and route by nextpnr, checks and reports."""
