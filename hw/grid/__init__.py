# SPDX-License-Identifier: Apache-2.0
"""The chip with a grid of elements: tiles on lanes, sides with memories, control, the host."""
