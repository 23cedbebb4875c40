# SPDX-License-Identifier: Apache-2.0
"""Rewrites of Yosys's Verilog that make it shorter to read and faster to simulate.

They rely on the regular shape of that text, and leave alone whatever does not have it.
"""

import re
from collections.abc import Sequence

from hw.lib.emit_once import Boundary

__all__ = ["join_next_state", "mark_module"]

_NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
_REGISTER = re.compile(
    rf"  always @\((posedge|negedge) ({_NAME})\)\n    ({_NAME}) ?<= (\\\$\d+ );\n"
)
_NEXT_STATE = re.compile(
    r"  always @\* begin\n"
    r"    if \(\\\$start \) begin end\n"
    r"(    (\\\$\d+ ).*?)"
    r"^  end\n",
    re.DOTALL | re.MULTILINE,
)


def join_next_state(text: str) -> str:
    """Move the logic of a register's next state into the register's clocked process.

    Amaranth has every register's next state computed in a process of its own, which Verilator runs
    and stores in each cycle, change or not. In the clocked process the same statements cost nothing
    while their conditions are false.
    """
    modules = re.split(r"(?<=^endmodule\n)", text, flags=re.MULTILINE)
    return "".join(_join_in_module(module) for module in modules)


def _join_in_module(module: str) -> str:
    registers = {match[4]: match for match in _REGISTER.finditer(module)}
    bodies: dict[str, str] = {}

    def take_out(match: re.Match[str]) -> str:
        statements, temporary = match.groups()
        body = _clocked_body(temporary, statements, registers.get(temporary))
        # The temporary's declaration and the register's assignment are its only other uses.
        uses = module.count(temporary) - match[0].count(temporary)
        if body is None or uses != 2:
            return match[0]
        bodies[temporary] = body
        return ""

    def put_in(match: re.Match[str]) -> str:
        if match[4] not in bodies:
            return match[0]
        body = bodies[match[4]]
        return f"  always @({match[1]} {match[2]}) begin\n{body}  end\n" if body else ""

    module = _REGISTER.sub(put_in, _NEXT_STATE.sub(take_out, module))
    return re.sub(
        r"  reg (?:signed )?(?:\[\d+:0\] )?(\\\$\d+ );\n",
        lambda match: "" if match[1] in bodies else match[0],
        module,
    )


def _clocked_body(temporary: str, statements: str, register: re.Match[str] | None) -> str | None:
    """The statements with the register in the temporary's place, or None where this is unsafe."""
    if register is None:
        return None
    name = register[3]
    lines = []
    is_default = True  # until the first condition
    for line in statements.splitlines(keepends=True):
        target, assigns, value = line.partition(" = ")
        if temporary in value or (temporary in target) != bool(assigns):
            return None
        is_default = is_default and bool(assigns)
        if assigns:
            target = target.replace(temporary, name)
            if is_default and _plain(target) == _plain(value):
                continue  # a register keeps its value anyway
            line = f"{target} <= {value}"
        lines.append(line)
    return "".join(lines)


def _plain(text: str) -> str:
    """A reference without spaces and semicolon."""
    return re.sub(r"[\s;]", "", text)


def mark_module(text: str, name: str, *, boundary: Boundary, own_inputs: Sequence[str]) -> str:
    """Tell Verilator, in comments, how to treat a module's boundary and some of its inputs."""
    match = re.search(rf"^module {name}\([^;]*\);.*?^endmodule\n", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise ValueError(f"There is no module {name!r} in the Verilog.")
    module = match[0]
    if boundary is not Boundary.FREE:
        module = module.replace(");\n", f"); /*verilator {boundary.value}*/\n", 1)
    for member in own_inputs:
        module = re.sub(
            rf"^(  input [^;\n]*\b{member}(?:__\w+)?;\n  wire [^;\n]*);",
            r"\1 /*verilator public_flat_rd*/;",
            module,
            flags=re.MULTILINE,
        )
    return text[: match.start()] + module + text[match.end() :]
