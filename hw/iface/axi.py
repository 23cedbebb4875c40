# SPDX-License-Identifier: Apache-2.0
"""AXI4 between the chip and its surroundings: plain signals with the names of the standard."""

from amaranth.hdl import unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Axi4Port", "AxiBurst", "AxiResponse"]


class AxiBurst(enum.Enum, shape=2):
    """How the address moves from beat to beat."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class AxiResponse(enum.Enum, shape=2):
    """How an access went."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class Axi4Port(wiring.Signature):
    """A full AXI4 port, seen from the manager (the side that asks).

    The members are no streams but single signals, `awaddr` to `rready`, so that a port in Verilog
    is `<port>__awaddr` and so on, and AXI tools find their signals by a prefix. The optional
    signals (lock, cache, prot, qos, region, user) are left out: nothing here would look at them.

    Parameters
    ----------
    address_width, data_width, id_width : int
        Bits of an address, of a data beat (a power of two from 8 to 1024), of a transaction's ID.

    Raises: ValueError for a data width that AXI4 does not know.
    """

    def __init__(self, *, address_width: int, data_width: int, id_width: int) -> None:
        if data_width not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(
                f"AXI4 data_width must be a power of two from 8 to 1024, not {data_width!r}."
            )
        self.address_width = address_width
        self.data_width = data_width
        self.id_width = id_width
        members = {}
        for channel in ("aw", "ar"):
            members |= {
                f"{channel}id": Out(id_width),
                f"{channel}addr": Out(address_width),
                f"{channel}len": Out(8),
                f"{channel}size": Out(3),
                f"{channel}burst": Out(unsigned(2)),
                f"{channel}valid": Out(1),
                f"{channel}ready": In(1),
            }
        members |= {
            "wdata": Out(data_width),
            "wstrb": Out(data_width // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(id_width),
            "bresp": In(unsigned(2)),
            "bvalid": In(1),
            "bready": Out(1),
            "rid": In(id_width),
            "rdata": In(data_width),
            "rresp": In(unsigned(2)),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
        super().__init__(members)
