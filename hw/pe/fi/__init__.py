# SPDX-License-Identifier: Apache-2.0
"""Fabric interface: strided DMA between memory and local memory, and access from outside."""

from hw.pe.fi.fabric_interface import FabricInterface
from hw.pe.fi.geometry import FiGeometry, Sharing
from hw.pe.fi.remote import RemoteAccess

__all__ = ["FabricInterface", "FiGeometry", "RemoteAccess", "Sharing"]
