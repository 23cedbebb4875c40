# SPDX-License-Identifier: Apache-2.0
"""Signatures between units; each is defined once and used by both ends."""
