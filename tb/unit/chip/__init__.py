# SPDX-License-Identifier: Apache-2.0
"""Benches of what surrounds an element."""
