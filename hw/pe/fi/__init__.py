# SPDX-License-Identifier: Apache-2.0
"""Fabric interface: strided DMA between memory and local memory."""

from hw.pe.fi.fabric_interface import FabricInterface

__all__ = ["FabricInterface"]
