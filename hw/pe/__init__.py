# SPDX-License-Identifier: Apache-2.0
"""The processing element: one package per unit."""
