# SPDX-License-Identifier: Apache-2.0
"""Benches and tests of single units."""
