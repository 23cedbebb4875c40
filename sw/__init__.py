# SPDX-License-Identifier: Apache-2.0
"""Software: command line and runtime."""
