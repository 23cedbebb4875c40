# SPDX-License-Identifier: Apache-2.0
"""Which of Yosys's mutants can be seen at all, by what the netlist says about the cell."""

import re
from dataclasses import dataclass, field

__all__ = ["Netlist"]

_COMPARISONS = ("$eq", "$ne", "$eqx", "$nex")
_OTHER_SIDE = {"\\A": "\\B", "\\B": "\\A"}


@dataclass
class Netlist:
    """Cells of a design: their types, and the ports that only a constant drives."""

    types: dict[tuple[str, str], str] = field(default_factory=dict)
    """By module and cell; behind a comparison of signed numbers " signed"."""
    constants: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Bits, lowest first, by module, cell and port."""

    @classmethod
    def read(cls, rtlil: str) -> "Netlist":
        """Read Yosys's text form."""
        netlist = cls()
        module = cell = ""
        for line in rtlil.splitlines():
            match line.split():
                case ["module", name]:
                    module = name
                case ["cell", kind, name]:
                    cell = name
                    netlist.types[module, cell] = kind
                case ["parameter", "\\A_SIGNED", "1"]:
                    netlist.types[module, cell] += " signed"
                case ["connect", port, value] if bits := re.fullmatch(r"(\d+)'([01x]+)", value):
                    fill = "x" if bits[2][0] == "x" else "0"  # leading digits may be left out
                    netlist.constants[module, cell, port] = bits[2].rjust(int(bits[1]), fill)[::-1]
        return netlist

    def changes_nothing(self, mutant: str) -> bool:
        """Whether a mutant gives a bit the value that it has, or changes a don't-care."""
        words = mutant.split()[1:]
        options = dict(zip(words[::2], words[1::2], strict=True))
        mode, bit = options["-mode"], int(options["-portbit"])
        module, cell, port = (_escaped(options[f"-{key}"]) for key in ("module", "cell", "port"))
        if mode in ("cnot0", "cnot1"):
            control = int(options["-ctrlbit"])
            if self._is_unequal(module, cell, port, control, mode[-1]):
                return True
        bits = self.constants.get((module, cell, port))
        if bits is None:
            return False
        if bits[bit] == "x":
            return True
        if mode in ("cnot0", "cnot1"):
            return bits[int(options["-ctrlbit"])] != mode[-1]
        return mode in ("const0", "const1") and bits[bit] == mode[-1]

    def _is_unequal(self, module: str, cell: str, port: str, bit: int, value: str) -> bool:
        """Whether this bit with this value makes a comparison with a constant fail by itself."""
        if self.types.get((module, cell)) not in _COMPARISONS:
            return False
        other = self.constants.get((module, cell, _OTHER_SIDE.get(port, "")))
        if other is None:
            return False
        return other[bit] not in (value, "x") if bit < len(other) else value == "1"


def _escaped(name: str) -> str:
    """A name as RTLIL writes it."""
    return name if name.startswith(("$", "\\")) else f"\\{name}"
