# SPDX-License-Identifier: Apache-2.0
"""Software: command line and runtime."""

__all__ = ["__version__"]

__version__ = "0.1.0"
