# SPDX-License-Identifier: Apache-2.0
"""Verification: cocotb benches, proofs and what they share."""
