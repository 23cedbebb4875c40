# SPDX-License-Identifier: Apache-2.0
"""Assembler and disassembler of command lists."""

from sw.asm.text import AssemblyError, assemble, disassemble

__all__ = ["AssemblyError", "assemble", "disassemble"]
