# SPDX-License-Identifier: Apache-2.0
"""What the FPGA flow needs of the hardware: devices, parts that are synthesised alone, netlists."""
