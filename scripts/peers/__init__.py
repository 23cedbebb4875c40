# SPDX-License-Identifier: Apache-2.0
"""Other arrays beside the grid: formulas, and SCALE-Sim in an environment of its own."""
