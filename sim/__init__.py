# SPDX-License-Identifier: Apache-2.0
"""Golden models, compiled simulator and performance."""
