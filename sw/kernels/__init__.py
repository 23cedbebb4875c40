# SPDX-License-Identifier: Apache-2.0
"""Kernels: planners that turn a problem into a command list."""
