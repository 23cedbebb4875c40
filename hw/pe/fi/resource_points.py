# SPDX-License-Identifier: Apache-2.0
"""The fabric interface and its parts in the sizes of the small members, for resource figures."""

from hw.iface.pe import CbRole
from hw.lib.address_generator import AddressGenerator
from hw.pe.fi.fabric_interface import FabricInterface
from hw.pe.fi.geometry import FiGeometry
from hw.pe.fi.lander import Lander
from hw.pe.fi.tag_pool import TagPool
from hw.pe.fi.writer import LineAssembler

__all__ = ["RESOURCE_POINTS"]

_SMALL = FiGeometry(link_bytes=16, ls_bytes=1 << 14)

RESOURCE_POINTS = {
    "FabricInterface, 16-byte link": lambda: FabricInterface(
        link_bytes=16, ls_bytes=1 << 14, reads_in_flight=8, writes_in_flight=32
    ),
    "Lander, 16-byte link, 8 tags": lambda: Lander(geometry=_SMALL, n_tags=8),
    "LineAssembler, 16-byte link": lambda: LineAssembler(geometry=_SMALL),
    "TagPool, 32 tags": lambda: TagPool(n_tags=32, n_queues=1, entry=1),
    "AddressGenerator, bytes": lambda: AddressGenerator(
        address_width=14, unit_bytes=1, role=CbRole.PRODUCER, stride_width=20
    ),
}
"""Name to a function that makes the component, for `scripts/resources.py`."""
