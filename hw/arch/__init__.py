# SPDX-License-Identifier: Apache-2.0
"""Definitions shared by RTL, models and software: formats, commands, registers, traps. Imports
nothing of ours."""
