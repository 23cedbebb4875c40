# SPDX-License-Identifier: Apache-2.0
"""The hardware: Amaranth components, and the definitions that they are built from."""
