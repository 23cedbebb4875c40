# SPDX-License-Identifier: Apache-2.0
"""The fabric interface and its parts in the sizes of the small members, for resource figures."""

from hw.iface.pe import CbRole
from hw.lib.address_generator import AddressGenerator
from hw.pe.fi.adder import LineAdder
from hw.pe.fi.assembler import LineAssembler
from hw.pe.fi.fabric_interface import FabricInterface
from hw.pe.fi.geometry import FiGeometry
from hw.pe.fi.indices import IndexReader
from hw.pe.fi.lander import Lander
from hw.pe.fi.remote import RemoteAccess
from hw.pe.fi.tag_pool import TagPool
from hw.pe.fi.tracker import LineTracker

__all__ = ["RESOURCE_POINTS"]

_SMALL = FiGeometry(link_bytes=16, ls_bytes=1 << 14)

RESOURCE_POINTS = {
    "FabricInterface, 16-byte link": lambda: FabricInterface(
        link_bytes=16, ls_bytes=1 << 14, reads_in_flight=8, writes_in_flight=32
    ),
    "FabricInterface, fpga": lambda: FabricInterface(
        link_bytes=16,
        ls_bytes=1 << 15,
        reads_in_flight=8,
        writes_in_flight=8,
        with_scatter_add=False,
    ),
    "Lander, 16-byte link, 8 tags": lambda: Lander(geometry=_SMALL, n_tags=8),
    "LineAssembler, 16-byte link": lambda: LineAssembler(geometry=_SMALL),
    "IndexReader, 16-byte link": lambda: IndexReader(geometry=_SMALL),
    "LineAdder, 16-byte link, 32 tags": lambda: LineAdder(geometry=_SMALL, n_tags=32),
    "LineTracker, 32 tags": lambda: LineTracker(n_tags=32, line_width=16),
    "RemoteAccess, 16-byte link": lambda: RemoteAccess(
        geometry=_SMALL, read_tag_width=8, write_tag_width=6
    ),
    "TagPool, 32 tags": lambda: TagPool(n_tags=32, n_queues=1, entry=1),
    "AddressGenerator, bytes": lambda: AddressGenerator(
        address_width=14, unit_bytes=1, role=CbRole.PRODUCER, stride_width=20, first_level=1
    ),
}
"""Name to a function that makes the component, for `scripts/resources.py`."""
