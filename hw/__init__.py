# SPDX-License-Identifier: Apache-2.0
"""The hardware: Amaranth components, and the definitions (commands, registers, configuration) they are built from."""
