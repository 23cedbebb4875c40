# SPDX-License-Identifier: Apache-2.0
"""The dispatcher: takes commands, checks them, runs the short ones, issues the long ones.

Stage 1 chooses a source whose next command can go, stage 2 checks it, stage 3 acts. Nothing stalls
behind stage 1, so everything a command has to wait for is decided there. Commands that wait in
queues, and stored ones, lie in one memory; what is read from it takes the same way.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import COMMANDS, LONG_BITS, OFFSET_FIELDS, Opcode
from hw.arch.traps import Trap
from hw.iface.command_view import view
from hw.lib.arbiter import RoundRobin
from hw.lib.select import one_of
from hw.pe.cp.cb_table import CbSetup
from hw.pe.cp.checker import CommandChecker, Verdict
from hw.pe.cp.command_store import N_UNITS, CommandStore, unit_code
from hw.pe.cp.decoding import decode, decoded_layout
from hw.pe.cp.limits import CheckLimits
from hw.pe.cp.signal_counters import CounterUpdate, CounterWatch

__all__ = ["DispatchFault", "Dispatcher"]

_HEADER_FIELDS = ("tag", "signal_en", "signal_counter", "signal_row", "signal_col")
_MOVED_BY_MEMORY = tuple(
    opcode
    for opcode in OFFSET_FIELDS
    if any(field.name == "mem_addr" for field in COMMANDS[opcode].fields)
)


class DispatchFault(data.Struct):
    """A command that failed its checks; valid for one cycle."""

    valid: unsigned(1)
    cause: unsigned(8)
    opcode: unsigned(8)
    tag: unsigned(16)
    info: unsigned(10)


def _stage_layout(n_sources: int) -> data.StructLayout:
    """What goes with a command from stage to stage."""
    return data.StructLayout(
        {
            "valid": 1,
            "delivers": 1,  # it was in a queue and goes to its unit
            "stores": 1,
            "runs": 1,  # a stored command; never without `valid`
            "updates": 1,  # a counter
            "units": N_UNITS,  # whose it is
            "source": n_sources,  # where it came from
        }
    )


class Dispatcher(wiring.Component):
    """Takes commands of several sources, each in its order, and issues them to the units.

    Operation
        1. A source whose command has to wait does not hold up the others: for room in its unit's
           queue; FENCE and END for units to be quiet; WAIT for its counter. Among those that can
           go it is round robin.
        2. A command that fails its checks goes nowhere and is reported on `fault`.
        3. A long command goes to its unit's queue, or with `store` into a context. RUN reads one
           from there and moves it; the moved command is checked like any other. Short commands take
           place in stage 3. Any of them with `signal_en` increments its counter then, SIGNAL
           always; SET_COUNTER has no signal.
        4. A queue that `wants` its oldest command gets it on `command` with `deliver`.
        5. From the cycle behind `halt` no command is taken, and the one in stage 3 is dropped.

    Timing
        A command is decoded in the cycle in which it comes, taken in the next if it can go, checked
        in the one behind that, and takes place in the next; one command per cycle over all sources,
        one in two cycles of each. A RUN takes the place of 5 commands, with `keep` of 7, its
        command is issued 6 cycles after the RUN was taken. A delivery takes the place of one, and
        comes 4 cycles after `wants` at the earliest. WAIT is taken 5 cycles behind a command of its
        source at the earliest. `update` follows the rest of a short command a cycle later.
        Combinational paths from the valids of `sources`, `full`, `quiet`, `signals_waiting`,
        `remote_room`, `remote_empty` and `reached` to the readys of `sources`.

    Parameters
    ----------
    limits : what the element can do.
    depth : rows of each queue.
    n_sources : command sources.

    Members
    -------
    sources : In(stream.Signature(512)).array(n_sources), commands, short ones in the low 128 bits.
    halt : In(1), take no commands.
    full : In(7), units whose queues have no room.
    quiet : In(7), units that have nothing to do.
    signals_waiting, remote_room, remote_empty : In(1), from the counters.
    watches : Out(CounterWatch).array(n_sources), what each source would wait for.
    reached : In(n_sources), whether that was reached in the cycle before.
    reserve : Out(7), unit to whose queue the command belongs that is taken in this cycle.
    issue : Out(7), unit that gets `command` in this cycle.
    wants : In(7), fetch, deliver : Out(7), tails, fronts : In; see `UnitQueue`.
    command : Out(512), checked command.
    update : Out(CounterUpdate), work of a short command on a counter.
    setup : Out(stream.Signature(CbSetup, always_ready=True)), CB commands.
    job_done : Out(1), an END command takes place in this cycle.
    status : Out(32), its status.
    fault : Out(DispatchFault), a command that failed in the cycle before.
    ran : Out(1), a command took place in this cycle without being issued to a unit.
    waiting : Out(n_sources), sources whose command has to wait.
    peeks : In(1), peek_unit : In(3), peek_word : In(4), peek : Out(32), see `CommandStore`.
    """

    def __init__(self, *, limits: CheckLimits, depth: int, n_sources: int) -> None:
        self.limits = limits
        self.n_sources = n_sources
        self._store = CommandStore(n_contexts=limits.contexts, depth=depth, n_lookups=n_sources)
        queue = {name: self._store.signature.members[name] for name in ("tails", "fronts")}
        peek = {
            name: self._store.signature.members[name]
            for name in ("peeks", "peek_unit", "peek_word", "peek")
        }
        super().__init__(
            {
                "sources": In(stream.Signature(LONG_BITS)).array(n_sources),
                "halt": In(1),
                "full": In(N_UNITS),
                "quiet": In(N_UNITS),
                "signals_waiting": In(1),
                "remote_room": In(1),
                "remote_empty": In(1),
                "watches": Out(CounterWatch).array(n_sources),
                "reached": In(n_sources),
                "reserve": Out(N_UNITS),
                "issue": Out(N_UNITS),
                "wants": In(N_UNITS),
                "fetch": Out(N_UNITS),
                "deliver": Out(N_UNITS),
                **queue,
                "command": Out(LONG_BITS),
                "update": Out(CounterUpdate),
                "setup": Out(stream.Signature(CbSetup, always_ready=True)),
                "job_done": Out(1),
                "status": Out(32),
                "fault": Out(DispatchFault),
                "ran": Out(1),
                "waiting": Out(n_sources),
                **peek,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.store = self._store
        layout = _stage_layout(self.n_sources)
        self._checked, self._acting = Signal(layout), Signal(layout)  # in stages 2 and 3
        self._command = Signal(LONG_BITS)  # in stage 2; that in stage 3 is `command`
        # Of the command that was in stage 3, as its work on a counter or context is seen later.
        self._was_source = Signal(self.n_sources)
        self._was_stored = Signal()
        self._fetches = Signal()  # a queue's oldest command is to be read
        self._arrives = Signal()  # that command comes from the memory
        self._step = Signal(range(7))  # 1 to 6 cycles after a RUN was in stage 2
        self._keeps = Signal()  # the moved command goes back into its context
        self._holds = Signal()  # the command in stage 3 stays: a RUN, or what is to be kept
        self._stops = Signal()  # after a wrong command, and halted, nothing acts
        # What stage 2 takes, known a cycle before, since so many flip-flops wait for it.
        self._loads = Signal(init=1)  # something new: it is in none of a RUN's steps 2 and 3
        self._loads_row = Signal()  # from the memory, not from a source
        taken, chosen = Signal(layout), Signal(LONG_BITS)
        self._elaborate_choice(m, taken, chosen)
        self._elaborate_fetch(m)
        self._elaborate_stages(m, taken, chosen)
        self._elaborate_action(m)
        return m

    def _elaborate_choice(self, m: Module, taken: data.View, chosen: Signal) -> None:
        """Stage 1: one of the sources whose command can go."""
        m.submodules.chooser = chooser = RoundRobin(n_requests=self.n_sources)
        checked = self._checked
        blocked = (
            checked.runs
            | (self._step == 1)
            | (self._step == 2)
            | (self._step == 3)
            | ((self._step >= 4) & self._keeps)
            | self._arrives
            | self._stops
        )
        steady = Signal(self.n_sources)  # the same command was there in the cycle before
        runs = Signal()
        m.d.comb += [chooser.served.eq(chooser.grant), taken.source.eq(chooser.grant)]
        for i, source in enumerate(self.sources):
            decoded = Signal(decoded_layout(), name=f"decoded{i}")
            may_go = Signal(name=f"may_go{i}")
            command, targets = source.payload, self._store.targets_of[i]
            wait = view(command, Opcode.WAIT)
            decode(m, decoded, command, targets, n_counters=self.limits.counters)
            m.d.comb += [
                self._store.lookups[i].eq(view(command, Opcode.RUN).ctx),
                self.watches[i].counter.eq(wait.counter),
                self.watches[i].value.eq(wait.value),
                may_go.eq(self._may_go(i, decoded)),
                chooser.requests[i].eq(steady[i] & source.valid & may_go & ~blocked),
                source.ready.eq(chooser.grant[i]),
                self.waiting[i].eq(source.valid & steady[i] & ~may_go),
            ]
            m.d.sync += steady[i].eq(source.valid & ~chooser.grant[i])
            others = Cat(chooser.grant[:i], chooser.grant[i + 1 :])
            with m.If(~others.any()):  # costs nothing where there is one source only
                m.d.comb += chosen.eq(source.payload)
                m.d.comb += [
                    taken[name].eq(decoded[name]) for name in ("units", "stores", "updates")
                ]
                m.d.comb += runs.eq(decoded.runs)
        m.d.comb += [
            taken.valid.eq(chooser.grant.any()),
            taken.delivers.eq(0),
            taken.runs.eq(taken.valid & runs),
            self.reserve.eq(Mux(taken.valid & ~taken.stores, taken.units, 0)),
        ]

    def _may_go(self, i: int, decoded: data.View) -> Value:
        """Whether the command of source i, which has been there for a cycle, can go now."""
        checked, acting = self._checked, self._acting
        room = ((decoded.units & self.full) == 0) | decoded.stores
        # A context that is being stored is seen when that is done.
        stored = (checked.valid & checked.stores) | (acting.valid & acting.stores)
        finds = ~decoded.runs | ~(stored | self._was_stored | self._fetches)
        # Counters change one at a time; a waiting signal of a unit gets its turn.
        turn = ~self.signals_waiting | ~(checked.valid & checked.updates)
        counts = ~decoded.updates | (turn & (~decoded.remote | self.remote_room))
        return room & finds & counts & self._condition(i, decoded)

    def _condition(self, i: int, decoded: data.View) -> Value:
        """What a FENCE, END or WAIT waits for."""
        checked, acting = self._checked, self._acting
        n_busy = (~self.quiet & decoded.fenced).any()
        # What this source's last command does to a counter is seen when it is done.
        follows = (
            (checked.valid & checked.source[i])
            | (acting.valid & acting.source[i])
            | self._was_source[i]
        )
        updates = (checked.valid & checked.updates) | (acting.valid & acting.updates)
        waits = decoded.waits & (follows | ~self.reached[i])
        fences = decoded.fences & (n_busy | self.signals_waiting)
        ends = decoded.ends & (n_busy | updates | self.update.valid | ~self.remote_empty)
        return ~(waits | fences | ends)

    def _elaborate_fetch(self, m: Module) -> None:
        """Read the memory: for a RUN, else for a queue, whose turn it was a cycle before."""
        m.submodules.turns = turns = RoundRobin(n_requests=N_UNITS)
        store = self._store
        runs = self._checked.runs
        next_one, fetched = Signal(N_UNITS), Signal(N_UNITS)
        with m.If(~self._fetches):
            m.d.comb += turns.requests.eq(self.wants)
            m.d.sync += [next_one.eq(turns.grant), self._fetches.eq(self.wants.any())]
        with m.If(~runs & (self._step != 1) & (self._step != 2) & (self._step != 3)):
            m.d.comb += self.fetch.eq(Mux(self._fetches, next_one, 0))
            with m.If(self._fetches):
                m.d.sync += self._fetches.eq(0)
        m.d.comb += [
            turns.served.eq(turns.grant),
            store.fetch.eq(Mux(self._fetches, next_one, 0)),
            store.reads_context.eq(runs),
            store.read_context.eq(view(self._command, Opcode.RUN).ctx),
            store.tails.eq(self.tails),
            store.fronts.eq(self.fronts),
            store.peeks.eq(self.peeks),
            store.peek_unit.eq(self.peek_unit),
            store.peek_word.eq(self.peek_word),
            self.peek.eq(store.peek),
        ]
        m.d.sync += [self._arrives.eq(self.fetch.any()), fetched.eq(self.fetch)]
        self._fetched = fetched

    def _elaborate_stages(self, m: Module, taken: data.View, chosen: Signal) -> None:
        """Stage 2 takes from a source or from the memory, stage 3 from stage 2."""
        m.submodules.checker = checker = CommandChecker(limits=self.limits)
        checked, acting = self._checked, self._acting
        run, opcode = view(self.command, Opcode.RUN), self._decode_move(m)
        m.d.comb += checker.command.eq(self._command)
        m.d.sync += [checked.valid.eq(0), checked.runs.eq(0)]
        with m.If(self._loads & self._loads_row):
            m.d.sync += [
                self._command.eq(self._store.row),
                checked.eq(0),
                checked.valid.eq(self._arrives),
                checked.delivers.eq(self._arrives),
                checked.units.eq(self._fetched),
            ]
            with m.If(~self._arrives):
                m.d.sync += [
                    view(self._command, Opcode.MML)[name].eq(run[name]) for name in _HEADER_FIELDS
                ]
        with m.Elif(self._loads):
            m.d.sync += [self._command.eq(chosen), checked.eq(taken)]
        with m.Elif(self._step == 3):
            self._elaborate_move(m, run, opcode)
            m.d.sync += [checked.eq(acting), checked.valid.eq(1), checked.runs.eq(0)]

        # A register of its own for so many flip-flops, as those flags decide about much else.
        m.d.sync += self._holds.eq(
            checked.runs | (self._step == 1) | ((self._step == 4) & self._keeps)
        )
        with m.If(~self._holds):
            m.d.sync += self.command.eq(self._command)
        with m.If(checked.valid):
            m.d.sync += acting.eq(checked)
        with m.Else():
            m.d.sync += acting.valid.eq(0)
        # Whether anything is wrong is known in time to act, what it is a cycle later.
        self._wrong, verdict = Signal(), Signal(Verdict)
        illegal, empty = Signal.like(checker.wrong_parts), Signal()
        wrong_at = Signal.like(checker.wrong_at)
        before = Signal(self.n_sources)
        m.d.comb += [
            self._wrong.eq((illegal.any() | empty) & ~acting.delivers),
            verdict.eq(checker.judge(m, illegal.any(), wrong_at)),
        ]
        m.d.sync += [
            before.eq(Mux(acting.valid, acting.source, 0)),
            self._was_source.eq(before | Mux(acting.valid, acting.source, 0)),
            self._was_stored.eq(acting.valid & acting.stores),
            illegal.eq(checker.wrong_parts),
            empty.eq(checked.runs & ~self._store.present),
            wrong_at.eq(checker.wrong_at),
            self.fault.cause.eq(Mux(verdict.wrong, verdict.cause, Trap.CONTEXT_EMPTY)),
            self.fault.info.eq(Mux(verdict.wrong, verdict.info, run.ctx)),
            self.fault.opcode.eq(self.command[:8]),
            self.fault.tag.eq(run.tag),
        ]

    def _decode_move(self, m: Module) -> dict[Opcode, Signal]:
        """Whether the command that was in stage 2 a cycle before has one of the moved opcodes."""
        flags = {code: Signal(name=f"was_{code.name.lower()}") for code in OFFSET_FIELDS}
        m.d.sync += [flag.eq(self._command[:8] == code) for code, flag in flags.items()]
        return flags

    def _elaborate_move(self, m: Module, run: data.View, opcode: dict[Opcode, Signal]) -> None:
        """Add a RUN's deltas to the command in stage 2; one adder for all places of an offset."""
        places: dict[tuple[int, int], list[Signal]] = {}
        for code, name in OFFSET_FIELDS.items():
            field = COMMANDS[code].field(name)
            places.setdefault((field.offset, field.width), []).append(opcode[code])
        width = max(width for _, width in places)
        offsets = [self._command[start : start + size] for start, size in places]
        flags = [Cat(codes).any() for codes in places.values()]
        offset, moved = Signal(width), Signal(width)
        m.d.comb += [offset.eq(one_of(offsets, flags)), moved.eq(offset + run.ls_delta)]
        for place, flag in zip(offsets, flags, strict=True):
            with m.If(flag):
                m.d.sync += place.eq(moved[: len(place)])
        with m.If(Cat(opcode[code] for code in _MOVED_BY_MEMORY).any()):
            address = view(self._command, Opcode.DMA_IN).mem_addr
            m.d.sync += address.eq(address + run.mem_delta)

    def _elaborate_action(self, m: Module) -> None:
        """Stage 3: act, unless the check failed."""
        store, acting = self._store, self._acting
        run, context = view(self.command, Opcode.RUN), Signal(4)
        runs, acts = acting.runs, Signal()
        m.d.comb += [
            acts.eq(acting.valid & ~self._stops & ~self._wrong & ~acting.delivers),
            self.deliver.eq(Mux(acting.valid & acting.delivers, acting.units, 0)),
            self.issue.eq(Mux(acts & ~runs & ~acting.stores, acting.units, 0)),
            self.ran.eq(acts & (acting.stores | (acting.units == 0))),
        ]
        m.d.sync += [
            self.fault.valid.eq(acting.valid & ~self._stops & self._wrong),
            self._loads.eq(~((acts & runs) | (self._step == 2))),
            self._loads_row.eq(self.fetch.any() | self._checked.runs),
        ]
        with m.If((acting.valid & self._wrong) | self.halt):
            m.d.sync += self._stops.eq(1)
        with m.If(acts & runs):
            m.d.sync += [self._step.eq(2), self._keeps.eq(run.keep), context.eq(run.ctx)]
        with m.Elif(self._checked.runs):
            m.d.sync += self._step.eq(1)
        with m.Elif((self._step >= 2) & (self._step < 6)):
            m.d.sync += self._step.eq(self._step + 1)
        with m.Else():
            m.d.sync += self._step.eq(0)
        keeps = (self._step == 6) & self._keeps & ~self._stops
        m.d.comb += [
            store.data.eq(self.command),
            store.unit.eq(unit_code(acting.units)),
            store.to_context.eq(acting.stores | keeps),
            store.context.eq(Mux(keeps, context, view(self.command, Opcode.MML).context)),
            store.stores.eq((acts & acting.stores) | keeps),
            store.write.eq(self.issue.any() | store.stores),
        ]
        self._elaborate_short(m, acts)

    def _elaborate_short(self, m: Module, acts: Value) -> None:
        """What short commands do."""
        opcode = self.command[:8]
        setter, setup = view(self.command, Opcode.SET_COUNTER), view(self.command, Opcode.CB)
        sets = opcode == Opcode.SET_COUNTER
        m.d.sync += [
            self.update.valid.eq(acts & self._acting.updates),
            self.update.is_set.eq(sets),
            self.update.counter.eq(Mux(sets, setter.counter, setter.signal_counter)),
            self.update.value.eq(setter.value),
            self.update.row.eq(setter.signal_row),
            self.update.col.eq(setter.signal_col),
            self.update.tag.eq(setter.tag),
        ]
        m.d.comb += [
            self.setup.valid.eq(acts & (opcode == Opcode.CB)),
            self.setup.payload.cb.eq(setup.cb),
            self.setup.payload.shared.eq(setup.shared),
            self.setup.payload.base.eq(setup.base),
            self.setup.payload.depth.eq(setup.depth),
            self.setup.payload.tag.eq(setup.tag),
            self.job_done.eq(acts & (opcode == Opcode.END)),
            self.status.eq(view(self.command, Opcode.END).status),
        ]
