# SPDX-License-Identifier: Apache-2.0
"""The memory network of a grid of elements: lanes, their stages, and switches at the sides."""
