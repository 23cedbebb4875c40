# SPDX-License-Identifier: Apache-2.0
"""Shared memory: the SRAM slices."""
