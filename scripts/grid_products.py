# SPDX-License-Identifier: Apache-2.0
"""Matrix products by which grids are measured, and the cycles below which none can go."""

from dataclasses import dataclass

from hw.arch.formats import Format
from hw.config import ChipConfig
from sw.errors import UserError

__all__ = [
    "SETS",
    "Product",
    "bytes_per_cycle",
    "memory_cycles",
    "products",
    "roof_cycles",
    "set_names",
]

_SKINNY = ((1, 1024, 1024), (16, 512, 2048), (64, 512, 1024))
# Layers of DLRM-DCNv2 with 256 samples (MLPerf's configuration).
_DLRM = (
    (256, 512, 13), (256, 256, 512), (256, 128, 256), (256, 512, 3456), (256, 3456, 512),
    (256, 1024, 3456), (256, 1024, 1024), (256, 512, 1024), (256, 1, 256),
)  # fmt: skip
_AWKWARD = ((1, 1, 1), (31, 33, 17), (65, 63, 129), (100, 10, 784), (127, 255, 511))


@dataclass(frozen=True)
class Product:
    """A[m,k] times B[k,n] in a format, and what becomes of it."""

    m: int
    n: int
    k: int
    fmt: Format = Format.INT8
    out: Format | None = None
    """None: sums as they are, INT32 or FP32."""
    where: str = "sram"
    """Memory of A, B and C; `weights`: B in DRAM, the rest in SRAM."""

    @property
    def name(self) -> str:
        """As tables show it."""
        end = "" if self.out is None else f" -> {self.out.name}"
        place = {"sram": "", "dram": " DRAM", "weights": " B in DRAM"}[self.where]
        return f"{self.m}x{self.n}x{self.k} {self.fmt.name}{end}{place}"

    @property
    def macs(self) -> int:
        """Multiplications."""
        return self.m * self.n * self.k

    @property
    def n_bytes(self) -> dict[str, int]:
        """Bytes of A, B and C in each memory, each once."""
        size = self.fmt.n_bytes
        out = 4 if self.out is None else self.out.n_bytes
        weights, rest = size * self.k * self.n, size * self.k * self.m + out * self.m * self.n
        if self.where == "weights":
            return {"sram": rest, "dram": weights}
        return {self.where: weights + rest}


def _both(shapes: tuple[tuple[int, int, int], ...]) -> tuple[Product, ...]:
    """INT8 with requantised results, and with sums."""
    return tuple(Product(*shape, out=out) for shape in shapes for out in (Format.INT8, None))


SETS: dict[str, tuple[Product, ...]] = {
    "tiny": (Product(64, 64, 512), Product(64, 64, 64), Product(64, 64, 256, Format.FP16)),
    "square": (
        *_both(((512, 512, 512), (1024, 1024, 1024))),
        Product(2048, 2048, 2048),
    ),
    "float": (
        Product(512, 512, 512, Format.FP16),
        Product(2048, 2048, 2048, Format.FP16),
        Product(2048, 2048, 2048, Format.BF16),
    ),
    "skinny": _both(_SKINNY),
    "dlrm": _both(_DLRM),
    "awkward": _both(_AWKWARD),
    "dram": (
        Product(64, 4096, 4096, out=Format.INT8, where="weights"),
        Product(512, 2048, 26592, where="weights"),
    ),
}
"""Products by the name of their set."""


def set_names(text: str) -> tuple[str, ...]:
    """Names of sets with commas between, or all of them.

    Raises
    ------
    UserError
        If there is no such set.
    """
    chosen = tuple(SETS) if text == "all" else tuple(text.split(","))
    for name in chosen:
        if name not in SETS:
            raise UserError(f"There is no set {name!r}; there are {', '.join(SETS)}, and all.")
    return chosen


def products(names: tuple[str, ...]) -> list[Product]:
    """Those of some sets, each once."""
    return list(dict.fromkeys(product for name in names for product in SETS[name]))


def bytes_per_cycle(config: ChipConfig, product: Product) -> int:
    """Of the memory that holds the weights, all of it."""
    return _bandwidths(config)["sram" if product.where == "sram" else "dram"]


def memory_cycles(config: ChipConfig, product: Product) -> int:
    """Cycles below which no memory can carry A, B and C, each once."""
    bandwidths = _bandwidths(config)
    return max(-(-size // bandwidths[memory]) for memory, size in product.n_bytes.items())


def roof_cycles(config: ChipConfig, product: Product) -> int:
    """The lower roof of all multipliers and of the memories' bandwidth, in cycles."""
    peak = config.n_pes * config.pe.dpe.macs_per_cycle(product.fmt.n_bytes)
    return max(-(-product.macs // peak), memory_cycles(config, product))


def _bandwidths(config: ChipConfig) -> dict[str, int]:
    """Bytes per cycle of each memory."""
    return {
        "sram": config.sram.slices * config.sram.bytes_per_cycle,
        "dram": config.dram.total_bytes_per_cycle,
    }
