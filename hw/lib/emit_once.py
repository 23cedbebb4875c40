# SPDX-License-Identifier: Apache-2.0
"""Emit a component once and instantiate it many times.

Amaranth elaborates every submodule anew, so a grid of equal elements costs the time and the text
of each copy. `EmitOnce` puts a component's Verilog into the output a single time, under a key, and
places an instance of that module wherever it is used. This file collects the modules; writing
Verilog from them is the duty of `hw.generate`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    Fragment,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.hdl._ir import PortDirection
from amaranth.hdl._xfrm import DomainCollector
from amaranth.lib import wiring

__all__ = [
    "Boundary",
    "EmitOnce",
    "Emission",
    "current_emission",
    "emission",
    "emission_below_enable",
    "mark_used",
    "module_rtlil",
]


class Boundary(Enum):
    """How Verilator treats the boundary of an emitted module."""

    FREE = None
    """Verilator decides; it inlines small or single modules."""
    NO_INLINE = "no_inline_module"
    """The module's code is generated once and called for every instance."""
    HIER_BLOCK = "hier_block"
    """The module is built as a library of its own where `--hierarchical` is given."""


@dataclass(kw_only=True)
class Emission:
    """The modules collected while one design is turned into Verilog.

    Parameters
    ----------
    flat : every `EmitOnce` becomes its real component in place of an instance.
    clock_gating : every `hw.lib.clock_gate.Gated` gets a clock of its own in place of an enable.
    source_lines : every cell and wire says from which line it comes. Such a text holds paths of the
        machine, so what is published goes without.
    target : the FPGA family for which wrappers of hard blocks shall choose their Verilog, as
        "ecp5"; None for text that fits every tool.
    """

    flat: bool = False
    clock_gating: bool = True
    source_lines: bool = False
    target: str | None = None
    rtlil: dict[str, str] = field(default_factory=dict)
    """Netlist text of each shared module, by key, inner modules first."""
    verilog: dict[str, str] = field(default_factory=dict)
    """Hand-written Verilog modules, by module name."""
    boundaries: dict[str, Boundary] = field(default_factory=dict)
    """How Verilator shall treat each shared module."""
    own_inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ports of each shared module that stay variables of its own."""
    gates: Iterator[int] = field(default_factory=count)
    """Numbers for the domains of gated clocks; gates may be nested, so no two share a name."""
    _origins: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _domains: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add_verilog(self, name: str, text: str) -> None:
        """Add the hand-written Verilog module `name`, which an `Instance` refers to."""
        if self.verilog.setdefault(name, text) != text:
            raise ValueError(f"Verilog module {name!r} is given with two different texts.")

    def add_shared(self, shared: "EmitOnce") -> tuple[str, ...]:
        """Add a shared component unless it is there; return the clock domains it needs."""
        key, origin = shared.key, shared.origin
        known = self._origins.setdefault(key, origin)
        if known != origin:
            raise ValueError(
                f"Emit-once key {key!r} stands for two different components: "
                f"{_describe(known)} and {_describe(origin)}."
            )
        if key not in self.rtlil:
            text, domains = module_rtlil(shared.component, name=key)
            self.rtlil[key], self._domains[key] = text, domains
            self.boundaries[key] = shared.boundary
            self.own_inputs[key] = shared.own_inputs
        return self._domains[key]


_current: ContextVar[Emission | None] = ContextVar("emission", default=None)


def current_emission() -> Emission | None:
    """The emission in progress, or None where a design is elaborated for Amaranth's simulator."""
    return _current.get()


@contextmanager
def emission(
    *,
    flat: bool = False,
    clock_gating: bool = True,
    source_lines: bool = False,
    target: str | None = None,
) -> Iterator[Emission]:
    """Collect shared and hand-written modules of what is elaborated inside the `with` block."""
    collected = Emission(
        flat=flat, clock_gating=clock_gating, source_lines=source_lines, target=target
    )
    token = _current.set(collected)
    try:
        yield collected
    finally:
        _current.reset(token)


@contextmanager
def emission_below_enable() -> Iterator[None]:
    """Expand every `EmitOnce` in place inside the `with` block."""
    collected = current_emission()
    token = _current.set(collected and replace(collected, flat=True))
    try:
        yield
    finally:
        _current.reset(token)


def module_rtlil(
    component: Elaboratable,
    *,
    name: str,
    ports: dict[str, tuple[Value, PortDirection]] | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Netlist text of `component` as module `name`, and the clock domains it takes as ports.

    Amaranth lists missing domains in the order of a set of strings, which changes from run to run;
    here they are added in the order of their names.
    """
    if ports is None:
        ports = _signature_ports(component)
    fragment = Fragment.get(component, None)
    fragment._propagate_domains_up()
    collector = DomainCollector()
    collector(fragment)
    domains = tuple(sorted(collector.used_domains - collector.defined_domains - {"comb"}))
    for domain_name in domains:
        domain = ClockDomain(domain_name)
        fragment.add_domains(domain)
        ports[domain.clk.name] = (domain.clk, PortDirection.Input)
        ports[domain.rst.name] = (domain.rst, PortDirection.Input)
    collected = current_emission()
    emit_src = collected is not None and collected.source_lines
    if emit_src:
        _place_members(fragment)
    text, _names = rtlil.convert_fragment(fragment, ports, name, emit_src=emit_src)
    return text, domains


def _place_members(fragment: Fragment) -> None:
    """Have each signal of an interface come from the line where a component has that interface.

    By itself it comes from the line where the interface is defined, often in a library.
    """
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            members = origin.signature.members
            for path, _member, value in origin.signature.flatten(origin):
                signal = Value.cast(value)
                if len(path) > 1 and isinstance(signal, Signal):
                    signal.src_loc = members[str(path[0])].src_loc
    for part, _name, _source in fragment.subfragments:
        _place_members(part)


def _signature_ports(component: Any) -> dict[str, tuple[Value, PortDirection]]:
    if not isinstance(getattr(component, "signature", None), wiring.Signature):
        raise TypeError(f"Ports of {component!r} must be given, since it has no signature.")
    return {
        "__".join(map(str, path)): (
            Value.cast(value),
            PortDirection.Input if member.flow is wiring.In else PortDirection.Output,
        )
        for path, member, value in component.signature.flatten(component)
        if not isinstance(value, Const)
    }  # an always-ready stream's `ready` is no signal


def _describe(origin: tuple[Any, ...]) -> str:
    factory, parameters, boundary, own_inputs = origin
    arguments = [f"{name}={value!r}" for name, value in parameters.items()]
    suffix = "" if boundary is Boundary.FREE else f" as {boundary.value}"
    suffix += f" with own {', '.join(own_inputs)}" if own_inputs else ""
    return f"{factory.__name__}({', '.join(arguments)}){suffix}"


def mark_used(part: Any) -> None:
    """Keep Amaranth from warning about a component and its parts that are not elaborated: of all
    under one key only the first is, and of what is left out of a netlist none."""
    if isinstance(part, Elaboratable):
        if not part._MustUse__used:
            part._MustUse__used = True
            mark_used(vars(part))
    elif isinstance(part, dict):
        mark_used(list(part.values()))
    elif isinstance(part, list | tuple):
        for inner in part:
            mark_used(inner)


class EmitOnce(wiring.Component):
    """A component that appears once in the Verilog, however many instances there are.

    Operation: has the signature of the component it stands for and can be used in its place. While
    Verilog is emitted it becomes an instance of module `key`; in a flat emission, and in Amaranth's
    simulator, it becomes the component itself. Both behave alike cycle by cycle.

    `EnableInserter` and `ResetInserter` do not reach into an instance, so give the component an
    enable port or a clock domain of its own instead. `DomainRenamer` works as usual.

    Timing: adds nothing.

    Parameters
    ----------
    factory : the component's class, or a function that returns the component.
    key : name of the module in Verilog; unique for `factory`, `parameters` and `boundary`.
    boundary : how Verilator shall treat the module's boundary.
    own_inputs : members that every instance gets from elsewhere, such as a byte or an enable of
        its own. Verilator would put the parent's expression in their place, and then no function
        could serve two instances; so these stay variables, at the price of a copy per cycle.
    parameters : keyword arguments of `factory`, comparable by `==`.

    Members: those of the component.

    Raises: ValueError for a key that is no lower-case Verilog name, for an own input that is no
    member and, while Verilog is emitted, for a key that stands for two different components.
    """

    def __init__(
        self,
        factory: Callable[..., wiring.Component],
        *,
        key: str,
        boundary: Boundary = Boundary.FREE,
        own_inputs: Sequence[str] = (),
        **parameters: Any,
    ) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            raise ValueError(f"Emit-once key {key!r} must be a lower-case Verilog name.")
        self.key = key
        self.boundary = boundary
        self.own_inputs = tuple(own_inputs)
        self.origin = (factory, parameters, boundary, self.own_inputs)
        self.component = factory(**parameters)
        mark_used(self.component)
        super().__init__(self.component.signature)
        for name in self.own_inputs:
            if name not in self.signature.members:
                raise ValueError(f"Own input {name!r} is no member of {_describe(self.origin)}.")

    def elaborate(self, platform: Any) -> Module | Instance:
        collected = current_emission()
        if collected is None or collected.flat:
            m = Module()
            m.submodules.component = self.component
            wiring.connect(m, wiring.flipped(self), self.component)
            return m
        connections: dict[str, Any] = {}
        for domain in collected.add_shared(self):
            prefix = "" if domain == "sync" else f"{domain}_"
            connections[f"i_{prefix}clk"] = ClockSignal(domain)
            connections[f"i_{prefix}rst"] = ResetSignal(domain, allow_reset_less=True)
        for path, member, value in self.signature.flatten(self):
            kind = "i" if member.flow is wiring.In else "o"
            if not isinstance(value, Const):
                connections[f"{kind}_{'__'.join(map(str, path))}"] = value
        return Instance(self.key, **connections)
