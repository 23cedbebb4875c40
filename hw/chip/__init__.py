# SPDX-License-Identifier: Apache-2.0
"""What surrounds an element: crossbar, host port, DRAM bridge, control block; and the chip."""
