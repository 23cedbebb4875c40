# SPDX-License-Identifier: Apache-2.0
"""The small library: elastic stages, arbiters, memories, error correction, counters."""
